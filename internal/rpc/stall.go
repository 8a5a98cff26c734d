package rpc

import (
	"net/http"
	"sync"
	"time"
)

// stall breaks a write to a stream that its reader holds up for too long; flow
// control would let it hold the sender for ever. A deadline around each write
// would do the same, but on HTTP/2 setting one costs more than the write.
type stall struct {
	ctrl    *http.ResponseController
	timeout time.Duration

	mu    sync.Mutex
	timer *time.Timer
	until time.Time // zero between writes
	late  bool      // the write has had its time
}

// secondChance is for a write that has had its time: it may be this process that
// stood still, and not the reader.
const secondChance = time.Second

// begin starts the clock of a write; end must be called after it, and before
// the request ends.
func (s *stall) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until, s.late = time.Now().Add(s.timeout), false
	if s.timer == nil {
		s.timer = time.AfterFunc(s.timeout, s.expire)
		return
	}
	s.timer.Reset(s.timeout)
}

func (s *stall) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = time.Time{}
	s.timer.Stop()
}

func (s *stall) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.until.IsZero() || time.Now().Before(s.until):
	case !s.late:
		s.until, s.late = time.Now().Add(secondChance), true
		s.timer.Reset(secondChance)
	default:
		// A deadline in the past ends the write that is under way.
		_ = s.ctrl.SetWriteDeadline(time.Unix(1, 0))
	}
}
