package group

import (
	"context"
	"slices"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// Delete removes a group with its memberships, its roles and the roles on it.
func (s *Service) Delete(ctx context.Context, c access.Caller, want id.Group) error {
	var gone []*Group
	err := s.store.Write(ctx, func(tx Tx) error {
		g, onIt, err := lockedToDelete(ctx, tx, c, want)
		if err != nil {
			return err
		}
		if gone, err = takeAll(ctx, tx, c, onIt); err != nil {
			return err
		}
		return remove(ctx, tx, c, &g)
	})
	if err != nil {
		return fault.Wrap(err, "deleting the group")
	}
	s.identities.Changed(access.Subject{}, want)
	for _, g := range gone {
		s.dissolved(g)
	}
	return nil
}

// lockedToDelete locks a group that the caller may delete, and those that have
// roles on it. It returns the group and the roles that others have on it.
func lockedToDelete(ctx context.Context, tx Tx, c access.Caller, want id.Group) (Group, []Assignment, error) {
	before, err := tx.AssignmentsOn(ctx, resource.Group, string(want))
	if err != nil {
		return Group{}, nil, err
	}
	if err := lockGroups(ctx, tx, c.Organization, append(holders(before), want)...); err != nil {
		return Group{}, nil, err
	}
	g, err := ordinary(ctx, tx, c, access.GroupDelete, want)
	if err != nil {
		return Group{}, nil, err
	}
	onIt, err := tx.AssignmentsOn(ctx, resource.Group, string(want))
	if err != nil {
		return Group{}, nil, err
	}
	for _, holder := range holders(onIt) {
		if !slices.Contains(holders(before), holder) {
			return Group{}, nil, fault.ErrLost // it is not locked
		}
	}
	onIt = slices.DeleteFunc(onIt, func(a Assignment) bool { return a.Group == want }) // a group may have a role on itself
	return g, onIt, nil
}

func holders(assignments []Assignment) []id.Group {
	var groups []id.Group
	for _, a := range assignments {
		groups = append(groups, a.Group)
	}
	return groups
}

// takeAll deletes assignments of any groups, and returns the groups that existed
// for these alone and went along.
func takeAll(ctx context.Context, tx Tx, c access.Caller, assignments []Assignment) ([]*Group, error) {
	var gone []*Group
	for _, a := range assignments {
		on, err := resourceOf(ctx, tx, a)
		if err != nil {
			return nil, err
		}
		g, err := take(ctx, tx, c, on, a)
		if err != nil {
			return nil, err
		}
		if g != nil {
			gone = append(gone, g)
		}
	}
	return gone, nil
}

// remove deletes a group that is locked, on which no other has a role, with its
// members and its roles, and tells of each.
func remove(ctx context.Context, tx Tx, c access.Caller, g *Group) error {
	own, err := tx.AssignmentsOf(ctx, g.ID)
	if err != nil {
		return err
	}
	for _, a := range own {
		on, err := resourceOf(ctx, tx, a)
		if err != nil {
			return err
		}
		if err := revoke(ctx, tx, c, a, on); err != nil {
			return err
		}
	}
	members, err := tx.MembersOf(ctx, g.ID)
	if err != nil {
		return err
	}
	for _, m := range members {
		if err := change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "group.member.remove", Object: m.member()}); err != nil {
			return err
		}
	}
	if len(members) > 0 {
		change.EmitMembership(tx, g.Object())
	}
	ok, err := tx.DeleteGroup(ctx, g.ID)
	if err != nil {
		return err
	}
	if !ok {
		return fault.ErrLost
	}
	return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "group.delete", Object: g.Object(), Event: event.Deleted})
}
