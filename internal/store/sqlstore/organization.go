package sqlstore

import (
	"context"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// Organization returns a tenant.
func (r reads) Organization(ctx context.Context, o id.Organization) (identity.Organization, bool, error) {
	row, err := r.q.GetOrganization(ctx, string(o))
	return one(r, row, err, "reading an organization", organizationOf)
}

// OperatingOrganization returns the organization whose admins operate the
// installation; there is at most one.
func (r reads) OperatingOrganization(ctx context.Context) (identity.Organization, bool, error) {
	row, err := r.q.GetOperatingOrganization(ctx)
	return one(r, row, err, "reading an organization", organizationOf)
}

// Organizations returns up to Limit+1 organizations, oldest first.
func (r reads) Organizations(ctx context.Context, q page.Query) ([]identity.Organization, error) {
	after, err := cursorOf(q, beforeAll)
	if err != nil {
		return nil, err
	}
	rows, err := r.q.ListOrganizations(ctx, query.ListOrganizationsParams{AfterAt: after.at, AfterID: after.id, MaxRows: maxRows(q)})
	return all(r, rows, err, "listing organizations", organizationOf)
}

// InsertOrganization adds a tenant.
func (tx *Tx) InsertOrganization(ctx context.Context, o identity.Organization) error {
	return tx.explained(tx.q.InsertOrganization(ctx, query.InsertOrganizationParams{
		ID: string(o.ID), Name: o.Name, Operates: o.Operates, CreatedAt: micros(o.CreatedAt), UpdatedAt: micros(o.UpdatedAt),
	}), "adding an organization")
}

// UpdateOrganization stores name and updated_at.
func (tx *Tx) UpdateOrganization(ctx context.Context, o identity.Organization) error {
	return tx.explained(tx.q.UpdateOrganization(ctx, query.UpdateOrganizationParams{
		ID: string(o.ID), Name: o.Name, UpdatedAt: micros(o.UpdatedAt),
	}), "changing an organization")
}

// LockOrganization makes transactions that lock the same organization run one
// after the other.
func (tx *Tx) LockOrganization(ctx context.Context, o id.Organization) error {
	return tx.explained(tx.q.LockOrganization(ctx, string(o)), "locking an organization")
}

func organizationOf(row query.Organization) (identity.Organization, error) {
	return identity.Organization{
		ID: id.Organization(row.ID), Name: row.Name, Operates: row.Operates,
		CreatedAt: moment(row.CreatedAt), UpdatedAt: moment(row.UpdatedAt),
	}, nil
}
