package sqlstore

import (
	"context"
	"strings"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// Principal returns a user or a service account, one that is gone too.
func (r reads) Principal(ctx context.Context, o id.Organization, s access.Subject) (group.Principal, bool, error) {
	row, err := r.q.GetPrincipal(ctx, string(o), s.ID)
	p, found, err := one(r, row, err, "reading a subject", func(row query.GetPrincipalRow) (group.Principal, error) {
		return group.Principal{
			Subject: subject(row.Principal, row.ID), Name: row.Name, Gone: row.Gone != 0, Suspended: row.Suspended != 0, ValidUntil: moment(row.ValidUntil),
		}, nil
	})
	return p, found && p.Subject == s, err
}

// LockPrincipal keeps a user or a service account from leaving until the
// transaction ends; false means that there is none that has not left.
func (tx *Tx) LockPrincipal(ctx context.Context, o id.Organization, s access.Subject) (bool, error) {
	var n int64
	var err error
	switch s.Principal {
	case access.PrincipalUser:
		n, err = tx.q.LockUserAsMember(ctx, s.ID, string(o))
	case access.PrincipalServiceAccount:
		n, err = tx.q.LockServiceAccountAsMember(ctx, s.ID, string(o))
	default: // cannot be in a group
	}
	return n > 0, tx.explained(err, "locking a subject")
}

// GroupIDsOf returns the groups that a user or a service account is in, sorted.
func (r reads) GroupIDsOf(ctx context.Context, o id.Organization, subject string) ([]id.Group, error) {
	rows, err := r.q.ListGroupsOfSubject(ctx, subject)
	if err != nil {
		return nil, r.explained(err, "reading the groups of a subject")
	}
	var groups []id.Group
	for _, g := range rows {
		groups = append(groups, id.Group(g))
	}
	return groups, nil
}

// FindMembership returns the membership of a subject in a group.
func (r reads) FindMembership(ctx context.Context, g id.Group, s access.Subject) (group.Membership, bool, error) {
	row, err := r.q.FindMembership(ctx, query.FindMembershipParams{GroupID: string(g), SubjectID: s.ID, SubjectPrincipal: int32(s.Principal)})
	return one(r, row, err, "reading a membership", membershipOf)
}

// Membership returns a membership of a group of an organization.
func (r reads) Membership(ctx context.Context, o id.Organization, membership string) (group.Membership, bool, error) {
	row, err := r.q.GetMembership(ctx, string(o), membership)
	return one(r, row, err, "reading a membership", membershipOf)
}

// Memberships returns up to Page.Limit+1 members of a group, those that came
// first first.
func (r reads) Memberships(ctx context.Context, q group.MemberQuery) ([]group.Membership, error) {
	after, err := cursorOf(q.Page, beforeAll)
	if err != nil {
		return nil, err
	}
	rows, err := r.q.ListMemberships(ctx, query.ListMembershipsParams{
		GroupID: string(q.Group), AfterAt: after.at, AfterID: after.id, Pattern: containing(strings.ToLower(q.Search)), MaxRows: maxRows(q.Page),
	})
	return all(r, rows, err, "listing the members of a group", membershipOf)
}

// InsertMembership adds a member; the name is not stored.
func (tx *Tx) InsertMembership(ctx context.Context, m group.Membership) error {
	return tx.explained(tx.q.InsertMembership(ctx, query.InsertMembershipParams{
		ID: m.ID, OrganizationID: string(m.Organization), GroupID: string(m.Group), SubjectPrincipal: int32(m.Subject.Principal),
		SubjectID: m.Subject.ID, CreatedAt: micros(m.CreatedAt),
	}), "adding a member to a group")
}

// DeleteMembership removes a member.
func (tx *Tx) DeleteMembership(ctx context.Context, membership string) (bool, error) {
	n, err := tx.q.DeleteMembership(ctx, membership)
	return n > 0, tx.explained(err, "removing a member from a group")
}

func membershipOf(row query.MembershipRow) (group.Membership, error) {
	return group.Membership{
		ID: row.ID, Organization: id.Organization(row.OrganizationID), Group: id.Group(row.GroupID),
		Subject: subject(row.SubjectPrincipal, row.SubjectID), Name: row.Name, CreatedAt: moment(row.CreatedAt),
	}, nil
}
