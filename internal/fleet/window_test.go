package fleet_test

import (
	"testing"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
)

func hour(h uint32) *uint32 { return &h }

func TestNewUpdateWindow(t *testing.T) {
	for _, tt := range []struct {
		name       string
		start, end *uint32
		length     time.Duration // 0: refused
	}{
		{"start only", hour(3), nil, 2 * time.Hour},
		{"shortest", hour(3), hour(5), 2 * time.Hour},
		{"too short", hour(3), hour(4), 0},
		{"overnight", hour(22), hour(2), 4 * time.Hour},
		{"overnight, shortest", hour(23), hour(1), 2 * time.Hour},
		{"overnight, too short", hour(23), hour(0), 0},
		{"longest", hour(4), hour(3), 23 * time.Hour},
		{"start equals end", hour(4), hour(4), 0},
		{"end only", nil, hour(4), 0},
		{"start too late", hour(24), nil, 0},
		{"end too late", hour(20), hour(24), 0},
	} {
		w, err := fleet.NewUpdateWindow(tt.start, tt.end)
		if tt.length == 0 {
			if !fault.Is(err, fault.InvalidArgument) || fault.From(err).Field == "" {
				t.Errorf("%s: %v, %v", tt.name, w, err)
			}
			continue
		}
		if err != nil || w.Length() != tt.length {
			t.Errorf("%s: %v, %v", tt.name, w, err)
			continue
		}
		if (w.End == nil) != (tt.end == nil) {
			t.Errorf("%s: the end is not kept as it was sent", tt.name)
		}
	}
	if w, err := fleet.NewUpdateWindow(nil, nil); w != nil || err != nil {
		t.Errorf("an empty window: %v, %v", w, err)
	}
}
