// Package rpc is the transport of the control plane: it puts services on HTTP.
//
// It speaks Connect, gRPC and gRPC-Web, and the plain JSON of the vendor's
// older SDKs with all their habits: paging in the query string, a stream as
// lines of JSON, retries steered by headers. For each call it makes out the
// request id, the caller and the caller's permission before it reads the body,
// decodes and validates the request, calls the service, and tells the outcome
// to the caller, the log and the metrics.
//
// It must not know what a procedure means. What it needs of the product comes
// in through Config; services return faults, and never see HTTP.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/door"
	"github.com/musterhq/muster/internal/pace"
)

// Config is what a Handler is made of. Authenticate and Services are required.
type Config struct {
	// Authenticate turns a bearer token into its caller; its errors are faults.
	Authenticate func(ctx context.Context, bearer string) (access.Caller, error)
	// Hold, when set, returns the context that a stream lives under. It ends,
	// with a fault as its cause, when the caller's token does.
	Hold func(ctx context.Context, c access.Caller) (held context.Context, release func())
	// Services are served under /<name>/ and /api/<name>/.
	Services []Service
	// Watch answers gitpod.v1.EventService/WatchEvents to clients that read
	// lines of JSON; for all others the service in Services does. It first
	// checks the request, calls send(nil) when the subscription stands, which
	// sends the headers, and then sends events until ctx is done.
	Watch func(ctx context.Context, req *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error
	// Extra handlers are mounted at patterns of http.ServeMux, such as
	// "GET /.well-known/jwks.json", for callers without a token.
	Extra map[string]http.Handler
	// Guarded handlers are mounted like those of Extra. They authenticate by
	// themselves, and tell the Visit of the request's context what came of it.
	Guarded map[string]http.Handler
	// Door bounds what comes in. Nil for one with the usual limits.
	Door *door.Door
	// Ready, when set, tells whether calls can be answered, and Degraded why not all
	// of them can; empty when they can. Both are asked often and must not wait.
	Ready    func(ctx context.Context) error
	Degraded func() string
	// Remarks, when set, are lines to add to the text of /readyz.
	Remarks func() []string
	// Registry, when set, gets the metrics and is served as /metrics.
	Registry *prometheus.Registry
	// Logger gets one line per call. Nil logs nothing.
	Logger *slog.Logger
	// MaxBody is how large a request message may be; 0 means 4 MiB.
	MaxBody int
	// KeepAlive is how long a stream of JSON lines may be silent; 0 means 25 s.
	KeepAlive time.Duration
	// ReadTimeout is how long a request body may take to arrive, where a call
	// has one message; WriteTimeout is how long a reader may make one write
	// wait. 0 means 30 s.
	ReadTimeout, WriteTimeout time.Duration
}

// Service is one service of the API.
type Service struct {
	// Name is the full name, such as "gitpod.v1.RunnerService".
	Name string
	// New makes its handler, as the generated constructors do.
	New func(opts ...connect.HandlerOption) (path string, handler http.Handler)
}

const (
	defaultMaxBody = 4 << 20
	// nameMaxBody is how large a message may be that holds but a name.
	nameMaxBody      = 64 << 10
	defaultKeepAlive = 25 * time.Second
	defaultTimeout   = 30 * time.Second
	// Sign-ins and links that are refused, and calls without a token that fail, are
	// logged that often, after some at once.
	refusalEvery   = 2 * time.Second
	refusalsAtOnce = 20
	// compressMin is the size from which compressing a message pays.
	compressMin = 4 << 10
)

func (c *Config) setDefaults() error {
	if c.Authenticate == nil {
		return errors.New("rpc: Config.Authenticate is required")
	}
	if len(c.Services) == 0 {
		return errors.New("rpc: Config.Services is empty")
	}
	if c.Hold == nil {
		c.Hold = func(ctx context.Context, _ access.Caller) (context.Context, func()) { return ctx, func() {} }
	}
	if c.Ready == nil {
		c.Ready = func(context.Context) error { return nil }
	}
	if c.Degraded == nil {
		c.Degraded = func() string { return "" }
	}
	if c.Remarks == nil {
		c.Remarks = func() []string { return nil }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Door == nil {
		c.Door = door.New(door.Config{Log: c.Logger})
	}
	if c.MaxBody == 0 {
		c.MaxBody = defaultMaxBody
	}
	if c.KeepAlive == 0 {
		c.KeepAlive = defaultKeepAlive
	}
	if c.ReadTimeout == 0 {
		c.ReadTimeout = defaultTimeout
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = defaultTimeout
	}
	return nil
}

// New makes the handler of everything that the control plane serves.
func New(cfg Config) (*Handler, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	checks, err := newValidation()
	if err != nil {
		return nil, err
	}
	h := &Handler{
		cfg:        cfg,
		validation: checks,
		procedures: map[string]*procedure{},
		errors:     connect.NewErrorWriter(),
		metrics:    newMetrics(),
		signIns:    pace.NewLines(refusalEvery, refusalsAtOnce),
		links:      pace.NewLines(refusalEvery, refusalsAtOnce),
		strangers:  pace.NewLines(refusalEvery, refusalsAtOnce),
	}
	h.draining, h.drain = context.WithCancelCause(context.Background())
	h.unbuilt = h.newProcedure(connect.Spec{Procedure: "/unbuilt"}, access.Rule{Permission: access.Unbuilt}, true)

	health, err := newHealth(h)
	if err != nil {
		return nil, err
	}
	reflection := newReflection(cfg.Services, health.file)
	for _, s := range cfg.Services {
		if err := h.mount(s, false); err != nil {
			return nil, err
		}
	}
	for _, s := range append(reflection, health.service()) {
		if err := h.mount(s, true); err != nil {
			return nil, err
		}
	}
	if cfg.Watch != nil {
		p, ok := h.procedures[watchProcedure]
		if !ok {
			return nil, fmt.Errorf("rpc: Config.Watch is set, but no service has %s", watchProcedure)
		}
		p.lines = true
	}
	if err := h.mountExtra(); err != nil {
		return nil, err
	}
	if cfg.Registry != nil {
		if err := h.metrics.register(cfg.Registry); err != nil {
			return nil, fmt.Errorf("rpc: registering metrics: %w", err)
		}
	}
	return h, nil
}
