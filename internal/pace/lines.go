package pace

import (
	"sync"
	"time"
)

// Lines bounds how often a line is logged that anybody can cause, and counts
// those that were left out. It is safe for concurrent use.
type Lines struct {
	turns *Limiter[struct{}]
	each  time.Duration

	mu      sync.Mutex
	left    int
	waiting bool // for the end of what Later was told of
}

// NewLines allows a line each so often, and burst of them at once.
func NewLines(each time.Duration, burst int) *Lines {
	return &Lines{turns: Every[struct{}](each, burst), each: each}
}

// Take tells whether a line may be logged now, and if so, how many were left out
// since the last one.
func (l *Lines) Take(now time.Time) (may bool, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.turns.Take(struct{}{}, now) > 0 {
		l.left++
		return false, 0
	}
	left, l.left = l.left, 0
	return true, left
}

// Later has say called, once there could be a line again, with how many were left
// out and not told by another one until then. It is for whoever was not allowed one:
// the last of a burst has no other after it that could tell.
func (l *Lines) Later(say func(left int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting {
		return
	}
	l.waiting = true
	time.AfterFunc(l.each, func() {
		l.mu.Lock()
		left := l.left
		l.left, l.waiting = 0, false
		l.mu.Unlock()
		if left > 0 {
			say(left)
		}
	})
}
