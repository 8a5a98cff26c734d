package storetest

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/fault"
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
		"One organization at most operates, whatever its age": func(t *testing.T, w *world) {
			got, ok, err := w.store.Identity().OperatingOrganization(t.Context())
			missing(t, got, ok, err)
			o := identity.Organization{ID: id.Organization(id.New()), Name: "Operating", Operates: true, CreatedAt: time.Now().Add(time.Hour).Truncate(time.Second)}
			o.UpdatedAt = o.CreatedAt
			w.writeIdentity(t, func(tx identity.Tx) error { return tx.InsertOrganization(t.Context(), o) })
			got, ok, err = w.store.Identity().OperatingOrganization(t.Context())
			if found(t, got, ok, err).ID != o.ID || !got.Operates {
				t.Errorf("got %+v, want %q", got, o.Name)
			}
			got, ok, err = w.store.Identity().Organization(t.Context(), w.org)
			if found(t, got, ok, err).Operates {
				t.Error("another one operates, too")
			}
			o.ID = id.Organization(id.New())
			if err := w.store.Identity().Write(t.Context(), func(tx identity.Tx) error { return tx.InsertOrganization(t.Context(), o) }); !fault.Is(err, fault.Aborted) {
				t.Errorf("a second one: %v", err)
			}
		},
		"Of replicas that start at once, one makes the organization": func(t *testing.T, w *world) {
			var made atomic.Int32
			atOnce(8, func(int) {
				secret, err := identity.New(w.store.Identity(), nil, slog.New(slog.DiscardHandler)).Bootstrap(t.Context(), "")
				if err != nil {
					t.Error(err)
				}
				if secret != "" {
					made.Add(1)
				}
			})
			rows, err := w.store.Identity().Organizations(t.Context(), page(t, 10))
			if made.Load() != 1 || err != nil || len(rows) != 2 {
				t.Errorf("%d made one; organizations %+v, %v", made.Load(), rows, err)
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
				if n%2 == 1 {
					slices.Sort(want[n-1:]) // they are as old as each other
				}
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
