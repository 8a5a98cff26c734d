package sqlstore

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

func (w filled) groupQueries(where string, p page.Query) []plannedQuery {
	ctx := context.Background()
	groups := func(q group.Query) func(reads) error {
		return func(r reads) error {
			q.Organization, q.Page = w.org, p
			_, err := r.groups(ctx, q)
			return err
		}
	}
	assignments := func(q group.AssignmentQuery) func(reads) error {
		return func(r reads) error {
			q.Organization, q.Page = w.org, p
			_, err := r.Assignments(ctx, q)
			return err
		}
	}
	runners := func(reach access.Reach) func(reads) error {
		return func(r reads) error {
			_, err := r.Runners(ctx, fleet.Query{Organization: w.org, Reach: reach, Page: p})
			return err
		}
	}
	all := access.AssignmentReach{All: true}
	after, err := cursorOf(p, beforeAll)
	if err != nil {
		panic(err)
	}
	shared := query.ListRoleAssignmentsSharedByParams{
		GroupID: string(w.sharer), Sharing: roleSet(access.RolesAllowing(resource.Runner, access.RunnerShare)),
		AfterAt: after.at, AfterID: after.id, MaxRows: maxRows(p),
	}
	return []plannedQuery{
		{"groups " + where, "groups_by_age", groups(group.Query{Search: "group", Direct: new(bool)})},
		{"groups without a role on a runner " + where, "groups_by_age", groups(group.Query{WithoutType: resource.Runner, WithoutResource: string(w.runner)})},
		{"groups by id " + where, "groups", groups(group.Query{IDs: []id.Group{w.group}})},
		{"a group by name " + where, "groups_by_name", func(r reads) error { _, _, err := r.GroupByName(ctx, w.org, "group 7"); return err }},
		{"members " + where, "memberships_by_age", func(r reads) error {
			_, err := r.Memberships(ctx, group.MemberQuery{Group: w.group, Search: "person", Page: p})
			return err
		}},
		{"the groups of a subject " + where, "memberships_of_subject", func(r reads) error { _, err := r.GroupIDsOf(ctx, w.org, w.user); return err }},
		{"role assignments " + where, "role_assignments_by_age", assignments(group.AssignmentQuery{Reach: all})},
		{"role assignments of a role " + where, "role_assignments_by_role", assignments(group.AssignmentQuery{Reach: all, Roles: []resource.Role{resource.RoleRunnerUser}})},
		{"role assignments on a runner " + where, "role_assignments_of_resource", assignments(group.AssignmentQuery{Reach: all, Groups: []id.Group{w.group}, Resources: []string{string(w.runner)}})},
		{"role assignments of a group " + where, "role_assignments_of_group", assignments(group.AssignmentQuery{Reach: all, Groups: []id.Group{w.group}, Roles: []resource.Role{resource.RoleRunnerUser}})},
		{"role assignments of one's own groups " + where, "role_assignments_of_group", assignments(group.AssignmentQuery{Reach: access.AssignmentReach{Groups: []id.Group{w.group}}})},
		{"role assignments on all runners " + where, "role_assignments_by_role", assignments(group.AssignmentQuery{Reach: access.AssignmentReach{Runners: true}})},
		{fewSeen + "what a group may share " + where, "role_assignments_of_runner", func(r reads) error { _, err := r.q.ListRoleAssignmentsSharedBy(ctx, shared); return err }},
		{"what a group has and another has not " + where, "role_assignments_of_resource", func(r reads) error {
			_, _, err := r.AssignmentBeyond(ctx, w.sharer, access.RolesAllowing(resource.Runner, access.RunnerShare), []id.Group{w.group})
			return err
		}},
		{fewSeen + "the roles that go with a runner " + where, "role_assignments_of_resource", func(r reads) error {
			_, err := r.q.ListRolesOnToDelete(ctx, query.ListRolesOnToDeleteParams{ResourceID: string(w.runner), ResourceType: int32(resource.Runner), MaxRows: 10})
			return err
		}},
		{"runners of a group " + where, "role_assignments_runners", runners(access.Reach{Groups: []id.Group{w.group}})},
		{"runners of a small group " + where, "role_assignments_runners", runners(access.Reach{Groups: []id.Group{w.sharer}})},
	}
}

// fillGroups adds the i-th group, with a member, a role on a runner and a role on
// itself for another group; the sharing group gets ten runners in all.
func fillGroups(t *testing.T, tx *Tx, w *filled, i int, at time.Time, r fleet.Runner, user id.User) []error {
	t.Helper()
	ctx := t.Context()
	var errs []error
	if w.sharer == "" {
		w.sharer = id.Group(id.New())
		errs = append(errs, tx.InsertGroup(ctx, group.Group{ID: w.sharer, Organization: w.org, Name: "sharers", CreatedAt: at}))
	}
	g := group.Group{ID: id.Group(id.New()), Organization: w.org, Name: fmt.Sprintf("group %d", i), CreatedAt: at}
	errs = append(errs, tx.InsertGroup(ctx, g))
	for _, in := range []id.Group{g.ID, w.group} {
		errs = append(errs, tx.InsertMembership(ctx, group.Membership{
			ID: id.New(), Organization: w.org, Group: in, Subject: access.Subject{Principal: access.PrincipalUser, ID: string(user)}, CreatedAt: at,
		}))
	}
	assign := func(to id.Group, on resource.Type, what string, role resource.Role) {
		errs = append(errs, tx.InsertAssignment(ctx, group.Assignment{
			ID: id.New(), Organization: w.org, Group: to, Type: on, Resource: what, Role: role, CreatedAt: at,
		}))
	}
	assign(g.ID, resource.Runner, string(r.ID), resource.RoleRunnerUser)
	assign(w.group, resource.Group, string(g.ID), resource.RoleGroupAdmin)
	if i%(big/10) == 0 {
		assign(w.sharer, resource.Runner, string(r.ID), resource.RoleRunnerAdmin)
	}
	return errs
}
