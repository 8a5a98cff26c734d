package fleet

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/token"
)

// rotation is the description of the tokens that a rotation makes: of the
// exchange token, and of the access token that it is redeemed for. That one ends
// the older ones when the runner connects with it. A token that a host was given
// in any other way ends no other host's.
const rotation = "Rotation"

// rotationTime is how long a runner may take to redeem the exchange token of a
// rotation.
const rotationTime = 5 * time.Minute

// Tokens returns the access tokens of a runner and its exchange tokens that were
// not redeemed, newest first. Expired ones are left out.
func (s *Service) Tokens(ctx context.Context, c access.Caller, want id.Runner) ([]token.Record, error) {
	r, found, err := s.store.Runner(ctx, want)
	if err != nil {
		return nil, fault.Wrap(err, "reading the runner")
	}
	if err := Check(c, access.RunnerToken, &r, found, want); err != nil {
		return nil, err
	}
	all, err := s.store.TokensOf(ctx, want)
	if err != nil {
		return nil, fault.Wrap(err, "listing the tokens of a runner")
	}
	now := time.Now()
	live := all[:0]
	for _, t := range all {
		if !t.Ended(now) {
			live = append(live, t)
		}
	}
	return live, nil
}

// ExpireToken sets when a token of a runner ends: validFor from now, which 0
// makes at once. A link that was opened with it ends then, too. No token is made
// to live longer.
func (s *Service) ExpireToken(ctx context.Context, c access.Caller, want id.Runner, t id.Token, validFor time.Duration) error {
	var kind token.Kind
	var removed bool
	err := s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockRunner(ctx, want); err != nil {
			return err
		}
		r, found, err := tx.Runner(ctx, want)
		if err != nil {
			return err
		}
		if err := Check(c, access.RunnerToken, &r, found, want); err != nil {
			return err
		}
		rec, found, err := tx.TokenOf(ctx, want, t)
		if err != nil {
			return err
		}
		now := time.Now()
		at := now.Add(validFor)
		kind, removed = rec.Kind, false
		switch {
		case !found, rec.Ended(now):
			return fault.Missing("token of this runner", string(t))
		case validFor == 0:
			if found, err = tx.DeleteToken(ctx, t); err == nil && !found {
				err = fault.Missing("token of this runner", string(t))
			}
			if err == nil && kind == token.Runner {
				removed, err = s.tokenEnded(ctx, tx, &r, t, now)
			}
		case !rec.ExpiresAt.IsZero() && rec.ExpiresAt.Before(at):
			return fault.New(fault.FailedPrecondition, fault.ReasonImmutable,
				"The token ends at %s already, and no token can be made to live longer. Make a new one with \"muster runner tokens rotate\".", rec.ExpiresAt.UTC().Format(time.RFC3339))
		default:
			// When it fails, what was found is not what is stored any more.
			ok, err := tx.ExpireToken(ctx, t, at)
			if err != nil || !ok {
				return fault.Lost(ok, err)
			}
			if err := s.accessShortened(ctx, tx, &r, t, at, now); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		return record(ctx, tx, &r, c.Subject, "runner.token.expire", 0)
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "ending the token")
	}
	switch {
	case removed:
		s.afterRemoval(err, want)
	case validFor == 0:
		s.ended(err, t, access.Subject{})
	case kind == token.Runner:
		// An open link knows the end that the token had when it was opened.
		s.reconnect(t)
	}
	return err
}

// RotateToken makes a connected runner take a new access token, which works for
// validFor, or with 0 until it is revoked. It returns when the runner has stored
// it; the older ones end when the runner has connected with it. Until then they
// work, and the runner goes back to the one that it had when the new one comes to
// nothing; that one ends by itself if nobody connects with it.
//
// A stolen token opens a link, too. So what the new token is made of is sealed
// to the runner's key, and nothing is rotated while it is not settled which key
// that is.
func (s *Service) RotateToken(ctx context.Context, c access.Caller, want id.Runner, validFor time.Duration) error {
	var sealed seal.Secret
	var rec token.Record
	err := s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockRunner(ctx, want); err != nil {
			return err
		}
		r, found, err := tx.Runner(ctx, want)
		if err != nil {
			return err
		}
		if err := Check(c, access.RunnerToken, &r, found, want); err != nil {
			return err
		}
		if err := CheckStays(&r); err != nil {
			return err
		}
		if !r.Session.Live() {
			return fault.New(fault.Unavailable, fault.RunnerOffline,
				"The runner is not connected right now, so it cannot take a new token. \"muster runner get\" says since when.").WithRetryAfter(5 * time.Second)
		}
		if len(r.PendingKey) > 0 {
			return fault.New(fault.FailedPrecondition, fault.KeyMismatch,
				"A new key of this runner waits for approval, so whoever is connected may not be the runner that you know. Look at \"muster runner keys %s\" and approve the key, or start the runner that has the key in use; then rotate the token.", want)
		}
		var secret string
		secret, rec = exchangeToken(&r, c)
		if sealed, err = r.Seal(seal.Name("runner", string(want), "rotation"), secret); err != nil {
			return err
		}
		rec.Description, rec.GrantsFor, rec.ExpiresAt = rotation, validFor, rec.CreatedAt.Add(rotationTime)
		if err := s.insertExchangeToken(ctx, tx, &r, rec); err != nil {
			return err
		}
		return recordCredential(ctx, tx, &r, c.Subject, "runner.token.rotate")
	})
	if err != nil {
		if fault.HasReason(err, fault.OutcomeUnknown) {
			s.undoRotation(ctx, want, rec.ID, err) // nobody will redeem it
		}
		return fault.Wrap(err, "rotating the token")
	}
	if err := s.asker.RotateToken(ctx, want, sealed); err != nil {
		s.undoRotation(ctx, want, rec.ID, err)
		return err
	}
	s.rotationStored(ctx, want, rec.ID)
	return nil
}

// maxEnded is how many tokens one transaction ends.
const maxEnded = 300

// endMoreRotated ends those that endRotated left, when there were very many.
func (s *Service) endMoreRotated(ctx context.Context, c access.Caller) error {
	for more := true; more; {
		var ended []token.Record
		err := s.store.Write(ctx, func(tx Tx) error {
			r, found, err := tx.Runner(ctx, id.Runner(c.ID))
			if err != nil || !found {
				return err
			}
			ended, err = endRotated(ctx, tx, &r, c)
			return err
		})
		if fault.MayHaveHappened(err) {
			s.revokeAll(err, ended)
		}
		if err != nil {
			return fault.Wrap(err, "ending the older tokens of the runner")
		}
		more = len(ended) == maxEnded
	}
	return nil
}

// revokeAll makes the end of tokens take effect, after a transaction that ended
// with err.
func (s *Service) revokeAll(err error, tokens []token.Record) {
	for _, t := range tokens {
		s.ended(err, t.ID, access.Subject{})
	}
}

// endRotated deletes older access tokens, up to maxEnded, of a runner that has
// connected with one that came of a rotation, and returns them.
func endRotated(ctx context.Context, tx Tx, r *Runner, c access.Caller) ([]token.Record, error) {
	ended, err := tx.DeleteRotated(ctx, r.ID, c.Token, rotation, maxEnded)
	if err != nil || len(ended) == 0 {
		return nil, err
	}
	return ended, record(ctx, tx, r, r.subject(), "runner.token.rotated", 0)
}
