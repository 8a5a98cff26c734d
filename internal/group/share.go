package group

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// Share gives one user or service account a role on a resource. Doing it again
// changes nothing; with the other role of a runner policy, it changes the role.
// a.Group is ignored.
func (s *Service) Share(ctx context.Context, c access.Caller, subject access.Subject, a Assignment) error {
	if err := checkSubject(subject); err != nil {
		return err
	}
	if err := a.check(); err != nil {
		return err
	}
	var made bool
	var changed *regrant
	err := s.store.Write(ctx, func(tx Tx) error {
		made, changed = false, nil
		on, g, found, err := lockedDirect(ctx, tx, c, subject, a.Type, a.Resource)
		if err != nil {
			return err
		}
		p, err := present(ctx, tx, c, subject)
		if err != nil {
			return err
		}
		if !found {
			if g, err = directGroup(ctx, tx, c, p); err != nil {
				return err
			}
			made = true
		}
		a.Group = g.ID
		has, found, err := tx.AssignmentInSlot(ctx, a)
		switch {
		case err != nil || found && has.Role == a.Role:
			return err
		case found:
			_, err = setRole(ctx, tx, c, has, on, a.Role)
		default:
			_, err = grant(ctx, tx, c, a, on)
		}
		r := s.regrant(g.ID, on, with(without(on, has), a))
		changed = &r
		return err
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "sharing the "+a.Type.Words())
	}
	if changed != nil {
		s.announce(ctx, err, *changed)
	}
	if made {
		s.changed(ctx, err, subject, "", nil)
	}
	return err
}

// directGroup makes the group for sharing with one subject, which is locked.
func directGroup(ctx context.Context, tx Tx, c access.Caller, p Principal) (Group, error) {
	// It was looked for before the lock, and somebody else may have made it since.
	if _, found, err := tx.DirectGroup(ctx, c.Organization, p.Subject); err != nil {
		return Group{}, err
	} else if found {
		return Group{}, fault.ErrLost
	}
	now := time.Now().Truncate(time.Microsecond)
	g := Group{
		ID: id.Group(id.New()), Organization: c.Organization, Name: directPrefix + p.ID, Direct: p.Subject, CreatedAt: now, UpdatedAt: now, Revision: 1,
	}
	if err := insert(ctx, tx, c, &g); err != nil {
		return Group{}, err
	}
	_, err := join(ctx, tx, c, &g, p)
	return g, err
}

// Unshare takes back what Share gave a user or a service account on a resource,
// whatever the roles.
func (s *Service) Unshare(ctx context.Context, c access.Caller, subject access.Subject, t resource.Type, resourceID string) error {
	if err := checkSubject(subject); err != nil {
		return err
	}
	var gone *departed
	var changed regrant
	err := s.store.Write(ctx, func(tx Tx) error {
		on, g, found, err := lockedDirect(ctx, tx, c, subject, t, resourceID)
		if err != nil {
			return err
		}
		missing := fault.New(fault.NotFound, fault.ReasonNotFound, "This %s is not shared with the %s %q. What it has through a group is taken with the group's role.", t.Words(), subject.Principal, subject.ID)
		if !found {
			return missing
		}
		all, err := tx.AssignmentsOf(ctx, g.ID, math.MaxInt32)
		if err != nil {
			return err
		}
		shared := slices.DeleteFunc(all, func(a Assignment) bool { return a.Type != t || a.Resource != resourceID })
		if len(shared) == 0 {
			return missing
		}
		gone, changed, err = s.take(ctx, tx, c, on, shared...)
		return err
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "taking the share back")
	}
	s.announce(ctx, err, changed)
	s.dissolved(ctx, err, gone)
	return err
}
