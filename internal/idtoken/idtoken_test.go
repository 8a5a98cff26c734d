package idtoken_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/idtoken"
	"github.com/musterhq/muster/internal/resource"
)

const (
	issuer = "https://muster.example.com"
	org    = "0192aaaa-0000-7000-8000-0000000000aa"
	someID = "0192aaaa-0000-7000-8000-000000000001"
)

// database knows everybody by one name, and keeps audit entries.
type database struct {
	entries []audit.Entry
	fails   error
}

func (d *database) Profile(_ context.Context, o id.Organization, _ string) (idtoken.Profile, bool, error) {
	return idtoken.Profile{Name: "Ann", Email: "ann@example.com"}, o == org, nil
}

func (d *database) Write(_ context.Context, fn func(idtoken.Tx) error) error {
	if d.fails != nil {
		return d.fails
	}
	return fn(d)
}

func (d *database) Emit(event.Event) { panic("a credential is no change") }

func (d *database) InsertAuditEntry(_ context.Context, e audit.Entry) error {
	d.entries = append(d.entries, e)
	return nil
}

// ring is a ring of one key.
type ring struct{ key *rsa.PrivateKey }

func (r ring) Signing(context.Context) (string, crypto.Signer, error) { return "k1", r.key, nil }

func (r ring) Verifying(context.Context) (map[string]crypto.PublicKey, error) {
	return map[string]crypto.PublicKey{"k1": r.key.Public(), "k0": r.key.Public()}, nil
}

var signing = func() ring {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return ring{key}
}()

func caller(p access.Principal) access.Caller {
	c := access.Caller{Subject: access.Subject{Principal: p, ID: someID}, Organization: org}
	if p != access.PrincipalRunner {
		c.Standing = access.OfRole(resource.RoleOrgMember)
	}
	return c
}

// said are the claims of a token, which must verify against the key set.
func said(t *testing.T, s *idtoken.Service, raw string) map[string]any {
	t.Helper()
	set, err := s.KeySet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tok, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := tok.Claims(set, &claims); err != nil {
		t.Fatal(err)
	}
	if h := tok.Headers[0]; h.KeyID != "k1" || h.ExtraHeaders["typ"] != "JWT" {
		t.Errorf("header %+v", h)
	}
	return claims
}

func TestClaims(t *testing.T) {
	for name, tt := range map[string]struct {
		principal access.Principal
		version   idtoken.Version
		want      map[string]any
	}{
		"a user": {access.PrincipalUser, 0, map[string]any{
			"sub": "organization:" + org + "/user:" + someID, "principal": "user", "email": "ann@example.com", "email_verified": false,
		}},
		"a user, V2": {access.PrincipalUser, idtoken.V2, map[string]any{
			"sub": "organization:" + org + "/user:" + someID, "principal": "user", "email": "ann@example.com", "email_verified": false,
		}},
		"a user, V1": {access.PrincipalUser, idtoken.V1, map[string]any{
			"sub": "user:" + someID, "principal": "user", "email": "ann@example.com", "email_verified": false,
		}},
		"a runner": {access.PrincipalRunner, 0, map[string]any{
			"sub": "organization:" + org + "/runner:" + someID, "principal": "runner", "runner_id": someID,
		}},
		"a service account": {access.PrincipalServiceAccount, 0, map[string]any{
			"sub": "organization:" + org + "/service_account:" + someID, "principal": "service_account",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now := float64(time.Now().Unix())
				d := &database{}
				s := idtoken.New(d, signing, issuer)
				raw, err := s.Create(t.Context(), caller(tt.principal), []string{"sts.amazonaws.com"}, tt.version)
				if err != nil {
					t.Fatal(err)
				}
				got := said(t, s, raw)
				maps.Copy(tt.want, map[string]any{
					"iss": issuer, "aud": []any{"sts.amazonaws.com"}, "iat": now, "nbf": now, "exp": now + 3600, "jti": got["jti"],
					"organization_id": org, "principal_id": someID, "name": "Ann",
				})
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("claims (-want +got):\n%s", diff)
				}
				for claim := range got {
					if !slices.Contains(idtoken.Claims(), claim) {
						t.Errorf("the claim %q is not listed", claim)
					}
				}
				if jti, _ := got["jti"].(string); !id.Valid(jti) {
					t.Errorf("jti %q", jti)
				}
				if len(d.entries) != 1 || d.entries[0].Action != "id_token.create" || d.entries[0].Kind != audit.KindCredentialAccess ||
					d.entries[0].SubjectID != someID || d.entries[0].Actor.ID != someID || d.entries[0].SubjectType != tt.principal.Type() {
					t.Errorf("entries %+v", d.entries)
				}
			})
		})
	}
}

func TestAudience(t *testing.T) {
	for name, tt := range map[string]struct {
		audience []string
		field    string
	}{
		"none":       {nil, "audience"},
		"ten":        {slices.Repeat([]string{"a"}, 10), ""},
		"eleven":     {slices.Repeat([]string{"a"}, 11), "audience"},
		"an empty":   {[]string{"a", ""}, "audience[1]"},
		"a long one": {[]string{strings.Repeat("a", 255)}, ""},
		"too long":   {[]string{strings.Repeat("a", 256)}, "audience[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &database{}
			raw, err := idtoken.New(d, signing, issuer).Create(t.Context(), caller(access.PrincipalUser), tt.audience, 0)
			if tt.field == "" {
				if err != nil || raw == "" {
					t.Errorf("error %v", err)
				}
				return
			}
			if !fault.HasReason(err, fault.InvalidField) || !strings.HasPrefix(fault.From(err).Message, tt.field) || len(d.entries) > 0 {
				t.Errorf("error %v, %d entries", err, len(d.entries))
			}
		})
	}
}

func TestNoTokenWithoutAnEntry(t *testing.T) {
	s := idtoken.New(&database{fails: errors.New("away")}, signing, issuer)
	if raw, err := s.Create(t.Context(), caller(access.PrincipalUser), []string{"a"}, 0); err == nil || raw != "" {
		t.Errorf("Create = %q, %v", raw, err)
	}
	if _, err := s.Create(t.Context(), caller(access.PrincipalUser), []string{"a"}, 3); !fault.HasReason(err, fault.InvalidField) {
		t.Errorf("a form that does not exist: %v", err)
	}
	if _, err := s.Create(t.Context(), access.Caller{}, []string{"a"}, 0); err == nil {
		t.Error("nobody got a token")
	}
}

func TestKeySet(t *testing.T) {
	set, err := idtoken.New(&database{}, signing, issuer).KeySet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Keys []map[string]string }
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	for i, k := range got.Keys {
		if k["kty"] != "RSA" || k["alg"] != "RS256" || k["use"] != "sig" || k["kid"] != []string{"k0", "k1"}[i] || k["n"] == "" || k["e"] != "AQAB" || k["d"] != "" {
			t.Errorf("key %d: %v", i, k)
		}
	}
	if len(got.Keys) != 2 {
		t.Errorf("%d keys", len(got.Keys))
	}
}
