package identity

import (
	"context"
	"fmt"
	"slices"
	"strings"
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

// NewPersonalToken is what a caller asks of CreatePersonalToken.
type NewPersonalToken struct {
	User        id.User
	Description string
	// ValidFor is up to token.MaxPersonal; 0 means that.
	ValidFor time.Duration
	ReadOnly bool
}

// CreatePersonalToken makes a token for the caller itself. The secret is
// returned once and stored as a hash.
func (s *Service) CreatePersonalToken(ctx context.Context, c access.Caller, n NewPersonalToken) (secret string, rec token.Record, err error) {
	if string(n.User) != c.ID {
		if _, err := s.User(ctx, c, n.User); err != nil {
			return "", token.Record{}, err
		}
		return "", token.Record{}, fault.New(fault.PermissionDenied, fault.NotAllowed,
			"A personal access token acts as its owner, so everybody makes their own. An admin makes a first one for a new person with \"muster member add\", and one for a member who has none left with \"muster member token\".")
	}
	if err := checkValidFor(n.ValidFor); err != nil {
		return "", token.Record{}, err
	}
	secret, rec = s.personalToken(c.Organization, c.Subject, c.Subject, n)
	err = s.store.Write(ctx, func(tx Tx) error {
		if err := s.boundTokens(ctx, tx, c.Organization, c.Subject, rec.CreatedAt); err != nil {
			return err
		}
		return insertPersonalToken(ctx, tx, rec, c.Subject)
	})
	if err != nil {
		return "", token.Record{}, fault.Wrap(err, "making the token")
	}
	return secret, rec, nil
}

func checkValidFor(d time.Duration) error {
	if d < 0 || d > token.MaxPersonal {
		return fault.Invalid("valid_for", "must be between 0 and %d days; 0 means %[1]d days", int(token.MaxPersonal.Hours()/24))
	}
	return nil
}

// boundTokens locks a person who is to get one more token, and refuses it when they
// have as many as they may.
func (s *Service) boundTokens(ctx context.Context, tx Tx, o id.Organization, owner access.Subject, now time.Time) error {
	here, err := tx.LockPrincipal(ctx, o, owner)
	if err != nil {
		return err
	}
	if !here {
		return refusal(StatusLeft)
	}
	n, err := tx.CountLiveTokens(ctx, owner, now)
	if err == nil && n >= s.limits.PersonalTokens {
		err = limit.Reached("There are %d personal access tokens of this person that work, and there may be %d. Delete those that nobody needs first: \"muster pat list\" shows them to their owner, and an admin may delete each by its id.", n, s.limits.PersonalTokens)
	}
	return err
}

func insertPersonalToken(ctx context.Context, tx Tx, rec token.Record, actor access.Subject) error {
	if err := tx.InsertToken(ctx, rec); err != nil {
		return err
	}
	return change.Write(ctx, tx, change.Record{
		Actor: actor, Action: "personal_access_token.create", Object: patObject(rec), Creator: rec.Creator, Event: event.Created, Credential: true,
	})
}

func (s *Service) personalToken(o id.Organization, owner, creator access.Subject, n NewPersonalToken) (string, token.Record) {
	secret, hash := token.New(token.Personal)
	if n.ValidFor == 0 {
		n.ValidFor = token.MaxPersonal
	}
	now := time.Now()
	return secret, token.Record{
		ID: id.Token(id.New()), Organization: o, Kind: token.Personal, Hash: hash, Subject: owner, Creator: creator,
		Description: n.Description, ReadOnly: n.ReadOnly, CreatedAt: now, ExpiresAt: now.Add(n.ValidFor),
	}
}

// PersonalToken returns what is known of a token. Admins see everybody's,
// others their own.
func (s *Service) PersonalToken(ctx context.Context, c access.Caller, t id.Token) (token.Record, error) {
	rec, ok, err := s.store.PersonalToken(ctx, c.Organization, t)
	if err != nil {
		return token.Record{}, fault.Wrap(err, "reading the token")
	}
	if !ok {
		return token.Record{}, fault.Missing("personal access token", string(t))
	}
	return rec, access.Check(c, access.PATRead, patObject(rec))
}

func seesTokensOf(c access.Caller, user string) bool {
	owner := access.Subject{Principal: access.PrincipalUser, ID: user}
	return access.May(c, access.PATRead, patObject(token.Record{Organization: c.Organization, Subject: owner}))
}

// PersonalTokens lists tokens, newest first. Without users it lists the
// caller's own.
func (s *Service) PersonalTokens(ctx context.Context, c access.Caller, users []string, r page.Request) ([]token.Record, string, error) {
	if len(users) == 0 {
		users = []string{c.ID}
	}
	users = slices.DeleteFunc(slices.Clone(users), func(u string) bool { return !seesTokensOf(c, u) })
	slices.Sort(users)
	q, err := page.Parse(r, fmt.Sprint("pats\x00", c.Organization, "\x00", strings.Join(users, ",")))
	if err != nil || len(users) == 0 {
		return nil, "", err
	}
	rows, err := s.store.PersonalTokens(ctx, TokenQuery{Organization: c.Organization, Users: users, Page: q})
	if err != nil {
		return nil, "", fault.Wrap(err, "listing tokens")
	}
	rows, next := page.Cut(q, rows, func(t token.Record) page.Cursor {
		return page.Cursor{Key: page.TimeKey(t.CreatedAt), ID: string(t.ID)}
	})
	return rows, next, nil
}

// DeletePersonalToken revokes a token at once. Admins may revoke everybody's.
func (s *Service) DeletePersonalToken(ctx context.Context, c access.Caller, t id.Token) error {
	err := s.store.Write(ctx, func(tx Tx) error {
		rec, ok, err := tx.PersonalToken(ctx, c.Organization, t)
		if err != nil {
			return err
		}
		if !ok {
			return fault.Missing("personal access token", string(t))
		}
		if err := access.Check(c, access.PATDelete, patObject(rec)); err != nil {
			return err
		}
		if gone, err := tx.DeleteToken(ctx, t); err != nil {
			return err
		} else if !gone {
			return fault.Missing("personal access token", string(t))
		}
		return change.Write(ctx, tx, change.Record{
			Actor: c.Subject, Action: "personal_access_token.delete", Object: patObject(rec), Creator: rec.Creator, Event: event.Deleted,
		})
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "deleting the token")
	}
	s.ended(err, t, access.Subject{}, wasRevoked())
	return err
}
