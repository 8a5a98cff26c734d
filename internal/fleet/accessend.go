package fleet

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/token"
)

const (
	// AccessWarning is how long before its end a runner's access token is something
	// to warn of.
	AccessWarning = 14 * 24 * time.Hour
	// accessEvery is how often the ends of access tokens are looked at, and
	// accessBatch how many runners at once.
	accessEvery = 5 * time.Second
	accessBatch = 200
	// accessSummary is how often the log says how many end soon.
	accessSummary = 24 * time.Hour
)

// accessEnds is the sentence about an access token that ends soon; empty for any
// other. It tells a time, so that it stays the same until it goes.
func (r *Runner) accessEnds(now time.Time) string {
	until := r.Session.AccessUntil
	if until.IsZero() || until.Sub(now) > AccessWarning {
		return ""
	}
	at := until.UTC().Format(time.RFC3339)
	if !r.Session.Live() {
		return fmt.Sprintf("Its access token ends at %s; after that it needs one from \"muster runner token %s\" to connect.", at, r.ID)
	}
	return fmt.Sprintf("Its access token ends at %s, and its connection with it. Replace the token before: \"muster runner tokens rotate %s\".", at, r.ID)
}

// accessEnded is why a session is over whose token has come to its end.
func (r *Runner) accessEnded(how string) string {
	return fmt.Sprintf("The runner's access token %s, so it cannot connect with it any more. Join it again with a token from \"muster runner token %s\".", how, r.ID)
}

func revokedAt(now time.Time) string { return "was ended at " + now.UTC().Format(time.RFC3339) }

func expiredAt(t time.Time) string { return "expired at " + t.UTC().Format(time.RFC3339) }

// whyAccessEnded tells whether the token that the newest session of a runner was
// opened with has come to its end; empty means that it has not, or that this is
// not known. The runner is locked.
func whyAccessEnded(ctx context.Context, tx Tx, r *Runner, now time.Time) (string, error) {
	if r.Session.Token == "" {
		return "", nil
	}
	t, found, err := tx.TokenOf(ctx, r.ID, r.Session.Token)
	switch {
	case err != nil:
		return "", err
	case !found && !r.Session.AccessUntil.IsZero() && !now.Before(r.Session.AccessUntil):
		return r.accessEnded(expiredAt(r.Session.AccessUntil)), nil
	case !found:
		return r.accessEnded(revokedAt(now)), nil
	case t.Ended(now):
		return r.accessEnded(expiredAt(t.ExpiresAt)), nil
	}
	return "", nil
}

// tokenEnded is called when an access token of a runner was deleted: what was
// opened with it is over at once. Of a runner that is not connected, and of which
// nobody knows what it would come with, the last token counts. The runner is
// locked. removed means that it was waiting for that to be deleted.
func (s *Service) tokenEnded(ctx context.Context, tx Tx, r *Runner, t id.Token, now time.Time) (removed bool, err error) {
	switch last := r.Session; {
	case last == nil:
		return false, nil
	case last.Token == t:
	case last.Token != "" || last.Live():
		return false, nil // it came with another one
	default:
		left, err := tx.TokensOf(ctx, r.ID)
		if err != nil || slices.ContainsFunc(left, func(o token.Record) bool { return o.Kind == token.Runner && !o.Ended(now) }) {
			return false, err
		}
	}
	return s.endAccess(ctx, tx, r, r.accessEnded(revokedAt(now)), now)
}

// accessShortened is called when an access token of a runner was given an end.
func (s *Service) accessShortened(ctx context.Context, tx Tx, r *Runner, t id.Token, at, now time.Time) error {
	ok, err := tx.SetAccessEnd(ctx, r.ID, t, at)
	if err != nil || !ok {
		return err
	}
	before := r.accessEnds(now)
	r.Session.AccessUntil = at
	if r.accessEnds(now) == before {
		return nil
	}
	s.warnEnding(r, now)
	return statusChanged(ctx, tx, r, now)
}

// endAccess ends the newest session of a runner because of its token, or says why
// it cannot come back if the session has ended already.
func (s *Service) endAccess(ctx context.Context, tx Tx, r *Runner, reason string, now time.Time) (removed bool, err error) {
	if ok, err := tx.EndAccess(ctx, r.ID, r.Session.Epoch, now, reason); err != nil || !ok {
		return false, fault.Lost(ok, err)
	}
	s.log.Warn("the access token of a runner has ended, and with it the runner's right to connect", "runner_id", r.ID, "status", reason)
	if !r.DeletingAt.IsZero() {
		return true, remove(ctx, tx, r, access.System)
	}
	return false, statusChanged(ctx, tx, r, now)
}

