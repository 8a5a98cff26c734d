package keyring_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/keyring"
	"github.com/musterhq/muster/internal/seal"
)

// keysInFile are the lines of the secret-key file.
func (f *fixture) keysInFile(t *testing.T) []string {
	t.Helper()
	raw, err := os.ReadFile(f.file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(raw))
}

// opensAll fails unless a process that starts now can open everything.
func (f *fixture) opensAll(t *testing.T) {
	t.Helper()
	k, err := seal.LoadKey(f.file)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range f.secrets {
		if plain, err := k.Unwrap(s, name); err != nil || string(plain) != "hunter2" {
			t.Errorf("%s does not open: %v", name, err)
		}
	}
	for _, key := range f.keys {
		if !key.RetiredAt.IsZero() {
			continue
		}
		if _, err := k.Unwrap(key.Wrapped, keyring.SecretName(key.ID)); err != nil {
			t.Errorf("the %s key does not open: %v", key.Purpose, err)
		}
	}
}

// withSecrets has two waiting secrets and two signing keys.
func withSecrets(t *testing.T) *fixture {
	t.Helper()
	f := setup(t)
	for _, name := range []string{"runner/a/metrics.password", "runner/b/metrics.password"} {
		f.secrets[name] = wrapped(f, name)
	}
	f.signing(t, keyring.Logs)
	f.signing(t, keyring.Audit)
	return f
}

func TestRotateSecretKey(t *testing.T) {
	f := withSecrets(t)
	before := f.keysInFile(t)
	signing := f.signing(t, keyring.Logs)
	n, err := f.RotateSecretKey(t.Context(), operator())
	if err != nil || n != 4 {
		t.Fatalf("RotateSecretKey = %d, %v", n, err)
	}
	if now := f.keysInFile(t); len(now) != 1 || now[0] == before[0] {
		t.Errorf("the file has %d keys", len(now))
	}
	f.opensAll(t)
	if got := f.actions(); !slices.Equal(got, []string{"secret_key.rotate"}) {
		t.Errorf("audit log: %v", got)
	}
	f.restart(t)
	if f.signing(t, keyring.Logs) != signing {
		t.Error("another signing key is in use")
	}
	if n, err := f.RotateSecretKey(t.Context(), operator()); err != nil || n != 4 {
		t.Errorf("again: %d, %v", n, err)
	}
	f.opensAll(t)
}

// TestARotationGoesOnAfterACrash stops a rotation at every point, and starts
// another process there.
func TestARotationGoesOnAfterACrash(t *testing.T) {
	crashes := map[string]func(*testing.T, *fixture){
		"the new file is written and not in place": func(t *testing.T, f *fixture) {
			if _, err := f.key.Add(); err != nil {
				t.Fatal(err)
			}
		},
		"the entry is not written": func(t *testing.T, f *fixture) {
			f.fails = func(call string) error { return map[string]error{"Write": errStopped}[call] }
			if _, err := f.RotateSecretKey(t.Context(), operator()); err == nil {
				t.Error("it succeeded without an audit entry")
			}
			if len(f.keysInFile(t)) != 1 {
				t.Error("the file was changed without an audit entry")
			}
		},
		"the new key is in use and nothing is under it": func(t *testing.T, f *fixture) {
			a, err := f.key.Add()
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Commit(); err != nil {
				t.Fatal(err)
			}
		},
		"the new key is in use and something new is under it": func(t *testing.T, f *fixture) {
			a, err := f.key.Add()
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Commit(); err != nil {
				t.Fatal(err)
			}
			f.secrets["runner/c/metrics.password"] = wrapped(f, "runner/c/metrics.password")
		},
		"one secret is encrypted anew":     crashAfter(1),
		"three secrets are encrypted anew": crashAfter(3),
		"everything is encrypted anew": func(t *testing.T, f *fixture) {
			f.fails = func(call string) error { return map[string]error{"Rewrap": errStopped}[call] }
			if _, err := f.RotateSecretKey(t.Context(), operator()); err == nil {
				t.Error("it succeeded")
			}
		},
		"it is done": func(t *testing.T, f *fixture) {
			if _, err := f.RotateSecretKey(t.Context(), operator()); err != nil {
				t.Error(err)
			}
		},
	}
	for name, crash := range crashes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := withSecrets(t)
				crash(t, f)
				f.fails, f.rewrapped = nil, 0
				f.opensAll(t)
				f.restart(t)
				ctx, stop := context.WithCancel(t.Context())
				go f.Run(ctx)
				synctest.Wait()
				stop()
				if n := len(f.keysInFile(t)); n != 1 {
					t.Errorf("after the restart the file has %d keys", n)
				}
				f.opensAll(t)
				f.restart(t)
				f.signing(t, keyring.Logs)
				if n, err := f.RotateSecretKey(t.Context(), operator()); err != nil || n != len(f.secrets)+2 {
					t.Errorf("the next rotation: %d, %v", n, err)
				}
				f.opensAll(t)
				if left, _ := filepath.Glob(filepath.Join(filepath.Dir(f.file), ".secret-key-*")); len(left) > 0 {
					t.Errorf("temporary files are left behind: %v", left)
				}
			})
		})
	}
}

func crashAfter(n int) func(*testing.T, *fixture) {
	return func(t *testing.T, f *fixture) {
		f.rewrapped = n
		if _, err := f.RotateSecretKey(t.Context(), operator()); err == nil {
			t.Error("it succeeded")
		}
		if len(f.keysInFile(t)) != 2 {
			t.Error("the old key has left the file before its time")
		}
	}
}

func TestAFailedRotationIsFinishedWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := withSecrets(t)
		ctx, stop := context.WithCancel(t.Context())
		go f.Run(ctx)
		defer stop()
		f.rewrapped = 1
		if _, err := f.RotateSecretKey(t.Context(), operator()); err == nil {
			t.Fatal("it succeeded")
		}
		f.mu.Lock()
		f.rewrapped = 0
		f.mu.Unlock()
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if n := len(f.keysInFile(t)); n != 1 {
			t.Errorf("the file has %d keys", n)
		}
		f.opensAll(t)
	})
}

func TestASecretThatNoKeyOpensKeepsTheOldKeys(t *testing.T) {
	f := withSecrets(t)
	f.secrets["runner/c/metrics.password"] = wrapped(f, "something else")
	_, err := f.RotateSecretKey(t.Context(), operator())
	wantFault(t, err, fault.KeyMismatch)
	if err == nil || !strings.Contains(err.Error(), "runner/c/metrics.password") {
		t.Errorf("the error does not name the secret: %v", err)
	}
	if len(f.keysInFile(t)) != 2 {
		t.Error("the old key has left the file")
	}
}

func TestAFileThatCannotBeReplacedIsExplained(t *testing.T) {
	f := withSecrets(t)
	if err := os.Remove(f.file); err != nil {
		t.Fatal(err)
	}
	_, err := f.RotateSecretKey(t.Context(), operator())
	wantFault(t, err, fault.StorageUnavailable)
	if len(f.actions()) > 0 {
		t.Error("what was refused left an entry")
	}
	if _, err := seal.LoadKey(f.file); err != nil { // another key
		t.Fatal(err)
	}
	_, err = f.RotateSecretKey(t.Context(), operator())
	wantFault(t, err, fault.KeyMismatch)
}
