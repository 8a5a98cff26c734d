// Package logstoken verifies the tokens of people who read a runner's logs or
// its support bundle.
//
// The runner verifies them itself, with keys that the control plane gave it, so
// that a relay in between can open nothing on its own. It knows nothing of how
// the token and the bytes travel.
package logstoken

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
)

const (
	scope   = "logs"
	leeway  = time.Minute
	maxSize = 8 << 10
)

// Trust is whom a runner believes. The zero value believes nobody.
type Trust struct {
	issuer   string
	audience string
	keys     map[string]ed25519.PublicKey
}

// New believes tokens of the issuer, made for the runner, signed by one of the
// keys. Keys that are no Ed25519 keys are left out.
func New(issuer, runnerID string, keys *linkv1.VerificationKeys) *Trust {
	t := &Trust{issuer: issuer, audience: "runner:" + runnerID, keys: make(map[string]ed25519.PublicKey)}
	for _, k := range keys.GetKeys() {
		if len(k.GetPublicKey()) == ed25519.PublicKeySize && k.GetId() != "" {
			t.keys[k.GetId()] = ed25519.PublicKey(k.GetPublicKey())
		}
	}
	return t
}

// With believes the same issuer with other keys.
func (t *Trust) With(keys *linkv1.VerificationKeys) *Trust {
	n := New(t.issuer, "", keys)
	n.audience = t.audience
	return n
}

type claims struct {
	jwt.Claims
	Scope string `json:"scope"`
}

// Verify returns whom the token was made for. Its errors are sentences for
// that person and quote nothing of the token.
func (t *Trust) Verify(token string, now time.Time) (subject string, err error) {
	if token == "" {
		return "", errors.New("a logs token is missing; make one with CreateRunnerLogsToken and send it as a bearer token")
	}
	if len(token) > maxSize {
		return "", errors.New("this is not a logs token")
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil || len(parsed.Headers) != 1 {
		return "", errors.New("this is not a logs token")
	}
	key, known := t.keys[parsed.Headers[0].KeyID]
	if !known {
		return "", errors.New("the logs token is signed with a key that this runner does not know; make a new token")
	}
	var c claims
	if err := parsed.Claims(key, &c); err != nil {
		return "", errors.New("the signature of the logs token is wrong; make a new token")
	}
	if c.Expiry == nil || t.issuer == "" || c.Scope != scope {
		return "", errors.New("this token was not made for reading logs")
	}
	err = c.ValidateWithLeeway(jwt.Expected{Issuer: t.issuer, AnyAudience: jwt.Audience{t.audience}, Time: now}, leeway)
	switch {
	case err == nil:
		return c.Subject, nil
	case errors.Is(err, jwt.ErrInvalidAudience):
		return "", errors.New("the logs token was made for another runner")
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return "", errors.New("the logs token was made by another control plane")
	default:
		return "", fmt.Errorf("the logs token is not valid at %s, the time of the runner's clock; make a new token, or set the clock", now.UTC().Format(time.RFC3339))
	}
}
