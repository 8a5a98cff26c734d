package fleet_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

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
	var none *fleet.UpdateWindow
	if !none.Open(time.Now()) {
		t.Error("without a window updates are allowed at any time")
	}
}

// A window is open for exactly its length in each day, in whatever zone the
// time is given.
func TestWindowIsOpenForItsLength(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.Uint32Range(0, 23).Draw(t, "start")
		w, err := fleet.NewUpdateWindow(&start, hour((start+rapid.Uint32Range(2, 23).Draw(t, "length"))%24))
		if err != nil {
			t.Fatal(err)
		}
		zone := time.FixedZone("x", rapid.IntRange(-14*3600, 14*3600).Draw(t, "zone"))
		day := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)
		open := time.Duration(0)
		for m := range 24 * 60 {
			at := day.Add(time.Duration(m) * time.Minute)
			if w.Open(at.In(zone)) {
				open += time.Minute
			}
		}
		if open != w.Length() {
			t.Fatalf("%+v is open for %v a day", w, open)
		}
		if !w.Open(day.Add(time.Duration(start)*time.Hour)) || w.Open(day.Add(time.Duration(start)*time.Hour-time.Second)) && w.Length() < 24*time.Hour {
			t.Fatalf("%+v does not open at its start", w)
		}
	})
}
