package storetest

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
)

func groupTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"A row is returned as it was stored": func(t *testing.T, w *world) {
			g := w.group(1)
			w.addGroups(t, g)
			got, ok, err := w.store.Groups().Group(t.Context(), w.org, g.ID)
			if diff := cmp.Diff(g, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
			got, ok, err = w.store.Groups().GroupByName(t.Context(), w.org, g.Name)
			found(t, got, ok, err)
			got, ok, err = w.store.Groups().DirectGroup(t.Context(), w.org, g.Direct)
			found(t, got, ok, err)
			got, ok, err = w.store.Groups().DirectGroup(t.Context(), w.org, access.Subject{Principal: access.PrincipalServiceAccount, ID: g.Direct.ID})
			missing(t, got, ok, err)
			got, ok, err = w.store.Groups().DirectGroup(t.Context(), w.org, access.Subject{})
			missing(t, got, ok, err)
			other := w.organization(t)
			got, ok, err = w.store.Groups().Group(t.Context(), other, g.ID)
			missing(t, got, ok, err)
			got, ok, err = w.store.Groups().GroupByName(t.Context(), other, g.Name)
			missing(t, got, ok, err)
		},
		"UpdateGroup loses against a newer revision": func(t *testing.T, w *world) {
			g := w.group(1)
			w.addGroups(t, g)
			g.Name, g.Description, g.UpdatedAt = "New", "", at(9)
			for i, want := range []bool{true, false} {
				w.writeGroups(t, func(tx group.Tx) error {
					if ok, err := tx.UpdateGroup(t.Context(), g); err != nil || ok != want {
						t.Errorf("update %d: %v, %v; want %v", i, ok, err, want)
					}
					return nil
				})
			}
			g.Revision = 2
			got, ok, err := w.store.Groups().GroupByName(t.Context(), w.org, "New")
			if diff := cmp.Diff(g, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
		},
		"Two groups cannot have one name, or one subject": func(t *testing.T, w *world) {
			g := w.group(1)
			w.addGroups(t, g)
			named, direct := w.group(2), w.group(3)
			named.Name, direct.Direct = g.Name, g.Direct
			for _, second := range []group.Group{named, direct} {
				err := w.store.Groups().Write(t.Context(), func(tx group.Tx) error { return tx.InsertGroup(t.Context(), second) })
				if !fault.Is(err, fault.Aborted) {
					t.Errorf("got %v, want a conflict", err)
				}
			}
			named.Organization = w.organization(t)
			w.addGroups(t, named)
		},
		"Members are counted and have their names": func(t *testing.T, w *world) {
			g, u := w.group(1), w.user(1)
			w.addGroups(t, g)
			w.addUsers(t, u)
			m := w.membership(g, userSubject(u), 1)
			w.addMembers(t, m, w.membership(g, access.Subject{Principal: access.PrincipalServiceAccount, ID: id.New()}, 2))
			m.Name = u.Name
			got, ok, err := w.store.Groups().FindMembership(t.Context(), g.ID, userSubject(u))
			if diff := cmp.Diff(m, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
			got, ok, err = w.store.Groups().FindMembership(t.Context(), g.ID, access.Subject{Principal: access.PrincipalServiceAccount, ID: string(u.ID)})
			missing(t, got, ok, err)
			if g, ok, err := w.store.Groups().Group(t.Context(), w.org, g.ID); found(t, g, ok, err).Members != 2 {
				t.Errorf("%d members", g.Members)
			}
			rows, err := w.store.Groups().Memberships(t.Context(), group.MemberQuery{Group: g.ID, Search: "PERSON", Page: page(t, 10)})
			if diff := cmp.Diff([]group.Membership{m}, rows); err != nil || diff != "" {
				t.Error(err, diff)
			}
			ids, err := w.store.Groups().GroupIDsOf(t.Context(), w.org, string(u.ID))
			if diff := cmp.Diff([]id.Group{g.ID}, ids); err != nil || diff != "" {
				t.Error(err, diff)
			}
		},
		"Members and roles go with their group, and only they": func(t *testing.T, w *world) {
			g, other, u, r := w.group(1), w.group(2), w.user(1), w.runner(1)
			w.addGroups(t, g, other)
			w.addUsers(t, u)
			w.addRunners(t, r)
			w.addMembers(t, w.membership(g, userSubject(u), 1), w.membership(other, userSubject(u), 2))
			w.addAssignments(t, w.onRunner(g, r, resource.RoleRunnerUser, 1), w.onRunner(other, r, resource.RoleRunnerUser, 2))
			w.readRunner(t, r) // into the cache
			w.writeGroups(t, func(tx group.Tx) error {
				ok, err := tx.DeleteGroup(t.Context(), g.ID)
				if !ok {
					t.Error("it was not deleted")
				}
				return err
			})
			if got := w.readRunner(t, r).Grants; len(got) != 1 || got[0].Group != other.ID {
				t.Errorf("the runner has %v", got)
			}
			ids, err := w.store.Groups().GroupIDsOf(t.Context(), w.org, string(u.ID))
			if diff := cmp.Diff([]id.Group{other.ID}, ids); err != nil || diff != "" {
				t.Error(err, diff)
			}
		},
		"A subject that has left cannot be locked": func(t *testing.T, w *world) {
			here, gone := w.user(1), w.user(2)
			gone.Status = identity.StatusLeft
			w.addUsers(t, here, gone)
			elsewhere := w.organization(t)
			for _, tt := range []struct {
				org     id.Organization
				subject access.Subject
				want    bool
			}{
				{w.org, userSubject(here), true},
				{w.org, userSubject(gone), false},
				{elsewhere, userSubject(here), false},
				{w.org, access.Subject{Principal: access.PrincipalServiceAccount, ID: string(here.ID)}, false},
				{w.org, access.Subject{Principal: access.PrincipalRunner, ID: string(here.ID)}, false},
			} {
				w.writeGroups(t, func(tx group.Tx) error {
					if ok, err := tx.LockPrincipal(t.Context(), tt.org, tt.subject); err != nil || ok != tt.want {
						t.Errorf("%v: %v, %v", tt.subject, ok, err)
					}
					return nil
				})
			}
		},
		"Of many that add the same member, one does": func(t *testing.T, w *world) {
			g, u := w.group(1), w.user(1)
			w.addGroups(t, g)
			w.addUsers(t, u)
			var won, there atomic.Int32
			atOnce(20, func(n int) {
				err := w.store.Groups().Write(t.Context(), func(tx group.Tx) error {
					_, found, err := tx.FindMembership(t.Context(), g.ID, userSubject(u))
					if err != nil || found {
						return errors.Join(err, errRefused)
					}
					return tx.InsertMembership(t.Context(), w.membership(g, userSubject(u), n))
				})
				switch {
				case err == nil:
					won.Add(1)
				case errors.Is(err, errRefused):
					there.Add(1)
				default:
					t.Error(err)
				}
			})
			if won.Load() != 1 || there.Load() != 19 {
				t.Errorf("%d added it, %d found it", won.Load(), there.Load())
			}
		},
		"Nobody is in a group that has left": func(t *testing.T, w *world) {
			g := w.group(1)
			w.addGroups(t, g)
			for n := range 20 {
				u := w.user(n)
				w.addUsers(t, u)
				atOnce(2, func(i int) {
					var err error
					if i == 0 {
						err = w.store.Identity().Write(t.Context(), func(tx identity.Tx) error {
							left := u
							left.Status = identity.StatusLeft
							_, err := tx.UpdateUser(t.Context(), left)
							if err == nil {
								_, err = tx.DeleteMembershipsOf(t.Context(), w.org, userSubject(u), 10)
							}
							return err
						})
					} else {
						err = w.store.Groups().Write(t.Context(), func(tx group.Tx) error {
							here, err := tx.LockPrincipal(t.Context(), w.org, userSubject(u))
							if err != nil || !here {
								return errors.Join(err, errRefused)
							}
							return tx.InsertMembership(t.Context(), w.membership(g, userSubject(u), n))
						})
					}
					if err != nil && !errors.Is(err, errRefused) {
						t.Error(err)
					}
				})
			}
			if g, ok, err := w.store.Groups().Group(t.Context(), w.org, g.ID); found(t, g, ok, err).Members != 0 {
				t.Errorf("%d members have left", g.Members)
			}
		},
	}
}

// group is one with a value in every field that is stored.
func (w *world) group(n int) group.Group {
	return group.Group{
		ID: id.Group(id.New()), Organization: w.org, Name: "group " + id.New(), Description: "what for",
		Direct: access.Subject{Principal: access.PrincipalUser, ID: id.New()}, CreatedAt: at(n), UpdatedAt: at(n + 1), Revision: 1,
	}
}

func (w *world) membership(g group.Group, s access.Subject, n int) group.Membership {
	return group.Membership{ID: id.New(), Organization: w.org, Group: g.ID, Subject: s, CreatedAt: at(n)}
}

func (w *world) writeGroups(t *testing.T, fn func(group.Tx) error) {
	t.Helper()
	must(t, w.store.Groups().Write(t.Context(), fn))
}

func (w *world) addGroups(t *testing.T, groups ...group.Group) {
	t.Helper()
	w.writeGroups(t, func(tx group.Tx) error {
		for _, g := range groups {
			if err := tx.InsertGroup(t.Context(), g); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *world) addMembers(t *testing.T, members ...group.Membership) {
	t.Helper()
	w.writeGroups(t, func(tx group.Tx) error {
		for _, m := range members {
			if err := tx.InsertMembership(t.Context(), m); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *world) readRunner(t *testing.T, r fleet.Runner) fleet.Runner {
	t.Helper()
	got, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
	return found(t, got, ok, err)
}
