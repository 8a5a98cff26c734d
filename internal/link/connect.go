package link

import (
	"context"
	"errors"
	"io"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
)

// ProtocolVersion is the version of the link protocol that this hub speaks.
const ProtocolVersion = 1

// helloTimeout is how long a runner may take to introduce itself, and to prove
// its key.
const helloTimeout = 10 * time.Second

// Connect implements linkv1connect.LinkServiceHandler. The context must end when
// the caller's token is revoked.
func (h *Hub) Connect(ctx context.Context, stream *connect.BidiStream[linkv1.RunnerFrame, linkv1.PlaneFrame]) error {
	caller := access.CallerOf(ctx)
	control, err := controlOf(ctx)
	if err != nil {
		return fault.Wrap(err, "opening the link")
	}
	linkCtx, cancel := context.WithCancelCause(ctx)
	c := newConn(caller, stream, control, cancel)
	unblocked := make(chan struct{})
	context.AfterFunc(linkCtx, func() {
		defer close(unblocked)
		c.unblock()
	})
	// The connection must not be touched once this handler has returned.
	defer func() {
		c.close()
		cancel(nil)
		<-unblocked
		c.retire()
	}()

	s, err := h.open(linkCtx, caller, c)
	if err != nil {
		return because(linkCtx, err)
	}
	err = because(linkCtx, h.receive(linkCtx, s, c))
	h.leave(ctx, s, c, err)
	return err
}

// leave notes that a stream ended. Its session stays until its deadline, unless
// the runner's right to connect has ended, and with it all that could renew it.
func (h *Hub) leave(ctx context.Context, s *session, c *conn, err error) {
	h.detach(s, c)
	if !fault.Is(err, fault.Unauthenticated) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Lease)
	defer cancel()
	h.end(ctx, s, "The runner's right to connect has ended: "+err.Error())
}

// because prefers the reason for which a link was cut over the error that the
// cut caused.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		var f *fault.Error
		if errors.As(cause, &f) {
			return f
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case fault.HasReason(err, fault.Conflict):
		// On a link, aborted would say that another host took over.
		return fault.New(fault.Unavailable, fault.Conflict, "Too many changes of this runner at once; reconnect.").WithCause(err)
	}
	return err
}

