package sqlstore

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// User returns a member of an organization.
func (r reads) User(ctx context.Context, o id.Organization, u id.User) (identity.User, bool, error) {
	row, err := r.q.GetUser(ctx, string(o), string(u))
	return one(r, row, err, "reading a member", userOf)
}

// UserByEmail finds a member that has not left, without regard to case.
func (r reads) UserByEmail(ctx context.Context, o id.Organization, email string) (identity.User, bool, error) {
	row, err := r.q.GetUserByEmail(ctx, string(o), strings.ToLower(email))
	return one(r, row, err, "looking for a member by e-mail address", userOf)
}

// Users returns up to Page.Limit+1 members.
func (r reads) Users(ctx context.Context, q identity.UserQuery) ([]identity.User, error) {
	f := filterOf(q)
	var rows []query.User
	var err error
	if len(q.IDs) > 0 {
		rows, err = r.usersByID(ctx, q, f)
	} else {
		rows, err = r.usersInOrder(ctx, q, f)
	}
	return all(r, rows, err, "listing members", userOf)
}

func (r reads) usersInOrder(ctx context.Context, q identity.UserQuery, f userFilter) ([]query.User, error) {
	switch q.Sort {
	case identity.ByName:
		after := nameCursor(q, nil)
		return r.q.ListUsersByName(ctx, query.ListUsersByNameParams{
			OrganizationID: f.organization, Statuses: f.statuses, Roles: f.roles, Pattern: f.pattern, Excluded: f.excluded,
			AfterName: after.name, AfterID: after.id, MaxRows: maxRows(q.Page),
		})
	case identity.ByNameDescending:
		after := nameCursor(q, []byte{0xff}) // no text in UTF-8 has this byte
		return r.q.ListUsersByNameDescending(ctx, query.ListUsersByNameDescendingParams{
			OrganizationID: f.organization, Statuses: f.statuses, Roles: f.roles, Pattern: f.pattern, Excluded: f.excluded,
			AfterName: after.name, AfterID: after.id, MaxRows: maxRows(q.Page),
		})
	case identity.ByJoinedDescending:
		after, err := cursorOf(q.Page, afterAll)
		if err != nil {
			return nil, err
		}
		return r.q.ListUsersByJoinedDescending(ctx, query.ListUsersByJoinedDescendingParams{
			OrganizationID: f.organization, Statuses: f.statuses, Roles: f.roles, Pattern: f.pattern, Excluded: f.excluded,
			AfterAt: after.at, AfterID: after.id, MaxRows: maxRows(q.Page),
		})
	default:
		after, err := cursorOf(q.Page, beforeAll)
		if err != nil {
			return nil, err
		}
		return r.q.ListUsersByJoined(ctx, query.ListUsersByJoinedParams{
			OrganizationID: f.organization, Statuses: f.statuses, Roles: f.roles, Pattern: f.pattern, Excluded: f.excluded,
			AfterAt: after.at, AfterID: after.id, MaxRows: maxRows(q.Page),
		})
	}
}

// usersByID lists members that the filter names: there are few, so their order
// is made here.
func (r reads) usersByID(ctx context.Context, q identity.UserQuery, f userFilter) ([]query.User, error) {
	compare := userOrder(q.Sort)
	rows, err := lanes(q.IDs, int32(len(q.IDs)), compare, func(u string) ([]query.User, error) { //nolint:gosec // at most 25
		return r.q.FindUser(ctx, query.FindUserParams{
			OrganizationID: f.organization, ID: u, Statuses: f.statuses, Roles: f.roles, Pattern: f.pattern, Excluded: f.excluded,
		})
	})
	if err != nil {
		return nil, err
	}
	if q.Page.After != nil {
		last, err := lastUser(q)
		if err != nil {
			return nil, err
		}
		rows = slices.DeleteFunc(rows, func(u query.User) bool { return compare(u, last) <= 0 })
	}
	return rows[:min(len(rows), int(maxRows(q.Page)))], nil
}

// CountUsers ignores paging and order.
func (r reads) CountUsers(ctx context.Context, q identity.UserQuery) (int64, error) {
	f := filterOf(q)
	if len(q.IDs) > 0 {
		q.Page.After = nil
		q.Page.Limit = len(q.IDs)
		rows, err := r.usersByID(ctx, q, f)
		return int64(len(rows)), r.explained(err, "counting members")
	}
	n, err := r.q.CountUsers(ctx, query.CountUsersParams{
		OrganizationID: f.organization, Statuses: f.statuses, Roles: f.roles, Pattern: f.pattern, Excluded: f.excluded,
	})
	return n, r.explained(err, "counting members")
}

