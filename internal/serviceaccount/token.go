package serviceaccount

import (
	"context"
	"fmt"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/limit"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/token"
)

// MaxValidFor is the longest time that a token can be asked for: 80 years.
const MaxValidFor = 2_524_608_000 * time.Second

// CreateAccessToken makes a token that acts as an account for
// token.ServiceAccountAccessLifetime, and never longer than the account is
// valid. It is returned once.
func (s *Service) CreateAccessToken(ctx context.Context, c access.Caller, want id.ServiceAccount) (string, error) {
	secret, rec := newToken(c, token.ServiceAccountAccess, want)
	err := s.insert(ctx, c, access.ServiceAccountImpersonate, want, &rec, token.ServiceAccountAccessLifetime, func(a *Account) change.Record {
		return change.Record{Action: "service_account_access_token.create", Object: a.Object(), Creator: a.Creator}
	})
	if err != nil {
		return "", fault.Wrap(err, "making the access token")
	}
	return secret, nil
}

// NewToken is what a caller asks of CreateToken.
type NewToken struct {
	Description string
	// ValidFor is up to MaxValidFor; 0 means as long as the account.
	ValidFor time.Duration
}

// CreateToken makes a long-lived token for the service account that calls. The
// secret is returned once and stored as a hash.
func (s *Service) CreateToken(ctx context.Context, c access.Caller, n NewToken) (string, token.Record, error) {
	if c.Principal != access.PrincipalServiceAccount {
		return "", token.Record{}, fault.New(fault.PermissionDenied, fault.NotAllowed,
			"Only a service account can make itself such a token, and you call as a %s. An organization admin gets an access token with CreateServiceAccountAccessToken and calls this with it; \"muster service-account token create\" does both.", c.Principal)
	}
	if n.ValidFor < 0 || n.ValidFor > MaxValidFor {
		return "", token.Record{}, fault.Invalid("valid_for", "must be between 0 and 80 years; 0 means as long as the account")
	}
	if n.ValidFor == 0 {
		n.ValidFor = MaxValidFor
	}
	self := id.ServiceAccount(c.ID)
	secret, rec := newToken(c, token.ServiceAccount, self)
	rec.Description = n.Description
	err := s.insert(ctx, c, access.ServiceAccountTokenCreate, self, &rec, n.ValidFor, func(*Account) change.Record {
		return change.Record{Action: "service_account_token.create", Object: tokenObject(rec), Creator: rec.Creator, Event: event.Created}
	})
	if err != nil {
		return "", token.Record{}, fault.Wrap(err, "making the token")
	}
	return secret, rec, nil
}

func newToken(c access.Caller, k token.Kind, a id.ServiceAccount) (string, token.Record) {
	secret, hash := token.New(k)
	return secret, token.Record{
		ID: id.Token(id.New()), Organization: c.Organization, Kind: k, Hash: hash, Creator: c.Subject,
		Subject:   access.Subject{Principal: access.PrincipalServiceAccount, ID: string(a)},
		CreatedAt: time.Now().Truncate(time.Microsecond), // as it is stored and read back
	}
}

// insert stores a token of an account that is in use. The token ends after
// validFor or with the account, whichever is sooner.
func (s *Service) insert(
	ctx context.Context, c access.Caller, p access.Permission, want id.ServiceAccount, rec *token.Record, validFor time.Duration,
	what func(*Account) change.Record,
) error {
	return s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockServiceAccount(ctx, want); err != nil {
			return err
		}
		a, found, err := tx.ServiceAccount(ctx, c.Organization, want)
		if err != nil {
			return err
		}
		if err := check(c, p, &a, found, want); err != nil {
			return err
		}
		switch {
		case a.Suspended():
			return deleted(&a)
		case !rec.CreatedAt.Before(a.ValidUntil):
			return fault.New(fault.FailedPrecondition, fault.ExpiredToken,
				"The service account %q was valid until %s, which cannot be changed. Make another one with \"muster service-account create\".", a.Name, a.ValidUntil.UTC().Format(time.RFC3339))
		}
		if rec.Kind == token.ServiceAccount {
			n, err := tx.CountLiveTokens(ctx, rec.Subject, rec.CreatedAt)
			if err != nil {
				return err
			}
			if n >= s.limits.ServiceAccountTokens {
				return limit.Reached("The service account %q has %d tokens that work, and may have %d. Delete those that are not needed first: \"muster service-account token list\" shows them.", a.Name, n, s.limits.ServiceAccountTokens)
			}
		}
		rec.ExpiresAt = a.ValidUntil
		if end := rec.CreatedAt.Add(validFor); end.Before(a.ValidUntil) {
			rec.ExpiresAt = end
		}
		if err := tx.InsertToken(ctx, *rec); err != nil {
			return err
		}
		r := what(&a)
		r.Actor, r.Credential = c.Subject, true
		return change.Write(ctx, tx, r)
	})
}

// Token returns what is known of a long-lived token. Admins see everybody's, a
// service account its own.
func (s *Service) Token(ctx context.Context, c access.Caller, t id.Token) (token.Record, error) {
	rec, found, err := s.store.ServiceAccountToken(ctx, c.Organization, t)
	if err != nil {
		return token.Record{}, fault.Wrap(err, "reading the token")
	}
	return rec, checkToken(c, access.ServiceAccountTokenRead, rec, found, t)
}

func checkToken(c access.Caller, p access.Permission, rec token.Record, found bool, want id.Token) error {
	if !found {
		return fault.Missing("service account token", string(want))
	}
	return access.Check(c, p, tokenObject(rec))
}

// Tokens lists long-lived tokens, oldest first: all of the organization for whoever
// may read them all, a service account's own for others.
func (s *Service) Tokens(ctx context.Context, c access.Caller, p page.Request) ([]token.Record, string, error) {
	q := TokenQuery{Organization: c.Organization}
	if !access.May(c, access.ServiceAccountTokenRead, access.OrganizationObject(c.Organization)) {
		if c.Principal != access.PrincipalServiceAccount {
			return nil, "", nil
		}
		q.Account = id.ServiceAccount(c.ID)
	}
	var err error
	if q.Page, err = page.Parse(p, fmt.Sprintf("service account tokens\x00%s\x00%s\x00%s", q.Organization, c.ID, q.Account)); err != nil {
		return nil, "", err
	}
	rows, err := s.store.ListServiceAccountTokens(ctx, q)
	if err != nil {
		return nil, "", fault.Wrap(err, "listing tokens")
	}
	rows, next := page.Cut(q.Page, rows, func(t token.Record) page.Cursor {
		return page.Cursor{Key: page.TimeKey(t.CreatedAt), ID: string(t.ID)}
	})
	return rows, next, nil
}

// DeleteToken revokes a long-lived token at once. Admins may revoke everybody's.
func (s *Service) DeleteToken(ctx context.Context, c access.Caller, t id.Token) error {
	err := s.store.Write(ctx, func(tx Tx) error {
		rec, found, err := tx.ServiceAccountToken(ctx, c.Organization, t)
		if err != nil {
			return err
		}
		if err := checkToken(c, access.ServiceAccountTokenDelete, rec, found, t); err != nil {
			return err
		}
		if gone, err := tx.DeleteToken(ctx, t); err != nil {
			return err
		} else if !gone {
			return fault.Missing("service account token", string(t))
		}
		return change.Write(ctx, tx, change.Record{
			Actor: c.Subject, Action: "service_account_token.delete", Object: tokenObject(rec), Creator: rec.Creator, Event: event.Deleted,
		})
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "deleting the token")
	}
	s.ended(err, t, access.Subject{})
	return err
}
