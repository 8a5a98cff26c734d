// Package keyring holds the keys of the control plane itself: those that it
// signs with, a ring of them for each purpose, and the secret-key file, under
// which private halves and waiting secrets are encrypted.
//
// One key of a ring is in use. Rotation retires it: its private half is deleted
// at once, and it verifies until the last token that it signed has expired. What
// is signed, and for whom, this package does not know.
package keyring

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/seal"
)

// Purpose is what a key signs.
type Purpose string

// The purposes.
const (
	// Logs keys (Ed25519) sign logs tokens; runners verify them.
	Logs Purpose = "logs"
	// Audit keys (Ed25519) sign checkpoints of the audit log. Their public halves
	// are kept for ever.
	Audit Purpose = "audit"
	// IDToken keys (RSA, 2048 bits) sign ID tokens; anybody verifies them.
	IDToken Purpose = "id-token"
)

// refreshEvery is how old what a replica knows of the keys may be.
const refreshEvery = time.Minute

// grace is how long a key is kept that verifies nothing any more. A clock that
// was wrong when it was retired may make that come too early.
const grace = 30 * 24 * time.Hour

// Record is a signing key as it is stored.
type Record struct {
	// ID is the "kid".
	ID      string
	Purpose Purpose
	// Wrapped is the private half under the secret-key file; empty once the key is
	// retired. SecretName is what it is wrapped for.
	Wrapped seal.Secret
	// Public has 32 bytes for Ed25519, and is in the PKIX form for RSA.
	Public    []byte
	CreatedAt time.Time
	// RetiredAt is zero for the key that is in use.
	RetiredAt time.Time
}

// SecretName is what the private half of a key is wrapped for.
func SecretName(keyID string) string { return "signing-key/" + keyID }

// Store is what this package needs of a database.
type Store interface {
	// SigningKeys returns the keys for a purpose, oldest first.
	SigningKeys(ctx context.Context, p Purpose) ([]Record, error)
	// Rewrap calls rewrap with every secret that is wrapped under the secret-key
	// file, and with what it is wrapped for, and stores what comes back where that
	// differs and the secret is still the same. It returns how many it stored. It
	// runs in several transactions, and may be called again when it fails.
	Rewrap(ctx context.Context, rewrap func(s seal.Secret, name string) (seal.Secret, error)) (int, error)
	// Write runs fn in one transaction; see identity.Store.
	Write(ctx context.Context, fn func(Tx) error) error
}

// Tx is what this package needs of a transaction.
type Tx interface {
	change.Tx
	// InsertSigningKey puts k into use; false means that another key is in use for
	// its purpose.
	InsertSigningKey(ctx context.Context, k Record) (bool, error)
	// RetireSigningKey takes the key for a purpose out of use and deletes its
	// private half; false means that none was in use.
	RetireSigningKey(ctx context.Context, p Purpose, at time.Time) (bool, error)
	// Operator returns the organization that operates the installation, whose
	// audit log tells of the keys; false before the first start is done.
	Operator(ctx context.Context) (id.Organization, bool, error)
	// DeleteRetiredKeys deletes the keys for a purpose that were retired before a
	// time, and returns how many those were.
	DeleteRetiredKeys(ctx context.Context, p Purpose, before time.Time) (int64, error)
}

// Config has what a Service needs.
type Config struct {
	Store Store
	Key   *seal.Key
	Log   *slog.Logger
	// Life is how long what a key signed is accepted, by purpose; 0 is for ever.
	Life map[Purpose]time.Duration
	// Confirmed is the time by which retired keys are deleted; none is while it says
	// false.
	Confirmed func() (now time.Time, ok bool)
	// Changed is called when the public keys of a ring that was in use have
	// changed. It must return at once.
	Changed func(Purpose)
}

// Service is the domain of the keys.
type Service struct {
	cfg    Config
	rings  map[Purpose]*Ring
	secret secretKey
}

// New makes the service. Run must run for keys to be pruned and interrupted
// rotations to be finished.
func New(c Config) *Service {
	s := &Service{cfg: c, rings: map[Purpose]*Ring{}, secret: newSecretKey()}
	for _, p := range []Purpose{Logs, Audit, IDToken} {
		s.rings[p] = &Ring{purpose: p, cfg: &s.cfg}
	}
	return s
}

