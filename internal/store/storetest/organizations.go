package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
)

func organizationTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"A row is returned as it was stored": func(t *testing.T, w *world) {
			o := identity.Organization{ID: id.Organization(id.New()), Name: "Zoë & Co", CreatedAt: at(1), UpdatedAt: at(2)}
			w.writeIdentity(t, func(tx identity.Tx) error { return tx.InsertOrganization(t.Context(), o) })
			got, ok, err := w.store.Identity().Organization(t.Context(), o.ID)
			if diff := cmp.Diff(o, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
			got, ok, err = w.store.Identity().Organization(t.Context(), id.Organization(id.New()))
			missing(t, got, ok, err)
		},
		"AnyOrganization is the oldest": func(t *testing.T, w *world) {
			o := identity.Organization{ID: id.Organization(id.New()), Name: "First", CreatedAt: time.Unix(1, 0), UpdatedAt: time.Unix(1, 0)}
			w.writeIdentity(t, func(tx identity.Tx) error { return tx.InsertOrganization(t.Context(), o) })
			got, ok, err := w.store.Identity().AnyOrganization(t.Context())
			if found(t, got, ok, err).ID != o.ID {
				t.Errorf("got %q, want %q", got.Name, o.Name)
			}
		},
		"UpdateOrganization stores the name": func(t *testing.T, w *world) {
			o := identity.Organization{ID: id.Organization(id.New()), Name: "Before", CreatedAt: at(1), UpdatedAt: at(2)}
			w.writeIdentity(t, func(tx identity.Tx) error { return tx.InsertOrganization(t.Context(), o) })
			o.Name, o.UpdatedAt = "After", at(3)
			w.writeIdentity(t, func(tx identity.Tx) error { return tx.UpdateOrganization(t.Context(), o) })
			got, ok, err := w.store.Identity().Organization(t.Context(), o.ID)
			if diff := cmp.Diff(o, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
			got, ok, err = w.store.Identity().Organization(t.Context(), w.org)
			if found(t, got, ok, err).Name != "Acme" {
				t.Errorf("the other one is called %q now", got.Name)
			}
		},
		"Organizations are listed by age, in pages": func(t *testing.T, w *world) {
			var want []id.Organization
			for n := range 5 {
				o := identity.Organization{ID: id.Organization(id.New()), Name: "Acme", CreatedAt: at(n / 2)}
				w.writeIdentity(t, func(tx identity.Tx) error { return tx.InsertOrganization(t.Context(), o) })
				want = append(want, o.ID)
			}
			want = append(want, w.org) // made just now
			var got []id.Organization
			for q := page(t, 2); ; {
				rows, err := w.store.Identity().Organizations(t.Context(), q)
				must(t, err)
				if len(rows) > 3 {
					t.Fatalf("a page of 2 has %d rows", len(rows))
				}
				for _, o := range rows[:min(2, len(rows))] {
					got = append(got, o.ID)
				}
				if len(rows) <= 2 {
					break
				}
				q = pageAfter(t, 2, rows[1].CreatedAt, string(rows[1].ID))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		},
	}
}
