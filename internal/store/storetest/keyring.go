package storetest

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/keyring"
	"github.com/musterhq/muster/internal/seal"
)

func signingKey(p keyring.Purpose, n int) keyring.Record {
	return keyring.Record{ID: id.New(), Purpose: p, Wrapped: []byte{2, 0, byte(n)}, Public: []byte{2, 255}, CreatedAt: at(n)}
}

func (w *world) writeKeys(t *testing.T, fn func(keyring.Tx) error) {
	t.Helper()
	must(t, w.store.Keyring().Write(t.Context(), fn))
}

func (w *world) insertKey(t *testing.T, k keyring.Record) (ok bool) {
	t.Helper()
	w.writeKeys(t, func(tx keyring.Tx) (err error) {
		ok, err = tx.InsertSigningKey(t.Context(), k)
		return err
	})
	return ok
}

func (w *world) wantKeys(t *testing.T, p keyring.Purpose, want ...keyring.Record) {
	t.Helper()
	got, err := w.store.Keyring().SigningKeys(t.Context(), p)
	must(t, err)
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys for %s (-want +got):\n%s", p, diff)
	}
}

func keyringTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"One key for each purpose is in use": func(t *testing.T, w *world) {
			logs, audit := signingKey(keyring.Logs, 1), signingKey(keyring.Audit, 2)
			for _, k := range []keyring.Record{logs, audit} {
				if !w.insertKey(t, k) {
					t.Error("a first key was refused")
				}
			}
			if w.insertKey(t, signingKey(keyring.Logs, 3)) {
				t.Error("a second key was put into use")
			}
			w.wantKeys(t, keyring.Logs, logs)
			w.wantKeys(t, keyring.Audit, audit)
			w.wantKeys(t, keyring.IDToken)
		},
		"The keys are those of the organization that operates the installation": func(t *testing.T, w *world) {
			want := identity.Organization{ID: id.Organization(id.New()), Name: "Operators", Operates: true, CreatedAt: time.Now(), UpdatedAt: time.Now()}
			w.writeKeys(t, func(tx keyring.Tx) error {
				if o, ok, err := tx.Operator(t.Context()); ok || err != nil {
					t.Errorf("before there is one: %s, %v", o, err)
				}
				return nil
			})
			w.writeIdentity(t, func(tx identity.Tx) error { return tx.InsertOrganization(t.Context(), want) })
			w.writeKeys(t, func(tx keyring.Tx) error {
				if o, ok, err := tx.Operator(t.Context()); o != want.ID || !ok || err != nil {
					t.Errorf("Operator = %s, %v, %v", o, ok, err)
				}
				return nil
			})
		},
		"A retired key has no private half and makes room": func(t *testing.T, w *world) {
			old, fresh, other := signingKey(keyring.Logs, 1), signingKey(keyring.Logs, 2), signingKey(keyring.Audit, 3)
			w.insertKey(t, old)
			w.insertKey(t, other)
			w.writeKeys(t, func(tx keyring.Tx) error {
				if ok, err := tx.RetireSigningKey(t.Context(), keyring.Logs, at(9)); err != nil || !ok {
					t.Errorf("retiring: %v, %v", ok, err)
				}
				if ok, err := tx.InsertSigningKey(t.Context(), fresh); err != nil || !ok {
					t.Errorf("inserting: %v, %v", ok, err)
				}
				if ok, err := tx.RetireSigningKey(t.Context(), keyring.IDToken, at(9)); err != nil || ok {
					t.Errorf("retiring what is not there: %v, %v", ok, err)
				}
				return nil
			})
			old.Wrapped, old.RetiredAt = nil, at(9)
			w.wantKeys(t, keyring.Logs, old, fresh)
			w.wantKeys(t, keyring.Audit, other)
		},
		"Keys that were retired long ago are deleted": func(t *testing.T, w *world) {
			for n := range 3 {
				w.writeKeys(t, func(tx keyring.Tx) error {
					for _, p := range []keyring.Purpose{keyring.Logs, keyring.Audit} {
						if _, err := tx.RetireSigningKey(t.Context(), p, at(10*n)); err != nil {
							return err
						}
						if _, err := tx.InsertSigningKey(t.Context(), signingKey(p, 10*n)); err != nil {
							return err
						}
					}
					return nil
				})
			}
			w.writeKeys(t, func(tx keyring.Tx) error {
				n, err := tx.DeleteRetiredKeys(t.Context(), keyring.Logs, at(20))
				if n != 1 {
					t.Errorf("%d were deleted, want 1", n)
				}
				return err
			})
			for p, want := range map[keyring.Purpose]int{keyring.Logs: 2, keyring.Audit: 3} {
				if got, err := w.store.Keyring().SigningKeys(t.Context(), p); err != nil || len(got) != want {
					t.Errorf("%s: %d keys, %v; want %d", p, len(got), err, want)
				}
			}
		},
		"Of those that rotate at once each wins in the end, and one key is in use": func(t *testing.T, w *world) {
			w.insertKey(t, signingKey(keyring.IDToken, 0))
			var inserted atomic.Int32
			atOnce(12, func(i int) {
				k := signingKey(keyring.IDToken, i)
				err := w.store.Keyring().Write(t.Context(), func(tx keyring.Tx) error {
					if _, err := tx.RetireSigningKey(t.Context(), k.Purpose, at(i)); err != nil {
						return err
					}
					ok, err := tx.InsertSigningKey(t.Context(), k)
					if err == nil && !ok {
						return errRefused
					}
					return err
				})
				if err == nil {
					inserted.Add(1)
				} else if !errors.Is(err, errRefused) {
					t.Error(err)
				}
			})
			keys, err := w.store.Keyring().SigningKeys(t.Context(), keyring.IDToken)
			must(t, err)
			n := len(slices.DeleteFunc(slices.Clone(keys), func(k keyring.Record) bool { return !k.RetiredAt.IsZero() }))
			if n != 1 || len(keys) != 1+int(inserted.Load()) || inserted.Load() == 0 {
				t.Errorf("%d keys of %d are in use, %d were inserted", n, len(keys), inserted.Load())
			}
		},
		"What is wrapped is found and replaced":           testRewrap,
		"What changes meanwhile is not overwritten":       testRewrapRace,
		"A secret that cannot be opened stops the others": testRewrapFails,
	}
}