// open reads Hello, opens the session and sends Welcome.
func (h *Hub) open(ctx context.Context, caller access.Caller, c *conn) (*session, error) {
	h.mu.Lock()
	draining := h.draining
	h.mu.Unlock()
	if draining {
		return nil, stopping()
	}
	if !h.cfg.Replica.Held() {
		return nil, fault.New(fault.Unavailable, fault.ShuttingDown, "The control plane is renewing its own lease; try again.").WithRetryAfter(time.Second)
	}
	late := time.AfterFunc(helloTimeout, func() {
		c.cut(fault.New(fault.DeadlineExceeded, fault.MalformedFrame, "No Hello came within %d seconds, or no KeyProof after it.", int(helloTimeout.Seconds())))
	})
	defer late.Stop()
	first, err := c.stream.Receive()
	if err != nil {
		return nil, err
	}
	hello := first.GetHello()
	if err := checkHello(hello); err != nil {
		return nil, err
	}
	opening, err := openingOf(hello)
	if err != nil {
		return nil, err
	}
	if opening.SigningKey, err = c.prove(hello); err != nil {
		return nil, err
	}
	late.Stop()
	opening.Replica = h.cfg.Replica.ID()
	runner := id.Runner(caller.ID)
	if h.cfg.Welcome != nil {
		if err := h.cfg.Welcome(caller.ID); err != nil {
			return nil, err
		}
	}
	opened := h.opens(runner)
	defer opened()
	epoch, err := h.cfg.Fleet.OpenSession(ctx, caller, opening)
	inDoubt := fault.HasReason(err, fault.OutcomeUnknown)
	if err != nil && !inDoubt {
		if fault.HasReason(err, fault.IdentityHeld) && hello.GetStandby() {
			h.knock(ctx, runner, hello)
		}
		return nil, err
	}
	s := &session{
		runner: runner, epoch: epoch, replica: opening.Replica, bootID: hello.GetBootId(), hostName: hello.GetHostName(), conn: c,
	}
	s.deadline.set(time.Now().Add(Lease))
	if inDoubt {
		s.conn = nil
	}
	older, ok := h.install(s)
	if older != nil {
		h.supersede(older, s, ok)
	}
	if !ok {
		return nil, superseded(older)
	}
	if inDoubt {
		// The runner comes back, or the sweep ends what there is.
		h.mu.Lock()
		s.before = older
		h.mu.Unlock()
		return nil, err
	}
	// What changed since the session was opened was told to nobody; what changes
	// from here on is queued behind Welcome.
	desired, err := h.cfg.Fleet.Desired(ctx, runner)
	if err != nil {
		h.leave(ctx, s, c, because(ctx, err))
		return nil, err
	}
	h.cfg.Log.Info("runner connected", "runner_id", runner, "epoch", s.epoch, "host", s.hostName)
	welcome := &linkv1.Welcome{
		Epoch: s.epoch, Lease: durationpb.New(Lease), RenewEvery: durationpb.New(RenewEvery),
		RunnerId: string(runner), OrganizationId: string(desired.Organization),
		Configuration: configuration(desired), Gateways: gateways(h.cfg.Gateways),
		VerificationKeys: h.keys(), Issuer: h.cfg.Issuer, PublicKey: desired.PublicKey, InstallationId: h.cfg.Installation,
	}
	if !caller.Expires.IsZero() {
		welcome.TokenValidFor = durationpb.New(max(time.Until(caller.Expires), 0))
	}
	if err := c.send(&planeFrame{Frame: &linkv1.PlaneFrame_Welcome{Welcome: welcome}}); err != nil {
		h.leave(ctx, s, c, because(ctx, err))
		return nil, err
	}
	if !desired.DeleteBy.IsZero() {
		h.Delete(runner, desired.DeleteBy)
	}
	c.begin()
	return s, nil
}

// supersede ends the stream of the session that lost. The same process that
// reconnects is not told that it lost against itself.
func (h *Hub) supersede(older, newer *session, newerWon bool) {
	if !newerWon {
		return
	}
	h.mu.Lock()
	c := older.conn
	h.mu.Unlock()
	if c == nil {
		return
	}
	if older.bootID == newer.bootID {
		c.cut(superseded(newer))
		return
	}
	c.last(&planeFrame{Frame: &linkv1.PlaneFrame_Superseded{Superseded: &linkv1.Superseded{
		HostName: newer.hostName, BootId: newer.bootID,
	}}}, superseded(newer))
}

func superseded(by *session) *fault.Error {
	return fault.New(fault.Aborted, fault.IdentityHeld, "A newer connection from %q has taken over this runner's identity.", by.hostName)
}

// knock notes that a standby was refused, on the session that holds the identity.
func (h *Hub) knock(ctx context.Context, r id.Runner, hello *linkv1.Hello) {
	h.mu.Lock()
	s := h.sessions[r]
	h.mu.Unlock()
	if s != nil && s.bootID != hello.GetBootId() {
		h.contend(ctx, s, hello.GetHostName())
	}
}

// receive handles the frames of a link until it ends.
func (h *Hub) receive(ctx context.Context, s *session, c *conn) error {
	for {
		f, err := c.stream.Receive()
		if err != nil {
			return err
		}
		if done, err := h.handle(ctx, s, c, f); done || err != nil {
			return err
		}
	}
}