// Ring returns the keys for a purpose. They are read, and the first one is made,
// when they are first needed.
func (s *Service) Ring(p Purpose) *Ring { return s.rings[p] }

// Run keeps the rings fresh, deletes keys that verify nothing any more, and
// finishes rotations of the secret-key file that were interrupted, until ctx
// ends.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		s.resume(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for p, r := range s.rings {
			if err := s.prune(ctx, p); err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("signing keys that have expired could not be deleted; trying again in a minute", "purpose", p, "error", err)
			}
			if !r.loaded() {
				continue
			}
			if err := r.refresh(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("the signing keys could not be read; those that are known stay in use", "purpose", p, "error", err)
			}
		}
	}
}

// prune deletes the keys for a purpose that have verified nothing for a while.
func (s *Service) prune(ctx context.Context, p Purpose) error {
	if s.cfg.Life[p] == 0 {
		return nil
	}
	rows, err := s.cfg.Store.SigningKeys(ctx, p)
	if err != nil {
		return err
	}
	now, ok := s.cfg.Confirmed()
	before := now.Add(-s.cfg.kept(p) - grace)
	due := func(k Record) bool { return !k.RetiredAt.IsZero() && k.RetiredAt.Before(before) }
	if !ok || !slices.ContainsFunc(rows, due) {
		return nil
	}
	return s.cfg.Store.Write(ctx, func(tx Tx) error {
		n, err := tx.DeleteRetiredKeys(ctx, p, before)
		if err != nil || n == 0 {
			return err
		}
		return recordSystem(ctx, tx, "signing_key.delete")
	})
}

// recordSystem writes down what the control plane did to its keys by itself. The
// keys of the first start are older than any organization, and have no entry.
func recordSystem(ctx context.Context, tx Tx, action string) error {
	o, found, err := tx.Operator(ctx)
	if err != nil || !found {
		return err
	}
	return change.Write(ctx, tx, change.Record{Actor: access.System, Action: action, Object: access.OrganizationObject(o)})
}

// kept is how long a retired key verifies. Another replica may sign with it
// until it has read that the key is retired.
func (c *Config) kept(p Purpose) time.Duration { return c.Life[p] + refreshEvery }

// verifies tells whether there can be a valid token that the key signed.
func (c *Config) verifies(k Record, now time.Time) bool {
	return k.RetiredAt.IsZero() || c.Life[k.Purpose] == 0 || now.Before(k.RetiredAt.Add(c.kept(k.Purpose)))
}

// Rotate puts a new key into use for every purpose that has one, and returns
// their ids. What the old keys signed stays valid.
func (s *Service) Rotate(ctx context.Context, c access.Caller) ([]string, error) {
	operator := access.OrganizationObject(c.Organization)
	if err := access.Check(c, access.InstallationManage, operator); err != nil {
		return nil, err
	}
	defer s.cfg.Key.Hold()()
	var fresh []Record
	for _, p := range []Purpose{Logs, Audit, IDToken} {
		rows, err := s.cfg.Store.SigningKeys(ctx, p)
		if err != nil {
			return nil, err
		}
		if inUse(rows) == nil {
			continue
		}
		k, err := generate(p, s.cfg.Key)
		if err != nil {
			return nil, err
		}
		fresh = append(fresh, k)
	}
	err := s.cfg.Store.Write(ctx, func(tx Tx) error {
		now := time.Now()
		for _, k := range fresh {
			k.CreatedAt = now
			if _, err := tx.RetireSigningKey(ctx, k.Purpose, now); err != nil {
				return err
			}
			if ok, err := tx.InsertSigningKey(ctx, k); err != nil || !ok {
				return fault.Lost(ok, err)
			}
		}
		return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "signing_key.rotate", Object: operator})
	})
	if !fault.MayHaveHappened(err) {
		return nil, fault.Wrap(err, "rotating the signing keys")
	}
	ids := make([]string, len(fresh))
	for i, k := range fresh {
		ids[i] = k.ID
		// A ring that cannot be read now is read again within a minute.
		if err := s.rings[k.Purpose].refresh(context.WithoutCancel(ctx)); err != nil {
			s.cfg.Log.Warn("the signing keys could not be read; those that are known stay in use", "purpose", k.Purpose, "error", err)
		}
	}
	if err == nil {
		s.cfg.Log.Info("the signing keys were rotated", "key_ids", ids)
	}
	return ids, err
}