// waitingRunner is one without a public key, with two secrets that wait.
func (w *world) waitingRunner(n int) fleet.Runner {
	r := w.runner(n)
	r.PublicKey = nil
	r.Configuration.HoneycombAPIKey = []byte{2, 'h'}
	r.Configuration.Metrics = &fleet.Metrics{URL: "u", Password: []byte{2, 'm'}}
	return r
}

// marked is a rewrap that appends a mark, once.
func marked(mark byte, names *[]string) func(seal.Secret, string) (seal.Secret, error) {
	return func(s seal.Secret, name string) (seal.Secret, error) {
		if s[len(s)-1] == mark {
			return s, nil
		}
		if names != nil {
			*names = append(*names, name)
		}
		return append(slices.Clone(s), mark), nil
	}
}

func testRewrap(t *testing.T, w *world) {
	waiting, sealed, plain := w.waitingRunner(1), w.waitingRunner(2), w.runner(3)
	sealed.PublicKey = []byte{7}
	sealed.Configuration.HoneycombAPIKey = []byte{1, 'x'}
	sealed.Configuration.Metrics.Password = []byte{1, 'y'}
	plain.Configuration.HoneycombAPIKey, plain.Configuration.Metrics = nil, nil
	w.addRunners(t, waiting, sealed, plain)
	many := make([]fleet.Runner, 120) // more than one transaction takes
	for i := range many {
		many[i] = w.waitingRunner(10 + i)
		many[i].Configuration.HoneycombAPIKey = nil
	}
	w.addRunners(t, many...)
	old, key := signingKey(keyring.Logs, 1), signingKey(keyring.Logs, 2)
	w.insertKey(t, old)
	w.writeKeys(t, func(tx keyring.Tx) error {
		_, err := tx.RetireSigningKey(t.Context(), keyring.Logs, at(2))
		return err
	})
	w.insertKey(t, key)
	w.published()

	var names []string
	n, err := w.store.Keyring().Rewrap(t.Context(), marked('!', &names))
	must(t, err)
	if n != 2+len(many)+1 || len(names) != n {
		t.Errorf("%d were replaced, %d were asked for", n, len(names))
	}
	for _, name := range []string{
		"runner/" + string(waiting.ID) + "/metrics.password", "runner/" + string(waiting.ID) + "/honeycomb_api_key", keyring.SecretName(key.ID),
	} {
		if !slices.Contains(names, name) {
			t.Errorf("%s was not asked for", name)
		}
	}
	got, ok, err := w.store.Fleet().Runner(t.Context(), waiting.ID)
	want := waiting
	want.Configuration.HoneycombAPIKey = []byte{2, 'h', '!'}
	want.Configuration.Metrics = &fleet.Metrics{URL: "u", Password: []byte{2, 'm', '!'}}
	want.Revision++
	if diff := cmp.Diff(want, found(t, got, ok, err)); diff != "" {
		t.Error(diff)
	}
	for _, untouched := range []fleet.Runner{sealed, plain} {
		got, ok, err := w.store.Fleet().Runner(t.Context(), untouched.ID)
		if diff := cmp.Diff(untouched, found(t, got, ok, err)); diff != "" {
			t.Error(diff)
		}
	}
	old.Wrapped, old.RetiredAt = nil, at(2)
	key.Wrapped = append(key.Wrapped, '!')
	w.wantKeys(t, keyring.Logs, old, key)
	if n, err := w.store.Keyring().Rewrap(t.Context(), marked('!', nil)); err != nil || n != 0 {
		t.Errorf("again: %d were replaced, %v", n, err)
	}
	if events := w.published(); len(events) > 0 {
		t.Errorf("events %v; nothing has changed that anybody can see", events)
	}
}

