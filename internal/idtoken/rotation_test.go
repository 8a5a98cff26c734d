package idtoken_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/idtoken"
	"github.com/musterhq/muster/internal/keyring"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/rpc/oidc"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// published is the key set as a third party gets it.
func published(t *testing.T, h http.Handler) (set jose.JSONWebKeySet) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/.well-known/jwks.json", http.NoBody))
	if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "public, max-age=60" || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v: %s", w.Code, w.Header(), w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &set); err != nil {
		t.Fatal(err)
	}
	return set
}

// TestTokensOutliveTheirKey rotates the key on a virtual clock: with a real
// database, keyring and key set, a token verifies until it expires, and then its
// key is gone.
func TestTokensOutliveTheirKey(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store, err := sqlstore.Open(t.Context(), sqlstore.Options{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = store.Close() }()
		key, err := seal.LoadKey(filepath.Join(dir, "secret-key"))
		if err != nil {
			t.Fatal(err)
		}
		err = store.Identity().Write(t.Context(), func(tx identity.Tx) error {
			return tx.InsertOrganization(t.Context(), identity.Organization{ID: org, Name: "Acme", CreatedAt: time.Now(), UpdatedAt: time.Now()})
		})
		if err != nil {
			t.Fatal(err)
		}
		keys := keyring.New(keyring.Config{
			Store: store.Keyring(), Key: key, Log: slog.New(slog.DiscardHandler),
			Life:      map[keyring.Purpose]time.Duration{keyring.IDToken: idtoken.Lifetime + idtoken.Leeway},
			Confirmed: func() (time.Time, bool) { return time.Now(), true },
		})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go keys.Run(ctx)
		tokens := idtoken.New(store.IDToken(), keys.Ring(keyring.IDToken), issuer)
		served := http.NewServeMux()
		for pattern, h := range (&oidc.Handler{Tokens: tokens}).Routes() {
			served.Handle(pattern, h)
		}

		create := func() *jwt.JSONWebToken {
			t.Helper()
			raw, err := tokens.Create(t.Context(), caller(access.PrincipalUser), []string{"a"}, 0)
			if err != nil {
				t.Fatal(err)
			}
			tok, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.RS256})
			if err != nil {
				t.Fatal(err)
			}
			return tok
		}
		verify := func(tok *jwt.JSONWebToken) error {
			var c jwt.Claims
			if err := tok.Claims(published(t, served), &c); err != nil {
				return err
			}
			return c.ValidateWithLeeway(jwt.Expected{Issuer: issuer, AnyAudience: jwt.Audience{"a"}, Time: time.Now()}, 0)
		}

		old := create()
		operator := caller(access.PrincipalUser)
		operator.Grants = []access.Grant{{Role: resource.RoleOrgAdmin}, {Role: resource.RoleOperator}}
		made, err := keys.Rotate(t.Context(), operator)
		if err != nil || len(made) != 1 {
			t.Fatalf("Rotate = %v, %v", made, err)
		}
		fresh := create()
		if fresh.Headers[0].KeyID != made[0] || old.Headers[0].KeyID == made[0] {
			t.Errorf("the key ids are %s and %s", old.Headers[0].KeyID, fresh.Headers[0].KeyID)
		}
		time.Sleep(idtoken.Lifetime)
		for _, tok := range []*jwt.JSONWebToken{old, fresh} {
			if err := verify(tok); err != nil {
				t.Errorf("at the end of its life a token does not verify: %v", err)
			}
		}
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		if err := verify(old); err == nil {
			t.Error("an expired token verifies")
		}
		if set := published(t, served); len(set.Keys) != 1 || set.Keys[0].KeyID != made[0] {
			t.Errorf("%d keys are published", len(set.Keys))
		}
		if rows, err := store.Keyring().SigningKeys(t.Context(), keyring.IDToken); err != nil || len(rows) != 2 {
			t.Errorf("%d keys are stored, %v", len(rows), err)
		}
	})
}
