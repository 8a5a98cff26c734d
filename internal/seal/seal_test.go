package seal_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/musterhq/muster/internal/seal"
)

func TestSealedSecretsOpenOnlyForTheirKeyAndPurpose(t *testing.T) {
	pub, priv, err := seal.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	otherPub, otherPriv, err := seal.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	s, err := seal.To(pub[:], "runner/a/metrics.password", []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(s, []byte("hunter2")) {
		t.Fatal("the plaintext is in the sealed secret")
	}
	got, err := seal.Open(s, pub, priv, "runner/a/metrics.password")
	if err != nil || string(got) != "hunter2" {
		t.Fatalf("Open = %q, %v", got, err)
	}
	if !s.SealedTo(pub[:]) || s.SealedTo(otherPub[:]) || s.Wrapped() {
		t.Error("the form of the secret is told wrongly")
	}
	for name, open := range map[string]func() ([]byte, error){
		"another purpose": func() ([]byte, error) { return seal.Open(s, pub, priv, "runner/b/metrics.password") },
		"another key":     func() ([]byte, error) { return seal.Open(s, otherPub, otherPriv, "runner/a/metrics.password") },
		"empty":           func() ([]byte, error) { return seal.Open(nil, pub, priv, "runner/a/metrics.password") },
		"truncated":       func() ([]byte, error) { return seal.Open(s[:len(s)-1], pub, priv, "runner/a/metrics.password") },
	} {
		if got, err := open(); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("%s: Open = %q, %v; want ErrOpen", name, got, err)
		}
	}
	for i := range s {
		c := bytes.Clone(s)
		c[i] ^= 1
		if i > 8 { // the key hint is not authenticated: it only helps to find the key
			if _, err := seal.Open(c, pub, priv, "runner/a/metrics.password"); err == nil {
				t.Fatalf("a secret with byte %d changed opens", i)
			}
		}
	}
	if _, err := seal.To([]byte("short"), "p", nil); err == nil {
		t.Error("a short public key is accepted")
	}
}

func TestWrappedSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "secret-key")
	k, err := seal.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	s := k.Wrap("p", []byte("hunter2"))
	if !s.Wrapped() || bytes.Contains(s, []byte("hunter2")) || s.String() != "[sealed]" {
		t.Fatalf("Wrap = %x (%s)", []byte(s), s)
	}
	again, err := seal.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Unwrap(s, "p"); err != nil || string(got) != "hunter2" {
		t.Fatalf("Unwrap = %q, %v", got, err)
	}
	if _, err := again.Unwrap(s, "q"); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("Unwrap for another purpose: %v", err)
	}
	other, err := seal.LoadKey(filepath.Join(t.TempDir(), "secret-key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Unwrap(s, "p"); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("Unwrap with another key: %v", err)
	}
	for i := range s {
		c := bytes.Clone(s)
		c[i] ^= 1
		if _, err := k.Unwrap(c, "p"); err == nil {
			t.Fatalf("a secret with byte %d changed opens", i)
		}
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "secret-key")

	// Many replicas that start at once end up with one key.
	keys := make([]*seal.Key, 16)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			k, err := seal.LoadKey(path)
			if err != nil {
				t.Error(err)
			}
			keys[i] = k
		})
	}
	wg.Wait()
	s := keys[0].Wrap("p", []byte("x"))
	for _, k := range keys {
		if _, err := k.Unwrap(s, "p"); err != nil {
			t.Fatal("two processes made different keys")
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".secret-key-*")); len(left) > 0 {
		t.Errorf("temporary files are left behind: %v", left)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode = %v, %v; want 0600", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.LoadKey(path); err == nil {
		t.Error("a key file that others can read is accepted")
	}
	if err := os.WriteFile(path, []byte("muster-secret-key-1:AAAA\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.LoadKey(path); err == nil {
		t.Error("a damaged key file is accepted")
	}
}
