package idtoken

import (
	"maps"
	"sync"
	"time"
)

// Each caller may ask for so many tokens a second, and for some more at once:
// each leaves an audit entry, and a loop must not fill the log.
const (
	perSecond = 10
	burst     = 100
)

const (
	// each is what one token costs.
	each = time.Second / perSecond
	// full is how long an empty bucket takes to fill.
	full = burst * each
)

// limiter has a bucket of tokens for each caller that asked lately.
type limiter struct {
	mu sync.Mutex
	// fullAt is when the bucket of a caller is full again. One that is full is
	// none.
	fullAt map[string]time.Time
	swept  time.Time
}

func newLimiter() *limiter { return &limiter{fullAt: map[string]time.Time{}} }

// take takes one out of the bucket of a caller, or says how long to wait for
// one.
func (l *limiter) take(caller string, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.swept) >= full {
		maps.DeleteFunc(l.fullAt, func(_ string, at time.Time) bool { return !at.After(now) })
		l.swept = now
	}
	at := l.fullAt[caller]
	if at.Before(now) {
		at = now
	}
	at = at.Add(each)
	if wait = at.Sub(now) - full; wait > 0 {
		return wait
	}
	l.fullAt[caller] = at
	return 0
}
