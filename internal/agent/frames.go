package agent

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent/vault"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/logtoken"
	"github.com/musterhq/muster/internal/seal"
)

// handle takes one frame. It returns an ending when the link is over.
func (l *link) handle(frame *linkv1.PlaneFrame) *ending {
	if f, ok := frame.GetFrame().(*linkv1.PlaneFrame_Welcome); ok {
		return l.welcome(f.Welcome)
	}
	switch f := frame.GetFrame().(type) {
	case *linkv1.PlaneFrame_Drain:
		l.drain(f.Drain)
		return nil
	case *linkv1.PlaneFrame_Delete:
		l.delete(f.Delete)
		return nil
	case *linkv1.PlaneFrame_Superseded:
		return l.superseded(f.Superseded)
	case *linkv1.PlaneFrame_KeyChallenge:
		return l.prove(f.KeyChallenge)
	case nil:
		return nil // newer than this runner
	}
	if l.welcomed.IsZero() {
		return &ending{why: lost, err: fmt.Errorf("the control plane sent %T before its welcome", frame.GetFrame())}
	}
	switch f := frame.GetFrame().(type) {
	case *linkv1.PlaneFrame_Renewed:
		l.renewed(f.Renewed.GetSequence())
	case *linkv1.PlaneFrame_Configuration:
		return l.configure(f.Configuration)
	case *linkv1.PlaneFrame_StreamOpen:
		if !l.streams.start(f.StreamOpen) {
			return deaf()
		}
	case *linkv1.PlaneFrame_StreamCredit:
		l.streams.add(f.StreamCredit)
	case *linkv1.PlaneFrame_StreamClose:
		l.streams.close(f.StreamClose.GetStreamId())
	case *linkv1.PlaneFrame_SecretReply:
		l.secrets.reply(f.SecretReply)
	case *linkv1.PlaneFrame_SecretsChanged:
		l.r.vault.Forget(f.SecretsChanged.GetNames()...)
		l.r.codeHosts.forget(f.SecretsChanged.GetNames())
	case *linkv1.PlaneFrame_TokenStored:
		l.r.codeHosts.stored(f.TokenStored)
	case *linkv1.PlaneFrame_Request:
		if !l.requests.start(f.Request) {
			return deaf()
		}
	case *linkv1.PlaneFrame_VerificationKeys:
		l.r.trust.Store(l.r.trust.Load().With(verificationKeys(f.VerificationKeys)))
	}
	return nil
}

// prove shows the control plane that this runner holds the key that it showed.
func (l *link) prove(c *linkv1.KeyChallenge) *ending {
	if !l.welcomed.IsZero() || l.proved {
		return &ending{why: lost, err: errors.New("the control plane sent a second challenge, or one after its welcome")}
	}
	proof, err := l.keys.Prove(c.GetSealedNonce())
	if err != nil {
		return &ending{why: lost, err: errors.New("the control plane sent a challenge that this runner's key does not open")}
	}
	l.proved = true
	return l.put(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_KeyProof{KeyProof: &linkv1.KeyProof{Proof: proof}}})
}

