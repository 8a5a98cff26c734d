package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/token"
)

func runnerTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"A row is returned as it was stored": func(t *testing.T, w *world) {
			full, keyed, bare := w.runner(1), w.runner(2), fleet.Runner{ID: id.Runner(id.New()), Organization: w.org, CreatedAt: at(3)}
			keyed.PublicKey, keyed.PendingKey, keyed.DeletingAt, keyed.Epoch = []byte{1}, []byte{0}, at(9), 7
			w.addRunners(t, full, keyed, bare)
			for _, r := range []fleet.Runner{full, keyed, bare} {
				got, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
				if diff := cmp.Diff(r, found(t, got, ok, err)); diff != "" {
					t.Error(diff)
				}
			}
			got, ok, err := w.store.Fleet().Runner(t.Context(), id.Runner(id.New()))
			missing(t, got, ok, err)
		},
		"UpdateRunner stores what people set and nothing else": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			s := w.openSession(t, r, "replica")
			change := w.runner(2)
			change.ID, change.Organization = r.ID, r.Organization
			change.Name, change.DesiredPhase = "other", fleet.PhaseInactive
			change.Configuration = fleet.Configuration{Region: "us"}
			change.ConfigurationRevision, change.PublicKey, change.PendingKey = 5, []byte{7}, []byte{8}
			change.DeletingAt, change.UpdatedAt = at(20), at(21)
			w.writeFleet(t, func(tx fleet.Tx) error {
				if ok, err := tx.UpdateRunner(t.Context(), change); err != nil || !ok {
					t.Errorf("UpdateRunner: %v, %v", ok, err)
				}
				return nil
			})
			want := r
			want.Name, want.DesiredPhase, want.Configuration = change.Name, change.DesiredPhase, change.Configuration
			want.ConfigurationRevision, want.PublicKey, want.PendingKey = 5, []byte{7}, []byte{8}
			want.DeletingAt, want.UpdatedAt, want.Revision = at(20), at(21), 2
			want.Epoch, want.Session = 1, &s
			got, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
			if diff := cmp.Diff(want, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
		},
		"UpdateRunner loses against a newer revision": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			for i, want := range []bool{true, false} {
				w.writeFleet(t, func(tx fleet.Tx) error {
					if ok, err := tx.UpdateRunner(t.Context(), r); err != nil || ok != want {
						t.Errorf("update %d: %v, %v; want %v", i, ok, err, want)
					}
					return nil
				})
			}
		},
		"DeleteRunner takes session and tokens along": func(t *testing.T, w *world) {
			r, other := w.runner(1), w.runner(2)
			w.addRunners(t, r, other)
			w.openSession(t, r, "replica")
			w.openSession(t, other, "replica")
			gone, stays := w.token(token.Runner, runnerSubject(r), 1), w.token(token.Runner, runnerSubject(other), 2)
			w.addTokens(t, gone, stays)
			for i, want := range []bool{true, false} {
				w.writeFleet(t, func(tx fleet.Tx) error {
					if ok, err := tx.DeleteRunner(t.Context(), r.ID); err != nil || ok != want {
						t.Errorf("delete %d: %v, %v; want %v", i, ok, err, want)
					}
					return nil
				})
			}
			got, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
			missing(t, got, ok, err)
			w.wantTokens(t, map[*token.Record]bool{&gone: false, &stays: true})
			w.wantLive(t, "replica", other.ID)
		},
		"UpdateStatus needs the epoch": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			old := w.openSession(t, r, "one")
			s := w.openSession(t, r, "two")
			w.writeFleet(t, func(tx fleet.Tx) error {
				if ok, err := tx.UpdateStatus(t.Context(), r.ID, old.Epoch, report(8), []byte("old"), at(8)); err != nil || ok {
					t.Errorf("with the old epoch: %v, %v", ok, err)
				}
				if ok, err := tx.UpdateStatus(t.Context(), r.ID, s.Epoch, report(9), nil, at(9)); err != nil || !ok {
					t.Errorf("with the epoch: %v, %v", ok, err)
				}
				return nil
			})
			want := r
			want.Report, want.Schema, want.StatusAt, want.Epoch, want.Session = report(9), nil, at(9), 2, &s
			got, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
			if diff := cmp.Diff(want, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
		},
		"DeletingRunners lists those only": func(t *testing.T, w *world) {
			r, d := w.runner(1), w.runner(2)
			d.DeletingAt = time.UnixMicro(1).UTC()
			w.addRunners(t, r, d)
			s := w.openSession(t, d, "replica")
			d.Epoch, d.Session = s.Epoch, &s
			got, err := w.store.Fleet().DeletingRunners(t.Context())
			must(t, err)
			if diff := cmp.Diff([]fleet.Runner{d}, got); diff != "" {
				t.Error(diff)
			}
		},
		"A transaction sees its own changes": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.writeFleet(t, func(tx fleet.Tx) error {
				must(t, tx.InsertRunner(t.Context(), r))
				got, ok, err := tx.Runner(t.Context(), r.ID)
				if diff := cmp.Diff(r, found(t, got, ok, err)); diff != "" {
					t.Error(diff)
				}
				got, ok, err = w.store.Fleet().Runner(t.Context(), r.ID)
				missing(t, got, ok, err) // nobody else does
				return nil
			})
		},
	}
}
