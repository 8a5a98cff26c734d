// Package gateway finds the gateway that is nearest to this host.
//
// Latency is the time between a request and its answer on a connection that is
// already open. It is reported coarsely and with hysteresis: nobody is to be
// told of microseconds. The package knows nothing of who is told.
package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

const (
	every       = 5 * time.Minute
	timeout     = 5 * time.Second
	samples     = 3
	maxGateways = 32
)

// Prober measures from time to time. Its methods may be called concurrently.
type Prober struct {
	client  *http.Client
	log     *slog.Logger
	asked   chan struct{} // holds a value when there are other gateways
	changed chan struct{} // holds a value when there is another answer

	mu       sync.Mutex
	gateways []*gitpodv1.Gateway
	nearest  *gitpodv1.GatewayInfo
}

// New makes a prober that has nothing to measure.
func New(client *http.Client, log *slog.Logger) *Prober {
	return &Prober{client: client, log: log, asked: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
}

// Set names the gateways to measure from now on.
func (p *Prober) Set(gateways []*gitpodv1.Gateway) {
	if len(gateways) > maxGateways {
		p.log.Warn("there are more gateways than this runner measures", "gateways", len(gateways), "measured", maxGateways)
		gateways = gateways[:maxGateways]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if same(p.gateways, gateways) {
		return
	}
	p.gateways = gateways
	signal(p.asked)
}

// Nearest returns the nearest gateway that answers; nil when none does.
func (p *Prober) Nearest() *gitpodv1.GatewayInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nearest
}

// Changed returns a channel that gets a value when Nearest has changed.
func (p *Prober) Changed() <-chan struct{} { return p.changed }

// Run measures until ctx ends.
func (p *Prober) Run(ctx context.Context) {
	defer p.client.CloseIdleConnections()
	again := time.NewTicker(every)
	defer again.Stop()
	for {
		select {
		case <-p.asked:
		case <-again.C:
		case <-ctx.Done():
			return
		}
		p.probe(ctx)
	}
}

func (p *Prober) probe(ctx context.Context) {
	p.mu.Lock()
	gateways, before := p.gateways, p.nearest
	p.mu.Unlock()

	latencies := make([]time.Duration, len(gateways))
	var wg sync.WaitGroup
	for i, g := range gateways {
		wg.Go(func() {
			var err error
			if latencies[i], err = p.measure(ctx, g.GetUrl()); err != nil && ctx.Err() == nil {
				p.log.Warn("a gateway does not answer", "gateway", g.GetName(), "error", err)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return
	}
	after := choose(before, gateways, latencies)

	p.mu.Lock()
	defer p.mu.Unlock()
	if !proto.Equal(p.nearest, after) && same(p.gateways, gateways) {
		p.nearest = after
		signal(p.changed)
	}
}

// measure returns the shortest of several round trips.
func (p *Prober) measure(ctx context.Context, address string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var best time.Duration
	for i := range samples + 1 { // the first one opens the connection
		took, err := p.roundTrip(ctx, address)
		if err != nil {
			return 0, err
		}
		if i <= 1 || took < best {
			best = took
		}
	}
	return max(best, 1), nil
}

// roundTrip measures from when there is a connection to the first byte of the
// answer. Any answer will do.
func (p *Prober) roundTrip(ctx context.Context, address string) (time.Duration, error) {
	var connected, answered time.Time
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { connected = time.Now() },
		GotFirstResponseByte: func() { answered = time.Now() },
	})
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return 0, withoutURL(err)
	}
	response, err := p.client.Do(request)
	if err != nil {
		return 0, withoutURL(err)
	}
	return answered.Sub(connected), response.Body.Close()
}

// withoutURL keeps a URL, which may hold a password, out of the log.
func withoutURL(err error) error {
	if u, ok := err.(*url.Error); ok { //nolint:errorlint // it is what these two functions return
		return u.Err
	}
	return err
}

func same(a, b []*gitpodv1.Gateway) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !proto.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// choose picks the nearest gateway, but stays with what was reported before
// unless something changed by more than a fifth.
func choose(before *gitpodv1.GatewayInfo, gateways []*gitpodv1.Gateway, latencies []time.Duration) *gitpodv1.GatewayInfo {
	best, current := -1, -1
	for i, latency := range latencies {
		if latency == 0 { // no answer
			continue
		}
		if best < 0 || latency < latencies[best] {
			best = i
		}
		if proto.Equal(before.GetGateway(), gateways[i]) {
			current = i
		}
	}
	if best < 0 {
		return nil
	}
	if current >= 0 {
		if !fifth(latencies[current], latencies[best]) {
			best = current
		}
		if reported := before.GetLatency().AsDuration(); best == current && !fifth(reported, latencies[best]) {
			return before
		}
	}
	return &gitpodv1.GatewayInfo{Gateway: gateways[best], Latency: durationpb.New(coarse(latencies[best]))}
}

// fifth tells whether two latencies differ by more than a fifth of the larger,
// and by more than what coarse rounds away.
func fifth(a, b time.Duration) bool {
	if a < b {
		a, b = b, a
	}
	return (a-b)*5 > a && coarse(a) != coarse(b)
}

// coarse rounds to tenths of a millisecond below ten of them, and to whole ones
// above.
func coarse(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return max(d.Round(100*time.Microsecond), 100*time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
