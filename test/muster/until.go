package muster

import (
	"testing"
	"time"
)

// pollEvery is how often a condition is looked at.
const pollEvery = 100 * time.Millisecond

// Until looks at a condition until it holds, which is when it returns nil. After
// patience, which is longer on a busy machine, the test fails with what the
// condition said last.
func Until(t testing.TB, patience time.Duration, condition func() error) {
	t.Helper()
	start := time.Now()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		if waited := time.Since(start); waited > patience && waited > Limit(t, patience, start) {
			t.Fatalf("after %s: %v", waited.Round(time.Second), err)
		}
		<-tick.C
	}
}

// Throughout looks at a condition for a time, during all of which it must hold.
func Throughout(t testing.TB, duration time.Duration, condition func() error) {
	t.Helper()
	end := time.After(duration)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for start := time.Now(); ; {
		if err := condition(); err != nil {
			t.Fatalf("after %s: %v", time.Since(start).Round(time.Second), err)
		}
		select {
		case <-end:
			return
		case <-tick.C:
		}
	}
}
