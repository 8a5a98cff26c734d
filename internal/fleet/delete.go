package fleet

import (
	"context"
	"sync"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

// DrainTimeout is how long a connected runner may take to finish after its
// deletion was asked for.
const DrainTimeout = 60 * time.Second

// Delete removes a runner that is not connected at once. A connected one is
// told, and removed when it has finished, when its session ends, or after
// DrainTimeout; asking again meanwhile changes nothing. force removes it at once
// in any case.
func (s *Service) Delete(ctx context.Context, c access.Caller, want id.Runner, force bool) error {
	var r Runner
	var gone, asked bool
	err := s.store.Write(ctx, func(tx Tx) error {
		// A session that opens or ends, or another deletion, comes before all that
		// is decided here, or after.
		err := tx.LockRunner(ctx, want)
		if err != nil {
			return err
		}
		var found bool
		r, found, err = tx.Runner(ctx, want)
		if err != nil {
			return err
		}
		if err := Check(c, access.RunnerDelete, &r, found, want); err != nil {
			return err
		}
		if r.Kind == KindLocalConfiguration {
			return fault.New(fault.FailedPrecondition, fault.ReasonImmutable, "The local configuration runner is made by the system and cannot be deleted.")
		}
		gone, asked = force || !r.Session.Live(), false
		if gone {
			return remove(ctx, tx, &r, c.Subject)
		}
		if !r.DeletingAt.IsZero() {
			return nil
		}
		asked = true
		r.DeletingAt = time.Now()
		r.UpdatedAt = r.DeletingAt
		if ok, err := tx.UpdateRunner(ctx, r); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		return record(ctx, tx, &r, c.Subject, "runner.delete", event.StatusUpdated)
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "deleting the runner")
	}
	switch {
	case gone:
		s.afterRemoval(err, r.ID)
	case asked:
		deadline := r.DeletingAt.Add(DrainTimeout)
		s.deletions.schedule(r.ID, deadline)
		if err != nil {
			s.ended(err, "", r.subject()) // it comes back and hears what is so
		} else {
			s.links.Delete(r.ID, deadline)
		}
	}
	return err
}

// remove deletes a runner for which somebody asked.
func remove(ctx context.Context, tx Tx, r *Runner, actor access.Subject) error {
	action := "runner.delete"
	if !r.DeletingAt.IsZero() {
		action = "runner.removed"
	}
	return removeAs(ctx, tx, r, actor, action)
}

// removeAs deletes the runner with all that belongs to it, and tells of each.
// The runner is locked; so is it by whoever adds something to it, so that nothing
// is missed.
func removeAs(ctx context.Context, tx Tx, r *Runner, actor access.Subject, action string) error {
	if _, err := departure.Runner(ctx, tx, actor, r.Object()); err != nil {
		return err
	}
	return record(ctx, tx, r, actor, action, event.Deleted)
}

// afterRemoval is called after a transaction that removed a runner and ended with
// err. A runner that may not have been removed is not told that it was.
func (s *Service) afterRemoval(err error, r id.Runner) {
	if err == nil {
		s.deletions.done(r)
		s.links.Cut(r, fault.New(fault.Unauthenticated, fault.RunnerGone, "The runner was deleted.")) // before its tokens tell it less
	}
	s.ended(err, "", access.Subject{Principal: access.PrincipalRunner, ID: string(r)})
}

// ended makes the end of tokens take effect, after a transaction that ended with
// err.
func (s *Service) ended(err error, t id.Token, subject access.Subject) {
	if err != nil {
		s.revoker.Doubted(t, subject)
		return
	}
	s.revoker.Revoked(t, subject)
}

// FinishDelete removes a runner whose deletion was asked for. It does nothing
// for any other.
func (s *Service) FinishDelete(ctx context.Context, want id.Runner) error {
	var removed bool
	err := s.store.Write(ctx, func(tx Tx) error {
		removed = false
		if err := tx.LockRunner(ctx, want); err != nil {
			return err
		}
		r, found, err := tx.Runner(ctx, want)
		if err != nil || !found || r.DeletingAt.IsZero() {
			return err
		}
		removed = true
		return remove(ctx, tx, &r, access.System)
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "removing the runner")
	}
	if removed {
		s.afterRemoval(err, want)
	}
	return err
}

// Run brings deletions to an end until ctx does, those that an earlier process
// began included.
func (s *Service) Run(ctx context.Context) {
	for _, r := range s.pending(ctx) {
		// The runner gets its time again: it may be connecting anew right now.
		s.deletions.schedule(r.ID, time.Now().Add(DrainTimeout))
	}
	for {
		r, ok := s.deletions.next(ctx)
		if !ok {
			return
		}
		if err := s.FinishDelete(ctx, r); err != nil && ctx.Err() == nil {
			s.log.Error("a runner could not be removed after its drain; trying again in a minute", "runner_id", r, "error", err)
			s.deletions.schedule(r, time.Now().Add(time.Minute))
		}
	}
}

// pending returns the runners whose deletion was asked for before this process
// began.
func (s *Service) pending(ctx context.Context) []Runner {
	for {
		pending, err := s.store.DeletingRunners(ctx)
		if err == nil || ctx.Err() != nil {
			return pending
		}
		s.log.Error("the runners that are being deleted could not be read; trying again in ten seconds", "error", err)
		timer := time.NewTimer(10 * time.Second)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
}

// deletions are the runners that are being deleted, with their deadlines.
type deletions struct {
	mu       *sync.Mutex
	deadline map[id.Runner]time.Time
	changed  chan struct{}
}

func newDeletions() deletions {
	return deletions{mu: &sync.Mutex{}, deadline: map[id.Runner]time.Time{}, changed: make(chan struct{}, 1)}
}

func (d deletions) schedule(r id.Runner, at time.Time) {
	d.mu.Lock()
	d.deadline[r] = at
	d.mu.Unlock()
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

func (d deletions) done(r id.Runner) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.deadline, r)
}

// next waits for the first deadline to pass; false means that ctx ended.
func (d deletions) next(ctx context.Context) (id.Runner, bool) {
	for {
		d.mu.Lock()
		var first id.Runner
		for r, at := range d.deadline {
			if first == "" || at.Before(d.deadline[first]) {
				first = r
			}
		}
		wait := time.Hour
		if first != "" {
			wait = time.Until(d.deadline[first])
			if wait <= 0 {
				delete(d.deadline, first)
				d.mu.Unlock()
				return first, ctx.Err() == nil
			}
		}
		d.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return "", false
		case <-d.changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}
