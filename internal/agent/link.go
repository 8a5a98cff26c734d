package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
	"github.com/musterhq/muster/internal/agent/home"
	"github.com/musterhq/muster/internal/fault"
)

const (
	protocolVersion = 1
	welcomeTimeout  = 15 * time.Second
	// flushTimeout is how long a last word may take.
	flushTimeout = 2 * time.Second
	maxFrame     = 8 << 20
)

// link is one stream to the control plane, from Hello to its end. Its fields
// are used by the goroutine that runs it.
type link struct {
	r        *runner
	out      *outbox
	streams  *streams
	secrets  *secrets
	requests *requests
	frames   chan *linkv1.PlaneFrame
	failed   chan error

	standby  bool
	keys     home.Presented
	proved   bool      // the challenge was answered
	asked    time.Time // when Hello was put
	welcomed time.Time // zero before Welcome
	keeper   keeper
	revision int64 // the newest configuration that came
	reported *linkv1.Report
	leaving  leaving
}

// link opens a link and keeps it until it ends.
func (r *runner) link(ctx context.Context, standby bool) ending {
	conn := r.network.Connect(r.server)
	// The link outlives ctx for as long as a goodbye takes.
	alive, cancel := context.WithCancel(context.WithoutCancel(ctx))
	client := linkv1connect.NewLinkServiceClient(conn, r.server.String(),
		connect.WithReadMaxBytes(maxFrame), connect.WithAcceptCompression("gzip", nil, nil))
	stream := client.Connect(alive)
	stream.RequestHeader().Set("Authorization", "Bearer "+r.identity.AccessToken)
	stream.RequestHeader().Set("User-Agent", r.userAgent())

	out := newOutbox(r.hold)
	l := newLink(alive, r, out, standby)
	var err error
	if l.keys, err = r.identity.Present(); err != nil {
		cancel()
		conn.Close()
		return ending{why: fatal, err: err}
	}
	out.put(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: l.hello()}})

	var goroutines sync.WaitGroup
	goroutines.Go(func() {
		// When the other side ended the stream, Receive knows why.
		if err := out.run(alive, stream.Send); err != nil && !errors.Is(err, io.EOF) {
			l.failed <- err
		}
		_ = stream.CloseRequest()
	})
	goroutines.Go(func() { l.receive(alive, stream) })

	e := l.run(ctx)
	if !l.welcomed.IsZero() {
		e.welcomed, e.confirmed = true, l.keeper.answered && time.Since(l.welcomed) >= confirmedAfter
	}
	r.vault.Disconnect()
	cancel()
	conn.Close()
	goroutines.Wait()
	l.streams.running.Wait()
	l.requests.running.Wait()
	return e
}

func newLink(alive context.Context, r *runner, out *outbox, standby bool) *link {
	return &link{
		r: r, out: out, streams: newStreams(alive, r, out), secrets: newSecrets(alive, out), requests: newRequests(alive, r, out),
		standby: standby, asked: time.Now(), frames: make(chan *linkv1.PlaneFrame), failed: make(chan error, 2),
	}
}

func (l *link) hello() *linkv1.Hello {
	r := l.r
	l.reported = r.report()
	return &linkv1.Hello{
		ProtocolVersion: protocolVersion,
		BootId:          r.bootID,
		HostName:        r.hostName,
		PublicKey:       l.keys.PublicKey,
		SigningKey:      l.keys.SigningKey,
		Endorsement:     l.keys.Endorsement,
		Standby:         l.standby,
		AppliedRevision: r.standing.applied,
		Report:          l.reported,
		Schema:          schema(r.cfg.Version, r.server),
	}
}

func (l *link) receive(alive context.Context, stream *connect.BidiStreamForClient[linkv1.RunnerFrame, linkv1.PlaneFrame]) {
	for {
		f, err := stream.Receive()
		if err != nil {
			// An error in front of the control plane has its headers here only.
			if c := new(connect.Error); errors.As(err, &c) {
				for _, name := range []string{"Retry-After", installationHeader} {
					if value := stream.ResponseHeader().Get(name); value != "" && c.Meta().Get(name) == "" {
						c.Meta().Set(name, value)
					}
				}
			}
			l.failed <- err
			return
		}
		select {
		case l.frames <- f:
		case <-alive.Done():
			return
		}
	}
}

// run keeps the link until it ends.
func (l *link) run(ctx context.Context) ending {
	welcomeBy := time.NewTimer(welcomeTimeout)
	defer welcomeBy.Stop()
	defer func() { l.keeper.stop() }()
	for {
		var e *ending
		select {
		case <-ctx.Done():
			return l.stop(ctx)
		case f := <-l.frames:
			e = l.handle(f)
			if !l.welcomed.IsZero() {
				welcomeBy.Stop()
			}
		case err := <-l.failed:
			return l.broken(err)
		case <-welcomeBy.C:
			return l.broken(errors.New("the control plane did not answer in time"))
		case <-l.keeper.beat():
			e = l.keep(time.Now())
		case <-l.r.prober.Changed():
			e = l.report()
		case t := <-l.requests.rotated:
			e = l.rotate(t)
		case <-l.leaving.at:
			l.leave()
		case <-l.leaving.streamsEnded:
			return l.depart(true)
		case <-l.leaving.patience:
			return l.depart(true)
		}
		if e != nil {
			return *e
		}
	}
}

