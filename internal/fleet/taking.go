package fleet

import (
	"context"
	"slices"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/token"
)

// takeToken makes sure of the token that a runner connects with: one that was
// ended since the caller was let in opens no session, and one that nobody has
// connected with is the runner's from now on. It returns when the token ends, zero
// for never, and the tokens that have come to nothing, which are deleted. The
// runner is locked.
func takeToken(ctx context.Context, tx Tx, r *Runner, c access.Caller, now time.Time) (until time.Time, gone []token.Record, err error) {
	if c.Token == "" {
		return time.Time{}, nil, nil
	}
	all, err := tx.TokensOf(ctx, r.ID)
	if err != nil {
		return time.Time{}, nil, err
	}
	i := slices.IndexFunc(all, func(t token.Record) bool { return t.ID == c.Token })
	if i < 0 {
		return time.Time{}, nil, fault.New(fault.Unauthenticated, fault.UnknownToken, "The token was revoked.")
	}
	mine := all[i]
	if mine.Ended(now) {
		return time.Time{}, nil, fault.New(fault.Unauthenticated, fault.ExpiredToken,
			"The token expired at %s. Make a new one with \"muster runner token\".", mine.ExpiresAt.UTC().Format(time.RFC3339))
	}
	if mine.Untaken() {
		mine = mine.Taken()
		ok, err := tx.TakeToken(ctx, mine)
		if err != nil || !ok {
			return time.Time{}, nil, fault.Lost(ok, err)
		}
		return mine.ExpiresAt, nil, nil
	}
	if r.Session == nil || r.Session.Token != c.Token {
		return mine.ExpiresAt, nil, nil
	}
	// Whoever was asked to rotate, and never said that it did, is back with its old
	// token: it has no other.
	gone, err = deleteUntaken(ctx, tx, r, all, func(t token.Record) bool { return t.Lost(rotation) })
	return mine.ExpiresAt, gone, err
}

// deleteUntaken deletes those tokens, of all that a runner has, that are meant,
// with which nobody has connected.
func deleteUntaken(ctx context.Context, tx Tx, r *Runner, all []token.Record, meant func(token.Record) bool) ([]token.Record, error) {
	var gone []token.Record
	for _, t := range all {
		if !meant(t) {
			continue
		}
		if _, err := tx.DeleteToken(ctx, t.ID); err != nil {
			return nil, err
		}
		gone = append(gone, t)
		if err := record(ctx, tx, r, access.System, "runner.token.expire", 0); err != nil {
			return nil, err
		}
	}
	return gone, nil
}

// undoRotation takes back what was made for a rotation that failed: the exchange
// token, and what it was redeemed for if the runner says that it has not kept that.
// When the runner says nothing, or this fails, both end by themselves, and what the
// runner has not kept ends when it comes back with its old token.
func (s *Service) undoRotation(ctx context.Context, want id.Runner, exchange id.Token, cause error) {
	ctx = context.WithoutCancel(ctx)
	var gone []token.Record
	err := s.store.Write(ctx, func(tx Tx) error {
		gone = nil
		if err := tx.LockRunner(ctx, want); err != nil {
			return err
		}
		if _, err := tx.DeleteToken(ctx, exchange); err != nil {
			return err
		}
		if !fault.HasReason(cause, fault.RunnerRefused) {
			return nil
		}
		r, found, err := tx.Runner(ctx, want)
		if err != nil || !found {
			return err
		}
		all, err := tx.TokensOf(ctx, want)
		if err != nil {
			return err
		}
		gone, err = deleteUntaken(ctx, tx, &r, all, func(t token.Record) bool { return t.RedeemedFor(exchange) })
		return err
	})
	if fault.MayHaveHappened(err) {
		s.revokeAll(err, gone)
	}
	if err != nil {
		s.log.Warn("what was made for a rotation that failed could not be taken back yet; it ends by itself", "runner_id", want, "error", err)
	}
}

// rotationStored notes that the runner has stored the token of a rotation, so that
// it may come back with its old one first.
func (s *Service) rotationStored(ctx context.Context, want id.Runner, exchange id.Token) {
	ctx = context.WithoutCancel(ctx)
	err := s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockRunner(ctx, want); err != nil {
			return err
		}
		all, err := tx.TokensOf(ctx, want)
		if err != nil {
			return err
		}
		for _, t := range all {
			if t.RedeemedFor(exchange) {
				if _, err := tx.TakeToken(ctx, t.Stored()); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		s.log.Warn("that a runner has stored its new token could not be noted", "runner_id", want, "error", err)
	}
}
