package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
)

func sessionTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"Each session has the next epoch and replaces the one before": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			for want := range int64(3) {
				s := w.openSession(t, r, "replica")
				if s.Epoch != want+1 {
					t.Errorf("epoch %d, want %d", s.Epoch, want+1)
				}
				got, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
				if diff := cmp.Diff(&s, found(t, got, ok, err).Session); diff != "" {
					t.Error(diff)
				}
				if got.Epoch != s.Epoch || got.Revision != r.Revision {
					t.Errorf("epoch %d, revision %d", got.Epoch, got.Revision)
				}
			}
		},
		"Transactions that lock a runner lose nothing of each other": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			s := w.openSession(t, r, "replica")
			const writers = 40
			atOnce(writers, func(int) {
				err := w.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
					if err := tx.LockRunner(t.Context(), r.ID); err != nil {
						return err
					}
					got, _, err := tx.Runner(t.Context(), r.ID)
					if err != nil {
						return err
					}
					got.Session.AppliedRevision++ // read, changed, and written as a whole
					_, err = tx.UpdateSession(t.Context(), *got.Session)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
			got, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
			if n := found(t, got, ok, err).Session.AppliedRevision; n != s.AppliedRevision+writers {
				t.Errorf("%d changes are there, of %d", n-s.AppliedRevision, writers)
			}
			w.writeFleet(t, func(tx fleet.Tx) error { return tx.LockRunner(t.Context(), id.Runner(id.New())) })
		},
		"A runner that is gone gets no session": func(t *testing.T, w *world) {
			w.writeFleet(t, func(tx fleet.Tx) error {
				if epoch, ok, err := tx.OpenSession(t.Context(), fleet.Session{Runner: id.Runner(id.New())}); err != nil || ok {
					t.Errorf("got epoch %d, %v, %v", epoch, ok, err)
				}
				return nil
			})
		},
		"EndSession ends the session of its epoch, once": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			old := w.openSession(t, r, "replica")
			s := w.openSession(t, r, "replica")
			for _, c := range []struct {
				epoch int64
				want  bool
			}{{old.Epoch, false}, {s.Epoch + 1, false}, {s.Epoch, true}, {s.Epoch, false}} {
				w.writeFleet(t, func(tx fleet.Tx) error {
					if ok, err := tx.EndSession(t.Context(), r.ID, c.epoch, at(9), "it said goodbye"); err != nil || ok != c.want {
						t.Errorf("epoch %d: %v, %v; want %v", c.epoch, ok, err, c.want)
					}
					return nil
				})
			}
			s.EndedAt, s.EndReason = at(9), "it said goodbye"
			got, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
			if diff := cmp.Diff(&s, found(t, got, ok, err).Session); diff != "" {
				t.Error(diff)
			}
			w.wantLive(t, "replica")
		},
		"UpdateSession needs the epoch and a session that lives": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			old := w.openSession(t, r, "replica")
			s := w.openSession(t, r, "replica")
			s.Notice, s.AppliedRevision, s.Unsupported, s.ApplyError = "two hosts", 4, []string{"log_level", "a \"b\""}, "no"
			update := func(s fleet.Session, want bool) {
				t.Helper()
				w.writeFleet(t, func(tx fleet.Tx) error {
					if ok, err := tx.UpdateSession(t.Context(), s); err != nil || ok != want {
						t.Errorf("got %v, %v; want %v", ok, err, want)
					}
					return nil
				})
			}
			update(old, false)
			update(s, true)
			got, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
			if diff := cmp.Diff(&s, found(t, got, ok, err).Session); diff != "" {
				t.Error(diff)
			}
			w.writeFleet(t, func(tx fleet.Tx) error {
				_, err := tx.EndSession(t.Context(), r.ID, s.Epoch, at(9), "")
				return err
			})
			update(s, false)
		},
		"A session knows its token, and forgets it once its end was told": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			s := w.openSession(t, r, "replica")
			s.Token, s.AccessUntil = id.Token(id.New()), at(50)
			w.writeFleet(t, func(tx fleet.Tx) error {
				epoch, ok, err := tx.OpenSession(t.Context(), s)
				s.Epoch = found(t, epoch, ok, err)
				return nil
			})
			is := func() {
				t.Helper()
				got, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
				if diff := cmp.Diff(&s, found(t, got, ok, err).Session); diff != "" {
					t.Error(diff)
				}
			}
			is()
			w.writeFleet(t, func(tx fleet.Tx) error {
				if ok, err := tx.SetAccessEnd(t.Context(), r.ID, id.Token(id.New()), at(7)); ok || err != nil {
					t.Errorf("another token: %v, %v", ok, err)
				}
				ok, err := tx.SetAccessEnd(t.Context(), r.ID, s.Token, at(40))
				found(t, 0, ok, err)
				return nil
			})
			s.AccessUntil = at(40)
			is()
			for _, c := range []struct {
				after, until int
				want         int
			}{{0, 39, 0}, {0, 40, 1}, {39, 40, 1}, {40, 90, 0}} {
				got, err := w.store.Fleet().AccessEnding(t.Context(), at(c.after), at(c.until), 10)
				if err != nil || len(got) != c.want {
					t.Errorf("between %d and %d: %v, %v", c.after, c.until, got, err)
				}
			}
			for until, want := range map[int]int64{39: 0, 40: 1} {
				if n, err := w.store.Fleet().CountAccessEnding(t.Context(), at(until)); n != want || err != nil {
					t.Errorf("until %d: %d, %v", until, n, err)
				}
			}
			end := func(epoch int64, at time.Time, reason string, want bool) {
				t.Helper()
				w.writeFleet(t, func(tx fleet.Tx) error {
					if ok, err := tx.EndAccess(t.Context(), r.ID, epoch, at, reason); err != nil || ok != want {
						t.Errorf("got %v, %v", ok, err)
					}
					return nil
				})
			}
			end(s.Epoch-1, at(41), "no", false)
			end(s.Epoch, at(41), "its token ended", true)
			s.EndedAt, s.EndReason, s.Token, s.AccessUntil = at(41), "its token ended", "", time.Time{}
			is()
			end(s.Epoch, at(42), "its last token ended", true) // of one that has ended
			s.EndReason = "its last token ended"
			is()
		},
		"LiveSessionsOf lists the live ones of one replica": func(t *testing.T, w *world) {
			var mine []id.Runner
			for i := range 5 {
				r := w.runner(i)
				w.addRunners(t, r)
				w.openSession(t, r, "mine")
				mine = append(mine, r.ID)
			}
			other := w.runner(9)
			w.addRunners(t, other)
			w.openSession(t, other, "other")
			w.wantLive(t, "mine", mine...)
			some, err := w.store.Fleet().LiveSessionsOf(t.Context(), "mine", 2)
			if err != nil || len(some) != 2 {
				t.Errorf("with a limit of 2: %v, %v", some, err)
			}
			// A session that moves to another replica leaves this one.
			r, ok, err := w.store.Fleet().Runner(t.Context(), mine[0])
			w.openSession(t, found(t, r, ok, err), "other")
			w.wantLive(t, "mine", mine[1:]...)
		},
	}
}

func (w *world) openSession(t *testing.T, r fleet.Runner, replica string) fleet.Session {
	t.Helper()
	s := fleet.Session{
		Runner: r.ID, Replica: replica, BootID: id.New(), HostName: "host", OpenedAt: at(5),
		Notice: "n", AppliedRevision: 1, Unsupported: []string{"x"}, ApplyError: "e",
	}
	w.writeFleet(t, func(tx fleet.Tx) error {
		epoch, ok, err := tx.OpenSession(t.Context(), s)
		s.Epoch = found(t, epoch, ok, err)
		return nil
	})
	return s
}

func (w *world) wantLive(t *testing.T, replica string, want ...id.Runner) {
	t.Helper()
	got, err := w.store.Fleet().LiveSessionsOf(t.Context(), replica, 100)
	must(t, err)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("live on %s: %v, want %v", replica, got, want)
	}
}
