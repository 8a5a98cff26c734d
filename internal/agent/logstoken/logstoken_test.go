package logstoken_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent/logstoken"
)

const (
	issuer = "https://muster.example"
	runner = "0190a000-0000-7000-8000-000000000001"
)

var clock = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

type object = map[string]any

// sign makes a compact JWS by hand, so that it can be wrong in every way.
func sign(t testing.TB, key ed25519.PrivateKey, header, claims object) string {
	t.Helper()
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	input := part(header) + "." + part(claims)
	return input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(input)))
}

func good() (header, claims object) {
	return object{"alg": "EdDSA", "kid": "k1", "typ": "JWT"}, object{
		"iss": issuer, "aud": "runner:" + runner, "sub": "ada", "scope": "logs", "jti": "1",
		"iat": clock.Unix(), "exp": clock.Add(10 * time.Minute).Unix(),
	}
}

func keys(t testing.TB) (ed25519.PrivateKey, *linkv1.VerificationKeys) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private, &linkv1.VerificationKeys{Keys: []*linkv1.VerificationKey{{Id: "k1", PublicKey: public}, {Id: "short", PublicKey: []byte{1}}}}
}

func TestVerify(t *testing.T) {
	key, public := keys(t)
	other, _ := keys(t)
	trust := logstoken.New(issuer, runner, public)

	for _, c := range []struct {
		name   string
		change func(header, claims object)
		key    ed25519.PrivateKey
		want   string // in the error; empty when the token is good
	}{
		{"good", func(_, _ object) {}, key, ""},
		{"within the leeway", func(_, c object) { c["exp"] = clock.Add(-59 * time.Second).Unix() }, key, ""},
		{"an audience list", func(_, c object) { c["aud"] = []string{"x", "runner:" + runner} }, key, ""},
		{"expired", func(_, c object) { c["exp"] = clock.Add(-61 * time.Second).Unix() }, key, "not valid at 2026-11-21T12:00:00Z"},
		{"without exp", func(_, c object) { delete(c, "exp") }, key, "not made for reading logs"},
		{"made in the future", func(_, c object) { c["iat"] = clock.Add(2 * time.Minute).Unix() }, key, "not valid at"},
		{"not valid yet", func(_, c object) { c["nbf"] = clock.Add(2 * time.Minute).Unix() }, key, "not valid at"},
		{"another runner", func(_, c object) { c["aud"] = "runner:" + strings.Replace(runner, "1", "2", 1) }, key, "another runner"},
		{"without audience", func(_, c object) { delete(c, "aud") }, key, "another runner"},
		{"another issuer", func(_, c object) { c["iss"] = "https://evil.example" }, key, "another control plane"},
		{"another scope", func(_, c object) { c["scope"] = "admin" }, key, "not made for reading logs"},
		{"without scope", func(_, c object) { delete(c, "scope") }, key, "not made for reading logs"},
		{"scope of the wrong type", func(_, c object) { c["scope"] = []string{"logs"} }, key, "signature"},
		{"another key", func(_, _ object) {}, other, "signature"},
		{"an unknown kid", func(h, _ object) { h["kid"] = "k2" }, key, "does not know"},
		{"a kid without a usable key", func(h, _ object) { h["kid"] = "short" }, key, "does not know"},
		{"without kid", func(h, _ object) { delete(h, "kid") }, key, "does not know"},
		{"alg none", func(h, _ object) { h["alg"] = "none" }, key, "not a logs token"},
		{"alg HS256", func(h, _ object) { h["alg"] = "HS256" }, key, "not a logs token"},
		{"an unknown critical header", func(h, _ object) { h["crit"] = []string{"x"}; h["x"] = 1 }, key, "signature"},
		{"a key in the header", func(h, _ object) {
			h["jwk"] = object{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(other.Public().(ed25519.PublicKey))}
		}, other, "signature"},
	} {
		t.Run(c.name, func(t *testing.T) {
			header, claims := good()
			c.change(header, claims)
			subject, err := trust.Verify(sign(t, c.key, header, claims), clock)
			switch {
			case c.want == "" && (err != nil || subject != "ada"):
				t.Errorf("got %q, %v", subject, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %q, %v; want an error with %q", subject, err, c.want)
			}
		})
	}

	header, claims := good()
	token := sign(t, key, header, claims)
	parts := strings.Split(token, ".")
	claims["sub"] = "eve"
	forged := strings.Split(sign(t, other, header, claims), ".")
	for name, bad := range map[string]string{
		"empty":                 "",
		"words":                 "not a token",
		"tampered claims":       parts[0] + "." + forged[1] + "." + parts[2],
		"without signature":     parts[0] + "." + parts[1] + ".",
		"two parts":             parts[0] + "." + parts[1],
		"detached":              parts[0] + ".." + parts[2],
		"huge":                  token + strings.Repeat("A", 9000),
		"JSON serialization":    `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
		"a trailing line break": token + "\n ",
	} {
		if subject, err := trust.Verify(bad, clock); err == nil {
			t.Errorf("%s: accepted for %q", name, subject)
		} else if len(bad) > 50 && strings.Contains(err.Error(), bad[:20]) {
			t.Errorf("%s: the error quotes the token: %v", name, err)
		}
	}
}

func TestKeysChange(t *testing.T) {
	oldKey, oldPublic := keys(t)
	newKey, newPublic := keys(t)
	trust := logstoken.New(issuer, runner, oldPublic).With(newPublic)
	header, claims := good()
	if _, err := trust.Verify(sign(t, oldKey, header, claims), clock); err == nil {
		t.Error("the old key is still believed")
	}
	if _, err := trust.Verify(sign(t, newKey, header, claims), clock); err != nil {
		t.Errorf("the new key is not believed: %v", err)
	}
	if _, err := new(logstoken.Trust).Verify(sign(t, oldKey, header, claims), clock); err == nil {
		t.Error("the zero Trust believes somebody")
	}
}

// FuzzVerify looks for a token that is accepted although an independent check
// of its signature fails.
func FuzzVerify(f *testing.F) {
	key, public := keys(f)
	trust := logstoken.New(issuer, runner, public)
	header, claims := good()
	token := sign(f, key, header, claims)
	f.Add(token)
	f.Add(strings.ToUpper(token))
	f.Add(token[:len(token)-1])
	f.Add("eyJhbGciOiJub25lIn0..")
	f.Add("..")
	f.Add(token + "=")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := trust.Verify(s, clock); err != nil {
			return
		}
		input, signature, _ := cutLast(strings.Join(strings.Fields(s), ""))
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(signature, "="))
		if err != nil || !ed25519.Verify(key.Public().(ed25519.PublicKey), []byte(input), raw) {
			t.Errorf("accepted %q, which is not signed", s)
		}
	})
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndex(s, ".")
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
