package keyring_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/keyring"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheFirstKeyIsMadeWhenItIsNeeded(t *testing.T) {
	f := setup(t)
	for _, p := range []keyring.Purpose{keyring.Logs, keyring.Audit, keyring.IDToken} {
		if ids := verifying(t, f.Service, p); len(ids) != 0 {
			t.Errorf("%s: %d keys before the first was needed", p, len(ids))
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		ids := map[string]bool{}
		other := f.replica()
		for i := range 6 {
			wg.Go(func() {
				ring := f.Ring(p)
				if i%2 == 0 {
					ring = other.Ring(p)
				}
				keyID, key, err := ring.Signing(t.Context())
				if err != nil {
					t.Error(err)
				}
				if _, isRSA := key.(*rsa.PrivateKey); isRSA != (p == keyring.IDToken) {
					t.Errorf("%s: a key of type %T", p, key)
				}
				mu.Lock()
				defer mu.Unlock()
				ids[keyID] = true
			})
		}
		wg.Wait()
		if len(ids) != 1 {
			t.Errorf("%s: %d keys are in use", p, len(ids))
		}
	}
	if f.entries != nil || len(f.keys) != 3 {
		t.Errorf("%d entries, %d keys", len(f.entries), len(f.keys))
	}
}

func TestSign(t *testing.T) {
	f := setup(t)
	ring := f.Ring(keyring.Audit)
	keyID, signature, err := ring.Sign(t.Context(), []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ring.PublicKeys(t.Context())
	if err != nil || !ed25519.Verify(keys[keyID], []byte("m"), signature) {
		t.Errorf("the signature is wrong: %v", err)
	}
}

// TestARotatedKeyVerifiesUntilItsTokensHaveExpired goes through the life of a
// key on a virtual clock.
func TestARotatedKeyVerifiesUntilItsTokensHaveExpired(t *testing.T) {
	for p, life := range map[keyring.Purpose]time.Duration{keyring.Logs: logsLife, keyring.IDToken: idTokenLife, keyring.Audit: 0} {
		t.Run(string(p), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := setup(t)
				old := f.signing(t, p)
				ctx, stop := context.WithCancel(t.Context())
				go f.Run(ctx)
				defer stop()
				made, err := f.Rotate(t.Context(), operator())
				if err != nil || len(made) != 1 || made[0] == old || f.signing(t, p) != made[0] {
					t.Fatalf("Rotate = %v, %v", made, err)
				}
				both := []string{old, made[0]}
				slices.Sort(both)
				if got := verifying(t, f.Service, p); !slices.Equal(got, both) {
					t.Errorf("after the rotation %v verify", got)
				}
				if got := f.takeChanged(); !slices.Equal(got, []keyring.Purpose{p}) {
					t.Errorf("changed: %v", got)
				}
				if k := stored(t, f, p)[0]; k.ID != old || len(k.Wrapped) != 0 {
					t.Error("the private half of the old key is still there")
				}
				if life == 0 {
					time.Sleep(48 * time.Hour)
					synctest.Wait()
					if got := verifying(t, f.Service, p); !slices.Equal(got, both) || len(stored(t, f, p)) != 2 {
						t.Errorf("after two days %v verify", got)
					}
					return
				}
				time.Sleep(life)
				if got := verifying(t, f.Service, p); !slices.Equal(got, both) {
					t.Errorf("at the end of the last token %v verify", got)
				}
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				if got := verifying(t, f.Service, p); !slices.Equal(got, made) {
					t.Errorf("after the end of the last token %v verify", got)
				}
				if got := f.takeChanged(); len(stored(t, f, p)) != 2 || !slices.Equal(got, []keyring.Purpose{p}) {
					t.Errorf("%d keys are stored, changed %v", len(stored(t, f, p)), got)
				}
				f.doubt(true)
				time.Sleep(40 * 24 * time.Hour)
				synctest.Wait()
				if n := len(stored(t, f, p)); n != 2 {
					t.Errorf("%d keys are stored while the clock is in doubt", n)
				}
				f.doubt(false)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if n := len(stored(t, f, p)); n != 1 {
					t.Errorf("%d keys are stored 40 days after that", n)
				}
			})
		})
	}
}

