package sqlstore

import (
	"cmp"
	"context"
	"strings"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

var _ group.Tx = (*Tx)(nil)

// Groups returns the store as package group sees it.
func (s *Store) Groups() group.Store { return groupStore{s} }

type groupStore struct{ *Store }

func (s groupStore) Write(ctx context.Context, fn func(group.Tx) error) error {
	return s.write(ctx, func(tx *Tx) error { return fn(tx) })
}

// Groups returns up to Page.Limit+1 groups, oldest first.
func (s groupStore) Groups(ctx context.Context, q group.Query) ([]group.Group, error) {
	return s.reads.groups(ctx, q)
}

// Group returns a group with the number of its members and the roles on it.
func (r reads) Group(ctx context.Context, o id.Organization, g id.Group) (group.Group, bool, error) {
	row, err := r.q.GetGroup(ctx, string(o), string(g))
	return one(r, row, err, "reading a group", groupOf)
}

// GroupByName finds a group by its exact name.
func (r reads) GroupByName(ctx context.Context, o id.Organization, name string) (group.Group, bool, error) {
	row, err := r.q.GetGroupByName(ctx, string(o), name)
	return one(r, row, err, "looking for a group by name", groupOf)
}

// DirectGroup returns the group that exists to share something with a subject.
func (r reads) DirectGroup(ctx context.Context, o id.Organization, subject access.Subject) (group.Group, bool, error) {
	row, err := r.q.GetDirectGroup(ctx, string(o), subject.ID)
	g, found, err := one(r, row, err, "looking for the group of a subject", groupOf)
	return g, found && g.Direct == subject, err
}

// groups lists groups; those that a filter names are looked up one by one.
func (r reads) groups(ctx context.Context, q group.Query) ([]group.Group, error) {
	after, err := cursorOf(q.Page, beforeAll)
	if err != nil {
		return nil, err
	}
	p := query.ListGroupsParams{
		OrganizationID: string(q.Organization), AfterAt: after.at, AfterID: after.id, Pattern: containing(strings.ToLower(q.Search)),
		Direct: wanted(q.Direct), WithoutID: q.WithoutResource, WithoutType: int32(q.WithoutType), MaxRows: maxRows(q.Page),
	}
	var rows []query.GroupRow
	if len(q.IDs) == 0 {
		rows, err = r.q.ListGroups(ctx, p)
	} else {
		rows, err = lanes(q.IDs, p.MaxRows, olderGroup, func(g id.Group) ([]query.GroupRow, error) {
			return r.q.FindGroup(ctx, query.FindGroupParams{
				OrganizationID: p.OrganizationID, ID: string(g), AfterAt: p.AfterAt, AfterID: p.AfterID, Pattern: p.Pattern,
				Direct: p.Direct, WithoutID: p.WithoutID, WithoutType: p.WithoutType,
			})
		})
	}
	return all(r, rows, err, "listing groups", groupOf)
}

// wanted is a filter by yes or no; below 0 it selects both.
func wanted(b *bool) int64 {
	switch {
	case b == nil:
		return -1
	case *b:
		return 1
	default:
		return 0
	}
}

func olderGroup(a, b query.GroupRow) int {
	return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

// InsertGroup adds a group.
func (tx *Tx) InsertGroup(ctx context.Context, g group.Group) error {
	return tx.explained(tx.q.InsertGroup(ctx, query.InsertGroupParams{
		ID: string(g.ID), OrganizationID: string(g.Organization), Name: g.Name, Description: g.Description,
		DirectPrincipal: int32(g.Direct.Principal), DirectID: g.Direct.ID,
		CreatedAt: micros(g.CreatedAt), UpdatedAt: micros(g.UpdatedAt), Revision: g.Revision, NameLower: strings.ToLower(g.Name),
	}), "adding a group")
}

// UpdateGroup stores name and description when the revision is still g.Revision.
func (tx *Tx) UpdateGroup(ctx context.Context, g group.Group) (bool, error) {
	n, err := tx.q.UpdateGroup(ctx, query.UpdateGroupParams{
		ID: string(g.ID), Revision: g.Revision, Name: g.Name, Description: g.Description, UpdatedAt: micros(g.UpdatedAt),
		NameLower: strings.ToLower(g.Name),
	})
	return n > 0, tx.explained(err, "changing a group")
}

// LockGroup makes transactions that lock the same group run one after the other.
func (tx *Tx) LockGroup(ctx context.Context, o id.Organization, g id.Group) (bool, error) {
	n, err := tx.q.LockGroup(ctx, string(g), string(o))
	return n > 0, tx.explained(err, "locking a group")
}

// LockLeaving locks a user or a service account that is about to leave, and
// before it the group that exists to share something with it.
func (tx *Tx) LockLeaving(ctx context.Context, o id.Organization, s access.Subject) error {
	g, found, err := tx.DirectGroup(ctx, o, s)
	if err != nil {
		return err
	}
	if found {
		if _, err := tx.LockGroup(ctx, o, g.ID); err != nil {
			return err
		}
	}
	if _, err := tx.LockPrincipal(ctx, o, s); err != nil {
		return err
	}
	if now, again, err := tx.DirectGroup(ctx, o, s); err != nil {
		return err
	} else if again && now.ID != g.ID {
		return fault.ErrLost // it was made since, and is not locked
	}
	return nil
}

// DeleteGroup removes a group, its memberships and its roles.
func (tx *Tx) DeleteGroup(ctx context.Context, g id.Group) (bool, error) {
	rows, err := tx.q.ListRunnersOfRoles(ctx, string(g))
	if err != nil {
		return false, tx.explained(err, "deleting a group")
	}
	for _, row := range rows {
		tx.changedOn(row)
	}
	n, err := tx.q.DeleteGroup(ctx, string(g))
	return n > 0, tx.explained(err, "deleting a group")
}

func groupOf(row query.GroupRow) (group.Group, error) {
	g := group.Group{
		ID: id.Group(row.ID), Organization: id.Organization(row.OrganizationID), Name: row.Name, Description: row.Description,
		Direct: subject(row.DirectPrincipal, row.DirectID), Members: row.MemberCount,
		CreatedAt: moment(row.CreatedAt), UpdatedAt: moment(row.UpdatedAt), Revision: row.Revision,
	}
	var err error
	g.Grants, err = grantsOf(row.Grants)
	return g, err
}
