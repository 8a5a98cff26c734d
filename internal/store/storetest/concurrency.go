package storetest

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/token"
)

func concurrencyTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"Of 100 that redeem a token, one does": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			rec := w.token(token.Exchange, runnerSubject(r), 1)
			w.addTokens(t, rec)
			var won atomic.Int32
			atOnce(100, func(int) {
				used := false
				err := w.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
					var err error
					_, used, err = tx.UseExchangeToken(t.Context(), rec.Hash, at(5))
					return err
				})
				if err != nil {
					t.Error(err)
				}
				if used {
					won.Add(1)
				}
			})
			if n := won.Load(); n != 1 {
				t.Errorf("%d redeemed it", n)
			}
		},
		"Sessions that open at once get different epochs, and the highest stays": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			epochs := make([]int64, 50)
			atOnce(len(epochs), func(i int) {
				err := w.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
					var err error
					epochs[i], _, err = tx.OpenSession(t.Context(), fleet.Session{Runner: r.ID, Replica: "r", BootID: id.New()})
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
			slices.Sort(epochs)
			for i, e := range epochs {
				if e != int64(i)+1 {
					t.Fatalf("epochs %v", epochs)
				}
			}
			got, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
			if found(t, got, ok, err).Session.Epoch != int64(len(epochs)) || got.Epoch != int64(len(epochs)) {
				t.Errorf("epoch %d, session %d", got.Epoch, got.Session.Epoch)
			}
		},
		"A call that fails or panics does not touch the others": testIsolation,
		"Events of one object come in the order of its changes": testEventOrder,
		"No update is lost": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			var done atomic.Int64
			atOnce(20, func(int) {
				err := w.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
					r, ok, err := tx.Runner(t.Context(), r.ID)
					if err != nil || !ok {
						return errors.Join(err, errRefused)
					}
					r.ConfigurationRevision++
					if ok, err := tx.UpdateRunner(t.Context(), r); err != nil || !ok {
						return errors.Join(err, fault.ErrLost)
					}
					return nil
				})
				switch {
				case err == nil:
					done.Add(1)
				case !fault.HasReason(err, fault.Conflict):
					t.Error(err)
				}
			})
			got, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
			if n := done.Load(); n == 0 || found(t, got, ok, err).ConfigurationRevision != 1+n || got.Revision != 1+n {
				t.Errorf("%d updates succeeded, revision %d", n, got.Revision)
			}
		},
		"A write that was acknowledged is seen by every later read": func(t *testing.T, w *world) {
			atOnce(16, func(n int) {
				for range 10 {
					r := w.runner(n)
					w.addRunners(t, r)
					if _, ok, err := w.store.Fleet().Runner(t.Context(), r.ID); err != nil || !ok {
						t.Errorf("read %v, %v", ok, err)
					}
				}
			})
		},
		"The last admin stays, however many go at once": func(t *testing.T, w *world) {
			admins := make([]identity.User, 8)
			for i := range admins {
				admins[i] = w.user(i)
				admins[i].Role = resource.RoleOrgAdmin
			}
			w.addUsers(t, admins...)
			q := identity.UserQuery{Organization: w.org, Roles: []resource.Role{resource.RoleOrgAdmin}, Statuses: []identity.Status{identity.StatusActive}}
			atOnce(len(admins), func(i int) {
				err := w.store.Identity().Write(t.Context(), func(tx identity.Tx) error { return leave(t, tx, q, admins[i].ID) })
				if err != nil && !errors.Is(err, errRefused) {
					t.Error(err)
				}
			})
			if n, err := w.store.Identity().CountUsers(t.Context(), q); err != nil || n != 1 {
				t.Errorf("%d admins are left, %v; want 1", n, err)
			}
		},
		"No token outlives its runner": func(t *testing.T, w *world) {
			for n := range 20 {
				r := w.runner(n)
				w.addRunners(t, r)
				rec := w.token(token.Runner, runnerSubject(r), n)
				atOnce(2, func(i int) {
					err := w.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
						if i == 0 {
							_, err := tx.DeleteRunner(t.Context(), r.ID)
							return err
						}
						if _, ok, err := tx.Runner(t.Context(), r.ID); err != nil || !ok {
							return errors.Join(err, errRefused)
						}
						return tx.InsertToken(t.Context(), rec)
					})
					if err != nil && !errors.Is(err, errRefused) {
						t.Error(err)
					}
				})
				w.wantTokens(t, map[*token.Record]bool{&rec: false})
			}
		},
	}
}

// testIsolation makes many calls at once, of which some fail in each way that
// there is.
func testIsolation(t *testing.T, w *world) {
	taken := w.runner(0)
	w.addRunners(t, taken)
	runners := make([]fleet.Runner, 90)
	for i := range runners {
		runners[i] = w.runner(i)
	}
	atOnce(len(runners), func(i int) {
		defer func() {
			if p := recover(); p != nil && i%6 != 1 {
				panic(p)
			}
		}()
		err := w.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
			tx.Emit(w.event(runners[i].ID))
			if err := tx.InsertRunner(t.Context(), runners[i]); err != nil {
				return err
			}
			switch i % 6 {
			case 0:
				return errRefused
			case 1:
				panic("boom")
			case 2:
				return tx.InsertRunner(t.Context(), taken)
			}
			return nil
		})
		if (err == nil) != (i%6 > 2) {
			t.Errorf("call %d: %v", i, err)
		}
	})
	var want, events []string
	for i, r := range runners {
		_, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
		if err != nil || ok != (i%6 > 2) {
			t.Errorf("runner %d: there is %v, %v", i, ok, err)
		}
		if i%6 > 2 {
			want = append(want, string(r.ID))
		}
	}
	for _, e := range w.published() {
		events = append(events, e.Object.ID)
	}
	slices.Sort(want)
	slices.Sort(events)
	if !slices.Equal(want, events) {
		t.Errorf("%d events, want %d", len(events), len(want))
	}
}

// testEventOrder counts a runner's epoch up from many goroutines; each event
// carries the epoch that its transaction made.
func testEventOrder(t *testing.T, w *world) {
	r := w.runner(1)
	w.addRunners(t, r)
	atOnce(60, func(int) {
		err := w.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
			epoch, _, err := tx.OpenSession(t.Context(), fleet.Session{Runner: r.ID})
			e := w.event(r.ID)
			e.Operation = event.Operation(epoch) //nolint:gosec // small
			tx.Emit(e)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	events := w.published()
	if len(events) != 60 {
		t.Fatalf("%d events, want 60", len(events))
	}
	for i, e := range events {
		if int(e.Operation) != i+1 {
			t.Fatalf("event %d tells of change %d", i+1, e.Operation)
		}
	}
}

// leave removes an admin unless it is the last.
func leave(t *testing.T, tx identity.Tx, q identity.UserQuery, who id.User) error {
	if err := tx.LockOrganization(t.Context(), q.Organization); err != nil {
		return err
	}
	n, err := tx.CountUsers(t.Context(), q)
	if err != nil {
		return err
	}
	if n < 2 {
		return errRefused
	}
	u, ok, err := tx.User(t.Context(), q.Organization, who)
	if err != nil || !ok {
		return errors.Join(err, errRefused)
	}
	u.Status = identity.StatusLeft
	if ok, err := tx.UpdateUser(t.Context(), u); err != nil || !ok {
		return errors.Join(err, fault.ErrLost)
	}
	return nil
}

// atOnce calls fn n times at the same time.
func atOnce(n int, fn func(i int)) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	wg.Wait()
}
