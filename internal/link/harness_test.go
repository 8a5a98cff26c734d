package link_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/link"
	"github.com/musterhq/muster/internal/rpc/rpcerr"
)

// The tests run a hub and runners over HTTP/2 on in-memory connections, on the
// virtual clock of testing/synctest.

const (
	runnerA = "0192aaaa-0000-7000-8000-00000000000a"
	runnerB = "0192aaaa-0000-7000-8000-00000000000b"
	bootOne = "0192bbbb-0000-7000-8000-000000000001"
	bootTwo = "0192bbbb-0000-7000-8000-000000000002"
)

// fakeFleet remembers sessions as the real fleet's rows do.
type fakeFleet struct {
	mu       sync.Mutex
	epochs   map[id.Runner]int64
	live     map[id.Runner]string // boot id
	ended    []string             // reasons
	reports  []fleet.Report
	applied  []int64
	notices  []string
	finished []id.Runner
	deleting bool
	revision int64
	openings []fleet.Opening
	// opened runs when the session is in the database and nowhere else.
	opened   func()
	endFails int
}

func newFakeFleet() *fakeFleet {
	return &fakeFleet{epochs: map[id.Runner]int64{}, live: map[id.Runner]string{}, revision: 7}
}

func (f *fakeFleet) OpenSession(_ context.Context, c access.Caller, o fleet.Opening) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := id.Runner(c.ID)
	if o.Standby && f.live[r] != "" && f.live[r] != o.BootID {
		return 0, fault.New(fault.Aborted, fault.IdentityHeld, "held")
	}
	f.openings = append(f.openings, o)
	f.epochs[r]++
	f.live[r] = o.BootID
	if f.opened != nil {
		f.opened()
	}
	return f.epochs[r], nil
}

func (f *fakeFleet) EndSession(_ context.Context, r id.Runner, epoch int64, reason string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.endFails > 0 {
		f.endFails--
		return errors.New("the database is away")
	}
	if f.epochs[r] == epoch && f.live[r] != "" {
		delete(f.live, r)
		f.ended = append(f.ended, reason)
	}
	return nil
}

func (f *fakeFleet) SetReport(_ context.Context, _ id.Runner, _ int64, rep fleet.Report) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reports = append(f.reports, rep)
	return nil
}

func (f *fakeFleet) Applied(_ context.Context, _ id.Runner, _, revision int64, _ []string, _ string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = append(f.applied, revision)
	return nil
}

func (f *fakeFleet) SetNotice(_ context.Context, _ id.Runner, _ int64, notice string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notices = append(f.notices, notice)
	return nil
}

func (f *fakeFleet) Desired(context.Context, id.Runner) (fleet.Desired, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := fleet.Desired{Organization: "o", Revision: f.revision, Configuration: fleet.Configuration{LogLevel: 1}}
	if f.deleting {
		d.DeleteBy = time.Now().Add(time.Minute)
	}
	return d, nil
}

func (f *fakeFleet) FinishDelete(_ context.Context, r id.Runner) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.finished = append(f.finished, r)
	return nil
}

func (f *fakeFleet) endings() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.ended...)
}

// fakeReplica is a replica lease that a test holds or loses.
type fakeReplica struct {
	mu     sync.Mutex
	lost   bool
	proofs int
}

func (r *fakeReplica) ID() string { return "replica" }

func (r *fakeReplica) Held() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.lost
}

func (r *fakeReplica) Prove(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proofs++
	return nil
}

func (r *fakeReplica) set(lost bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = lost
}

// pipes is a listener whose connections are in memory.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// plane is a hub that serves.
type plane struct {
	keys atomic.Int32 // how many keys verify logs tokens
	*link.Hub
	fleet   *fakeFleet
	secrets *fakeSecrets
	replica *fakeReplica
	pipes   *pipes
	revoke  context.CancelCauseFunc
	runners []*runner
}

