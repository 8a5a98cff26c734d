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
	}
}
