package logtoken_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/logtoken"
)

const (
	issuer = "https://muster.example"
	runner = id.Runner("0192aaaa-0000-7000-8000-000000000001")
	person = "0192aaaa-0000-7000-8000-000000000002"
)

func newKey(t *testing.T, kid string) (logtoken.Key, map[string]ed25519.PublicKey) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return logtoken.Key{ID: kid, Private: priv}, map[string]ed25519.PublicKey{kid: pub}
}

func TestVerify(t *testing.T) {
	key, keys := newKey(t, "k1")
	stranger, _ := newKey(t, "k1")
	good, err := key.Sign(issuer, runner, person)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := logtoken.NewTrust(issuer, runner, keys).Verify(good); err != nil || who.Person != person || time.Until(who.Until) > logtoken.Lifetime+logtoken.Leeway {
		t.Fatalf("Verify = %v, %v", who, err)
	}
	forged, err := stranger.Sign(issuer, runner, person)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"k1"}`)) + "." + parts[1] + "."
	for name, verify := range map[string]func() (logtoken.Reader, error){
		"signed by another key": func() (logtoken.Reader, error) { return logtoken.NewTrust(issuer, runner, keys).Verify(forged) },
		"unsigned":              func() (logtoken.Reader, error) { return logtoken.NewTrust(issuer, runner, keys).Verify(none) },
		"unknown key id":        func() (logtoken.Reader, error) { return logtoken.NewTrust(issuer, runner, nil).Verify(good) },
		"for another runner":    func() (logtoken.Reader, error) { return logtoken.NewTrust(issuer, "other", keys).Verify(good) },
		"of another issuer":     func() (logtoken.Reader, error) { return logtoken.NewTrust("https://x", runner, keys).Verify(good) },
		"payload of another": func() (logtoken.Reader, error) {
			return logtoken.NewTrust(issuer, runner, keys).Verify(parts[0] + ".e30." + parts[2])
		},
		"cut off": func() (logtoken.Reader, error) {
			return logtoken.NewTrust(issuer, runner, keys).Verify(good[:len(good)-4])
		},
		"far too long": func() (logtoken.Reader, error) {
			return logtoken.NewTrust(issuer, runner, keys).Verify(strings.Repeat(good, 100))
		},
		"checked by nobody":       func() (logtoken.Reader, error) { return new(logtoken.Trust).Verify(good) },
		"signed by a rotated key": func() (logtoken.Reader, error) { return logtoken.NewTrust(issuer, runner, keys).With(nil).Verify(good) },
		"empty":                   func() (logtoken.Reader, error) { return logtoken.NewTrust(issuer, runner, keys).Verify("") },
		"an API token":            func() (logtoken.Reader, error) { return logtoken.NewTrust(issuer, runner, keys).Verify("muster_pat_x") },
	} {
		if who, err := verify(); !errors.Is(err, logtoken.ErrRefused) || who != (logtoken.Reader{}) {
			t.Errorf("%s: Verify = %v, %v; want a refusal", name, who, err)
		} else if strings.Contains(err.Error(), parts[2]) {
			t.Errorf("%s: the error repeats the token", name)
		}
	}
}

func TestLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, keys := newKey(t, "k1")
		tok, err := key.Sign(issuer, runner, person)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(logtoken.Lifetime + logtoken.Leeway - time.Second)
		if _, err := logtoken.NewTrust(issuer, runner, keys).Verify(tok); err != nil {
			t.Errorf("just before its end: %v", err)
		}
		time.Sleep(2 * time.Second)
		if _, err := logtoken.NewTrust(issuer, runner, keys).Verify(tok); err == nil {
			t.Error("an expired token is accepted")
		}
	})
}

func FuzzVerify(f *testing.F) {
	pub, priv, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	key := logtoken.Key{ID: "k1", Private: priv}
	good, err := key.Sign(issuer, runner, person)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("")
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, raw string) {
		if who, err := logtoken.NewTrust(issuer, runner, map[string]ed25519.PublicKey{"k1": pub}).Verify(raw); err == nil && (who.Person != person || raw != good) {
			// The only other text that verifies is one that decodes to the same bytes.
			if strings.Count(raw, ".") != 2 {
				t.Fatalf("%q verifies", raw)
			}
		}
	})
}
