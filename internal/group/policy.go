package group

import (
	"context"
	"fmt"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

// A runner policy is a role assignment with one of two roles. A group has at
// most one of them on a runner, so that runner and group name it.

// policyRoles are the roles of runner policies.
var policyRoles = map[resource.Role]bool{resource.RoleRunnerAdmin: true, resource.RoleRunnerUser: true}

func checkPolicy(role resource.Role) error {
	if !policyRoles[role] {
		return fault.Invalid("role", "must be RUNNER_ROLE_ADMIN or RUNNER_ROLE_USER")
	}
	return nil
}

// Policies lists the policies of a runner that the caller may see, oldest first.
func (s *Service) Policies(ctx context.Context, c access.Caller, runner id.Runner, r page.Request) ([]Assignment, string, error) {
	on, found, err := s.store.Object(ctx, c.Organization, resource.Runner, string(runner))
	if err != nil {
		return nil, "", fault.Wrap(err, "reading the runner")
	}
	if !found {
		return nil, "", fault.Missing("runner", string(runner))
	}
	if err := access.Check(c, access.RunnerRead, on); err != nil {
		return nil, "", err
	}
	q := AssignmentQuery{
		Organization: c.Organization, Reach: access.AssignmentReach{All: true}, // whoever sees a runner sees its policies
		Resources: []string{string(runner)}, Roles: []resource.Role{resource.RoleRunnerAdmin, resource.RoleRunnerUser},
	}
	if q.Page, err = page.Parse(r, fmt.Sprintf("runner policies\x00%s\x00%s\x00%s", c.Organization, c.ID, runner)); err != nil {
		return nil, "", err
	}
	rows, err := s.store.Assignments(ctx, q)
	if err != nil {
		return nil, "", fault.Wrap(err, "listing the policies of the runner")
	}
	rows, next := page.Cut(q.Page, rows, func(a Assignment) page.Cursor {
		return page.Cursor{Key: page.TimeKey(a.CreatedAt), ID: a.ID}
	})
	return rows, next, nil
}

// policy is the assignment that a policy is.
func policy(runner id.Runner, g id.Group, role resource.Role) Assignment {
	return Assignment{Group: g, Type: resource.Runner, Resource: string(runner), Role: role}
}

// CreatePolicy makes a group an admin or a user of a runner.
func (s *Service) CreatePolicy(ctx context.Context, c access.Caller, runner id.Runner, g id.Group, role resource.Role) (Assignment, error) {
	if err := checkPolicy(role); err != nil {
		return Assignment{}, err
	}
	return s.Assign(ctx, c, policy(runner, g, role))
}

// UpdatePolicy changes which of the two a group is.
func (s *Service) UpdatePolicy(ctx context.Context, c access.Caller, runner id.Runner, g id.Group, role resource.Role) (Assignment, error) {
	if err := checkPolicy(role); err != nil {
		return Assignment{}, err
	}
	var a Assignment
	var changed regrant
	err := s.store.Write(ctx, func(tx Tx) error {
		on, found, err := findPolicy(ctx, tx, c, runner, g)
		if err != nil {
			return err
		}
		changed = s.regrant(g, on, with(without(on, found), policy(runner, g, role)))
		a, err = setRole(ctx, tx, c, found, on, role)
		return err
	})
	if !fault.MayHaveHappened(err) {
		return Assignment{}, fault.Wrap(err, "changing the runner policy")
	}
	s.announce(ctx, err, changed)
	return a, err
}

// findPolicy locks a runner whose roles the caller may change, and a group, and
// returns the runner with the policy of the group.
func findPolicy(ctx context.Context, tx Tx, c access.Caller, runner id.Runner, g id.Group) (access.Object, Assignment, error) {
	on, err := shareable(ctx, tx, c, resource.Runner, string(runner), g)
	if err != nil {
		return on, Assignment{}, err
	}
	a, found, err := tx.AssignmentInSlot(ctx, policy(runner, g, resource.RoleRunnerAdmin))
	if err == nil && !found {
		err = fault.New(fault.NotFound, fault.ReasonNotFound, "The group %s has no policy on the runner %q. \"muster policy list\" shows which groups have.", g, on.Name)
	}
	return on, a, err
}

// setRole changes the role of an assignment in its place; its resource is
// locked.
func setRole(ctx context.Context, tx Tx, c access.Caller, a Assignment, on access.Object, role resource.Role) (Assignment, error) {
	a.Role = role
	ok, err := tx.UpdateAssignment(ctx, a)
	if err != nil {
		return Assignment{}, err
	}
	if !ok {
		return Assignment{}, fault.ErrLost
	}
	a.Revision++
	// Who may see the runner with either role, the old or the new, is told.
	return a, record(ctx, tx, c, a, with(on, a), "role_assignment.update", event.Updated)
}

// DeletePolicy takes a group's role on a runner away.
func (s *Service) DeletePolicy(ctx context.Context, c access.Caller, runner id.Runner, g id.Group) error {
	var gone *departed
	var changed regrant
	err := s.store.Write(ctx, func(tx Tx) error {
		on, a, err := findPolicy(ctx, tx, c, runner, g)
		if err != nil {
			return err
		}
		gone, changed, err = s.take(ctx, tx, c, on, a)
		return err
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "deleting the runner policy")
	}
	s.announce(ctx, err, changed)
	s.dissolved(ctx, err, gone)
	return err
}
