package clock_test

import (
	"testing"
	"time"

	"github.com/musterhq/muster/internal/clock"
)

func TestGap(t *testing.T) {
	now := time.Now()
	if got := clock.Gap(now, now.Add(time.Second)); got != time.Second {
		t.Errorf("gap = %v", got)
	}
	suspended := now.Round(0).Add(-time.Hour) // an hour ago by the wall clock alone
	if got := clock.Gap(suspended, now); got < time.Hour {
		t.Errorf("after a suspension: gap = %v", got)
	}
	setBack := now.Round(0).Add(time.Hour)
	if got := clock.Gap(setBack, now); got > 0 {
		t.Errorf("after the wall clock was set back: gap = %v", got)
	}
}
