package agent

import (
	"sync"
	"time"
)

// hold is this process's right to act as the runner. It counts from when what
// was confirmed last was asked for, so that it ends here before it ends at the
// control plane.
type hold struct {
	mu        sync.Mutex
	since     time.Time
	lease     time.Duration
	confirmed chan struct{} // closed when since moves
}

func newHold() *hold { return &hold{confirmed: make(chan struct{})} }

// confirm extends the right to a lease after the given time.
func (h *hold) confirm(asked time.Time, lease time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lease != 0 && !asked.After(h.since) {
		return
	}
	h.since, h.lease = asked, lease
	close(h.confirmed)
	h.confirmed = make(chan struct{})
}

// release gives the right up.
func (h *hold) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lease = 0
}

// state tells whether the right is held now. The channel is closed when it is
// confirmed the next time.
func (h *hold) state() (held bool, confirmed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return elapsed(h.since, time.Now()) < h.lease, h.confirmed
}

func (h *hold) held() bool {
	held, _ := h.state()
	return held
}

// elapsed is how much time has passed on the clock that says more. The
// monotonic clock stands still while the machine is suspended; the wall clock
// can be set back.
func elapsed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}
