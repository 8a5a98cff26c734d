// Package door bounds what anybody can make a server do before, or although, it
// is known who they are.
//
// A request without a token counts against its address, where that is known to
// be the caller's, and against all of them together. One with a token counts
// like that until the token is proved; what its owner then keeps open counts
// against the owner. Every refusal says when to come back.
//
// The package knows no procedure. Whoever serves tells it what comes, as a Visit.
package door

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/pace"
)

// Limits are how much is let in. What is 0 has its default.
type Limits struct {
	// AddressStreams are open, and AddressRequests made a second and under way, for
	// one address without a token; Streams are open for all addresses together, and
	// ten times as many requests under way.
	AddressStreams, AddressRequests, Streams int
	// CallerStreams are open for the owner of a token, and CallerOpens opened a
	// second.
	CallerStreams, CallerOpens int
	// Welcomes are how many links a runner opens a second, after WelcomeBurst.
	Welcomes, WelcomeBurst int
	// Strangers are open connections on which no token was proved.
	Strangers int
}

// Defaults are the limits that nobody chose otherwise.
func Defaults() Limits {
	return Limits{
		AddressStreams: 20, AddressRequests: 50, Streams: 500, CallerStreams: 100, CallerOpens: 10, Welcomes: 1, WelcomeBurst: 10,
		Strangers: 4096,
	}
}

// maxPerSecond is how much can be told apart in a second.
const maxPerSecond = 1_000_000

// each is every limit, with the end of its flag.
func (l *Limits) each() []struct {
	name  string
	value *int
} {
	return []struct {
		name  string
		value *int
	}{
		{"address-streams", &l.AddressStreams},
		{"address-requests", &l.AddressRequests},
		{"streams", &l.Streams},
		{"caller-streams", &l.CallerStreams},
		{"caller-opens", &l.CallerOpens},
		{"welcomes", &l.Welcomes},
		{"welcome-burst", &l.WelcomeBurst},
		{"connections", &l.Strangers},
	}
}

// Check refuses limits that are none.
func (l Limits) Check() error {
	for _, one := range l.each() {
		if *one.value < 0 || *one.value > maxPerSecond {
			return fmt.Errorf("--limit-%s must be a number from 1 to %d, and is %d", one.name, maxPerSecond, *one.value)
		}
	}
	return nil
}

func (l Limits) orDefaults() Limits {
	d := Defaults()
	byDefault := d.each()
	for i, one := range l.each() {
		if *one.value == 0 {
			*one.value = *byDefault[i].value
		}
	}
	return l
}

const (
	// maxAddresses is how many addresses are told apart at a time.
	maxAddresses = 1 << 16
	// maxProofs is how many tokens are looked up at a time for addresses that have
	// used up what they may do without one.
	maxProofs = 16
	// requestsPerStream is how many requests may be under way in all for each stream
	// that may be open in all: they last for moments.
	requestsPerStream = 10
	// streamWait is when to come back for a stream: those that are open last.
	streamWait = 5 * time.Second
)

// Config is what a Door is made of.
type Config struct {
	Limits Limits
	// Proxies are the networks whose word counts for whom they were called by.
	Proxies []netip.Prefix
	// Log hears of refusals, seldom. Nil for none.
	Log *slog.Logger
}

// Door counts what is let in. It is safe for concurrent use.
type Door struct {
	cfg Config

	turns    *pace.Limiter[netip.Addr]
	opens    *pace.Limiter[string]
	welcomes *pace.Limiter[string]
	proofs   chan struct{}

	streams, requests tally[netip.Addr]
	callers           tally[string]
	strangers         *strangers
	refusals          *refusals
}

// New makes a door.
func New(cfg Config) *Door {
	cfg.Limits = cfg.Limits.orDefaults()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := cfg.Limits
	return &Door{
		cfg:       cfg,
		turns:     pace.New[netip.Addr](l.AddressRequests, l.AddressRequests).AtMost(maxAddresses),
		opens:     pace.New[string](l.CallerOpens, l.CallerOpens),
		welcomes:  pace.New[string](l.Welcomes, l.WelcomeBurst),
		proofs:    make(chan struct{}, maxProofs),
		strangers: newStrangers(l.Strangers),
		refusals:  newRefusals(),
	}
}

// Visit is one request that comes in.
type Visit struct {
	door     *Door
	request  *http.Request
	stranger *stranger
	// The address is made out once it is asked for.
	known bool
	// failed is why who came is nobody; nil when they are somebody, or need not be.
	failed  error
	address netip.Addr
	share   netip.Addr
}

// Visit begins a visit.
func (d *Door) Visit(r *http.Request) Visit {
	s, _ := r.Context().Value(strangerKey{}).(*stranger)
	return Visit{door: d, request: r, stranger: s}
}

type visitKey struct{}

// WithVisit puts a visit into the context of its request, for handlers that
// authenticate by themselves.
func WithVisit(ctx context.Context, v *Visit) context.Context {
	return context.WithValue(ctx, visitKey{}, v)
}

// VisitOf is the visit of a request. One that came in otherwise is the first at
// a door of its own.
func VisitOf(r *http.Request) *Visit {
	if v, ok := r.Context().Value(visitKey{}).(*Visit); ok {
		return v
	}
	v := New(Config{}).Visit(r)
	return &v
}

