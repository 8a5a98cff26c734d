// Package logtoken makes and checks logs tokens.
//
// A logs token is an Ed25519-signed JWT that lets a person read the logs and
// the support bundle of one runner for a few minutes. The control plane signs
// it; the runner verifies it by itself, with public keys that it got over the
// link, so that not even a control plane that relays the logs decides alone who
// reads them.
package logtoken

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/musterhq/muster/internal/id"
)

const (
	// Lifetime is how long a token is valid.
	Lifetime = 10 * time.Minute
	// Leeway is how far the clocks of control plane and runner may differ.
	Leeway = time.Minute
	// Scope is what the token allows.
	Scope = "logs"
)

// Key signs tokens.
type Key struct {
	// ID is the "kid" of the tokens.
	ID      string
	Private ed25519.PrivateKey
}

// Audience is the "aud" of the tokens for a runner.
func Audience(r id.Runner) string { return "runner:" + string(r) }

type claims struct {
	jwt.Claims
	Scope string `json:"scope"`
}

// Sign makes a token for a person to read a runner's logs.
func (k Key) Sign(issuer string, r id.Runner, person string) (string, error) {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: k.Private, KeyID: k.ID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("logtoken: %w", err)
	}
	now := time.Now()
	return jwt.Signed(signer).Claims(claims{
		Claims: jwt.Claims{
			Issuer: issuer, Subject: person, Audience: jwt.Audience{Audience(r)},
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(Lifetime)), ID: id.New(),
		},
		Scope: Scope,
	}).Serialize()
}

// ErrRefused is wrapped by every error of Verify; the text around it says why
// without repeating the token.
var ErrRefused = errors.New("the logs token is refused")

// maxSize bounds what is looked at, in bytes; a token has about 500.
const maxSize = 8 << 10

// Trust is whom a verifier believes. The zero Trust believes nobody.
type Trust struct {
	issuer string
	runner id.Runner
	keys   map[string]ed25519.PublicKey
}

// NewTrust believes tokens of the issuer for the runner that are signed by one
// of the keys, which are named by "kid".
func NewTrust(issuer string, r id.Runner, keys map[string]ed25519.PublicKey) *Trust {
	return &Trust{issuer, r, keys}
}

// With believes the same issuer with other keys.
func (t *Trust) With(keys map[string]ed25519.PublicKey) *Trust {
	return NewTrust(t.issuer, t.runner, keys)
}

// Reader is who holds a good token.
type Reader struct {
	// Person is whom the token was made for.
	Person string
	// Until is when the token ends, and with it what is read under it.
	Until time.Time
}

// Verify checks a token and returns its holder.
func (t *Trust) Verify(raw string) (Reader, error) {
	if len(raw) > maxSize {
		return Reader{}, fmt.Errorf("%w: it is not a JWT signed with EdDSA", ErrRefused)
	}
	tok, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil || len(tok.Headers) != 1 {
		return Reader{}, fmt.Errorf("%w: it is not a JWT signed with EdDSA", ErrRefused)
	}
	key, ok := t.keys[tok.Headers[0].KeyID]
	if !ok || len(key) != ed25519.PublicKeySize {
		return Reader{}, fmt.Errorf("%w: its signing key is not in use; make a new token", ErrRefused)
	}
	var c claims
	if err := tok.Claims(key, &c); err != nil {
		return Reader{}, fmt.Errorf("%w: its signature is wrong; make a new token", ErrRefused)
	}
	if c.Expiry == nil || t.issuer == "" || c.Scope != Scope {
		return Reader{}, fmt.Errorf("%w: it was not made for reading logs", ErrRefused)
	}
	now := time.Now()
	switch err := c.ValidateWithLeeway(jwt.Expected{Issuer: t.issuer, AnyAudience: jwt.Audience{Audience(t.runner)}, Time: now}, Leeway); {
	case err == nil:
		return Reader{Person: c.Subject, Until: c.Expiry.Time().Add(Leeway)}, nil
	case errors.Is(err, jwt.ErrInvalidAudience):
		return Reader{}, fmt.Errorf("%w: it was made for another runner", ErrRefused)
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return Reader{}, fmt.Errorf("%w: it was made by another control plane", ErrRefused)
	default:
		return Reader{}, fmt.Errorf("%w: it is not valid at %s, the time of this clock; make a new token, or set the clock", ErrRefused, now.UTC().Format(time.RFC3339))
	}
}
