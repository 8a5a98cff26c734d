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
	"github.com/musterhq/muster/internal/resource"
)

func roleAssignmentTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"A row is returned as it was stored": func(t *testing.T, w *world) {
			g, r := w.group(1), w.runner(1)
			w.addGroups(t, g)
			w.addRunners(t, r)
			a := w.onRunner(g, r, resource.RoleRunnerUser, 1)
			w.addAssignments(t, a)
			w.writeGroups(t, func(tx group.Tx) error {
				got, ok, err := tx.Assignment(t.Context(), w.org, a.ID)
				if diff := cmp.Diff(a, found(t, got, ok, err)); diff != "" {
					t.Error(diff)
				}
				admin := a
				admin.Role = resource.RoleRunnerAdmin
				got, ok, err = tx.AssignmentInSlot(t.Context(), admin) // the same slot
				found(t, got, ok, err)
				admin.Role = resource.RoleRunnerLocalAdmin
				got, ok, err = tx.AssignmentInSlot(t.Context(), admin)
				missing(t, got, ok, err)
				got, ok, err = tx.Assignment(t.Context(), id.Organization(id.New()), a.ID)
				missing(t, got, ok, err)
				return nil
			})
		},
		"A runner has the roles on it at once": func(t *testing.T, w *world) {
			g, r := w.group(1), w.runner(1)
			w.addGroups(t, g)
			w.addRunners(t, r)
			want := func(roles ...resource.Role) {
				t.Helper()
				var grants []access.Grant
				for _, role := range roles {
					grants = append(grants, access.Grant{Group: g.ID, Role: role})
				}
				if diff := cmp.Diff(grants, w.readRunner(t, r).Grants); diff != "" {
					t.Error(diff)
				}
			}
			want()
			a := w.onRunner(g, r, resource.RoleRunnerUser, 1)
			w.addAssignments(t, a)
			want(resource.RoleRunnerUser)
			a.Role = resource.RoleRunnerAdmin
			w.writeGroups(t, func(tx group.Tx) error {
				if ok, err := tx.UpdateAssignment(t.Context(), a); err != nil || !ok {
					t.Errorf("UpdateAssignment: %v, %v", ok, err)
				}
				if ok, err := tx.UpdateAssignment(t.Context(), a); err != nil || ok {
					t.Errorf("UpdateAssignment of an old revision: %v, %v", ok, err)
				}
				return nil
			})
			want(resource.RoleRunnerAdmin)
			w.writeGroups(t, func(tx group.Tx) error {
				for _, there := range []bool{true, false} {
					if ok, err := tx.DeleteAssignment(t.Context(), a); err != nil || ok != there {
						t.Errorf("DeleteAssignment: %v, %v", ok, err)
					}
				}
				return nil
			})
			want()
		},
		"Roles on a runner go with it": func(t *testing.T, w *world) {
			g, r := w.group(1), w.runner(1)
			w.addGroups(t, g)
			w.addRunners(t, r)
			a := w.onRunner(g, r, resource.RoleRunnerUser, 1)
			other := a
			other.ID, other.Type, other.Resource, other.Role = id.New(), resource.Project, id.New(), resource.RoleProjectUser
			w.addAssignments(t, a, other)
			w.writeFleet(t, func(tx fleet.Tx) error {
				_, err := tx.DeleteRunner(t.Context(), r.ID)
				return err
			})
			w.writeGroups(t, func(tx group.Tx) error {
				rows, err := tx.AssignmentsOf(t.Context(), g.ID, 1000)
				if diff := cmp.Diff([]group.Assignment{other}, rows); err != nil || diff != "" {
					t.Error(err, diff)
				}
				return nil
			})
		},
		"A role needs its group and its runner": func(t *testing.T, w *world) {
			g, r := w.group(1), w.runner(1)
			w.addGroups(t, g)
			w.addRunners(t, r)
			for _, a := range []group.Assignment{w.onRunner(w.group(2), r, resource.RoleRunnerUser, 1), w.onRunner(g, w.runner(2), resource.RoleRunnerUser, 1)} {
				err := w.store.Groups().Write(t.Context(), func(tx group.Tx) error { return tx.InsertAssignment(t.Context(), a) })
				if !fault.Is(err, fault.Aborted) {
					t.Errorf("got %v, want a conflict", err)
				}
			}
		},
		"Of many that grant one of two roles, one does": func(t *testing.T, w *world) {
			g, r := w.group(1), w.runner(1)
			w.addGroups(t, g)
			w.addRunners(t, r)
			var won, there atomic.Int32
			atOnce(20, func(n int) {
				a := w.onRunner(g, r, []resource.Role{resource.RoleRunnerUser, resource.RoleRunnerAdmin}[n%2], n)
				err := w.store.Groups().Write(t.Context(), func(tx group.Tx) error {
					_, found, err := tx.AssignmentInSlot(t.Context(), a)
					if err != nil || found {
						return errors.Join(err, errRefused)
					}
					return tx.InsertAssignment(t.Context(), a)
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
			if won.Load() != 1 || there.Load() != 19 || len(w.readRunner(t, r).Grants) != 1 {
				t.Errorf("%d granted it, %d found it, the runner has %v", won.Load(), there.Load(), w.readRunner(t, r).Grants)
			}
		},
		"A group that is locked stays as it is": func(t *testing.T, w *world) {
			g := w.group(1)
			w.addGroups(t, g)
			atOnce(10, func(n int) {
				err := w.store.Groups().Write(t.Context(), func(tx group.Tx) error {
					if ok, err := tx.LockGroup(t.Context(), w.org, g.ID); err != nil || !ok {
						return errors.Join(err, errRefused)
					}
					rows, err := tx.AssignmentsOf(t.Context(), g.ID, 1000)
					if err != nil || len(rows) >= 5 {
						return errors.Join(err, errRefused)
					}
					return tx.InsertAssignment(t.Context(), group.Assignment{
						ID: id.New(), Organization: w.org, Group: g.ID, Type: resource.Project, Resource: id.New(), Role: resource.RoleProjectUser, CreatedAt: at(n), Revision: 1,
					})
				})
				if err != nil && !errors.Is(err, errRefused) {
					t.Error(err)
				}
			})
			w.writeGroups(t, func(tx group.Tx) error {
				if rows, err := tx.AssignmentsOf(t.Context(), g.ID, 1000); err != nil || len(rows) != 5 {
					t.Errorf("%d roles, %v; want 5", len(rows), err)
				}
				if ok, err := tx.LockGroup(t.Context(), id.Organization(id.New()), g.ID); err != nil || ok {
					t.Errorf("a group of another organization: %v, %v", ok, err)
				}
				return nil
			})
		},
	}
}

func (w *world) onRunner(g group.Group, r fleet.Runner, role resource.Role, n int) group.Assignment {
	return group.Assignment{
		ID: id.New(), Organization: g.Organization, Group: g.ID, Type: resource.Runner, Resource: string(r.ID), Role: role, CreatedAt: at(n), Revision: 1,
	}
}

func (w *world) addAssignments(t *testing.T, assignments ...group.Assignment) {
	t.Helper()
	w.writeGroups(t, func(tx group.Tx) error {
		for _, a := range assignments {
			if err := tx.InsertAssignment(t.Context(), a); err != nil {
				return err
			}
		}
		return nil
	})
}
