package pace_test

import (
	"testing"
	"time"

	"github.com/musterhq/muster/internal/pace"
)

func TestLines(t *testing.T) {
	l := pace.NewLines(time.Minute, 2)
	now := time.Unix(1000, 0)
	for i, want := range []bool{true, true, false, false} {
		if may, left := l.Take(now); may != want || left != 0 {
			t.Fatalf("line %d: %v, %d", i+1, may, left)
		}
	}
	now = now.Add(time.Minute)
	if may, left := l.Take(now); !may || left != 2 {
		t.Errorf("a minute later: %v, %d", may, left)
	}
}
