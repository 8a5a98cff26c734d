package scmhost

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// maxQuestions is how many questions to one host may be under way, so that one
// that does not answer cannot hold more; as many may wait, for up to
// queuePatience. maxRenewals is the same for renewals, which questions wait for.
const (
	maxQuestions  = 32
	maxRenewals   = 32
	queuePatience = time.Second
)

// desk bounds what is under way with each host.
type desk struct {
	most int

	mu    sync.Mutex
	hosts map[string]*line
}

// line is those who are at a host's part of the desk. The desk's mutex guards
// inside, which counts them.
type line struct {
	inside int
	places chan struct{}
}

func newDesk(most int) *desk { return &desk{most: most, hosts: map[string]*line{}} }

// seatKey is of the seat that a context has.
type seatKey struct{}

// seat is a place at a desk.
type seat struct {
	desk *desk
	host string
}

// enter takes a place for a host, unless the context has it already; leave must be
// called.
func (d *desk) enter(ctx context.Context, host string) (_ context.Context, leave func(), _ error) {
	s := seat{d, host}
	if ctx.Value(seatKey{}) == s {
		return ctx, func() {}, nil
	}
	l := d.join(host)
	if l == nil {
		return nil, nil, d.full()
	}
	select {
	case l.places <- struct{}{}:
	default:
		late := time.NewTimer(queuePatience)
		defer late.Stop()
		select {
		case l.places <- struct{}{}:
		case <-late.C:
			d.part(host, l)
			return nil, nil, d.full()
		case <-ctx.Done():
			d.part(host, l)
			return nil, nil, context.Cause(ctx)
		}
	}
	return context.WithValue(ctx, seatKey{}, s), func() {
		<-l.places
		d.part(host, l)
	}, nil
}

func (d *desk) full() error {
	return fault.New(fault.ResourceExhausted, fault.RunnerRefused,
		"%d questions of this runner to this host are waiting for its answers already. Try again in a moment.", d.most).WithRetryAfter(time.Second)
}

// join returns the line of a host; nil when it is as long as can be.
func (d *desk) join(host string) *line {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.hosts[host]
	switch {
	case l == nil:
		l = &line{places: make(chan struct{}, d.most)}
		d.hosts[host] = l
	case l.inside >= 2*d.most:
		return nil
	}
	l.inside++
	return l
}

func (d *desk) part(host string, l *line) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.inside--; l.inside == 0 {
		delete(d.hosts, host)
	}
}

// Enter takes one of the places that questions to a host have, for one that needs
// more than a method here: what is asked with its context takes no further one.
// leave must be called. The error is resource_exhausted when all are taken.
func (h *Hosts) Enter(ctx context.Context, i scmurl.Integration) (_ context.Context, leave func(), _ error) {
	return h.questions.enter(ctx, h.site(i, Credential{}).Base())
}

// callsKey is of the *atomic.Int32 in a context that counts the calls that its
// question has left.
type callsKey struct{}

// within asks a host inside what that may cost, at a desk of its own kind.
func (d *desk) within(ctx context.Context, s Site, ask func(context.Context) error) error {
	ctx, leave, err := d.enter(ctx, s.Base())
	if err != nil {
		return err
	}
	defer leave()
	calls := new(atomic.Int32)
	calls.Store(maxCalls)
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, callsKey{}, calls), Patience)
	defer cancel()
	return s.inTime(ask(ctx))
}

// spend takes one call from the context's question; false when none is left.
func spend(ctx context.Context) bool {
	calls, ok := ctx.Value(callsKey{}).(*atomic.Int32)
	return !ok || calls.Add(-1) >= 0
}