// InsertUser adds a member.
func (tx *Tx) InsertUser(ctx context.Context, u identity.User) error {
	lower := strings.ToLower(u.Name)
	return tx.explained(tx.q.InsertUser(ctx, query.InsertUserParams{
		ID:             string(u.ID),
		OrganizationID: string(u.Organization),
		Name:           u.Name,
		Email:          u.Email,
		Role:           int32(u.Role),
		Status:         int32(u.Status),
		CreatedAt:      micros(u.CreatedAt),
		UpdatedAt:      micros(u.UpdatedAt),
		Revision:       u.Revision,
		NameLower:      lower,
		EmailLower:     strings.ToLower(u.Email),
		NameOrder:      []byte(lower),
	}), "adding a member")
}

// UpdateUser replaces the row of u when its revision is still u.Revision.
func (tx *Tx) UpdateUser(ctx context.Context, u identity.User) (bool, error) {
	lower := strings.ToLower(u.Name)
	n, err := tx.q.UpdateUser(ctx, query.UpdateUserParams{
		ID:             string(u.ID),
		OrganizationID: string(u.Organization),
		Name:           u.Name,
		Email:          u.Email,
		Role:           int32(u.Role),
		Status:         int32(u.Status),
		UpdatedAt:      micros(u.UpdatedAt),
		Revision:       u.Revision,
		NameLower:      lower,
		EmailLower:     strings.ToLower(u.Email),
		NameOrder:      []byte(lower),
	})
	return n > 0, tx.explained(err, "changing a member")
}

func userOf(row query.User) (identity.User, error) {
	return identity.User{
		ID:           id.User(row.ID),
		Organization: id.Organization(row.OrganizationID),
		Name:         row.Name,
		Email:        row.Email,
		Role:         resource.Role(row.Role),
		Status:       identity.Status(row.Status),
		CreatedAt:    moment(row.CreatedAt),
		UpdatedAt:    moment(row.UpdatedAt),
		Revision:     row.Revision,
	}, nil
}

// userFilter is the filter of a UserQuery as the queries take it.
type userFilter struct {
	organization    string
	statuses, roles int64
	pattern         string
	excluded        string
}

func filterOf(q identity.UserQuery) userFilter {
	return userFilter{
		organization: string(q.Organization),
		statuses:     mask(q.Statuses),
		roles:        mask(q.Roles),
		pattern:      containing(strings.ToLower(q.Search)),
		excluded:     strings.Join(q.NotIn, ","),
	}
}

// containing is the LIKE pattern of the texts that contain part.
func containing(part string) string {
	if part == "" {
		return "%"
	}
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(part) + "%"
}

type namePosition struct {
	name []byte
	id   string
}

// nameCursor reads a position in a list by name; start is where it begins.
func nameCursor(q identity.UserQuery, start []byte) namePosition {
	if q.Page.After == nil {
		return namePosition{name: blob(start)}
	}
	return namePosition{name: []byte(q.Page.After.Key), id: q.Page.After.ID}
}

// lastUser is the last row of the page before, as far as the order goes.
func lastUser(q identity.UserQuery) (query.User, error) {
	if q.Sort == identity.ByName || q.Sort == identity.ByNameDescending {
		after := nameCursor(q, nil)
		return query.User{NameOrder: after.name, ID: after.id}, nil
	}
	after, err := cursorOf(q.Page, beforeAll)
	return query.User{CreatedAt: after.at, ID: after.id}, err
}

func userOrder(s identity.UserSort) func(a, b query.User) int {
	byName := func(a, b query.User) int {
		return cmp.Or(bytes.Compare(a.NameOrder, b.NameOrder), cmp.Compare(a.ID, b.ID))
	}
	byJoined := func(a, b query.User) int {
		return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
	}
	switch s {
	case identity.ByName:
		return byName
	case identity.ByNameDescending:
		return func(a, b query.User) int { return byName(b, a) }
	case identity.ByJoinedDescending:
		return func(a, b query.User) int { return byJoined(b, a) }
	default:
		return byJoined
	}
}