// statusChanged writes down and tells that the status of a runner has changed,
// although it reported nothing.
func statusChanged(ctx context.Context, tx Tx, r *Runner, now time.Time) error {
	if ok, err := tx.UpdateStatus(ctx, r.ID, r.Session.Epoch, r.Report, r.Schema, now); err != nil || !ok {
		return fault.Lost(ok, err)
	}
	emitStatus(tx, r)
	return nil
}

// AccessEndingSoon is how many runners have an access token that ends within
// AccessWarning, as of the last look.
func (s *Service) AccessEndingSoon() int64 { return s.endingSoon.Load() }

// WatchAccess tells of access tokens that end by themselves, when they do and
// before, until ctx ends. Links end with their token anyway; what has no link, or
// had none when its token ended, is found here.
func (s *Service) WatchAccess(ctx context.Context) {
	tick := time.NewTicker(accessEvery)
	defer tick.Stop()
	looked := time.Now()
	var summed time.Time
	for {
		now := time.Now()
		err := s.endAccesses(ctx, now)
		if err == nil {
			// What came so near while no control plane ran is in the summary.
			err = s.warnOfAccess(ctx, looked, now)
		}
		if err == nil {
			looked = now
			err = s.countAccess(ctx, now, &summed)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("the ends of runners' access tokens could not be looked at; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// endAccesses ends what was opened with tokens that have expired.
func (s *Service) endAccesses(ctx context.Context, now time.Time) error {
	return s.eachEnding(ctx, time.Time{}, now, func(tx Tx, r *Runner) (bool, error) {
		until := r.Session.AccessUntil
		if until.IsZero() || now.Before(until) {
			return false, nil
		}
		return s.endAccess(ctx, tx, r, r.accessEnded(expiredAt(until)), now)
	})
}

// warnOfAccess tells of the tokens whose end came within AccessWarning between
// two looks.
func (s *Service) warnOfAccess(ctx context.Context, looked, now time.Time) error {
	return s.eachEnding(ctx, looked.Add(AccessWarning), now.Add(AccessWarning), func(tx Tx, r *Runner) (bool, error) {
		s.warnEnding(r, now)
		return false, statusChanged(ctx, tx, r, now)
	})
}

// warnEnding logs that the access token of a runner ends soon, if it does.
func (s *Service) warnEnding(r *Runner, now time.Time) {
	if until := r.Session.AccessUntil; !until.IsZero() && until.Sub(now) <= AccessWarning {
		s.log.Warn("the access token of a runner ends soon; \"muster runner tokens rotate\" replaces it", "runner_id", r.ID, "ends", until.UTC())
	}
}

// eachEnding calls fn, in a transaction that has locked it, for each runner whose
// newest session was opened with a token that ends between two times.
func (s *Service) eachEnding(ctx context.Context, after, until time.Time, fn func(Tx, *Runner) (removed bool, err error)) error {
	seen := map[id.Runner]bool{}
	for {
		runners, err := s.store.AccessEnding(ctx, after, until, accessBatch+len(seen))
		if err != nil {
			return fault.Wrap(err, "looking for tokens of runners that end")
		}
		fresh := false
		for _, want := range runners {
			if seen[want] {
				continue
			}
			seen[want], fresh = true, true
			var removed bool
			err := s.store.Write(ctx, func(tx Tx) error {
				removed = false
				if err := tx.LockRunner(ctx, want); err != nil {
					return err
				}
				r, found, err := tx.Runner(ctx, want)
				if err != nil || !found || r.Session == nil || r.Session.AccessUntil.After(until) || !r.Session.AccessUntil.After(after) {
					return err
				}
				removed, err = fn(tx, &r)
				return err
			})
			if removed && fault.MayHaveHappened(err) {
				s.afterRemoval(err, want)
			}
			if err != nil {
				return fault.Wrap(err, "telling of the end of a runner's token")
			}
		}
		if !fresh {
			return nil
		}
	}
}

// countAccess counts the tokens that end soon, and now and then logs how many
// they are.
func (s *Service) countAccess(ctx context.Context, now time.Time, summed *time.Time) error {
	n, err := s.store.CountAccessEnding(ctx, now.Add(AccessWarning))
	if err != nil {
		return fault.Wrap(err, "counting the tokens of runners that end")
	}
	s.endingSoon.Store(n)
	if n > 0 && now.Sub(*summed) >= accessSummary {
		*summed = now
		s.log.Warn("access tokens of runners end soon; \"muster runner list\" says whose", "runners", n, "within", AccessWarning.String())
	}
	return nil
}
