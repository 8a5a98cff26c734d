package fleet

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/limit"
	"github.com/musterhq/muster/internal/token"
)

// CreateToken makes one more exchange token for a runner; older ones stay
// valid until they are used or expire.
func (s *Service) CreateToken(ctx context.Context, c access.Caller, want id.Runner) (secret string, rec token.Record, err error) {
	err = s.store.Write(ctx, func(tx Tx) error {
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
		secret, rec = exchangeToken(&r, c)
		if err := s.insertExchangeToken(ctx, tx, &r, rec); err != nil {
			return err
		}
		return recordCredential(ctx, tx, &r, c.Subject, "runner.token.create")
	})
	if err != nil {
		return "", token.Record{}, fault.Wrap(err, "making the exchange token")
	}
	return secret, rec, nil
}

// CreateLogsToken makes a token with which the caller reads the logs of a
// runner for a few minutes.
func (s *Service) CreateLogsToken(ctx context.Context, c access.Caller, want id.Runner) (string, error) {
	r, found, err := s.store.Runner(ctx, want)
	if err != nil {
		return "", fault.Wrap(err, "reading the runner")
	}
	if err := Check(c, access.RunnerLogs, &r, found, want); err != nil {
		return "", err
	}
	signed, err := s.sign(r.ID, c.ID)
	if err != nil {
		return "", fault.Wrap(err, "signing the logs token")
	}
	err = s.store.Write(ctx, func(tx Tx) error {
		return recordCredential(ctx, tx, &r, c.Subject, "runner.logs_token.create")
	})
	if err != nil {
		return "", fault.Wrap(err, "making the logs token")
	}
	return signed, nil
}

func exchangeToken(r *Runner, c access.Caller) (string, token.Record) {
	secret, hash := token.New(token.Exchange)
	now := time.Now()
	return secret, token.Record{
		ID: id.Token(id.New()), Organization: r.Organization, Kind: token.Exchange, Hash: hash,
		Subject: access.Subject{Principal: access.PrincipalRunner, ID: string(r.ID)}, Creator: c.Subject,
		CreatedAt: now, ExpiresAt: now.Add(token.ExchangeLifetime),
	}
}

// insertExchangeToken stores an exchange token of a runner, which is locked, unless
// it has too many.
func (s *Service) insertExchangeToken(ctx context.Context, tx Tx, r *Runner, rec token.Record) error {
	n, err := tx.CountLiveTokens(ctx, r.subject(), rec.CreatedAt)
	if err != nil {
		return err
	}
	if n >= s.limits.ExchangeTokens {
		return limit.Reached("The runner %q has %d exchange tokens that nobody has redeemed, and may have %d. Use one of them, or end them: \"muster runner tokens list\" shows them.", r.Name, n, s.limits.ExchangeTokens)
	}
	return tx.InsertToken(ctx, rec)
}

// Redeem exchanges an exchange token for a runner access token, once. The access
// token ends soon unless the runner connects with it.
func (s *Service) Redeem(ctx context.Context, exchange string) (string, error) {
	kind, ok := token.Recognize(exchange)
	if !ok {
		return "", fault.New(fault.Unauthenticated, fault.MalformedToken, "The exchange token is mistyped or cut off: its checksum does not match. Copy it again as a whole.")
	}
	unknown := fault.New(fault.Unauthenticated, fault.UnknownToken, "The exchange token is not known here: its runner was deleted, or it belongs to another control plane. Make a new one with \"muster runner token\".")
	if kind != token.Exchange {
		return "", unknown
	}
	secret, hash := token.New(token.Runner)
	err := s.store.Write(ctx, func(tx Tx) error {
		now := time.Now()
		used, ok, err := tx.UseExchangeToken(ctx, token.Hash(exchange), now)
		if err != nil {
			return err
		}
		if !ok {
			return unknown
		}
		r, found, err := tx.Runner(ctx, id.Runner(used.Subject.ID))
		if err != nil {
			return err
		}
		if !found || !r.DeletingAt.IsZero() {
			return unknown
		}
		if err := tx.InsertToken(ctx, token.Redeemed(used, hash, now)); err != nil {
			return err
		}
		return recordCredential(ctx, tx, &r, used.Subject, "runner.token.exchange")
	})
	if fault.HasReason(err, fault.UnknownToken) {
		return "", s.whyUnused(ctx, exchange, err)
	}
	if err != nil {
		return "", fault.Wrap(err, "redeeming the exchange token")
	}
	return secret, nil
}

// whyUnused tells the holder of an exchange token that cannot be redeemed
// whether it was used or has expired.
func (s *Service) whyUnused(ctx context.Context, exchange string, unknown error) error {
	rec, ok, err := s.store.ExchangeToken(ctx, token.Hash(exchange))
	switch {
	case err != nil || !ok:
		return unknown
	case !rec.UsedAt.IsZero():
		return fault.New(fault.Unauthenticated, fault.UsedExchangeToken,
			"The exchange token was already redeemed at %s; it works once. If none of your hosts did that, delete the runner; otherwise make a new one with \"muster runner token\".", rec.UsedAt.UTC().Format(time.RFC3339))
	case !time.Now().Before(rec.ExpiresAt):
		return fault.New(fault.Unauthenticated, fault.ExpiredToken,
			"The exchange token expired at %s. Make a new one with \"muster runner token\".", rec.ExpiresAt.UTC().Format(time.RFC3339))
	default:
		return unknown
	}
}