func TestAnExpiredKeyVerifiesNothingAlsoWhenNobodyPrunes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		f.signing(t, keyring.Logs)
		made, err := f.Rotate(t.Context(), operator())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(logsLife + 2*time.Minute)
		if got := verifying(t, f.Service, keyring.Logs); !slices.Equal(got, made) {
			t.Errorf("%v verify", got)
		}
	})
}

func TestOtherReplicasHearOfARotationWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		f.signing(t, keyring.Logs)
		other := f.replica()
		verifying(t, other, keyring.Logs)
		ctx, stop := context.WithCancel(t.Context())
		go other.Run(ctx)
		defer stop()
		made, err := f.Rotate(t.Context(), operator())
		if err != nil {
			t.Fatal(err)
		}
		f.takeChanged()
		time.Sleep(time.Minute)
		synctest.Wait()
		if keyID, _, err := other.Ring(keyring.Logs).Signing(t.Context()); err != nil || keyID != made[0] {
			t.Errorf("the other one signs with %s, %v", keyID, err)
		}
		if got := f.takeChanged(); !slices.Equal(got, []keyring.Purpose{keyring.Logs}) {
			t.Errorf("changed: %v", got)
		}
	})
}

func TestRotateReplacesEveryKeyThatThereIs(t *testing.T) {
	f := setup(t)
	f.signing(t, keyring.Logs)
	f.signing(t, keyring.Audit)
	if made, err := f.Rotate(t.Context(), operator()); err != nil || len(made) != 2 {
		t.Errorf("Rotate = %v, %v", made, err)
	}
	f.signing(t, keyring.IDToken)
	before := len(f.keys)
	made, err := f.Rotate(t.Context(), operator())
	if err != nil || len(made) != 3 || len(f.keys) != before+3 {
		t.Errorf("Rotate = %v, %v", made, err)
	}
	if got := f.actions(); !slices.Equal(got, []string{"signing_key.rotate", "signing_key.rotate"}) {
		t.Errorf("audit log: %v", got)
	}
	// A failure changes nothing.
	f.fails = func(call string) error {
		if call == "Write" {
			return errStopped
		}
		return nil
	}
	if _, err := f.Rotate(t.Context(), operator()); err == nil {
		t.Error("Rotate succeeded without a database")
	}
	f.fails = nil
	if f.signing(t, keyring.Logs) != made[0] || len(f.actions()) != 2 {
		t.Error("a rotation that failed changed something")
	}
}

func TestOnlyTheOperatorRotates(t *testing.T) {
	f := setup(t)
	f.signing(t, keyring.Logs)
	for name, c := range map[string]access.Caller{
		"an admin of another organization": {Subject: operator().Subject, Organization: "p", Standing: access.OfRole(resource.RoleOrgAdmin)},
		"a member":                         {Subject: operator().Subject, Organization: "o", Standing: access.OfRole(resource.RoleOrgMember)},
		"a runner":                         {Subject: access.Subject{Principal: access.PrincipalRunner, ID: "r"}, Organization: "o"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.Rotate(t.Context(), c)
			wantFault(t, err, fault.NotAllowed)
			_, err = f.RotateSecretKey(t.Context(), c)
			wantFault(t, err, fault.NotAllowed)
		})
	}
	if len(f.keys) != 1 || len(f.actions()) > 0 {
		t.Error("something was rotated")
	}
}

func TestAnotherSecretKeyFileIsRefused(t *testing.T) {
	f := setup(t)
	f.signing(t, keyring.Logs)
	f.file += "-other"
	f.restart(t)
	_, _, err := f.Ring(keyring.Logs).Signing(t.Context())
	wantFault(t, err, fault.KeyMismatch)
}

func TestADatabaseThatIsAwayTakesNoKeysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		keyID := f.signing(t, keyring.Logs)
		ctx, stop := context.WithCancel(t.Context())
		go f.Run(ctx)
		defer stop()
		f.mu.Lock()
		f.fails = func(string) error { return errStopped }
		f.mu.Unlock()
		time.Sleep(time.Hour)
		if f.signing(t, keyring.Logs) != keyID || len(verifying(t, f.Service, keyring.Logs)) != 1 {
			t.Error("the keys are gone")
		}
	})
}

func stored(t *testing.T, f *fixture, p keyring.Purpose) []keyring.Record {
	t.Helper()
	rows, err := f.SigningKeys(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func wrapped(f *fixture, name string) seal.Secret { return f.key.Wrap(name, []byte("hunter2")) }
