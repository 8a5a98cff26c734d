package agent_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
)

const (
	runnerID = "0190a000-0000-7000-8000-000000000001"
	orgID    = "0190a000-0000-7000-8000-000000000002"
	exchange = "muster_exchange_planted-exchange-token"
	access   = "muster_runner_planted-access-token"
	issuer   = "https://muster.example"

	lease      = 30 * time.Second
	renewEvery = 10 * time.Second
)

// plane is the control plane as the runner sees it: a test plays its part.
type plane struct {
	linkv1connect.UnimplementedLinkServiceHandler
	gitpodv1connect.UnimplementedIdentityServiceHandler

	url  string
	dial func(context.Context, string, string) (net.Conn, error) // nil for the real network

	// links gets each link that a runner opens.
	links chan *planeLink
	// redeem answers ExchangeToken.
	redeem    func(token string) (string, error)
	exchanges atomic.Int64
	key       ed25519.PrivateKey
	// patience is how long a test waits for what must come.
	patience time.Duration
}

func newPlane(t testing.TB) (*plane, http.Handler) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &plane{links: make(chan *planeLink), key: key, patience: 20 * time.Second}
	p.redeem = func(token string) (string, error) {
		if token != exchange || p.exchanges.Load() > 1 {
			return "", connect.NewError(connect.CodeUnauthenticated, errors.New("the exchange token is used up"))
		}
		return access, nil
	}
	mux := http.NewServeMux()
	mux.Handle(linkv1connect.NewLinkServiceHandler(p))
	mux.Handle(gitpodv1connect.NewIdentityServiceHandler(p))
	return p, mux
}

// inMemory makes a control plane for use inside of a synctest bubble.
func inMemory(t *testing.T) *plane {
	t.Helper()
	p, handler := newPlane(t)
	p.patience = time.Hour // of the bubble
	p.url = "http://muster.example"
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	p.dial = l.dial
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return p
}

// pipes is a listener in memory.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *plane) ExchangeToken(_ context.Context, r *connect.Request[gitpodv1.ExchangeTokenRequest]) (*connect.Response[gitpodv1.ExchangeTokenResponse], error) {
	p.exchanges.Add(1)
	token, err := p.redeem(r.Msg.GetExchangeToken())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.ExchangeTokenResponse{AccessToken: token}), nil
}

func (p *plane) Connect(ctx context.Context, stream *connect.BidiStream[linkv1.RunnerFrame, linkv1.PlaneFrame]) error {
	first, err := stream.Receive()
	if err != nil {
		return err
	}
	l := &planeLink{
		p: p, ctx: ctx, hello: first.GetHello(), authorization: stream.RequestHeader().Get("Authorization"),
		in: make(chan *linkv1.RunnerFrame, 4096), out: make(chan *linkv1.PlaneFrame), result: make(chan error),
	}
	select {
	case p.links <- l:
	case <-ctx.Done():
		return ctx.Err()
	}
	gone := make(chan struct{})
	answer := make(chan *linkv1.PlaneFrame, 1)
	go func() {
		defer close(gone)
		defer close(l.in)
		for {
			f, err := stream.Receive()
			if err != nil {
				return
			}
			if renewal := f.GetRenewal(); renewal != nil && !l.manual.Load() {
				select {
				case answer <- renewed(renewal.GetSequence()):
				case <-ctx.Done():
					return
				}
				continue
			}
			l.in <- f
		}
	}()
	for {
		var f *linkv1.PlaneFrame
		select {
		case f = <-l.out:
		case f = <-answer:
		case err := <-l.result:
			return err
		case <-gone:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := stream.Send(f); err != nil {
			return err
		}
	}
}

// planeLink is the control plane's end of a link.
type planeLink struct {
	p             *plane
	ctx           context.Context //nolint:containedctx // a test
	hello         *linkv1.Hello
	authorization string
	in            chan *linkv1.RunnerFrame // closed at the runner's end
	out           chan *linkv1.PlaneFrame
	result        chan error
	// manual leaves renewals to the test.
	manual atomic.Bool
}

// accept waits for the next link.
func (p *plane) accept(t *testing.T) *planeLink {
	t.Helper()
	select {
	case l := <-p.links:
		return l
	case <-time.After(p.patience):
		t.Fatal("no link was opened")
		return nil
	}
}

// welcomed waits for the next link and welcomes it.
func (p *plane) welcomed(t *testing.T) *planeLink {
	t.Helper()
	l := p.accept(t)
	l.welcome(t, nil)
	return l
}

func (l *planeLink) welcome(t *testing.T, change func(*linkv1.Welcome)) {
	t.Helper()
	w := &linkv1.Welcome{
		Epoch: 1, Lease: durationpb.New(lease), RenewEvery: durationpb.New(renewEvery),
		RunnerId: runnerID, OrganizationId: orgID, Issuer: issuer,
		VerificationKeys: l.p.verificationKeys("k1"),
	}
	if change != nil {
		change(w)
	}
	l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Welcome{Welcome: w}})
}

