package sqlstore

import (
	"cmp"
	"context"
	"strings"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/serviceaccount"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
	"github.com/musterhq/muster/internal/token"
)

var _ serviceaccount.Tx = (*Tx)(nil)

// ServiceAccounts returns the store as package serviceaccount sees it.
func (s *Store) ServiceAccounts() serviceaccount.Store { return serviceAccountStore{s} }

type serviceAccountStore struct{ *Store }

func (s serviceAccountStore) Write(ctx context.Context, fn func(serviceaccount.Tx) error) error {
	return s.write(ctx, func(tx *Tx) error { return fn(tx) })
}

// ServiceAccount returns an account, a suspended one too.
func (r reads) ServiceAccount(ctx context.Context, o id.Organization, a id.ServiceAccount) (serviceaccount.Account, bool, error) {
	row, err := r.q.GetServiceAccount(ctx, string(o), string(a))
	return one(r, row, err, "reading a service account", serviceAccountOf)
}

// ListServiceAccounts returns up to Page.Limit+1 accounts, oldest first.
func (r reads) ListServiceAccounts(ctx context.Context, q serviceaccount.Query) ([]serviceaccount.Account, error) {
	after, err := cursorOf(q.Page, beforeAll)
	if err != nil {
		return nil, err
	}
	pattern := containing(strings.ToLower(q.Search))
	var rows []query.ServiceAccount
	switch {
	case len(q.IDs) > 0:
		rows, err = lanes(q.IDs, maxRows(q.Page), olderServiceAccount, func(a string) ([]query.ServiceAccount, error) {
			return r.q.FindServiceAccount(ctx, query.FindServiceAccountParams{
				OrganizationID: string(q.Organization), ID: a, AfterAt: after.at, AfterID: after.id,
				IncludeSuspended: q.IncludeSuspended, Pattern: pattern,
			})
		})
	case q.IncludeSuspended:
		rows, err = r.q.ListServiceAccounts(ctx, query.ListServiceAccountsParams{
			OrganizationID: string(q.Organization), AfterAt: after.at, AfterID: after.id, Pattern: pattern, MaxRows: maxRows(q.Page),
		})
	default:
		rows, err = r.q.ListServiceAccountsInUse(ctx, query.ListServiceAccountsInUseParams{
			OrganizationID: string(q.Organization), AfterAt: after.at, AfterID: after.id, Pattern: pattern, MaxRows: maxRows(q.Page),
		})
	}
	return all(r, rows, err, "listing service accounts", serviceAccountOf)
}

func olderServiceAccount(a, b query.ServiceAccount) int {
	return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

// ServiceAccountToken returns a long-lived token of a service account.
func (r reads) ServiceAccountToken(ctx context.Context, o id.Organization, t id.Token) (token.Record, bool, error) {
	row, err := r.q.GetServiceAccountToken(ctx, string(o), string(t))
	return one(r, row, err, "reading a service account token", recordOf)
}

// ListServiceAccountTokens returns up to Page.Limit+1 long-lived tokens, oldest
// first.
func (r reads) ListServiceAccountTokens(ctx context.Context, q serviceaccount.TokenQuery) ([]token.Record, error) {
	after, err := cursorOf(q.Page, beforeAll)
	if err != nil {
		return nil, err
	}
	var rows []query.Token
	if q.Account == "" {
		rows, err = r.q.ListServiceAccountTokens(ctx, query.ListServiceAccountTokensParams{
			OrganizationID: string(q.Organization), AfterAt: after.at, AfterID: after.id, MaxRows: maxRows(q.Page),
		})
	} else {
		rows, err = r.q.ListTokensOfServiceAccount(ctx, query.ListTokensOfServiceAccountParams{
			ServiceAccountID: present(string(q.Account)), AfterAt: after.at, AfterID: after.id, MaxRows: maxRows(q.Page),
		})
	}
	return all(r, rows, err, "listing service account tokens", recordOf)
}

// InsertServiceAccount adds an account.
func (tx *Tx) InsertServiceAccount(ctx context.Context, a serviceaccount.Account) error {
	return tx.explained(tx.q.InsertServiceAccount(ctx, query.InsertServiceAccountParams{
		ID:               string(a.ID),
		OrganizationID:   string(a.Organization),
		Name:             a.Name,
		Description:      a.Description,
		CreatorPrincipal: int32(a.Creator.Principal),
		CreatorID:        a.Creator.ID,
		ValidUntil:       micros(a.ValidUntil),
		SuspendedAt:      micros(a.SuspendedAt),
		CreatedAt:        micros(a.CreatedAt),
		UpdatedAt:        micros(a.UpdatedAt),
		Revision:         a.Revision,
		NameLower:        strings.ToLower(a.Name),
	}), "adding a service account")
}

// UpdateServiceAccount stores name, description and suspension when the revision
// is still a.Revision.
func (tx *Tx) UpdateServiceAccount(ctx context.Context, a serviceaccount.Account) (bool, error) {
	n, err := tx.q.UpdateServiceAccount(ctx, query.UpdateServiceAccountParams{
		ID:             string(a.ID),
		OrganizationID: string(a.Organization),
		Name:           a.Name,
		Description:    a.Description,
		SuspendedAt:    micros(a.SuspendedAt),
		UpdatedAt:      micros(a.UpdatedAt),
		Revision:       a.Revision,
		NameLower:      strings.ToLower(a.Name),
	})
	return n > 0, tx.explained(err, "changing a service account")
}

// LockServiceAccount makes transactions that lock the same account run one after
// the other.
func (tx *Tx) LockServiceAccount(ctx context.Context, a id.ServiceAccount) error {
	return tx.explained(tx.q.LockServiceAccount(ctx, string(a)), "locking a service account")
}

func serviceAccountOf(row query.ServiceAccount) (serviceaccount.Account, error) {
	return serviceaccount.Account{
		ID:           id.ServiceAccount(row.ID),
		Organization: id.Organization(row.OrganizationID),
		Name:         row.Name,
		Description:  row.Description,
		Creator:      subject(row.CreatorPrincipal, row.CreatorID),
		ValidUntil:   moment(row.ValidUntil),
		SuspendedAt:  moment(row.SuspendedAt),
		CreatedAt:    moment(row.CreatedAt),
		UpdatedAt:    moment(row.UpdatedAt),
		Revision:     row.Revision,
	}, nil
}
