package sqlstore

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// A group that exists to share something with one subject goes with that
// subject, and with the last thing that it shares.

// DeleteSharesOf ends what was shared with s alone: the group for that, and its
// roles. It returns them as they were.
func (tx *Tx) DeleteSharesOf(ctx context.Context, o id.Organization, s access.Subject) ([]access.Object, error) {
	g, found, err := tx.DirectGroup(ctx, o, s)
	if err != nil || !found {
		return nil, err
	}
	if _, err := tx.LockGroup(ctx, o, g.ID); err != nil {
		return nil, err
	}
	roles, err := tx.AssignmentsOf(ctx, g.ID)
	if err != nil {
		return nil, err
	}
	var gone []access.Object
	for _, a := range roles {
		on, _, err := tx.Object(ctx, o, a.Type, a.Resource)
		if err != nil {
			return nil, err
		}
		gone = append(gone, a.Object(on))
	}
	_, err = tx.DeleteGroup(ctx, g.ID)
	return append(gone, g.Object()), err
}

// lockShares returns the groups that share a runner and nothing else, and keeps
// others from sharing more through them until the transaction ends.
func (tx *Tx) lockShares(ctx context.Context, r id.Runner) ([]access.Object, error) {
	rows, err := tx.q.ListSharesOfRunner(ctx, present(string(r)))
	if err != nil {
		return nil, tx.explained(err, "listing who a runner is shared with")
	}
	for _, row := range rows {
		if _, err := tx.LockGroup(ctx, id.Organization(row.OrganizationID), id.Group(row.ID)); err != nil {
			return nil, err
		}
	}
	// Only now it is certain which of them share nothing else.
	rows, err = tx.q.ListSharesOfRunner(ctx, present(string(r)))
	var groups []access.Object
	for _, row := range rows {
		groups = append(groups, access.Object{Type: resource.Group, ID: row.ID})
	}
	return groups, tx.explained(err, "listing who a runner is shared with")
}

// deleteShares removes the groups that lockShares finds.
func (tx *Tx) deleteShares(ctx context.Context, r id.Runner) error {
	groups, err := tx.lockShares(ctx, r)
	for _, g := range groups {
		if _, err := tx.DeleteGroup(ctx, id.Group(g.ID)); err != nil {
			return err
		}
	}
	return err
}
