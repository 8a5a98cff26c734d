package storetest

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
)

func userListTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"Who is in one of some groups is left out": func(t *testing.T, w *world) {
			users := []identity.User{w.user(1), w.user(2), w.user(3), w.user(4)}
			w.addUsers(t, users...)
			groups := []string{id.New(), id.New(), id.New()}
			for i, g := range groups {
				w.db.Exec(t, `INSERT INTO groups (id, organization_id, name, description, direct_principal, direct_id, created_at, updated_at, revision, name_lower)
					VALUES ($1, $2, $1, '', 0, '', 1, 1, 1, $1)`, g, string(w.org))
				w.db.Exec(t, `INSERT INTO memberships (id, organization_id, group_id, subject_principal, subject_id, created_at)
					VALUES ($1, $2, $1, 2, $3, 1)`, g, string(w.org), string(users[i].ID))
			}
			for _, c := range []struct {
				notIn, ids []string
				want       string
			}{
				{nil, nil, "001 002 003 004"},
				{groups[:1], nil, "002 003 004"},
				{groups[1:], nil, "001 004"},
				{append([]string{id.New()}, groups...), nil, "004"},
				{groups[:1], []string{string(users[0].ID), string(users[1].ID)}, "002"},
			} {
				for _, sort := range []identity.UserSort{identity.ByJoined, identity.ByJoinedDescending, identity.ByName, identity.ByNameDescending} {
					q := identity.UserQuery{Organization: w.org, NotIn: c.notIn, IDs: c.ids, Sort: sort, Page: page(t, 100)}
					got, err := w.store.Identity().Users(t.Context(), q)
					must(t, err)
					var names []string
					for _, u := range got {
						names = append(names, strings.TrimPrefix(u.Name, "Person "))
					}
					slices.Sort(names)
					if s := strings.Join(names, " "); s != c.want {
						t.Errorf("not in %d groups, order %d: %s, want %s", len(c.notIn), sort, s, c.want)
					}
					n, err := w.store.Identity().CountUsers(t.Context(), q)
					if err != nil || int(n) != len(names) {
						t.Errorf("counted %d of %d, %v", n, len(names), err)
					}
				}
			}
		},
		"A search takes its text literally": func(t *testing.T, w *world) {
			names := []string{`100% sure`, `under_score`, `back\slash`, `Plain`, `ÄRGER`, `quo'te`}
			users := make([]identity.User, len(names))
			for i, name := range names {
				users[i] = w.user(i)
				users[i].Name = name
			}
			w.addUsers(t, users...)
			for search, want := range map[string][]string{
				`%`: {names[0]}, `_`: {names[1]}, `\`: {names[2]}, `PLAIN`: {names[3]}, `ärger`: {names[4]}, `'`: {names[5]},
				`%%`: nil, `nobody`: nil, ``: names, `EXAMPLE.ORG`: names, `person.003@`: {names[3]},
			} {
				q := identity.UserQuery{Organization: w.org, Search: search, Page: page(t, 100)}
				got, err := w.store.Identity().Users(t.Context(), q)
				must(t, err)
				var found []string
				for _, u := range got {
					found = append(found, u.Name)
				}
				if !slices.Equal(found, want) {
					t.Errorf("search %q found %q, want %q", search, found, want)
				}
			}
		},
		"A filter with values of no enumeration finds nothing": func(t *testing.T, w *world) {
			w.addUsers(t, w.user(1))
			for _, s := range []identity.Status{-1, 63, 64, 1 << 30} {
				n, err := w.store.Identity().CountUsers(t.Context(), identity.UserQuery{Organization: w.org, Statuses: []identity.Status{s}})
				if err != nil || n != 0 {
					t.Errorf("status %d: %d, %v; want 0", s, n, err)
				}
			}
		},
		"Pages of any list are the rows that a plain filter finds": func(t *testing.T, w *world) {
			rapid.Check(t, func(rt *rapid.T) {
				org := w.organization(t)
				all := drawUsers(rt, org)
				w.addUsers(t, shuffled(all)...)
				q := drawUserQuery(rt, org, all)
				want := selectUsers(q, all)
				got := pages(t, rt, func(p pageQuery) ([]identity.User, error) {
					q.Page = p
					return w.store.Identity().Users(t.Context(), q)
				}, userPosition(q.Sort))
				if a, b := userIDs(got), userIDs(want); !slices.Equal(a, b) {
					rt.Fatalf("query %+v\n got %v\nwant %v", q, a, b)
				}
				if n, err := w.store.Identity().CountUsers(t.Context(), q); err != nil || int(n) != len(want) {
					rt.Fatalf("query %+v counts %d, %v; want %d", q, n, err, len(want))
				}
			})
		},
	}
}

