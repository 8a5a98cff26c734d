package agent

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	firstWait = 500 * time.Millisecond
	maxWait   = 30 * time.Second
	// maxRetryAfter bounds what a server, or something in front of it, may ask
	// for.
	maxRetryAfter = 5 * time.Minute
)

// backoff spreads attempts: each wait is anything between nothing and a
// ceiling that doubles.
type backoff struct{ ceiling time.Duration }

func (b *backoff) next() time.Duration {
	b.ceiling = min(max(2*b.ceiling, firstWait), maxWait)
	return rand.N(b.ceiling + 1) //nolint:gosec // jitter is no secret
}

func (b *backoff) reset() { b.ceiling = 0 }

// retryAfter reads the header of that name, in seconds or as a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	var d time.Duration
	if n, err := strconv.ParseUint(value, 10, 32); err == nil {
		d = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}
