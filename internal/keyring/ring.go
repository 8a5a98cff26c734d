package keyring

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/musterhq/muster/internal/fault"
)

// Ring has the keys for one purpose. It may be used by many at once.
type Ring struct {
	purpose Purpose
	cfg     *Config

	// reading is held by who reads the keys, or makes the first one, so that one
	// does it for all that wait.
	reading sync.Mutex
	known   atomic.Pointer[known]
}

// known is what was read of a ring.
type known struct {
	records []Record
	// id and private are those of the key in use; nil when there is none.
	id      string
	private crypto.Signer
	public  map[string]crypto.PublicKey
}

func (r *Ring) loaded() bool { return r.known.Load() != nil }

// Signing returns the key in use, and makes it when there is none yet: an
// ed25519.PrivateKey or an *rsa.PrivateKey.
func (r *Ring) Signing(ctx context.Context) (keyID string, key crypto.Signer, err error) {
	if k := r.known.Load(); k != nil && k.private != nil {
		return k.id, k.private, nil
	}
	r.reading.Lock()
	defer r.reading.Unlock()
	k, err := r.read(ctx)
	if err != nil {
		return "", nil, err
	}
	if k.private == nil {
		if k, err = r.make(ctx); err != nil {
			return "", nil, err
		}
	}
	return k.id, k.private, nil
}

// make makes the first key. Of several replicas that do so at once one succeeds,
// and its key is read by all.
func (r *Ring) make(ctx context.Context) (*known, error) {
	defer r.cfg.Key.Hold()()
	fresh, err := generate(r.purpose, r.cfg.Key)
	if err != nil {
		return nil, err
	}
	fresh.CreatedAt = time.Now()
	err = r.cfg.Store.Write(ctx, func(tx Tx) error {
		made, err := tx.InsertSigningKey(ctx, fresh)
		if err != nil || !made {
			return err
		}
		return recordSystem(ctx, tx, "signing_key.create")
	})
	if !fault.MayHaveHappened(err) {
		return nil, fault.Wrap(err, "making a signing key")
	}
	k, err := r.read(ctx)
	if err == nil && k.private == nil {
		return nil, fault.Wrap(fault.ErrLost, "making a signing key")
	}
	return k, err
}

// Verifying returns the public keys of the ring by "kid": of the key in use, and
// of those whose tokens may still be valid.
func (r *Ring) Verifying(ctx context.Context) (map[string]crypto.PublicKey, error) {
	k := r.known.Load()
	if k == nil {
		if err := r.refresh(ctx); err != nil {
			return nil, err
		}
		k = r.known.Load()
	}
	return r.verifying(k), nil
}

func (r *Ring) verifying(k *known) map[string]crypto.PublicKey {
	now := time.Now()
	keys := maps.Clone(k.public)
	for _, row := range k.records {
		if !r.cfg.verifies(row, now) {
			delete(keys, row.ID)
		}
	}
	return keys
}

// refresh reads the keys again, and tells when others verify now.
func (r *Ring) refresh(ctx context.Context) error {
	r.reading.Lock()
	defer r.reading.Unlock()
	before := r.known.Load()
	after, err := r.read(ctx)
	if err != nil || before == nil || r.cfg.Changed == nil {
		return err
	}
	ids := func(k *known) []string { return slices.Sorted(maps.Keys(k.public)) }
	if !slices.Equal(ids(before), ids(after)) {
		// Under the mutex, so that who is told last is told the newest.
		r.cfg.Changed(r.purpose)
	}
	return nil
}

// read reads the keys. The mutex is held.
func (r *Ring) read(ctx context.Context) (*known, error) {
	rows, err := r.cfg.Store.SigningKeys(ctx, r.purpose)
	if err != nil {
		return nil, fault.Wrap(err, "reading the signing keys")
	}
	k := &known{records: rows, public: map[string]crypto.PublicKey{}}
	before, now := r.known.Load(), time.Now()
	for _, row := range rows {
		if !r.cfg.verifies(row, now) {
			continue
		}
		if k.public[row.ID], err = publicKey(row); err != nil {
			return nil, err
		}
		switch {
		case !row.RetiredAt.IsZero():
		case before != nil && before.id == row.ID:
			k.id, k.private = before.id, before.private
		default:
			k.id = row.ID
			if k.private, err = privateKey(row, r.cfg.Key); err != nil {
				return nil, err
			}
		}
	}
	r.known.Store(k)
	return k, nil
}

// Sign signs a message with the key in use, which must be an Ed25519 key.
func (r *Ring) Sign(ctx context.Context, message []byte) (keyID string, signature []byte, err error) {
	keyID, key, err := r.Signing(ctx)
	if err != nil {
		return "", nil, err
	}
	signature, err = key.Sign(nil, message, crypto.Hash(0))
	return keyID, signature, fault.Wrap(err, "signing")
}

// PublicKeys is Verifying for a ring of Ed25519 keys.
func (r *Ring) PublicKeys(ctx context.Context) (map[string]ed25519.PublicKey, error) {
	all, err := r.Verifying(ctx)
	keys := make(map[string]ed25519.PublicKey, len(all))
	for id, key := range all {
		if k, ok := key.(ed25519.PublicKey); ok {
			keys[id] = k
		}
	}
	return keys, err
}