// drawUsers makes members with many ties in what lists sort by.
func drawUsers(rt *rapid.T, org id.Organization) []identity.User {
	users := make([]identity.User, rapid.IntRange(0, 12).Draw(rt, "users"))
	for i := range users {
		users[i] = identity.User{
			ID: id.User(id.New()), Organization: org,
			Name:      rapid.SampledFrom([]string{"a", "B", "b", "Ab", "a b", "a-b", "Ä", "ä", "z", "Zz", "%", "_"}).Draw(rt, "name"),
			Email:     id.New() + "@example.org",
			Role:      rapid.SampledFrom([]resource.Role{resource.RoleOrgAdmin, resource.RoleOrgMember}).Draw(rt, "role"),
			Status:    rapid.SampledFrom([]identity.Status{identity.StatusActive, identity.StatusSuspended, identity.StatusLeft}).Draw(rt, "status"),
			CreatedAt: at(rapid.IntRange(0, 3).Draw(rt, "joined")), UpdatedAt: at(0), Revision: 1,
		}
	}
	return users
}

func drawUserQuery(rt *rapid.T, org id.Organization, all []identity.User) identity.UserQuery {
	q := identity.UserQuery{
		Organization: org,
		Search:       rapid.SampledFrom([]string{"", "", "b", "A", "%", "ä", "@EXAMPLE"}).Draw(rt, "search"),
		Statuses:     rapid.SliceOfN(rapid.SampledFrom([]identity.Status{1, 2, 3}), 0, 2).Draw(rt, "statuses"),
		Roles:        rapid.SliceOfN(rapid.SampledFrom([]resource.Role{1, 2}), 0, 2).Draw(rt, "roles"),
		Sort:         rapid.SampledFrom([]identity.UserSort{identity.ByJoined, identity.ByJoinedDescending, identity.ByName, identity.ByNameDescending}).Draw(rt, "sort"),
	}
	if rapid.Bool().Draw(rt, "by id") {
		q.IDs = []string{id.New()}
		for _, u := range all {
			if rapid.Bool().Draw(rt, "named") {
				q.IDs = append(q.IDs, string(u.ID), string(u.ID))
			}
		}
		q.IDs = q.IDs[:min(len(q.IDs), 25)]
	}
	return q
}

// selectUsers is the list, as plainly as it can be said.
func selectUsers(q identity.UserQuery, all []identity.User) []identity.User {
	var out []identity.User
	for _, u := range all {
		search := strings.ToLower(q.Search)
		if (len(q.Statuses) == 0 || slices.Contains(q.Statuses, u.Status)) &&
			(len(q.Roles) == 0 || slices.Contains(q.Roles, u.Role)) &&
			(len(q.IDs) == 0 || slices.Contains(q.IDs, string(u.ID))) &&
			(strings.Contains(strings.ToLower(u.Name), search) || strings.Contains(strings.ToLower(u.Email), search)) {
			out = append(out, u)
		}
	}
	position := userPosition(q.Sort)
	slices.SortFunc(out, func(a, b identity.User) int {
		order := compareCursors(position(a), position(b))
		if q.Sort == identity.ByJoinedDescending || q.Sort == identity.ByNameDescending {
			return -order
		}
		return order
	})
	return out
}

func userPosition(s identity.UserSort) func(identity.User) cursor {
	return func(u identity.User) cursor {
		if s == identity.ByName || s == identity.ByNameDescending {
			return cursor{Key: strings.ToLower(u.Name), ID: string(u.ID)}
		}
		return cursor{Key: timeKey(u.CreatedAt), ID: string(u.ID)}
	}
}

func userIDs(users []identity.User) []string {
	out := make([]string, len(users))
	for i, u := range users {
		out[i] = string(u.ID)
	}
	return out
}
