package fleet

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/token"
)

// Opening is what a runner says when it connects.
type Opening struct {
	Replica   string
	BootID    string
	HostName  string
	PublicKey []byte
	// SigningKey goes with PublicKey. It is set only if this connection has proven
	// that it holds the private key of PublicKey; an older runner proves nothing.
	SigningKey []byte
	// Endorsement is the signature of the key in use over the two; see package
	// seal. It is empty unless the runner replaced its key itself.
	Endorsement     []byte
	Standby         bool
	AppliedRevision int64
	Report          Report
	Schema          []byte
}

// Desired is what a runner is asked to be and to do.
type Desired struct {
	Organization id.Organization
	// PublicKey is the key in use.
	PublicKey     []byte
	Revision      int64
	Configuration Configuration
	// DeleteBy is the end of the drain of a runner whose deletion was asked for;
	// zero for any other.
	DeleteBy time.Time
}

// OpenSession makes the caller, a runner, ACTIVE, and returns the epoch of the
// session, which is the next one: the newest connection wins. A standby is
// refused while another host holds the identity. When it is not known whether
// the session was opened, the epoch comes with the error.
func (s *Service) OpenSession(ctx context.Context, c access.Caller, o Opening) (epoch int64, err error) {
	if err := checkReport(&o.Report); err != nil {
		return 0, err
	}
	if len(o.Schema) > maxSchema {
		return 0, fault.New(fault.FailedPrecondition, fault.MalformedFrame, "Hello.schema has %d bytes, and may have %d.", len(o.Schema), maxSchema)
	}
	if err := checkKeys(&o); err != nil {
		return 0, err
	}
	var ended []token.Record
	err = s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockRunner(ctx, id.Runner(c.ID)); err != nil {
			return err
		}
		r, found, err := tx.Runner(ctx, id.Runner(c.ID))
		if err != nil {
			return err
		}
		if !found {
			return fault.New(fault.Unauthenticated, fault.RunnerGone, "The runner was deleted.")
		}
		if o.Standby && r.Session.Live() && r.Session.BootID != o.BootID {
			return fault.New(fault.Aborted, fault.IdentityHeld, "The host %q holds this runner's identity. Give each host a runner of its own, or stop one of the two.", r.Session.HostName)
		}
		phase, message := r.Phase(), r.Message()
		now := time.Now()
		until, gone, err := takeToken(ctx, tx, &r, c, now)
		if err != nil {
			return err
		}
		keyInUse := r.PublicKey
		if err := s.takeKey(ctx, tx, &r, o); err != nil {
			return err
		}
		if ended, err = endRotated(ctx, tx, &r, c); err != nil {
			return err
		}
		ended = append(ended, gone...)
		session := Session{
			Runner: r.ID, Replica: o.Replica, BootID: o.BootID, HostName: o.HostName, OpenedAt: now, AppliedRevision: o.AppliedRevision,
			Token: c.Token, AccessUntil: until,
		}
		told := r.Session != nil && r.Session.AccessUntil.Equal(until)
		var ok bool
		epoch, ok, err = tx.OpenSession(ctx, session)
		if err != nil || !ok {
			return fault.Lost(ok, err)
		}
		session.Epoch = epoch
		r.Session = &session
		if !told {
			s.warnEnding(&r, now)
		}
		unchanged := reflect.DeepEqual(r.Report, o.Report) && bytes.Equal(r.Schema, o.Schema) && bytes.Equal(r.PublicKey, keyInUse)
		r.Report, r.Schema = o.Report, o.Schema
		if !unchanged || r.Phase() != phase || r.Message() != message {
			if ok, err := tx.UpdateStatus(ctx, r.ID, epoch, r.Report, r.Schema, now); err != nil || !ok {
				return fault.Lost(ok, err)
			}
			emitStatus(tx, &r)
		}
		return nil
	})
	if !fault.MayHaveHappened(err) {
		return 0, fault.Wrap(err, "opening the session")
	}
	s.revokeAll(err, ended)
	if err == nil && len(ended) >= maxEnded {
		if err := s.endMoreRotated(ctx, c); err != nil {
			return 0, err
		}
	}
	return epoch, err
}

// Desired returns what to deliver to a runner.
func (s *Service) Desired(ctx context.Context, want id.Runner) (Desired, error) {
	r, found, err := s.store.Runner(ctx, want)
	if err != nil {
		return Desired{}, fault.Wrap(err, "reading the configuration")
	}
	if !found {
		return Desired{}, fault.New(fault.Unauthenticated, fault.RunnerGone, "The runner was deleted.")
	}
	d := Desired{Organization: r.Organization, PublicKey: r.PublicKey, Revision: r.ConfigurationRevision, Configuration: r.Configuration}
	if !r.DeletingAt.IsZero() {
		d.DeleteBy = r.DeletingAt.Add(DrainTimeout)
	}
	return d, nil
}