// test runs fn with a hub inside a bubble of virtual time.
func test(t *testing.T, fn func(t *testing.T, p *plane)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &plane{fleet: newFakeFleet(), secrets: &fakeSecrets{}, replica: &fakeReplica{}, pipes: &pipes{conns: make(chan net.Conn), done: make(chan struct{})}}
		p.Hub = link.New(link.Config{
			Fleet: p.fleet, Secrets: p.secrets, Replica: p.replica, Issuer: "https://muster.example", Log: slog.New(slog.DiscardHandler),
			Gateways: []fleet.Gateway{{Name: "g", URL: "https://g.example"}}, Keys: p.verificationKeys,
		})
		valid, revoke := context.WithCancelCause(context.Background())
		p.revoke = revoke
		path, handler := linkv1connect.NewLinkServiceHandler(p.Hub, connect.WithInterceptors(errorsAsOnTheWire{}))
		mux := http.NewServeMux()
		mux.Handle(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancelCause(r.Context())
			stop := context.AfterFunc(valid, func() { cancel(context.Cause(valid)) })
			defer stop()
			ctx = access.WithCaller(ctx, access.Caller{Subject: access.Subject{Principal: access.PrincipalRunner, ID: r.Header.Get("Runner")}})
			link.WithControl(handler).ServeHTTP(w, r.WithContext(ctx))
		}))
		server := &http.Server{Handler: mux, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Hour}
		server.Protocols.SetUnencryptedHTTP2(true)
		go func() { _ = server.Serve(p.pipes) }()
		ctx, cancel := context.WithCancel(context.Background())
		go p.Run(ctx)
		fn(t, p)
		cancel()
		p.Hub.Close()
		revoke(errors.New("the test is over"))
		_ = server.Close()
		for _, r := range p.runners {
			r.kill()
		}
		synctest.Wait()
	})
}

type errorsAsOnTheWire struct{}

func (errorsAsOnTheWire) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc { return next }
func (errorsAsOnTheWire) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (errorsAsOnTheWire) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, c connect.StreamingHandlerConn) error {
		if err := next(ctx, c); err != nil {
			return rpcerr.New(err, "request")
		}
		return nil
	}
}

// runner is one link from the other side.
type runner struct {
	t      *testing.T
	stream *connect.BidiStreamForClient[linkv1.RunnerFrame, linkv1.PlaneFrame]
	conn   net.Conn
	cancel context.CancelFunc
	idle   func()
}

// dial opens a link without saying anything.
func (p *plane) dial(t *testing.T, runnerID string) *runner {
	t.Helper()
	r := &runner{t: t}
	p.runners = append(p.runners, r)
	transport := &http.Transport{
		Protocols: new(http.Protocols),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			r.conn = ours
			select {
			case p.pipes.conns <- theirs:
				return ours, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.stream = linkv1connect.NewLinkServiceClient(&http.Client{Transport: transport}, "http://memory").Connect(ctx)
	r.stream.RequestHeader().Set("Runner", runnerID)
	r.idle = transport.CloseIdleConnections
	return r
}

func hello(boot string) *linkv1.Hello {
	return &linkv1.Hello{ProtocolVersion: 1, BootId: boot, HostName: "host-" + boot[len(boot)-1:], PublicKey: make([]byte, 32), Report: &linkv1.Report{Version: "1"}}
}

func (r *runner) send(f *linkv1.RunnerFrame) {
	r.t.Helper()
	if err := r.stream.Send(f); err != nil && !errors.Is(err, io.EOF) {
		r.t.Fatalf("sending: %v", err)
	}
}

// verificationKeys are as many keys as p.keys says.
func (p *plane) verificationKeys() (keys []*linkv1.VerificationKey) {
	for n := range p.keys.Load() {
		keys = append(keys, &linkv1.VerificationKey{Id: fmt.Sprint(n)})
	}
	return keys
}

// join opens a link and returns it with its Welcome.
func (p *plane) join(t *testing.T, runnerID string, h *linkv1.Hello) (*runner, *linkv1.Welcome) {
	t.Helper()
	r := p.dial(t, runnerID)
	r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: h}})
	w := r.receive().GetWelcome()
	if w == nil {
		t.Fatal("no Welcome came")
	}
	return r, w
}

func (r *runner) receive() *linkv1.PlaneFrame {
	r.t.Helper()
	f, err := r.stream.Receive()
	if err != nil {
		r.t.Fatalf("receiving: %v", err)
	}
	return f
}

// refused waits for the end of the link and returns its code.
func (r *runner) refused() (connect.Code, string) {
	r.t.Helper()
	for {
		_, err := r.stream.Receive()
		if err == nil {
			continue
		}
		_ = r.stream.CloseRequest()
		_ = r.stream.CloseResponse()
		if errors.Is(err, io.EOF) {
			return 0, ""
		}
		return connect.CodeOf(err), err.Error()
	}
}

// renew renews once and waits for the answer.
func (r *runner) renew(seq uint64) {
	r.t.Helper()
	r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Renewal{Renewal: &linkv1.Renewal{Sequence: seq}}})
	if got := r.receive().GetRenewed(); got.GetSequence() != seq {
		r.t.Fatalf("Renewed = %v, want %d", got, seq)
	}
}

// kill breaks the connection without a word.
func (r *runner) kill() {
	if r.conn != nil {
		_ = r.conn.Close()
	}
	r.cancel()
	r.idle()
}