// put sends a frame that keeps the link alive.
func (l *link) put(f *linkv1.RunnerFrame) *ending {
	if !l.out.put(f) {
		return deaf()
	}
	return nil
}

func deaf() *ending {
	return &ending{why: lost, err: errors.New("the control plane does not read what it is sent")}
}

// report tells what has changed since the last report, if anything has.
func (l *link) report() *ending {
	if l.welcomed.IsZero() {
		return nil // Welcome makes up for it
	}
	report := l.r.report()
	if proto.Equal(report, l.reported) {
		return nil
	}
	l.reported = report
	return l.put(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Report{Report: report}})
}

// stop says goodbye, because ctx ended.
func (l *link) stop(ctx context.Context) ending {
	if l.leaving.forGood {
		return l.depart(true)
	}
	if !l.welcomed.IsZero() && !l.flush() {
		return ending{why: stopped}
	}
	reason := "stopped"
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		reason = "stopped: " + cause.Error()
	}
	l.lastWord(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Goodbye{Goodbye: &linkv1.Goodbye{Reason: printable(reason, maxReason)}}})
	return ending{why: stopped}
}

// flush waits for a short while until the control plane has been sent what hosts
// gave in the place of tokens, which is lost with this process. What is being
// renewed may still need secrets. It returns false when the link broke.
func (l *link) flush() bool {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		l.r.codeHosts.credentials.Flush(ctx)
	}()
	for {
		select {
		case f := <-l.frames:
			l.secrets.reply(f.GetSecretReply())
		case <-flushed:
			return true
		case err := <-l.failed:
			l.r.log.Debug("the link broke before all renewed host tokens were sent", "error", describe(err))
			return false
		}
	}
}

// lastWord sends a frame.
func (l *link) lastWord(f *linkv1.RunnerFrame) {
	l.out.put(f)
	l.close()
}

// close sends what is left and waits, for a short while, for the control plane
// to end the stream, which it does once it has read everything.
func (l *link) close() {
	l.out.finish()
	patience := time.After(flushTimeout)
	for {
		select {
		case <-l.frames:
		case err := <-l.failed:
			l.r.log.Debug("the link was closed", "by", err)
			return
		case <-patience:
			return
		}
	}
}

// broken says how the link ended, from the error that it ended with.
func (l *link) broken(err error) ending {
	if l.leaving.forGood {
		return l.depart(false) // the control plane did not wait
	}
	e := ending{why: lost, err: errors.New(describe(err)), retryAfter: told(err, time.Now())}
	switch {
	case !l.leaving.reconnectAt.IsZero():
		// The control plane was about to stop, and this is it.
		e.why, e.retryAfter = drained, whenDrained(time.Until(l.leaving.reconnectAt), e.retryAfter)
	case errors.Is(err, io.EOF):
		e.err = errors.New("the control plane closed it")
	case !connect.IsWireError(err):
	case connect.CodeOf(err) == connect.CodeUnauthenticated:
		e.why, e.installation = refused, meta(err).Get(installationHeader)
		if reasonOf(err) == fault.ExpiredToken {
			e.err = fault.New(fault.Unauthenticated, fault.ExpiredToken, "%s", e.err)
		}
	case connect.CodeOf(err) == connect.CodeUnavailable && reasonOf(err) == fault.AccessChanged && !l.welcomed.IsZero():
		e.why = drained // nothing is wrong with it
	case connect.CodeOf(err) == connect.CodeAborted && (l.standby || !l.welcomed.IsZero()):
		// The other host may be connected to another replica of the control plane,
		// which then cannot say Superseded here.
		e.why = held
	case connect.CodeOf(err) == connect.CodeFailedPrecondition && l.welcomed.IsZero() && l.r.identity.Next != nil:
		l.r.keepKey(e.err.Error())
		e.retryAfter = 0
	case connect.CodeOf(err) == connect.CodeFailedPrecondition:
		// Another release of either side may agree again, or somebody may put right
		// what is wrong, so this is not the end, but nothing that goes away in
		// seconds.
		if reasonOf(err) == fault.ProtocolVersion {
			e.err = fmt.Errorf("%w. Update this runner, or the control plane", e.err)
		}
		e.retryAfter = max(e.retryAfter, maxWait)
	}
	return e
}

// reasonOf is the stable reason that the control plane gave; empty when it gave
// none.
func reasonOf(err error) fault.Reason {
	c := new(connect.Error)
	if !errors.As(err, &c) {
		return ""
	}
	for _, detail := range c.Details() {
		value, err := detail.Value()
		if info, ok := value.(*errdetails.ErrorInfo); ok && err == nil {
			return fault.Reason(info.GetReason())
		}
	}
	return ""
}

func meta(err error) http.Header {
	if c := new(connect.Error); errors.As(err, &c) {
		return c.Meta()
	}
	return nil
}