// ErrStale is what a session gets that is not the newest any more.
var ErrStale = fault.New(fault.Aborted, fault.IdentityHeld, "A newer connection of this runner has taken over.")

// EndSession ends a session: the runner is INACTIVE, or removed if its deletion
// was asked for. Nothing happens when a newer session has taken over. When the
// token that it was opened with has ended, that is the reason.
func (s *Service) EndSession(ctx context.Context, want id.Runner, epoch int64, reason string) error {
	var deleted bool
	err := s.store.Write(ctx, func(tx Tx) error {
		deleted = false
		if err := tx.LockRunner(ctx, want); err != nil {
			return err
		}
		now := time.Now()
		r, found, err := tx.Runner(ctx, want)
		if err != nil || !found || !r.Session.Live() || r.Session.Epoch != epoch {
			return err
		}
		ended, err := whyAccessEnded(ctx, tx, &r, now)
		if err != nil {
			return err
		}
		if ended != "" {
			deleted, err = s.endAccess(ctx, tx, &r, ended, now)
			return err
		}
		if ok, err := tx.EndSession(ctx, want, epoch, now, reason); err != nil || !ok {
			return err
		}
		if !r.DeletingAt.IsZero() {
			deleted = true
			return remove(ctx, tx, &r, access.System)
		}
		return statusChanged(ctx, tx, &r, now)
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "ending the session")
	}
	if deleted {
		s.afterRemoval(err, want)
	}
	return err
}

// SetReport stores what a runner says of itself, if it changed.
func (s *Service) SetReport(ctx context.Context, want id.Runner, epoch int64, rep Report) error {
	if err := checkReport(&rep); err != nil {
		return err
	}
	return s.inSession(ctx, want, epoch, "storing the report", func(tx Tx, r *Runner) error {
		if reflect.DeepEqual(r.Report, rep) {
			return nil
		}
		r.Report, r.StatusAt = rep, time.Now()
		if ok, err := tx.UpdateStatus(ctx, r.ID, epoch, rep, r.Schema, r.StatusAt); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		emitStatus(tx, r)
		return nil
	})
}

// Applied stores which configuration a runner has in force.
func (s *Service) Applied(ctx context.Context, want id.Runner, epoch, revision int64, unsupported []string, failure string) error {
	return s.editSession(ctx, want, epoch, "storing the acknowledgement", func(session *Session) {
		session.AppliedRevision, session.Unsupported, session.ApplyError = revision, unsupported, failure
	})
}

// SetNotice stores what the control plane has to say of a runner; empty takes
// it back.
func (s *Service) SetNotice(ctx context.Context, want id.Runner, epoch int64, notice string) error {
	return s.editSession(ctx, want, epoch, "storing a notice", func(session *Session) { session.Notice = notice })
}

func (s *Service) editSession(ctx context.Context, want id.Runner, epoch int64, doing string, edit func(*Session)) error {
	return s.inSession(ctx, want, epoch, doing, func(tx Tx, r *Runner) error {
		before := *r.Session
		edit(r.Session)
		if before.AppliedRevision == r.Session.AppliedRevision && before.ApplyError == r.Session.ApplyError &&
			before.Notice == r.Session.Notice && slices.Equal(before.Unsupported, r.Session.Unsupported) {
			return nil
		}
		if ok, err := tx.UpdateSession(ctx, *r.Session); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		now := time.Now()
		if ok, err := tx.UpdateStatus(ctx, r.ID, epoch, r.Report, r.Schema, now); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		emitStatus(tx, r)
		return nil
	})
}

// inSession runs fn on a runner whose newest session still is that epoch.
func (s *Service) inSession(ctx context.Context, want id.Runner, epoch int64, doing string, fn func(Tx, *Runner) error) error {
	err := s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockRunner(ctx, want); err != nil {
			return err
		}
		r, found, err := tx.Runner(ctx, want)
		if err != nil {
			return err
		}
		if !found || !r.Session.Live() || r.Session.Epoch != epoch {
			return ErrStale
		}
		return fn(tx, &r)
	})
	return fault.Wrap(err, doing)
}

// EndSessionsOf ends the sessions that a dead replica left, and returns how many.
func (s *Service) EndSessionsOf(ctx context.Context, replica string) (int, error) {
	const batch = 200
	for ended := 0; ; {
		runners, err := s.store.LiveSessionsOf(ctx, replica, batch)
		if err != nil || len(runners) == 0 {
			return ended, fault.Wrap(err, "reading the sessions of a stopped control plane")
		}
		for _, want := range runners {
			r, found, err := s.store.Runner(ctx, want)
			if err != nil {
				return ended, fault.Wrap(err, "reading a runner")
			}
			if !found || !r.Session.Live() || r.Session.Replica != replica {
				continue
			}
			if err := s.EndSession(ctx, want, r.Session.Epoch, "It did not come back after the control plane restarted."); err != nil {
				return ended, err
			}
			ended++
		}
	}
}
