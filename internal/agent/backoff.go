package agent

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

const (
	firstWait = 500 * time.Millisecond
	maxWait   = 30 * time.Second
	// maxRetryAfter bounds what a server, or something in front of it, may ask
	// for.
	maxRetryAfter = 5 * time.Minute
)

// backoff spreads attempts: each wait is anything between nothing and a
// ceiling that doubles. It belongs to failures in a row, and ends with a link that
// is confirmed. That a control plane which had welcomed this runner asks it to go
// elsewhere is no failure either; but one that does so over and over, as soon as
// it has welcomed it, is not let off.
//
// A runner that is refused and told when to come back waits for that long and no
// back-off, which is for somebody who knows nothing. There is a spread, so that not
// all runners obey at once. It doubles while nothing comes of it, up to what was
// told: they come half as often then as they were asked to, and no less.
type backoff struct {
	ceiling time.Duration
	// spread is that of the next wait that was told, from firstWait on.
	spread time.Duration
	// brief is set when the last link was not confirmed, and this runner was asked.
	brief bool
}

// after takes note of how a link has ended.
func (b *backoff) after(e ending) {
	brief := e.asked() && !e.confirmed
	if e.confirmed || brief && !b.brief {
		b.reset()
	}
	b.brief = brief
}

// wait is how long to wait after a link that was drained or lost.
func (b *backoff) wait(e ending) time.Duration {
	switch {
	case e.why == drained && e.welcomed:
		return e.retryAfter // which has its spread
	case e.welcomed:
		return e.retryAfter + b.next() // which grows only if it is sent away over and over
	default:
		return b.afterTold(e.retryAfter)
	}
}

// afterTold is how long to wait after a failure that came with a time to wait, or
// with none.
func (b *backoff) afterTold(told time.Duration) time.Duration {
	if told <= 0 {
		return b.next()
	}
	b.spread = max(min(2*b.spread, told), firstWait)
	return told + rand.N(b.spread+1) //nolint:gosec // jitter is no secret
}

// spread is for runners that were all told the same time.
func spread() time.Duration { return rand.N(firstWait) } //nolint:gosec // jitter is no secret

func (b *backoff) next() time.Duration {
	b.ceiling = min(max(2*b.ceiling, firstWait), maxWait)
	return rand.N(b.ceiling + 1) //nolint:gosec // jitter is no secret
}

func (b *backoff) reset() { b.ceiling, b.spread = 0, 0 }

// told is how long an error says to wait: in its metadata, or else in itself.
func told(err error, now time.Time) time.Duration {
	if d := retryAfter(meta(err), now); d > 0 {
		return d
	}
	c := new(connect.Error)
	if !errors.As(err, &c) {
		return 0
	}
	for _, detail := range c.Details() {
		value, err := detail.Value()
		if info, ok := value.(*errdetails.RetryInfo); ok && err == nil {
			return min(max(info.GetRetryDelay().AsDuration(), 0), maxRetryAfter)
		}
	}
	return 0
}

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
