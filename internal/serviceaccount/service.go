package serviceaccount

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/limit"
	"github.com/musterhq/muster/internal/page"
)

// Revoker forgets tokens that were deleted; see identity.Service.Revoked.
type Revoker interface {
	Revoked(t id.Token, subject access.Subject)
	// Doubted is called in its place when it is not known whether the change was
	// made.
	Doubted(t id.Token, subject access.Subject)
}

// Service is the domain of service accounts.
type Service struct {
	store   Store
	links   departure.Links
	revoker Revoker
	limits  limit.Limits
}

// New makes the service.
func New(store Store, links departure.Links, revoker Revoker) *Service {
	return &Service{store: store, links: links, revoker: revoker, limits: limit.Default()}
}

// SetLimits replaces the default limits. It is called before anything else.
func (s *Service) SetLimits(l limit.Limits) { s.limits = l }

// NewAccount is what a caller asks of Create.
type NewAccount struct {
	Name        string
	Description string
	// ValidUntil must be in the future.
	ValidUntil time.Time
}

// Create makes an account.
func (s *Service) Create(ctx context.Context, c access.Caller, n NewAccount) (Account, error) {
	if err := access.Check(c, access.ServiceAccountWrite, access.OrganizationObject(c.Organization)); err != nil {
		return Account{}, err
	}
	now := time.Now().Truncate(time.Microsecond) // as it is stored and read back
	until := n.ValidUntil.Truncate(time.Microsecond).UTC()
	if !until.After(now) {
		return Account{}, fault.Invalid("valid_until", "must be in the future, is %s; a service account cannot be extended later", until.Format(time.RFC3339))
	}
	a := Account{
		ID: id.ServiceAccount(id.New()), Organization: c.Organization, Name: n.Name, Description: n.Description, Creator: c.Subject,
		ValidUntil: until, CreatedAt: now, UpdatedAt: now, Revision: 1,
	}
	err := s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockOrganization(ctx, c.Organization); err != nil {
			return err
		}
		n, err := tx.CountServiceAccounts(ctx, c.Organization, now)
		if err != nil {
			return err
		}
		if n >= s.limits.ServiceAccounts {
			return limit.Reached("The organization has %d service accounts that work, and may have %d. Delete those that are not needed first; an operator can raise the limit with --max-service-accounts.", n, s.limits.ServiceAccounts)
		}
		if err := tx.InsertServiceAccount(ctx, a); err != nil {
			return err
		}
		return record(ctx, tx, &a, c, "service_account.create", event.Created)
	})
	if err != nil {
		return Account{}, fault.Wrap(err, "creating the service account")
	}
	return a, nil
}

func record(ctx context.Context, tx Tx, a *Account, c access.Caller, action string, op event.Operation) error {
	return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: action, Object: a.Object(), Creator: a.Creator, Event: op})
}

// check returns nil when an account that was looked up is there and the caller
// may do something to it.
func check(c access.Caller, p access.Permission, a *Account, found bool, want id.ServiceAccount) error {
	if !found {
		return fault.Missing("service account", string(want))
	}
	return access.Check(c, p, a.Object())
}

// Get returns an account, a deleted one too.
func (s *Service) Get(ctx context.Context, c access.Caller, want id.ServiceAccount) (Account, error) {
	a, found, err := s.store.ServiceAccount(ctx, c.Organization, want)
	if err != nil {
		return Account{}, fault.Wrap(err, "reading the service account")
	}
	return a, check(c, access.ServiceAccountRead, &a, found, want)
}

// List returns the accounts of the caller's organization, oldest first. All its
// members see all of them.
func (s *Service) List(ctx context.Context, c access.Caller, q Query, p page.Request) ([]Account, string, error) {
	q.Organization = c.Organization
	slices.Sort(q.IDs)
	var err error
	binding := fmt.Sprintf("service accounts\x00%s\x00%s\x00%v\x00%q\x00%t", q.Organization, c.ID, q.IDs, q.Search, q.IncludeSuspended)
	if q.Page, err = page.Parse(p, binding); err != nil {
		return nil, "", err
	}
	if err := access.Check(c, access.ServiceAccountRead, access.OrganizationObject(c.Organization)); err != nil {
		return nil, "", err
	}
	rows, err := s.store.ListServiceAccounts(ctx, q)
	if err != nil {
		return nil, "", fault.Wrap(err, "listing service accounts")
	}
	rows, next := page.Cut(q.Page, rows, func(a Account) page.Cursor {
		return page.Cursor{Key: page.TimeKey(a.CreatedAt), ID: string(a.ID)}
	})
	return rows, next, nil
}

// Update changes name and description; nil leaves them.
func (s *Service) Update(ctx context.Context, c access.Caller, want id.ServiceAccount, name, description *string) (Account, error) {
	var a Account
	err := s.store.Write(ctx, func(tx Tx) error {
		var found bool
		var err error
		if a, found, err = tx.ServiceAccount(ctx, c.Organization, want); err != nil {
			return err
		}
		if err := check(c, access.ServiceAccountWrite, &a, found, want); err != nil {
			return err
		}
		if a.Suspended() {
			return deleted(&a)
		}
		if name != nil {
			a.Name = *name
		}
		if description != nil {
			a.Description = *description
		}
		a.UpdatedAt = time.Now().Truncate(time.Microsecond)
		if ok, err := tx.UpdateServiceAccount(ctx, a); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		a.Revision++
		return record(ctx, tx, &a, c, "service_account.update", event.Updated)
	})
	if err != nil {
		return Account{}, fault.Wrap(err, "changing the service account")
	}
	return a, nil
}

// Delete suspends an account for good. Its tokens, its places in groups and its
// credentials for hosts end; the account stays readable.
func (s *Service) Delete(ctx context.Context, c access.Caller, want id.ServiceAccount) error {
	var a Account
	var gone departure.Gone
	err := s.store.Write(ctx, func(tx Tx) error {
		self := access.Subject{Principal: access.PrincipalServiceAccount, ID: string(want)}
		if err := tx.LockLeaving(ctx, c.Organization, self); err != nil {
			return err
		}
		var found bool
		var err error
		if a, found, err = tx.ServiceAccount(ctx, c.Organization, want); err != nil {
			return err
		}
		if err := check(c, access.ServiceAccountWrite, &a, found, want); err != nil {
			return err
		}
		if a.Suspended() {
			return fault.Missing("service account", string(want))
		}
		a.SuspendedAt = time.Now()
		a.UpdatedAt = a.SuspendedAt
		if ok, err := tx.UpdateServiceAccount(ctx, a); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		if gone, err = departure.Subject(ctx, tx, c.Subject, a.Organization, a.Subject()); err != nil {
			return err
		}
		return record(ctx, tx, &a, c, "service_account.delete", event.Deleted)
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "deleting the service account")
	}
	s.ended(err, "", a.Subject())
	gone.Tell(s.links)
	return err
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

// deleted is the fault of using an account that was deleted.
func deleted(a *Account) error {
	return fault.New(fault.FailedPrecondition, fault.SuspendedPrincipal,
		"The service account %q was deleted on %s, for good. Make another one with \"muster service-account create\".", a.Name, a.SuspendedAt.UTC().Format(time.RFC3339))
}
