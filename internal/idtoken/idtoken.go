// Package idtoken makes ID tokens: JSON Web Tokens with which a caller of this
// control plane proves to a third party who it is, without a secret that the two
// share. The third party verifies them by OpenID Connect discovery.
//
// The package knows the claims and the key set. Where keys come from, and how
// either is served, it does not know.
package idtoken

import (
	"cmp"
	"context"
	"crypto"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/pace"
)

const (
	// Lifetime is how long a token is valid, unless the caller's own ends before.
	Lifetime = time.Hour
	// minLifetime is what the caller's own token must have left.
	minLifetime = time.Minute
	// Leeway is how far behind the clock of a verifier may be.
	Leeway = time.Minute
	// Algorithm signs all tokens; the large cloud providers accept little else.
	Algorithm = jose.RS256
)

// Bounds of the audience: how many, and how long each may be in bytes.
const (
	maxAudiences      = 10
	maxAudienceLength = 255
)

// Version is a form of tokens. The numbers are those of the wire; a test of the
// transport holds them to it.
type Version int32

// The forms. They differ in the subject.
const (
	// V1 has the subject "runner:ID".
	V1 Version = 1
	// V2 has the subject "organization:ID/runner:ID".
	V2 Version = 2
)

// claims are what a token says. Claims lists their names.
type claims struct {
	jwt.Claims
	// Audience is always a list, also of one.
	Audience       []string `json:"aud"`
	OrganizationID string   `json:"organization_id"`
	Principal      string   `json:"principal"`
	PrincipalID    string   `json:"principal_id"`
	RunnerID       string   `json:"runner_id,omitempty"`
	Name           string   `json:"name,omitempty"`
	Email          string   `json:"email,omitempty"`
	// EmailVerified is false: admins type the addresses in, and nobody checks them.
	EmailVerified *bool `json:"email_verified,omitempty"`
}

// Claims are the names of all claims that a token can have.
func Claims() []string {
	return []string{
		"iss", "sub", "aud", "iat", "nbf", "exp", "jti",
		"organization_id", "principal", "principal_id", "runner_id", "name", "email", "email_verified",
	}
}

// principals are the names of principals in tokens, which never change.
var principals = map[access.Principal]string{
	access.PrincipalUser:           "user",
	access.PrincipalRunner:         "runner",
	access.PrincipalServiceAccount: "service_account",
}

// Profile is what people call a subject. Email is that of a user.
type Profile struct{ Name, Email string }

// Store is what this package needs of a database.
type Store interface {
	// Profile returns what people call a user, a service account or a runner; false
	// when there is none with that id.
	Profile(ctx context.Context, o id.Organization, subjectID string) (Profile, bool, error)
	// Write runs fn in one transaction; see identity.Store.
	Write(ctx context.Context, fn func(Tx) error) error
}

// Tx is what this package needs of a transaction.
type Tx interface{ change.Tx }

// Keys are those that sign tokens: RSA.
type Keys interface {
	// Signing returns the key in use and its "kid".
	Signing(ctx context.Context) (keyID string, key crypto.Signer, err error)
	// Verifying returns the public keys, by "kid", of all tokens that may be valid.
	Verifying(ctx context.Context) (map[string]crypto.PublicKey, error)
}

// Each caller may ask for so many tokens a second, and for some more at once:
// each leaves an audit entry, and a loop must not fill the log.
const (
	perSecond = 10
	burst     = 100
)

// Service is the domain of ID tokens.
type Service struct {
	store  Store
	keys   Keys
	issuer string
	calls  *pace.Limiter[string]
}

// New makes the service. The issuer is the public URL of the control plane.
func New(store Store, keys Keys, issuer string) *Service {
	return &Service{store: store, keys: keys, issuer: issuer, calls: pace.New[string](perSecond, burst)}
}

// Issuer is the "iss" of the tokens.
func (s *Service) Issuer() string { return s.issuer }