func (l *planeLink) send(t *testing.T, f *linkv1.PlaneFrame) {
	t.Helper()
	select {
	case l.out <- f:
	case <-l.ctx.Done():
		t.Fatalf("the link ended before %v was sent", f)
	case <-time.After(l.p.patience):
		t.Fatalf("%v could not be sent", f)
	}
}

// end closes the link from the control plane's side.
func (l *planeLink) end(t *testing.T, err error) {
	t.Helper()
	select {
	case l.result <- err:
	case <-time.After(l.p.patience):
		t.Fatal("the link could not be ended")
	}
}

// next returns the next frame; nil when the link has ended.
func (l *planeLink) next(t *testing.T) *linkv1.RunnerFrame {
	t.Helper()
	select {
	case f := <-l.in:
		return f
	case <-time.After(l.p.patience):
		t.Fatal("no frame came")
		return nil
	}
}

// expect returns the next frame, which must be of a kind.
func expect[T any](t *testing.T, l *planeLink, get func(*linkv1.RunnerFrame) *T) *T {
	t.Helper()
	f := l.next(t)
	got := get(f)
	if got == nil {
		t.Fatalf("got %v, want a %T", f, got)
	}
	return got
}

func (l *planeLink) ack(t *testing.T) *linkv1.ConfigurationAck {
	t.Helper()
	return expect(t, l, (*linkv1.RunnerFrame).GetConfigurationAck)
}

func (l *planeLink) ended(t *testing.T) {
	t.Helper()
	if f := l.next(t); f != nil {
		t.Fatalf("got %v, want the end of the link", f)
	}
}

// configure sends a configuration and waits for its acknowledgement.
func (l *planeLink) configure(t *testing.T, c *linkv1.Configuration) *linkv1.ConfigurationAck {
	t.Helper()
	l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Configuration{Configuration: c}})
	return l.ack(t)
}

func renewed(sequence uint64) *linkv1.PlaneFrame {
	return &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Renewed{Renewed: &linkv1.Renewed{Sequence: sequence}}}
}

func drain() *linkv1.PlaneFrame {
	return &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Drain{Drain: &linkv1.Drain{Reason: "an update"}}}
}

func (p *plane) verificationKeys(id string) *linkv1.VerificationKeys {
	return &linkv1.VerificationKeys{Keys: []*linkv1.VerificationKey{{Id: id, PublicKey: p.key.Public().(ed25519.PublicKey)}}}
}

type object = map[string]any

// token makes a logs token; change makes it a bad one.
func (p *plane) token(t testing.TB, change func(header, claims object)) string {
	t.Helper()
	header := object{"alg": "EdDSA", "kid": "k1"}
	claims := object{
		"iss": issuer, "aud": "runner:" + runnerID, "sub": "ada", "scope": "logs",
		"iat": time.Now().Unix(), "exp": time.Now().Add(10 * time.Minute).Unix(),
	}
	if change != nil {
		change(header, claims)
	}
	var parts [2]string
	for i, v := range []object{header, claims} {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		parts[i] = base64.RawURLEncoding.EncodeToString(raw)
	}
	input := parts[0] + "." + parts[1]
	return input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(p.key, []byte(input)))
}
