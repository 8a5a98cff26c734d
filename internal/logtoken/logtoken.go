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

// Verify checks a token for a runner and returns whom it was made for. keys are
// the public keys in use, by "kid".
func Verify(raw, issuer string, r id.Runner, keys map[string]ed25519.PublicKey) (person string, err error) {
	tok, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil || len(tok.Headers) != 1 {
		return "", fmt.Errorf("%w: it is not a JWT signed with EdDSA", ErrRefused)
	}
	key, ok := keys[tok.Headers[0].KeyID]
	if !ok {
		return "", fmt.Errorf("%w: its signing key is not in use", ErrRefused)
	}
	var c claims
	if err := tok.Claims(key, &c); err != nil {
		return "", fmt.Errorf("%w: its signature is wrong", ErrRefused)
	}
	switch err := c.ValidateWithLeeway(jwt.Expected{Issuer: issuer, AnyAudience: jwt.Audience{Audience(r)}, Time: time.Now()}, Leeway); {
	case c.Expiry == nil:
		return "", fmt.Errorf("%w: it has no end", ErrRefused)
	case errors.Is(err, jwt.ErrExpired):
		return "", fmt.Errorf("%w: it has expired; ask for a new one", ErrRefused)
	case errors.Is(err, jwt.ErrInvalidAudience):
		return "", fmt.Errorf("%w: it is for another runner", ErrRefused)
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return "", fmt.Errorf("%w: it was issued by another control plane", ErrRefused)
	case err != nil:
		return "", fmt.Errorf("%w: it is not valid at this time; compare the clocks", ErrRefused)
	case c.Scope != Scope:
		return "", fmt.Errorf("%w: it does not allow reading logs", ErrRefused)
	}
	return c.Subject, nil
}
