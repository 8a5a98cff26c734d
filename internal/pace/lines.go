package pace

import (
	"sync"
	"time"
)

// Lines bounds how often a line is logged that anybody can cause, and counts
// those that were left out. It is safe for concurrent use.
type Lines struct {
	turns *Limiter[struct{}]

	mu   sync.Mutex
	left int
}

// NewLines allows a line each so often, and burst of them at once.
func NewLines(each time.Duration, burst int) *Lines {
	return &Lines{turns: Every[struct{}](each, burst)}
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
