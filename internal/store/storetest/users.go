package storetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
)

func userTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"A row is returned as it was stored": func(t *testing.T, w *world) {
			u := w.user(1)
			w.addUsers(t, u)
			got, ok, err := w.store.Identity().User(t.Context(), w.org, u.ID)
			if diff := cmp.Diff(u, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
		},
		"A member is not found in another organization": func(t *testing.T, w *world) {
			u := w.user(1)
			w.addUsers(t, u)
			got, ok, err := w.store.Identity().User(t.Context(), w.organization(t), u.ID)
			missing(t, got, ok, err)
		},
		"UpdateUser stores the change and the next revision": func(t *testing.T, w *world) {
			u := w.user(1)
			w.addUsers(t, u)
			u.Name, u.Email, u.Role, u.Status, u.UpdatedAt = "New Name", "New@example.org", resource.RoleOrgAdmin, identity.StatusSuspended, at(9)
			w.writeIdentity(t, func(tx identity.Tx) error {
				if ok, err := tx.UpdateUser(t.Context(), u); err != nil || !ok {
					t.Errorf("UpdateUser: %v, %v", ok, err)
				}
				return nil
			})
			u.Revision = 2
			got, ok, err := w.store.Identity().User(t.Context(), w.org, u.ID)
			if diff := cmp.Diff(u, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
			byName, err := w.store.Identity().Users(t.Context(), identity.UserQuery{Organization: w.org, Search: "new n", Page: page(t, 1)})
			if err != nil || len(byName) != 1 {
				t.Errorf("a search for the new name found %d, %v", len(byName), err)
			}
		},
		"UpdateUser loses against a newer revision": func(t *testing.T, w *world) {
			u := w.user(1)
			w.addUsers(t, u)
			for i, want := range []bool{true, false} {
				w.writeIdentity(t, func(tx identity.Tx) error {
					if ok, err := tx.UpdateUser(t.Context(), u); err != nil || ok != want {
						t.Errorf("update %d: %v, %v; want %v", i, ok, err, want)
					}
					return nil
				})
			}
		},
		"UserByEmail ignores case and those who have left": func(t *testing.T, w *world) {
			gone, here := w.user(1), w.user(2)
			gone.Email, gone.Status = "Ünal@Example.org", identity.StatusLeft
			here.Email = "üNAL@example.ORG"
			w.addUsers(t, gone, here)
			w.writeIdentity(t, func(tx identity.Tx) error {
				got, ok, err := tx.UserByEmail(t.Context(), w.org, "ÜNAL@EXAMPLE.org")
				if found(t, got, ok, err).ID != here.ID {
					t.Errorf("found %s", got.Name)
				}
				got, ok, err = tx.UserByEmail(t.Context(), w.org, "nal@example.org")
				missing(t, got, ok, err)
				return nil
			})
		},
		"Two members cannot have one address": func(t *testing.T, w *world) {
			first, second := w.user(1), w.user(2)
			second.Email = "PERSON.001@example.org"
			w.addUsers(t, first)
			err := w.store.Identity().Write(t.Context(), func(tx identity.Tx) error { return tx.InsertUser(t.Context(), second) })
			if !fault.Is(err, fault.Aborted) {
				t.Errorf("got %v, want a conflict", err)
			}
			second.Organization = w.organization(t)
			w.addUsers(t, second)
		},
		"An address is free again when its member has left": func(t *testing.T, w *world) {
			first, second := w.user(1), w.user(2)
			second.Email = first.Email
			w.addUsers(t, first)
			w.writeIdentity(t, func(tx identity.Tx) error {
				first.Status = identity.StatusLeft
				_, err := tx.UpdateUser(t.Context(), first)
				return err
			})
			w.addUsers(t, second)
		},
		"Counting sees what the transaction did": func(t *testing.T, w *world) {
			w.addUsers(t, w.user(1))
			w.writeIdentity(t, func(tx identity.Tx) error {
				must(t, tx.InsertUser(t.Context(), w.user(2)))
				n, err := tx.CountUsers(t.Context(), identity.UserQuery{Organization: w.org})
				if err != nil || n != 2 {
					t.Errorf("counted %d, %v; want 2", n, err)
				}
				u := w.user(3)
				got, ok, err := tx.User(t.Context(), w.org, u.ID)
				missing(t, got, ok, err)
				must(t, tx.InsertUser(t.Context(), u))
				got, ok, err = tx.User(t.Context(), w.org, u.ID)
				found(t, got, ok, err)
				return nil
			})
		},
		"A member needs an organization": func(t *testing.T, w *world) {
			u := w.user(1)
			u.Organization = id.Organization(id.New())
			err := w.store.Identity().Write(t.Context(), func(tx identity.Tx) error { return tx.InsertUser(t.Context(), u) })
			if !fault.Is(err, fault.Aborted) {
				t.Errorf("got %v, want a conflict", err)
			}
		},
	}
}
