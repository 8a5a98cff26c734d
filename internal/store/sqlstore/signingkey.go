package sqlstore

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/keyring"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

var _ keyring.Tx = (*Tx)(nil)

// Keyring returns the store as package keyring sees it.
func (s *Store) Keyring() keyring.Store { return keyringStore{s} }

type keyringStore struct{ *Store }

func (s keyringStore) Write(ctx context.Context, fn func(keyring.Tx) error) error {
	return s.write(ctx, func(tx *Tx) error { return fn(tx) })
}

// SigningKeys returns the keys for a purpose, oldest first.
func (r reads) SigningKeys(ctx context.Context, p keyring.Purpose) ([]keyring.Record, error) {
	rows, err := r.q.ListSigningKeys(ctx, string(p))
	return all(r, rows, err, "reading the signing keys", func(row query.SigningKey) (keyring.Record, error) {
		return keyring.Record{
			ID: row.ID, Purpose: keyring.Purpose(row.Purpose), Wrapped: bytesOf(row.Wrapped), Public: row.PublicKey,
			CreatedAt: moment(row.CreatedAt), RetiredAt: moment(row.RetiredAt),
		}, nil
	})
}

// InsertSigningKey puts k into use unless another key is in use for its purpose.
func (tx *Tx) InsertSigningKey(ctx context.Context, k keyring.Record) (bool, error) {
	n, err := tx.q.InsertSigningKey(ctx, query.InsertSigningKeyParams{
		ID: k.ID, Wrapped: blob(k.Wrapped), PublicKey: blob(k.Public), CreatedAt: micros(k.CreatedAt), Purpose: string(k.Purpose),
	})
	return n > 0, tx.explained(err, "storing a signing key")
}

// RetireSigningKey takes the key for a purpose out of use and deletes its private
// half.
func (tx *Tx) RetireSigningKey(ctx context.Context, p keyring.Purpose, at time.Time) (bool, error) {
	n, err := tx.q.RetireSigningKey(ctx, query.RetireSigningKeyParams{RetiredAt: micros(at), Wrapped: []byte{}, Purpose: string(p)})
	return n > 0, tx.explained(err, "retiring a signing key")
}

// Operator returns the organization whose admins operate the installation.
func (tx *Tx) Operator(ctx context.Context) (id.Organization, bool, error) {
	o, found, err := tx.OperatingOrganization(ctx)
	return o.ID, found, err
}

// DeleteRetiredKeys deletes the keys for a purpose that were retired before a
// time.
func (tx *Tx) DeleteRetiredKeys(ctx context.Context, p keyring.Purpose, before time.Time) (int64, error) {
	n, err := tx.q.DeleteRetiredKeys(ctx, string(p), micros(before))
	return n, tx.explained(err, "deleting retired signing keys")
}
