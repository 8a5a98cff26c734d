package hosttoken

import (
	"context"
	"fmt"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

// Links is what this package asks of the links to connected runners. The method
// returns at once, and does nothing for a runner that is not connected.
type Links interface {
	// SecretsChanged tells the runner to forget what it opened of these secrets.
	SecretsChanged(r id.Runner, names ...string)
}

// Service is the domain of host authentication tokens.
type Service struct {
	store Store
	links Links
}

// New makes the service.
func New(store Store, links Links) *Service { return &Service{store: store, links: links} }

// Change is what a caller asks of Update. A nil field leaves things as they are.
type Change struct {
	// Value is plain, and not empty.
	Value *string
	// ExpiresAt, when zero, says that it is not known or never.
	ExpiresAt *time.Time
	// RefreshToken is plain; empty forgets it.
	RefreshToken *string
	// Scopes replace the list; an empty list leaves it as it is.
	Scopes []string
}

// Get returns a credential that the caller may see.
func (s *Service) Get(ctx context.Context, c access.Caller, token string) (Token, error) {
	t, _, err := find(ctx, s.store, c, access.HostTokenRead, token)
	return t, fault.Wrap(err, "reading the host token")
}

// List returns the credentials that the caller may see, oldest first: its own,
// and those on runners that it administers.
func (s *Service) List(ctx context.Context, c access.Caller, q Query, p page.Request) ([]Token, string, error) {
	q.Organization, q.Reach = c.Organization, reachOf(c)
	var err error
	if q.Page, err = page.Parse(p, fmt.Sprintf("host tokens\x00%s\x00%v\x00%s\x00%s", q.Organization, c.ID, q.Runner, q.Subject)); err != nil {
		return nil, "", err
	}
	rows, err := s.store.HostTokens(ctx, q)
	if err != nil {
		return nil, "", fault.Wrap(err, "listing host tokens")
	}
	rows, next := page.Cut(q.Page, rows, func(t Token) page.Cursor {
		return page.Cursor{Key: page.TimeKey(t.CreatedAt), ID: t.ID}
	})
	return rows, next, nil
}

// reachOf returns the credentials that a caller may see. It agrees with Check
// for HostTokenRead.
func reachOf(c access.Caller) Reach {
	for _, g := range c.Grants {
		if access.Allows(g.Role, access.HostTokenRead) {
			return Reach{All: true}
		}
	}
	return Reach{Self: c.ID, Groups: c.Groups, Roles: readers}
}

// readers are the roles on a runner that let see the credentials on it.
var readers = func() []resource.Role {
	var roles []resource.Role
	for r := range resource.RoleSecurityPolicyViewer + 1 {
		if r.On() == resource.Runner && r.Assignable() && access.Allows(r, access.HostTokenRead) {
			roles = append(roles, r)
		}
	}
	return roles
}()

// Update replaces the values of a credential, or the facts about it. Only the
// subject may: nobody else can know whether they are right.
func (s *Service) Update(ctx context.Context, c access.Caller, token string, ch Change) error {
	var secrets []string
	r, err := s.edit(ctx, c, access.HostTokenUpdate, token, func(tx Tx, t *Token, r *fleet.Runner) error {
		var err error
		if secrets, err = t.apply(r, ch); err != nil {
			return err
		}
		t.UpdatedAt = time.Now()
		if ok, err := tx.UpdateHostToken(ctx, *t); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		return record(ctx, tx, c, t, r, "host_authentication_token.update", event.Updated)
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "changing the host token")
	}
	if len(secrets) > 0 {
		s.links.SecretsChanged(r, secrets...)
	}
	return err
}

// apply merges a change into the credential, and returns the names of the
// secrets that changed.
func (t *Token) apply(r *fleet.Runner, ch Change) (secrets []string, err error) {
	if len(ch.Scopes) > 0 {
		t.Scopes = ch.Scopes
	}
	if ch.ExpiresAt != nil {
		t.ExpiresAt = *ch.ExpiresAt
	}
	if ch.Value != nil {
		if *ch.Value == "" {
			return nil, fault.Invalid("token", "must not be empty")
		}
		if t.Value, err = r.Seal(valueName(t.ID), *ch.Value); err != nil {
			return nil, err
		}
		secrets = append(secrets, valueName(t.ID))
	}
	if ch.RefreshToken != nil {
		if t.RefreshToken, err = r.Seal(refreshName(t.ID), *ch.RefreshToken); err != nil {
			return nil, err
		}
		secrets = append(secrets, refreshName(t.ID))
	}
	return secrets, nil
}

// Delete removes a credential.
func (s *Service) Delete(ctx context.Context, c access.Caller, token string) error {
	r, err := s.edit(ctx, c, access.HostTokenDelete, token, func(tx Tx, t *Token, r *fleet.Runner) error {
		if ok, err := tx.DeleteHostToken(ctx, t.ID); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		return record(ctx, tx, c, t, r, "host_authentication_token.delete", event.Deleted)
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "deleting the host token")
	}
	s.links.SecretsChanged(r, valueName(token), refreshName(token))
	return err
}

// edit runs fn in a transaction, on a credential to which the caller may do
// that, and returns its runner. The runner is locked, so that its key does not
// change meanwhile.
func (s *Service) edit(ctx context.Context, c access.Caller, p access.Permission, token string, fn func(Tx, *Token, *fleet.Runner) error) (id.Runner, error) {
	t, _, err := find(ctx, s.store, c, p, token)
	if err != nil {
		return "", err
	}
	return t.Runner, s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockRunner(ctx, t.Runner); err != nil {
			return err
		}
		t, r, err := find(ctx, tx, c, p, token)
		if err != nil {
			return err
		}
		return fn(tx, &t, &r)
	})
}

// find reads a credential, with its runner, to which the caller may do
// something.
func find(ctx context.Context, from reader, c access.Caller, p access.Permission, token string) (Token, fleet.Runner, error) {
	t, found, err := from.HostToken(ctx, token)
	if err != nil {
		return Token{}, fleet.Runner{}, err
	}
	var r fleet.Runner
	if found {
		if r, found, err = from.Runner(ctx, t.Runner); err != nil {
			return Token{}, fleet.Runner{}, err
		}
	}
	if !found {
		return Token{}, fleet.Runner{}, fault.Missing(resource.HostAuthenticationToken.Words(), token)
	}
	if err := access.Check(c, p, t.object(&r)); err != nil {
		return Token{}, fleet.Runner{}, err
	}
	return t, r, nil
}

// record writes down what was done to a credential.
func record(ctx context.Context, tx Tx, c access.Caller, t *Token, r *fleet.Runner, action string, op event.Operation) error {
	return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: action, Object: t.object(r), Creator: t.Subject, Event: op})
}
