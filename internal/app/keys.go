package app

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/audit/chain"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/idtoken"
	"github.com/musterhq/muster/internal/keyring"
	"github.com/musterhq/muster/internal/logtoken"
	"github.com/musterhq/muster/internal/rpc/oidc"
	"github.com/musterhq/muster/internal/rpc/relay"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// tokenLife is how long what a key signed is accepted; checkpoints of the audit
// log are for ever.
var tokenLife = map[keyring.Purpose]time.Duration{
	keyring.Logs:    logtoken.Lifetime + logtoken.Leeway,
	keyring.IDToken: idtoken.Lifetime + idtoken.Leeway,
}

// loadKeys makes the keyring. It reads the keys that every control plane needs at
// once, and makes the first ones, so that a secret-key file that does not belong
// to the database stops the start.
func (p *plane) loadKeys(ctx context.Context, store *sqlstore.Store, key *seal.Key) error {
	p.keys = keyring.New(keyring.Config{
		Store: store.Keyring(), Key: key, Log: p.log, Life: tokenLife, Confirmed: p.confirmed.Now,
		Changed: func(purpose keyring.Purpose) {
			if purpose == keyring.Logs {
				p.hub.KeysChanged()
			}
		},
	})
	p.idTokens = idtoken.New(store.IDToken(), p.keys.Ring(keyring.IDToken), p.url)
	for _, purpose := range []keyring.Purpose{keyring.Logs, keyring.Audit} {
		if _, _, err := p.keys.Ring(purpose).Signing(ctx); err != nil {
			return err
		}
	}
	return nil
}

// signLogsToken makes a token for a person to read a runner's logs.
func (p *plane) signLogsToken(r id.Runner, person string) (string, error) {
	// The keys are in memory since the start, so nothing is waited for.
	keyID, key, err := p.keys.Ring(keyring.Logs).Signing(context.Background())
	if err != nil {
		return "", err
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return "", fmt.Errorf("app: the key %s is no Ed25519 key", keyID)
	}
	return logtoken.Key{ID: keyID, Private: private}.Sign(p.url, r, person)
}

// verificationKeys are what runners get to verify logs tokens with.
func (p *plane) verificationKeys() []*linkv1.VerificationKey {
	keys, err := p.keys.Ring(keyring.Logs).PublicKeys(context.Background())
	if err != nil {
		// It was read at the start, and what was read once is never forgotten.
		p.log.Error("the keys of logs tokens cannot be read", "error", err)
	}
	out := make([]*linkv1.VerificationKey, 0, len(keys))
	for _, keyID := range slices.Sorted(maps.Keys(keys)) {
		out = append(out, &linkv1.VerificationKey{Id: keyID, PublicKey: keys[keyID]})
	}
	return out
}

// logsRoutes are where the logs of runners are read, with logs tokens.
func (p *plane) logsRoutes() map[string]http.Handler {
	logs := &relay.Handler{Hub: p.hub, Issuer: p.url, Keys: p.keys.Ring(keyring.Logs).PublicKeys, MayRead: p.readers.mayRead}
	return logs.Routes()
}

// publicRoutes are what is served beside the API to those without a token.
func (p *plane) publicRoutes() map[string]http.Handler {
	routes := (&oidc.Handler{Tokens: p.idTokens}).Routes()
	maps.Copy(routes, p.pages.Routes())
	return routes
}

// auditSigner signs the checkpoints of the audit log.
type auditSigner struct{ ring *keyring.Ring }

// Sign implements auditlog.Signer.
func (s auditSigner) Sign(ctx context.Context, message []byte) (keyID string, signature []byte, err error) {
	return s.ring.Sign(ctx, message)
}

// PublicKeys implements auditlog.Signer.
func (s auditSigner) PublicKeys(ctx context.Context) ([]chain.Key, error) {
	keys, err := s.ring.PublicKeys(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]chain.Key, 0, len(keys))
	for keyID, public := range keys {
		out = append(out, chain.Key{ID: keyID, PublicKey: chain.Hex(public)})
	}
	slices.SortFunc(out, func(a, b chain.Key) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}