// Create makes a token that tells the audience who the caller is. It ends with
// the token that the caller came with, if that is before Lifetime. A version
// that is not set is V2.
func (s *Service) Create(ctx context.Context, c access.Caller, audience []string, v Version) (string, error) {
	if err := access.Check(c, access.IDTokenCreate, access.OrganizationObject(c.Organization)); err != nil {
		return "", err
	}
	if err := checkAudience(audience); err != nil {
		return "", err
	}
	if v < 0 || v > V2 {
		return "", fault.Invalid("version", "must be ID_TOKEN_VERSION_V1 or ID_TOKEN_VERSION_V2")
	}
	now := time.Now()
	if !c.Expires.IsZero() && c.Expires.Sub(now) < minLifetime {
		return "", fault.New(fault.FailedPrecondition, fault.ExpiredToken,
			"Your token ends at %s, and an ID token ends with it: that is too soon to be of use. Get a new token first.", c.Expires.UTC().Format(time.RFC3339))
	}
	if wait := s.calls.Take(c.ID, now); wait > 0 {
		return "", fault.New(fault.ResourceExhausted, fault.LimitReached,
			"You have asked for more than %d ID tokens a second for a while. Keep a token for as long as it is valid, and try again in %s.", perSecond, wait.Round(time.Millisecond)).WithRetryAfter(wait)
	}
	p, _, err := s.store.Profile(ctx, c.Organization, c.ID)
	if err != nil {
		return "", fault.Wrap(err, "reading who the caller is")
	}
	signed, err := s.sign(ctx, s.claims(c, p, audience, v, now))
	if err != nil {
		return "", fault.Wrap(err, "signing the ID token")
	}
	itself := access.Object{Type: c.Principal.Type(), ID: c.ID, Organization: c.Organization}
	err = s.store.Write(ctx, func(tx Tx) error {
		return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "id_token.create", Object: itself, Credential: true})
	})
	if err != nil {
		return "", fault.Wrap(err, "making the ID token")
	}
	return signed, nil
}

func checkAudience(audience []string) error {
	if n := len(audience); n == 0 || n > maxAudiences {
		return fault.Invalid("audience", "must name 1 to %d of those who shall accept the token; there are %d", maxAudiences, n)
	}
	for i, a := range audience {
		if a == "" || len(a) > maxAudienceLength {
			return fault.Invalid(fmt.Sprintf("audience[%d]", i), "must have 1 to %d bytes, has %d", maxAudienceLength, len(a))
		}
	}
	return nil
}

func (s *Service) claims(c access.Caller, p Profile, audience []string, v Version, now time.Time) claims {
	kind := principals[c.Principal]
	end := now.Add(Lifetime)
	if !c.Expires.IsZero() && c.Expires.Before(end) {
		end = c.Expires
	}
	out := claims{
		Claims: jwt.Claims{
			Issuer: s.issuer, Subject: kind + ":" + c.ID, ID: id.New(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(end),
		},
		Audience: audience, OrganizationID: string(c.Organization), Principal: kind, PrincipalID: c.ID, Name: p.Name,
	}
	if v != V1 {
		out.Subject = "organization:" + string(c.Organization) + "/" + out.Subject
	}
	switch c.Principal {
	case access.PrincipalRunner:
		out.RunnerID = c.ID
	case access.PrincipalUser:
		out.Email, out.EmailVerified = p.Email, new(bool)
	}
	return out
}

func (s *Service) sign(ctx context.Context, c claims) (string, error) {
	keyID, key, err := s.keys.Signing(ctx)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: Algorithm, Key: jose.JSONWebKey{Key: key, KeyID: keyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("idtoken: %w", err)
	}
	return jwt.Signed(signer).Claims(c).Serialize()
}

// KeySet returns the public keys of all tokens that may be valid. It is never
// empty: the first key is made when it is needed.
func (s *Service) KeySet(ctx context.Context) (jose.JSONWebKeySet, error) {
	if _, _, err := s.keys.Signing(ctx); err != nil {
		return jose.JSONWebKeySet{}, fault.Wrap(err, "making the first key of ID tokens")
	}
	keys, err := s.keys.Verifying(ctx)
	if err != nil {
		return jose.JSONWebKeySet{}, fault.Wrap(err, "reading the keys of ID tokens")
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for keyID, key := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key, KeyID: keyID, Algorithm: string(Algorithm), Use: "sig"})
	}
	slices.SortFunc(set.Keys, func(a, b jose.JSONWebKey) int { return cmp.Compare(a.KeyID, b.KeyID) })
	return set, nil
}
