package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"

	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// Assignments returns up to Page.Limit+1 role assignments, oldest first.
func (r reads) Assignments(ctx context.Context, q group.AssignmentQuery) ([]group.Assignment, error) {
	after, err := cursorOf(q.Page, beforeAll)
	if err != nil {
		return nil, err
	}
	l := assignmentList{q: q, sql: r.q, after: after, rows: maxRows(q.Page)}
	rows, err := l.visible(ctx)
	return all(r, rows, err, "listing role assignments", assignmentOf)
}

// assignmentList is one list of role assignments. Which query serves it depends
// on the filter that leaves the fewest rows.
type assignmentList struct {
	q     group.AssignmentQuery
	sql   *query.Queries
	after timeCursor
	rows  int32
}

// visible merges what the caller may see for different reasons.
func (l assignmentList) visible(ctx context.Context) ([]query.RoleAssignment, error) {
	reach := l.q.Reach
	if reach.All {
		return l.list(ctx)
	}
	own, onRunners := l, l
	own.q.Groups = both(reach.Groups, l.q.Groups)
	rows, err := own.ofGroups(ctx)
	if err != nil {
		return nil, err
	}
	var more []query.RoleAssignment
	if reach.Runners {
		onRunners.q.Roles = both(resource.RolesOn(resource.Runner), l.q.Roles)
		if len(onRunners.q.Roles) > 0 {
			more, err = onRunners.list(ctx)
		}
	} else {
		more, err = l.shared(ctx)
	}
	return merged(append(rows, more...), l.rows, olderAssignment), err
}

// both returns the values that a caller may see and that a filter selects; an
// empty filter selects all.
func both[T comparable](visible, filter []T) []T {
	if len(filter) == 0 {
		return visible
	}
	return slices.DeleteFunc(slices.Clone(visible), func(v T) bool { return !slices.Contains(filter, v) })
}

// list applies the filters and nothing else.
func (l assignmentList) list(ctx context.Context) ([]query.RoleAssignment, error) {
	switch {
	case len(l.q.Resources) > 0:
		return l.onResources(ctx)
	case len(l.q.Groups) > 0:
		return l.ofGroups(ctx)
	case len(l.q.Roles) > 0:
		return lanes(l.q.Roles, l.rows, olderAssignment, func(role resource.Role) ([]query.RoleAssignment, error) {
			return l.sql.ListRoleAssignmentsOfRole(ctx, query.ListRoleAssignmentsOfRoleParams{
				OrganizationID: string(l.q.Organization), ResourceRole: int32(role), AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
			})
		})
	default:
		return l.sql.ListRoleAssignments(ctx, query.ListRoleAssignmentsParams{
			OrganizationID: string(l.q.Organization), AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
		})
	}
}

// ofGroups lists the assignments of the groups of the filter, and none without
// any.
func (l assignmentList) ofGroups(ctx context.Context) ([]query.RoleAssignment, error) {
	return lanes(l.q.Groups, l.rows, olderAssignment, func(g id.Group) ([]query.RoleAssignment, error) {
		return l.sql.ListRoleAssignmentsOfGroup(ctx, query.ListRoleAssignmentsOfGroupParams{
			OrganizationID: string(l.q.Organization), GroupID: string(g), Resources: set(l.q.Resources), Roles: roleSet(l.q.Roles),
			AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
		})
	})
}

func (l assignmentList) onResources(ctx context.Context) ([]query.RoleAssignment, error) {
	return lanes(l.q.Resources, l.rows, olderAssignment, func(on string) ([]query.RoleAssignment, error) {
		return l.sql.ListRoleAssignmentsOnResource(ctx, query.ListRoleAssignmentsOnResourceParams{
			OrganizationID: string(l.q.Organization), ResourceID: on, Roles: roleSet(l.q.Roles), Groups: set(l.q.Groups),
			AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
		})
	})
}

// shared lists the assignments on runners that one of the caller's groups may
// share.
func (l assignmentList) shared(ctx context.Context) ([]query.RoleAssignment, error) {
	return lanes(l.q.Reach.Groups, l.rows, olderAssignment, func(g id.Group) ([]query.RoleAssignment, error) {
		return l.sql.ListRoleAssignmentsSharedBy(ctx, query.ListRoleAssignmentsSharedByParams{
			GroupID: string(g), Sharing: roleSet(l.q.Reach.Sharing), Resources: set(l.q.Resources), Roles: roleSet(l.q.Roles), Groups: set(l.q.Groups),
			AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
		})
	})
}

// set is a set of ids as the queries take it; empty for all.
func set[T ~string](values []T) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString("," + string(v))
	}
	if b.Len() > 0 {
		b.WriteByte(',')
	}
	return b.String()
}

