package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
)

// errRefused is what a test's function returns on purpose.
var errRefused = errors.New("storetest: refused")

func transactionTests() map[string]func(*testing.T, *world) {
	tests := map[string]func(*testing.T, *world){
		"A function that fails leaves nothing": func(t *testing.T, w *world) {
			r := w.runner(1)
			err := w.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
				must(t, tx.InsertRunner(t.Context(), r))
				must(t, tx.InsertAuditEntry(t.Context(), w.auditEntry(1)))
				tx.Emit(w.event(r.ID))
				return errRefused
			})
			if !errors.Is(err, errRefused) {
				t.Errorf("got %v, want the function's error", err)
			}
			w.wantNothing(t, r)
		},
		"A function that panics leaves nothing, and its caller gets the panic": func(t *testing.T, w *world) {
			r := w.runner(1)
			func() {
				defer func() {
					if p := recover(); p != "boom" {
						t.Errorf("recovered %v", p)
					}
				}()
				_ = w.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
					must(t, tx.InsertRunner(t.Context(), r))
					tx.Emit(w.event(r.ID))
					panic("boom")
				})
				t.Error("Write returned")
			}()
			w.wantNothing(t, r)
			w.addRunners(t, r) // writes go on
		},
		"A failed statement fails the transaction, whatever the function returns": func(t *testing.T, w *world) {
			u, r := w.user(1), w.runner(1)
			w.addUsers(t, u)
			err := w.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
				must(t, tx.InsertRunner(t.Context(), r))
				_ = tx.InsertRunner(t.Context(), r) // its id is taken
				return nil
			})
			if !fault.Is(err, fault.Aborted) {
				t.Errorf("got %v, want a conflict", err)
			}
			w.wantNothing(t, r)
		},
		"A context that has ended writes nothing": func(t *testing.T, w *world) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			err := w.store.Fleet().Write(ctx, func(fleet.Tx) error {
				t.Error("the function ran")
				return nil
			})
			if !fault.Is(err, fault.Canceled) {
				t.Errorf("got %v, want canceled", err)
			}
		},
		"A context that ends in the middle takes all back": func(t *testing.T, w *world) {
			ctx, cancel := context.WithCancel(t.Context())
			a, b := w.runner(1), w.runner(2)
			err := w.store.Fleet().Write(ctx, func(tx fleet.Tx) error {
				must(t, tx.InsertRunner(ctx, a))
				tx.Emit(w.event(a.ID))
				cancel()
				return tx.InsertRunner(ctx, b)
			})
			if !fault.Is(err, fault.Canceled) {
				t.Errorf("got %v, want canceled", err)
			}
			w.wantNothing(t, a)
			w.addRunners(t, a)
		},
		"Text that cannot be stored is the caller's fault": func(t *testing.T, w *world) {
			for _, text := range []string{"a\x00b", "a\xffb"} {
				r := w.runner(1)
				r.Name = text
				err := w.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error { return tx.InsertRunner(t.Context(), r) })
				if !fault.Is(err, fault.InvalidArgument) {
					t.Errorf("%q: %v, want invalid argument", text, err)
				}
				_, err = w.store.Identity().Users(t.Context(), identity.UserQuery{Organization: w.org, IDs: []string{text}, Page: page(t, 1)})
				if !fault.Is(err, fault.InvalidArgument) {
					t.Errorf("listing %q: %v, want invalid argument", text, err)
				}
				_, _, err = w.store.Fleet().Runner(t.Context(), id.Runner(text))
				if !fault.Is(err, fault.InvalidArgument) {
					t.Errorf("reading %q: %v, want invalid argument", text, err)
				}
			}
		},
		"An audit entry is written with its change": func(t *testing.T, w *world) {
			want := []audit.Entry{w.auditEntry(1), w.auditEntry(2)}
			w.writeFleet(t, func(tx fleet.Tx) error { return tx.InsertAuditEntry(t.Context(), want[0]) })
			w.writeIdentity(t, func(tx identity.Tx) error { return tx.InsertAuditEntry(t.Context(), want[1]) })
			if diff := cmp.Diff(want, w.db.AuditEntries(t, w.org)); diff != "" {
				t.Error(diff)
			}
		},
		"What was acknowledged is there after a restart": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			s := w.openSession(t, r, "replica")
			r.Epoch, r.Session = s.Epoch, &s
			w.reopen(t)
			got, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
			if diff := cmp.Diff(r, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
		},
		"A closed store takes no writes": func(t *testing.T, w *world) {
			must(t, w.store.Close())
			err := w.store.Fleet().Write(t.Context(), func(fleet.Tx) error { return nil })
			if !fault.HasReason(err, fault.ShuttingDown) {
				t.Errorf("got %v, want shutting down", err)
			}
			must(t, w.store.Close())
			w.open(t)
		},
	}
	for name, test := range rerunTests() {
		tests[name] = test
	}
	for name, test := range eventTests() {
		tests[name] = test
	}
	return tests
}

func rerunTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"A function that lost runs again, from the start": func(t *testing.T, w *world) {
			r := w.runner(1)
			runs := 0
			w.writeFleet(t, func(tx fleet.Tx) error {
				runs++
				must(t, tx.InsertRunner(t.Context(), r))
				tx.Emit(w.event(r.ID))
				if runs < 8 {
					return fault.Wrap(fault.ErrLost, "testing")
				}
				return nil
			})
			if n := len(w.published()); runs != 8 || n != 1 {
				t.Errorf("%d runs and %d events, want 8 and 1", runs, n)
			}
			got, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
			found(t, got, ok, err)
		},
		"A function that always loses is a conflict": func(t *testing.T, w *world) {
			runs := 0
			err := w.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
				runs++
				tx.Emit(w.event("x"))
				return fault.ErrLost
			})
			if !fault.Is(err, fault.Aborted) || !fault.HasReason(err, fault.Conflict) || runs != 8 || len(w.published()) != 0 {
				t.Errorf("got %v after %d runs", err, runs)
			}
		},
		"A row that another made in the meantime is a race, and the next run sees it": func(t *testing.T, w *world) {
			mine, theirs := w.user(1), w.user(1)
			w.addUsers(t, theirs)
			runs := 0
			err := w.store.Identity().Write(t.Context(), func(tx identity.Tx) error {
				if runs++; runs > 1 { // the first run looked before the other's commit
					if _, taken, err := tx.UserByEmail(t.Context(), w.org, mine.Email); err != nil || taken {
						return errors.Join(err, errRefused)
					}
				}
				return tx.InsertUser(t.Context(), mine)
			})
			if !errors.Is(err, errRefused) || runs != 2 {
				t.Errorf("got %v after %d runs", err, runs)
			}
		},
	}
}

func eventTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"Events are published before Write returns, in their order": func(t *testing.T, w *world) {
			var want []event.Event
			for range 3 {
				e := w.event(id.Runner(id.New()))
				want = append(want, e, e)
				w.writeFleet(t, func(tx fleet.Tx) error {
					tx.Emit(e)
					tx.Emit(e)
					return nil
				})
			}
			if diff := cmp.Diff(want, w.published()); diff != "" {
				t.Error(diff)
			}
		},
		"Who hears of a change can read it": func(t *testing.T, w *world) {
			r := w.runner(1)
			heard := false
			w.onPublish = func([]event.Event) {
				heard = true
				if _, ok, err := w.store.Fleet().Runner(t.Context(), r.ID); err != nil || !ok {
					t.Errorf("read %v, %v", ok, err)
				}
			}
			w.writeFleet(t, func(tx fleet.Tx) error {
				tx.Emit(w.event(r.ID))
				return tx.InsertRunner(t.Context(), r)
			})
			if !heard {
				t.Error("nothing was published")
			}
		},
	}
}

func (w *world) event(r id.Runner) event.Event {
	return event.Event{
		Operation: event.Updated, Object: access.Object{Type: resource.Runner, ID: string(r), Organization: w.org},
		Creator: access.Subject{Principal: access.PrincipalUser, ID: "someone"},
	}
}

func (w *world) auditEntry(n int) audit.Entry {
	return audit.Entry{
		ID: id.New(), Organization: w.org, Actor: access.Subject{Principal: access.PrincipalUser, ID: id.New()},
		SubjectID: id.New(), SubjectType: 2, Action: "runner.create", Kind: audit.KindChange, RequestID: "r", CreatedAt: at(n),
	}
}

// wantNothing checks that a transaction left no trace.
func (w *world) wantNothing(t *testing.T, r fleet.Runner) {
	t.Helper()
	got, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
	missing(t, got, ok, err)
	if entries := w.db.AuditEntries(t, w.org); len(entries) != 0 {
		t.Errorf("%d audit entries were left", len(entries))
	}
	if events := w.published(); len(events) != 0 {
		t.Errorf("%d events were published", len(events))
	}
}
