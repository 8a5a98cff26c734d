package scmhost

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/pace"
)

// complaintEvery is how often one complaint is logged.
const complaintEvery = time.Minute

// Complaints logs what goes wrong with hosts, each kind of it once a minute, with
// how often it happened in between. It may be used by many at once.
type Complaints struct {
	log   *slog.Logger
	turns *pace.Limiter[complaint]

	mu sync.Mutex
	// omitted counts what was not logged since the last time.
	omitted map[complaint]int
}

type complaint struct {
	message, host string
	reason        fault.Reason
	cause         string
}

// NewComplaints logs to a log.
func NewComplaints(log *slog.Logger) *Complaints {
	return &Complaints{log: log, turns: pace.Every[complaint](complaintEvery, 1), omitted: map[complaint]int{}}
}

// Warn logs that something happened because of a host, which is empty when it may
// be any: the reason of the fault and
// what led to it, and nothing that the host or anybody else has said.
func (c *Complaints) Warn(ctx context.Context, message, host string, err error) {
	about := complaint{message, host, fault.From(err).Reason, causeOf(err)}
	omitted, now := c.take(about)
	if !now {
		return
	}
	args := []any{"reason", about.reason}
	if about.host != "" {
		args = append(args, "host", about.host)
	}
	if about.cause != "" {
		args = append(args, "cause", about.cause)
	}
	if omitted > 0 {
		args = append(args, "omitted", omitted)
	}
	c.log.WarnContext(ctx, about.message, args...)
}

// take tells whether to log a complaint now, and how many were omitted before.
func (c *Complaints) take(about complaint) (omitted int, now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turns.Take(about, time.Now()) > 0 {
		if _, counted := c.omitted[about]; counted || len(c.omitted) < maxRemembered {
			c.omitted[about]++
		}
		return 0, false
	}
	omitted = c.omitted[about]
	delete(c.omitted, about)
	return omitted, true
}

// failed logs a question that failed for a reason that is for whoever runs the
// runner, and returns its error.
func (h *Hosts) failed(ctx context.Context, s Site, err error) error {
	if fault.HasReason(err, fault.HostUnavailable) || fault.HasReason(err, fault.HostNotAllowed) {
		h.complaints.Warn(ctx, "a question to a source code host failed", s.Host, err)
	}
	return err
}