// roleSet is a set of roles as the queries take it; empty for all.
func roleSet(roles []resource.Role) string {
	numbers := make([]string, len(roles))
	for i, r := range roles {
		numbers[i] = strconv.Itoa(int(r))
	}
	return set(numbers)
}

func olderAssignment(a, b query.RoleAssignment) int {
	return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

// Assignment returns a role assignment of an organization.
func (r reads) Assignment(ctx context.Context, o id.Organization, assignment string) (group.Assignment, bool, error) {
	row, err := r.q.GetRoleAssignment(ctx, string(o), assignment)
	return one(r, row, err, "reading a role assignment", assignmentOf)
}

// AssignmentInSlot returns the assignment that has the place of a.
func (r reads) AssignmentInSlot(ctx context.Context, a group.Assignment) (group.Assignment, bool, error) {
	row, err := r.q.GetRoleAssignmentInSlot(ctx, query.GetRoleAssignmentInSlotParams{
		GroupID: string(a.Group), ResourceType: int32(a.Type), ResourceID: a.Resource, Slot: int32(a.Slot()),
	})
	return one(r, row, err, "reading a role assignment", assignmentOf)
}

// AssignmentsOf returns the roles that a group has, the oldest first and so many at
// most.
func (r reads) AssignmentsOf(ctx context.Context, g id.Group, most int) ([]group.Assignment, error) {
	rows, err := r.q.ListAllRoleAssignmentsOfGroup(ctx, string(g), atMost(most))
	return all(r, rows, err, "listing the roles of a group", assignmentOf)
}

// AssignmentBeyond returns the oldest assignment of a group with one of the roles
// on a resource on which none of the others has one of them.
func (r reads) AssignmentBeyond(ctx context.Context, g id.Group, roles []resource.Role, others []id.Group) (group.Assignment, bool, error) {
	row, err := r.q.FindRoleAssignmentBeyond(ctx, query.FindRoleAssignmentBeyondParams{GroupID: string(g), Sharing: roleSet(roles), Others: set(others)})
	return one(r, row, err, "reading the roles of a group", assignmentOf)
}

// OrganizationRoles counts the roles that a group has on an organization.
func (r reads) OrganizationRoles(ctx context.Context, g id.Group) (int64, error) {
	n, err := r.q.CountOrganizationRolesOfGroup(ctx, string(g))
	return n, r.explained(err, "counting the roles of a group")
}

// InsertAssignment gives a group a role.
func (tx *Tx) InsertAssignment(ctx context.Context, a group.Assignment) error {
	runner := runnerIn(a)
	tx.changedOn(runner)
	return tx.explained(tx.q.InsertRoleAssignment(ctx, query.InsertRoleAssignmentParams{
		ID: a.ID, OrganizationID: string(a.Organization), GroupID: string(a.Group), ResourceType: int32(a.Type), ResourceID: a.Resource,
		ResourceRole: int32(a.Role), Slot: int32(a.Slot()), CreatedAt: micros(a.CreatedAt), Revision: a.Revision, RunnerID: runner,
	}), "granting a role")
}

// UpdateAssignment stores the role when the revision is still a.Revision.
func (tx *Tx) UpdateAssignment(ctx context.Context, a group.Assignment) (bool, error) {
	tx.changedOn(runnerIn(a))
	n, err := tx.q.UpdateRoleAssignment(ctx, query.UpdateRoleAssignmentParams{
		ID: a.ID, Revision: a.Revision, ResourceRole: int32(a.Role), Slot: int32(a.Slot()),
	})
	return n > 0, tx.explained(err, "changing a role")
}

// DeleteAssignment takes a role away.
func (tx *Tx) DeleteAssignment(ctx context.Context, a group.Assignment) (bool, error) {
	tx.changedOn(runnerIn(a))
	n, err := tx.q.DeleteRoleAssignment(ctx, a.ID)
	return n > 0, tx.explained(err, "taking a role away")
}

// runnerIn is the runner that an assignment is on; NULL for other resources.
func runnerIn(a group.Assignment) sql.NullString {
	return sql.NullString{String: a.Resource, Valid: a.Type == resource.Runner}
}

// changedOn notes that the roles on a runner change, which are part of it.
func (tx *Tx) changedOn(runner sql.NullString) {
	if runner.Valid {
		tx.changed = append(tx.changed, id.Runner(runner.String))
	}
}

func assignmentOf(row query.RoleAssignment) (group.Assignment, error) {
	return group.Assignment{
		ID: row.ID, Organization: id.Organization(row.OrganizationID), Group: id.Group(row.GroupID), Type: resource.Type(row.ResourceType),
		Resource: row.ResourceID, Role: resource.Role(row.ResourceRole), CreatedAt: moment(row.CreatedAt), Revision: row.Revision,
	}, nil
}