// welcome starts the lease.
func (l *link) welcome(w *linkv1.Welcome) *ending {
	r := l.r
	lease, renewEvery := w.GetLease().AsDuration(), w.GetRenewEvery().AsDuration()
	switch {
	case !l.welcomed.IsZero():
		return &ending{why: lost, err: errors.New("the control plane sent a second welcome")}
	case lease <= 0 || renewEvery <= 0 || renewEvery >= lease || !id.Valid(w.GetRunnerId()) || !id.Valid(w.GetOrganizationId()):
		return &ending{why: lost, err: errors.New("the control plane sent a welcome that makes no sense")}
	case r.identity.RunnerID != "" && r.identity.RunnerID != w.GetRunnerId() && r.isForeign(w.GetInstallationId()):
		return &ending{why: lost, err: errors.New(r.wrongPlane(w.GetInstallationId(), "takes it for another runner"))}
	case r.identity.RunnerID != "" && r.identity.RunnerID != w.GetRunnerId():
		return &ending{why: fatal, err: fault.New(fault.FailedPrecondition, fault.RunnerRefused,
			"The control plane at %s takes the identity in %s for runner %s, but it is that of runner %s. Check --server, or restore the identity from a backup.",
			r.server, r.home.Dir(), w.GetRunnerId(), r.identity.RunnerID)}
	}
	if e := l.settleKey(w.GetPublicKey()); e != nil {
		return e
	}
	r.settleToken()
	l.welcomed = time.Now()
	r.lastLease = lease
	l.keeper.start(lease, renewEvery, l.asked, l.welcomed)
	r.hold.confirm(l.asked, lease)
	r.trust.Store(logtoken.NewTrust(w.GetIssuer(), id.Runner(w.GetRunnerId()), verificationKeys(w.GetVerificationKeys())))
	r.standing.runnerID, r.standing.organizationID, r.standing.epoch = w.GetRunnerId(), w.GetOrganizationId(), w.GetEpoch()
	r.meet(w.GetInstallationId())
	r.remember()
	keys := r.identity.KeyPair
	r.keys.Store(&keys)
	r.vault.Connect(vault.Source{Ask: l.secrets.ask, Open: keys.Open})
	l.requests.running.Go(func() { r.codeHosts.handOver(l.requests.ctx, l.out) })
	r.publish()
	r.prober.Set(w.GetGateways())
	r.log.Info("connected", "runner", w.GetRunnerId(), "epoch", w.GetEpoch(), "lease", lease.String())
	r.say("connected to %s as runner %s, lease %s", r.server, w.GetRunnerId(), seconds(lease))
	r.accessEnd.learn(w, l.welcomed)
	r.warnOfEnd(l.welcomed)
	if w.GetConfiguration() == nil {
		return l.report()
	}
	return l.configure(w.GetConfiguration())
}

// remember completes the identity with what the first Welcome told.
func (r *runner) remember() {
	if r.cfg.ExchangeToken != "" && !r.redeemed && !r.mentioned {
		r.mentioned = true
		r.log.Warn("the exchange token was not used: this data directory already has an identity that works", "dir", r.home.Dir())
	}
	first := r.identity.RunnerID == ""
	if !first && !r.unsaved && r.identity.OrganizationID == r.standing.organizationID && r.identity.Server == r.server.String() && r.standing.diskTrouble == "" {
		return
	}
	r.identity.RunnerID, r.identity.OrganizationID, r.identity.Server = r.standing.runnerID, r.standing.organizationID, r.server.String()
	r.standing.diskTrouble, r.unsaved = "", false
	if err := r.home.Save(r.identity); err != nil {
		// The token is stored; only names are not.
		r.standing.diskTrouble = fault.From(err).Message
		r.log.Error("the identity could not be completed", "error", err)
	}
	if first {
		r.say("joined as runner %s; its identity is in %s", r.identity.RunnerID, r.home.Dir())
	}
}

// configure applies a configuration and says so.
func (l *link) configure(c *linkv1.Configuration) *ending {
	if c.GetRevision() < l.revision {
		return nil // overtaken by a newer one
	}
	l.revision = c.GetRevision()
	// The runner's own secrets change with its configuration.
	l.r.vault.Forget(seal.Name("runner", l.r.standing.runnerID, ""))
	ack := l.r.apply(c)
	if e := l.put(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_ConfigurationAck{ConfigurationAck: ack}}); e != nil {
		return e
	}
	return l.report()
}

// superseded ends the link, because a newer connection has the identity.
func (l *link) superseded(s *linkv1.Superseded) *ending {
	if s.GetBootId() == l.r.bootID {
		return &ending{why: lost, err: errors.New("a newer connection of this process took its place")}
	}
	l.r.hold.release()
	return &ending{why: superseded, host: printable(s.GetHostName(), maxHostName)}
}

// verificationKeys are the keys that logs tokens are verified with, by "kid".
func verificationKeys(keys *linkv1.VerificationKeys) map[string]ed25519.PublicKey {
	byID := make(map[string]ed25519.PublicKey, len(keys.GetKeys()))
	for _, k := range keys.GetKeys() {
		byID[k.GetId()] = k.GetPublicKey()
	}
	return byID
}