// Address is where the request comes from; the zero address when nothing is
// known of that.
func (v *Visit) Address() netip.Addr {
	if !v.known {
		v.known = true
		v.address = v.door.callerOf(v.request)
		v.share = v.door.share(v.address, v.address == peerOf(v.request.RemoteAddr))
	}
	return v.address
}

// Turn counts a request without a token that holds nothing.
func (v *Visit) Turn() error {
	address := v.Address()
	if !v.share.IsValid() {
		return nil
	}
	most := v.door.cfg.Limits.AddressRequests
	if wait := v.door.turns.Take(v.share, time.Now()); wait > 0 {
		return v.refuse(addressRequests, most, wait, "More than %d requests a second without a valid token come from %s. Wait a moment.", most, address)
	}
	return nil
}

// Request counts a request without a token until leave is called.
func (v *Visit) Request() (leave func(), err error) {
	if err := v.Turn(); err != nil {
		return nil, err
	}
	l := v.door.cfg.Limits
	most := l.Streams * requestsPerStream
	switch v.door.requests.enter(v.share, l.AddressRequests, most) {
	case full:
		return nil, v.refuse(allRequests, most, time.Second, "%d requests without a token are under way, which is the most at a time. Wait a moment.", most)
	case fullOfOne:
		return nil, v.refuse(addressRequests, l.AddressRequests, time.Second, "%d requests without a token from %s are under way, which is the most at a time. Wait a moment.", l.AddressRequests, v.address)
	}
	return func() { v.door.requests.leave(v.share) }, nil
}

// Stream counts a stream without a token until leave is called.
func (v *Visit) Stream() (leave func(), err error) {
	if err := v.Turn(); err != nil {
		return nil, err
	}
	l := v.door.cfg.Limits
	switch v.door.streams.enter(v.share, l.AddressStreams, l.Streams) {
	case full:
		return nil, v.refuse(allStreams, l.Streams, streamWait, "%d streams without a token are open, which is the most. Ask once in a while in place of watching.", l.Streams)
	case fullOfOne:
		return nil, v.refuse(addressStreams, l.AddressStreams, streamWait, "%d streams without a token from %s are open, which is the most. Close some, or ask once in a while in place of watching.", l.AddressStreams, v.address)
	}
	return func() { v.door.streams.leave(v.share) }, nil
}

// Prove is called before a token is looked up, and done after it. An address
// that goes on with bad ones must not keep the database busy; nor may it keep
// out those who share it.
func (v *Visit) Prove() (done func(), err error) {
	address := v.Address()
	if !v.share.IsValid() {
		return func() {}, nil
	}
	wait := v.door.turns.Wait(v.share, time.Now())
	if wait == 0 {
		return func() {}, nil
	}
	select {
	case v.door.proofs <- struct{}{}:
		return func() { <-v.door.proofs }, nil
	default:
		most := v.door.cfg.Limits.AddressRequests
		return nil, v.refuse(addressRequests, most, wait, "More than %d requests a second without a valid token come from %s. Wait a moment.", most, address)
	}
}

// Bad counts a request whose token is none. It returns what to tell the caller:
// why it was refused, for as long as that is answered at all.
func (v *Visit) Bad(why error) error {
	v.Fail(why)
	if err := v.Turn(); err != nil {
		return err
	}
	return why
}

// Fail notes why it is not known who came, for the log.
func (v *Visit) Fail(why error) { v.failed = why }

// Failed is what was noted by Fail.
func (v *Visit) Failed() error { return v.failed }

// Proved notes that a token of the request is good.
func (v *Visit) Proved() { v.door.strangers.forget(v.stranger) }

// Open counts a stream of the owner of a token until leave is called.
func (v *Visit) Open(owner string) (leave func(), err error) {
	l := v.door.cfg.Limits
	if wait := v.door.opens.Take(owner, time.Now()); wait > 0 {
		return nil, v.refuse(callerOpens, l.CallerOpens, wait, "You open more than %d streams a second. Wait a moment, and keep those that you have.", l.CallerOpens)
	}
	if v.door.callers.enter(owner, l.CallerStreams, 0) != entered {
		return nil, v.refuse(callerStreams, l.CallerStreams, streamWait, "You have %d streams open, which is the most. Close some.", l.CallerStreams)
	}
	return func() { v.door.callers.leave(owner) }, nil
}

// Welcome counts a link that a runner opens.
func (d *Door) Welcome(runner string) error {
	l := d.cfg.Limits
	if wait := d.welcomes.Take(runner, time.Now()); wait > 0 {
		d.refusals.note(d.cfg.Log, welcomes, slog.String("runner_id", runner))
		return fault.New(fault.ResourceExhausted, fault.LimitReached,
			"This runner opens links more often than %d times a second, after %d at once. Wait a moment; two processes with the same identity would explain it.", l.Welcomes, l.WelcomeBurst).WithRetryAfter(wait)
	}
	return nil
}

func (v *Visit) refuse(l limit, most int, wait time.Duration, format string, args ...any) error {
	attrs := []slog.Attr{slog.Int("limit", most), slog.String("address", v.Address().String())}
	if said := v.request.Header.Get("X-Forwarded-For"); said != "" && !v.door.trusts(peerOf(v.request.RemoteAddr)) {
		attrs = append(attrs, slog.String("hint", "the request says that it was forwarded; if this is the address of a proxy, name it with --trusted-proxy"))
	}
	v.door.refusals.note(v.door.cfg.Log, l, attrs...)
	return fault.New(fault.ResourceExhausted, fault.LimitReached, format, args...).WithRetryAfter(wait)
}