// handle handles one frame; done means that the runner leaves. An error ends
// the link.
func (h *Hub) handle(ctx context.Context, s *session, c *conn, f *linkv1.RunnerFrame) (done bool, err error) {
	switch f := f.GetFrame().(type) {
	case *linkv1.RunnerFrame_Renewal:
		return false, h.renew(s, c, f.Renewal.GetSequence())
	case *linkv1.RunnerFrame_Report:
		rep, err := reportOf(f.Report)
		if err != nil {
			return false, err
		}
		return false, h.cfg.Fleet.SetReport(ctx, s.runner, s.epoch, rep)
	case *linkv1.RunnerFrame_ConfigurationAck:
		a := f.ConfigurationAck
		return false, h.cfg.Fleet.Applied(ctx, s.runner, s.epoch, a.GetRevision(), bounded(a.GetUnsupported()), cutText(a.GetError()))
	case *linkv1.RunnerFrame_StreamData:
		return false, c.data(f.StreamData)
	case *linkv1.RunnerFrame_StreamClose:
		c.ended(f.StreamClose)
		return false, nil
	case *linkv1.RunnerFrame_SecretRequest:
		h.deliver(ctx, c, f.SecretRequest)
		return false, nil
	case *linkv1.RunnerFrame_TokenRefreshed:
		h.renewed(ctx, c, f.TokenRefreshed)
		return false, nil
	case *linkv1.RunnerFrame_Reply:
		c.replied(f.Reply)
		return false, nil
	case *linkv1.RunnerFrame_Goodbye:
		h.detach(s, c)
		h.end(ctx, s, "The runner said goodbye: "+cutText(f.Goodbye.GetReason()))
		return true, nil
	case *linkv1.RunnerFrame_Deleted:
		return true, h.cfg.Fleet.FinishDelete(ctx, s.runner)
	case *linkv1.RunnerFrame_Hello:
		return false, fault.New(fault.FailedPrecondition, fault.MalformedFrame, "Hello may come once only, as the first frame.")
	default:
		// A frame of a newer runner, which it knows may be ignored.
		return false, nil
	}
}

// renew extends the lease. It writes nothing to the database. A session that
// another one has replaced is not confirmed.
func (h *Hub) renew(s *session, c *conn, sequence uint64) error {
	if !h.cfg.Replica.Held() {
		return fault.New(fault.Unavailable, fault.ShuttingDown, "The control plane lost its own lease; reconnect.")
	}
	switch {
	case s.replaced.Load():
		return fleet.ErrStale
	case s.replica != h.cfg.Replica.ID():
		return fault.New(fault.Unavailable, fault.ShuttingDown, "The control plane lost the lease that this link was opened under; reconnect.")
	}
	s.deadline.set(time.Now().Add(Lease))
	return c.send(&planeFrame{Frame: &linkv1.PlaneFrame_Renewed{Renewed: &linkv1.Renewed{Sequence: sequence}}})
}

func checkHello(hello *linkv1.Hello) error {
	switch {
	case hello == nil:
		return fault.New(fault.FailedPrecondition, fault.MalformedFrame, "The first frame must be Hello.")
	case hello.GetProtocolVersion() != ProtocolVersion:
		return fault.New(fault.FailedPrecondition, fault.ProtocolVersion,
			"The runner speaks version %d of the link protocol and this control plane version %d. Run the same version of muster on both.", hello.GetProtocolVersion(), ProtocolVersion)
	case !id.Valid(hello.GetBootId()):
		return fault.New(fault.FailedPrecondition, fault.MalformedFrame, "Hello.boot_id must be a UUID.")
	case len(hello.GetHostName()) > 255:
		return fault.New(fault.FailedPrecondition, fault.MalformedFrame, "Hello.host_name is longer than 255 bytes.")
	}
	return nil
}

// openingOf is what a Hello says, but for the signing key, which takes proof.
func openingOf(hello *linkv1.Hello) (fleet.Opening, error) {
	rep, err := reportOf(hello.GetReport())
	if err != nil {
		return fleet.Opening{}, err
	}
	var schema []byte
	if hello.GetSchema() != nil {
		// Deterministic, so that an unchanged schema compares equal.
		if schema, err = (proto.MarshalOptions{Deterministic: true}).Marshal(hello.GetSchema()); err != nil {
			return fleet.Opening{}, fault.New(fault.FailedPrecondition, fault.MalformedFrame, "Hello.schema cannot be stored.").WithCause(err)
		}
	}
	return fleet.Opening{
		BootID: id.Canonical(hello.GetBootId()), HostName: hello.GetHostName(), PublicKey: hello.GetPublicKey(),
		Endorsement: hello.GetEndorsement(), Standby: hello.GetStandby(),
		AppliedRevision: hello.GetAppliedRevision(), Report: rep, Schema: schema,
	}, nil
}