// testRewrapRace changes runners while their secrets are replaced, in both ways:
// a new name, which must stay, and a first key, after which nothing is wrapped.
func testRewrapRace(t *testing.T, w *world) {
	runners := make([]fleet.Runner, 40)
	for i := range runners {
		runners[i] = w.waitingRunner(i)
	}
	w.addRunners(t, runners...)
	atOnce(len(runners)+1, func(i int) {
		if i == len(runners) {
			if _, err := w.store.Keyring().Rewrap(t.Context(), marked('!', nil)); err != nil {
				t.Error(err)
			}
			return
		}
		err := w.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
			if err := tx.LockRunner(t.Context(), runners[i].ID); err != nil {
				return err
			}
			r, ok, err := tx.Runner(t.Context(), runners[i].ID)
			if err != nil || !ok {
				return errors.Join(err, errRefused)
			}
			r.Name = "renamed"
			if i%2 == 0 {
				r.PublicKey = []byte{7}
				r.Configuration.HoneycombAPIKey, r.Configuration.Metrics.Password = []byte{1}, []byte{1}
			}
			if ok, err := tx.UpdateRunner(t.Context(), r); err != nil || !ok {
				return errors.Join(err, errRefused)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	for i, r := range runners {
		got, ok, err := w.store.Fleet().Runner(t.Context(), r.ID)
		got = found(t, got, ok, err)
		password := got.Configuration.Metrics.Password
		if got.Name != "renamed" || (i%2 == 0) == password.Wrapped() || password.Wrapped() && password[len(password)-1] != '!' {
			t.Errorf("runner %d: name %q, password %x", i, got.Name, []byte(password))
		}
	}
}

func testRewrapFails(t *testing.T, w *world) {
	bad := w.waitingRunner(1)
	w.addRunners(t, bad)
	w.insertKey(t, signingKey(keyring.Logs, 1))
	if _, err := w.store.Keyring().Rewrap(t.Context(), func(seal.Secret, string) (seal.Secret, error) { return nil, errRefused }); !errors.Is(err, errRefused) {
		t.Errorf("the error: %v", err)
	}
	got, ok, err := w.store.Fleet().Runner(t.Context(), bad.ID)
	if diff := cmp.Diff(bad, found(t, got, ok, err)); diff != "" {
		t.Error(diff)
	}
	// What came before stays done; what is left is done by the next call.
	deadline := time.Now().Add(time.Minute)
	for n := -1; n != 0 && time.Now().Before(deadline); {
		var err error
		n, err = w.store.Keyring().Rewrap(t.Context(), marked('!', nil))
		must(t, err)
	}
	got, ok, err = w.store.Fleet().Runner(t.Context(), bad.ID)
	if p := found(t, got, ok, err).Configuration.Metrics.Password; p[len(p)-1] != '!' {
		t.Errorf("the password: %x", []byte(p))
	}
}
