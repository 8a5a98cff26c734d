package group

import (
	"context"
	"slices"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// Whoever locks several things locks them in one order, so that no two wait for
// each other: the runner, then groups by id, then the user or service account.
// What was read before its lock is read again after it.

// lockGroups keeps others from adding to groups, taking from them and deleting
// them until the transaction ends.
func lockGroups(ctx context.Context, tx Tx, o id.Organization, groups ...id.Group) error {
	slices.Sort(groups)
	for _, g := range slices.Compact(groups) {
		if _, err := tx.LockGroup(ctx, o, g); err != nil {
			return err
		}
	}
	return nil
}

// lockResource locks a resource and groups that have, or get, roles on it.
func lockResource(ctx context.Context, tx Tx, o id.Organization, t resource.Type, resourceID string, groups ...id.Group) error {
	switch t {
	case resource.Runner:
		if err := tx.LockRunner(ctx, id.Runner(resourceID)); err != nil {
			return err
		}
	case resource.Group:
		groups = append(slices.Clip(groups), id.Group(resourceID))
	}
	return lockGroups(ctx, tx, o, groups...)
}

// locked locks and returns a group that the caller may see.
func locked(ctx context.Context, tx Tx, c access.Caller, want id.Group) (Group, error) {
	if err := lockGroups(ctx, tx, c.Organization, want); err != nil {
		return Group{}, err
	}
	g, found, err := tx.Group(ctx, c.Organization, want)
	if err != nil {
		return Group{}, err
	}
	return g, check(c, access.GroupRead, &g, found, string(want))
}

// lockedAgain is locked for a group that was read before. When it went since, the
// transaction begins anew.
func lockedAgain(ctx context.Context, tx Tx, c access.Caller, want id.Group) (Group, error) {
	g, err := locked(ctx, tx, c, want)
	if fault.Is(err, fault.NotFound) {
		err = fault.ErrLost
	}
	return g, err
}

// lockedDirect locks a resource whose roles the caller may give and take, and
// returns it with the group that exists to share something with a subject, which
// it locks, too.
func lockedDirect(ctx context.Context, tx Tx, c access.Caller, subject access.Subject, t resource.Type, resourceID string) (on access.Object, g Group, found bool, err error) {
	if g, found, err = tx.DirectGroup(ctx, c.Organization, subject); err != nil {
		return on, g, found, err
	}
	var direct []id.Group
	if found {
		direct = append(direct, g.ID)
	}
	if on, err = shareable(ctx, tx, c, t, resourceID, direct...); err != nil || !found {
		return on, g, found, err
	}
	// Not by its id: what it shares may all be on its way out, and then nobody sees it.
	again, found, err := tx.DirectGroup(ctx, c.Organization, subject)
	if err == nil && (!found || again.ID != g.ID) {
		err = fault.ErrLost
	}
	return on, again, found, err
}
