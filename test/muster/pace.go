package muster

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pace measures how much slower this machine is than it would be if nobody else
// used it. A suite that judges time counts with it, so that it judges the
// product and not what else runs.
type pace struct {
	mu      sync.Mutex
	samples []sample
}

// sample is how many times longer work took than the CPU time that it needed.
type sample struct {
	at       time.Time
	slowdown float64
}

const (
	// paceWork is how much CPU time a sample takes: enough for the kernel to let
	// others run in between, when there are others.
	paceWork = 20 * time.Millisecond
	// paceEvery is the time between samples.
	paceEvery = 500 * time.Millisecond
	// maxSlowdown is how far a limit is stretched at most: a machine that is busier
	// than that is none to judge time on, and what takes longer fails.
	maxSlowdown = 10
)

// machine is measured while the tests of a package run.
var machine pace

// measure takes samples until stop is closed.
func (p *pace) measure(stop <-chan struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tick := time.NewTicker(paceEvery)
	defer tick.Stop()
	for {
		begun, used := time.Now(), threadTime()
		for threadTime()-used < paceWork {
		}
		p.add(sample{begun, float64(time.Since(begun)) / float64(threadTime()-used)})
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

func (p *pace) add(s sample) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.samples = append(p.samples, s)
}

// since is the slowdown since a time, on average; 1 on a quiet machine.
func (p *pace) since(begun time.Time) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	sum, n := 0.0, 0
	for i := len(p.samples) - 1; i >= 0 && p.samples[i].at.After(begun.Add(-paceEvery)); i-- {
		sum, n = sum+p.samples[i].slowdown, n+1
	}
	if n == 0 {
		return 1
	}
	return min(max(sum/float64(n), 1), maxSlowdown)
}

// Limit is what a time limit comes to at the pace that the machine has had
// since a moment. A limit that was stretched is in the log.
func Limit(t testing.TB, limit time.Duration, begun time.Time) time.Duration {
	t.Helper()
	slowdown := machine.since(begun)
	stretched := time.Duration(float64(limit) * slowdown)
	if took := time.Since(begun); took > limit && took <= stretched {
		t.Logf("the machine was %.1f times slower than it can be: %s are judged as %s", slowdown, stretched.Round(time.Second), limit)
	}
	return stretched
}

// threadTime is the CPU time that this thread has used.
func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // there is always one
	return time.Duration(t.Nano())
}
