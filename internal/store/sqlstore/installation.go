package sqlstore

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// SigningKey is a key pair that signs tokens of this installation.
type SigningKey struct {
	ID string
	// Wrapped is the private key, encrypted under the secret-key file.
	Wrapped   []byte
	Public    []byte
	CreatedAt time.Time
	// RetiredAt is zero for the key that is in use; each purpose has one at most.
	RetiredAt time.Time
	// Purpose is what the key signs, such as "logs".
	Purpose string
}

// SigningKeys returns all keys for a purpose, oldest first.
func (r reads) SigningKeys(ctx context.Context, purpose string) ([]SigningKey, error) {
	rows, err := r.q.ListSigningKeys(ctx, purpose)
	return all(r, rows, err, "reading the signing keys", func(row query.SigningKey) (SigningKey, error) {
		return SigningKey{
			ID: row.ID, Wrapped: row.Wrapped, Public: row.PublicKey,
			CreatedAt: moment(row.CreatedAt), RetiredAt: moment(row.RetiredAt), Purpose: row.Purpose,
		}, nil
	})
}

// InsertSigningKey puts k into use if no key is in use for its purpose. Of several
// replicas that start at once one succeeds; the others see its key in
// SigningKeys.
func (s *Store) InsertSigningKey(ctx context.Context, k SigningKey) error {
	return s.write(ctx, func(tx *Tx) error {
		return tx.explained(tx.q.InsertSigningKey(ctx, query.InsertSigningKeyParams{
			ID: k.ID, Wrapped: blob(k.Wrapped), PublicKey: blob(k.Public), CreatedAt: micros(k.CreatedAt), Purpose: k.Purpose,
		}), "storing a signing key")
	})
}

// Meta returns a value of this installation by its name.
func (r reads) Meta(ctx context.Context, name string) (string, bool, error) {
	value, err := r.q.GetMeta(ctx, name)
	return one(r, value, err, "reading the settings of this installation", func(v string) (string, error) { return v, nil })
}

// SetMeta sets a value once: if the name has a value already, that one stays.
// It returns the value that the name has now, which is the same for several
// replicas that start at once.
func (s *Store) SetMeta(ctx context.Context, name, value string) (string, error) {
	var stored string
	err := s.write(ctx, func(tx *Tx) error {
		if err := tx.q.InsertMeta(ctx, name, value); err != nil {
			return tx.explained(err, "storing a setting of this installation")
		}
		var err error
		stored, _, err = tx.Meta(ctx, name)
		return err
	})
	return stored, err
}
