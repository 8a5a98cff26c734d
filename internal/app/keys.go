package app

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/logtoken"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// signingKeys are the keys of logs tokens.
type signingKeys struct {
	sign   logtoken.Key
	verify map[string]ed25519.PublicKey
}

// loadSigningKeys reads the signing keys, and makes the first one. The private
// keys are stored wrapped under the secret key.
func loadSigningKeys(ctx context.Context, store *sqlstore.Store, key *seal.Key) (signingKeys, error) {
	rows, err := store.SigningKeys(ctx, "logs")
	if err != nil {
		return signingKeys{}, err
	}
	if len(rows) == 0 {
		if err := makeSigningKey(ctx, store, key); err != nil {
			return signingKeys{}, err
		}
		// Read again: another replica may have been faster.
		if rows, err = store.SigningKeys(ctx, "logs"); err != nil {
			return signingKeys{}, err
		}
	}
	keys := signingKeys{verify: map[string]ed25519.PublicKey{}}
	for _, row := range rows {
		keys.verify[row.ID] = ed25519.PublicKey(row.Public)
		private, err := key.Unwrap(row.Wrapped, signingPurpose(row.ID))
		if err != nil {
			return signingKeys{}, fault.New(fault.FailedPrecondition, fault.KeyMismatch,
				"The secret-key file is not the one that this database was made with. Restore it from a backup, or point --secret-key-file at it.").WithCause(err)
		}
		keys.sign = logtoken.Key{ID: row.ID, Private: ed25519.PrivateKey(private)}
	}
	return keys, nil
}

func signingPurpose(keyID string) string { return "signing-key/" + keyID }

func makeSigningKey(ctx context.Context, store *sqlstore.Store, key *seal.Key) error {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return fmt.Errorf("app: making a signing key: %w", err)
	}
	kid := id.New()
	return store.InsertSigningKey(ctx, sqlstore.SigningKey{
		ID: kid, Wrapped: key.Wrap(signingPurpose(kid), private), Public: public, CreatedAt: time.Now(), Purpose: "logs",
	})
}

// wire is what runners get to verify logs tokens with.
func (k signingKeys) wire() []*linkv1.VerificationKey {
	out := make([]*linkv1.VerificationKey, 0, len(k.verify))
	for kid, public := range k.verify {
		out = append(out, &linkv1.VerificationKey{Id: kid, PublicKey: public})
	}
	return out
}
