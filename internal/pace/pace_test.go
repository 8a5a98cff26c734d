package pace_test

import (
	"testing"
	"time"

	"github.com/musterhq/muster/internal/pace"
)

func TestTake(t *testing.T) {
	l := pace.New[string](10, 3)
	now := time.Unix(1000, 0)
	for i := range 3 {
		if wait := l.Take("a", now); wait != 0 {
			t.Fatalf("turn %d of the burst: wait %v", i+1, wait)
		}
	}
	for range 2 { // what is refused costs nothing
		if wait := l.Take("a", now); wait != 100*time.Millisecond {
			t.Fatalf("after the burst: wait %v", wait)
		}
	}
	if wait := l.Take("b", now); wait != 0 {
		t.Errorf("another key: wait %v", wait)
	}
	now = now.Add(100 * time.Millisecond)
	if wait := l.Take("a", now); wait != 0 {
		t.Errorf("a turn later: wait %v", wait)
	}
	if wait := l.Take("a", now); wait != 100*time.Millisecond {
		t.Errorf("two turns later: wait %v", wait)
	}
	now = now.Add(time.Hour) // quiet fills the bucket, and no further
	for i := range 3 {
		if wait := l.Take("a", now); wait != 0 {
			t.Fatalf("turn %d after an hour: wait %v", i+1, wait)
		}
	}
	if l.Take("a", now) == 0 {
		t.Error("an hour of quiet gave more than a burst")
	}
}
