package storetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/lease"
)

func replicaTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"Rows are returned as they were stored": func(t *testing.T, w *world) {
			a := w.addReplica(t, 1)
			b := w.addReplica(t, 2)
			if diff := cmp.Diff([]lease.Replica{a, b}, w.replicas(t)); diff != "" {
				t.Error(diff)
			}
		},
		"A beat counts, until the replica is taken over": func(t *testing.T, w *world) {
			a, b := w.addReplica(t, 1), w.addReplica(t, 2)
			ok, err := w.store.Lease().Beat(t.Context(), a.ID)
			found(t, a, ok, err)
			a.Beat++
			ok, err = w.store.Lease().TakeOver(t.Context(), a.ID, a.Beat-1, b.ID)
			missing(t, a, ok, err)
			ok, err = w.store.Lease().TakeOver(t.Context(), a.ID, a.Beat, b.ID)
			found(t, a, ok, err)
			a.Beat++
			a.TakenOverBy = b.ID
			ok, err = w.store.Lease().Beat(t.Context(), a.ID)
			missing(t, a, ok, err)
			if diff := cmp.Diff([]lease.Replica{a, b}, w.replicas(t)); diff != "" {
				t.Error(diff)
			}
		},
		"A taken over replica can be taken over from a dead heir": func(t *testing.T, w *world) {
			a, b, c := w.addReplica(t, 1), w.addReplica(t, 2), w.addReplica(t, 3)
			ok, err := w.store.Lease().TakeOver(t.Context(), a.ID, 0, b.ID)
			found(t, a, ok, err)
			ok, err = w.store.Lease().TakeOver(t.Context(), a.ID, 0, c.ID)
			missing(t, a, ok, err)
			ok, err = w.store.Lease().TakeOver(t.Context(), a.ID, 1, c.ID)
			found(t, a, ok, err)
		},
		"Whoever registers knows who was there before": func(t *testing.T, w *world) {
			a, c := w.addReplica(t, 1), lease.Replica{ID: id.New(), HostName: "host", StartedAt: at(3)}
			before, err := w.store.Lease().RegisterReplica(t.Context(), c)
			if diff := cmp.Diff([]lease.Replica{a}, before); diff != "" || err != nil {
				t.Errorf("%v: %s", err, diff)
			}
		},
		"Of replicas that register at once, each knows all that came before": func(t *testing.T, w *world) {
			if _, err := w.store.Installation(t.Context(), id.New()); err != nil {
				t.Fatal(err)
			}
			const n = 8
			known := make(chan int, n)
			for range n {
				go func() {
					before, err := w.store.Lease().RegisterReplica(t.Context(), lease.Replica{ID: id.New(), HostName: "host", StartedAt: at(1)})
					if err != nil {
						t.Error(err)
					}
					known <- len(before)
				}()
			}
			seen := map[int]bool{}
			for range n {
				seen[<-known] = true
			}
			if len(seen) != n {
				t.Errorf("of %d replicas, some know as many as others: %v", n, seen)
			}
		},
		"A replica that leaves is its own heir, unless it has another": func(t *testing.T, w *world) {
			a, b := w.addReplica(t, 1), w.addReplica(t, 2)
			ok, err := w.store.Lease().TakeOver(t.Context(), b.ID, 0, a.ID)
			found(t, b, ok, err)
			must(t, w.store.Lease().LeaveReplica(t.Context(), a.ID))
			must(t, w.store.Lease().LeaveReplica(t.Context(), b.ID))
			must(t, w.store.Lease().LeaveReplica(t.Context(), id.New()))
			a.TakenOverBy, b.TakenOverBy, b.Beat = a.ID, a.ID, 1
			if diff := cmp.Diff([]lease.Replica{a, b}, w.replicas(t)); diff != "" {
				t.Error(diff)
			}
			ok, err = w.store.Lease().Beat(t.Context(), a.ID)
			missing(t, a, ok, err)
		},
		"An unknown replica neither beats nor dies": func(t *testing.T, w *world) {
			ok, err := w.store.Lease().Beat(t.Context(), id.New())
			missing(t, "", ok, err)
			ok, err = w.store.Lease().TakeOver(t.Context(), id.New(), 0, id.New())
			missing(t, "", ok, err)
			must(t, w.store.Lease().DeleteReplica(t.Context(), id.New()))
		},
		"A row goes when no live session refers to it": func(t *testing.T, w *world) {
			a := w.addReplica(t, 1)
			r := w.runner(1)
			w.addRunners(t, r)
			s := w.openSession(t, r, a.ID)
			must(t, w.store.Lease().DeleteReplica(t.Context(), a.ID))
			if n := len(w.replicas(t)); n != 1 {
				t.Fatalf("%d replicas, want 1", n)
			}
			w.writeFleet(t, func(tx fleet.Tx) error {
				_, err := tx.EndSession(t.Context(), r.ID, s.Epoch, at(9), "")
				return err
			})
			must(t, w.store.Lease().DeleteReplica(t.Context(), a.ID))
			if n := len(w.replicas(t)); n != 0 {
				t.Errorf("%d replicas, want none", n)
			}
		},
	}
}

func (w *world) addReplica(t *testing.T, n int) lease.Replica {
	t.Helper()
	r := lease.Replica{ID: id.New(), HostName: "host", StartedAt: at(n)}
	if _, err := w.store.Lease().RegisterReplica(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *world) replicas(t *testing.T) []lease.Replica {
	t.Helper()
	all, err := w.store.Lease().Replicas(t.Context())
	must(t, err)
	return all
}
