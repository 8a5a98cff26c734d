package keyring_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/keyring"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
)

// memory is a database of keys and of one waiting secret, on which a test can
// make every call fail.
type memory struct {
	mu      sync.Mutex
	keys    []keyring.Record
	entries []audit.Entry
	secrets map[string]seal.Secret
	// fails, when set, returns the error of the next call with that name.
	fails func(call string) error
	// operator is the organization of the first start; empty before it.
	operator id.Organization
	// rewrapped is how many secrets one call of Rewrap may replace; 0 is all.
	rewrapped int
}

func (m *memory) err(call string) error {
	if m.fails == nil {
		return nil
	}
	return m.fails(call)
}

func (m *memory) SigningKeys(_ context.Context, p keyring.Purpose) ([]keyring.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.err("SigningKeys"); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(m.keys), func(k keyring.Record) bool { return k.Purpose != p }), nil
}

var errStopped = errors.New("stopped")

func (m *memory) Rewrap(_ context.Context, rewrap func(seal.Secret, string) (seal.Secret, error)) (n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	one := func(s seal.Secret, name string) (seal.Secret, error) {
		fresh, err := rewrap(s, name)
		if err != nil || slices.Equal(fresh, s) {
			return s, err
		}
		if m.rewrapped > 0 && n == m.rewrapped {
			return s, errStopped
		}
		n++
		return fresh, nil
	}
	for name, s := range m.secrets {
		if m.secrets[name], err = one(s, name); err != nil {
			return n, err
		}
	}
	for i, k := range m.keys {
		if len(k.Wrapped) == 0 {
			continue
		}
		if m.keys[i].Wrapped, err = one(k.Wrapped, keyring.SecretName(k.ID)); err != nil {
			return n, err
		}
	}
	return n, m.err("Rewrap")
}

func (m *memory) Write(_ context.Context, fn func(keyring.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.err("Write"); err != nil {
		return err
	}
	tx := &memoryTx{keys: slices.Clone(m.keys), entries: slices.Clone(m.entries), operator: m.operator}
	if err := fn(tx); err != nil {
		return err
	}
	m.keys, m.entries = tx.keys, tx.entries
	return nil
}

func (m *memory) actions() (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries {
		names = append(names, e.Action)
	}
	return names
}

type memoryTx struct {
	keys     []keyring.Record
	entries  []audit.Entry
	operator id.Organization
}

func (tx *memoryTx) Operator(context.Context) (id.Organization, bool, error) {
	return tx.operator, tx.operator != "", nil
}

func (tx *memoryTx) Emit(event.Event) {}

func (tx *memoryTx) InsertAuditEntry(_ context.Context, e audit.Entry) error {
	tx.entries = append(tx.entries, e)
	return nil
}

func (tx *memoryTx) InsertSigningKey(_ context.Context, k keyring.Record) (bool, error) {
	if slices.ContainsFunc(tx.keys, func(o keyring.Record) bool { return o.Purpose == k.Purpose && o.RetiredAt.IsZero() }) {
		return false, nil
	}
	tx.keys = append(tx.keys, k)
	return true, nil
}

func (tx *memoryTx) RetireSigningKey(_ context.Context, p keyring.Purpose, at time.Time) (bool, error) {
	for i, k := range tx.keys {
		if k.Purpose == p && k.RetiredAt.IsZero() {
			tx.keys[i].RetiredAt, tx.keys[i].Wrapped = at, nil
			return true, nil
		}
	}
	return false, nil
}

func (tx *memoryTx) DeleteRetiredKeys(_ context.Context, p keyring.Purpose, before time.Time) (int64, error) {
	n := len(tx.keys)
	tx.keys = slices.DeleteFunc(tx.keys, func(k keyring.Record) bool {
		return k.Purpose == p && !k.RetiredAt.IsZero() && k.RetiredAt.Before(before)
	})
	return int64(n - len(tx.keys)), nil
}

const logsLife, idTokenLife = 11 * time.Minute, 61 * time.Minute

// fixture is a keyring on a database in memory and a secret-key file.
type fixture struct {
	*keyring.Service
	*memory
	key     *seal.Key
	file    string
	changed []keyring.Purpose
	doubted bool
}

func setup(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{memory: &memory{secrets: map[string]seal.Secret{}}, file: filepath.Join(t.TempDir(), "secret-key")}
	f.restart(t)
	return f
}

// restart makes the service anew, as another process would have it.
func (f *fixture) restart(t *testing.T) {
	t.Helper()
	var err error
	if f.key, err = seal.LoadKey(f.file); err != nil {
		t.Fatal(err)
	}
	f.Service = f.replica()
}

// replica is another process with the same database and secret key.
func (f *fixture) replica() *keyring.Service {
	return keyring.New(keyring.Config{
		Store: f.memory, Key: f.key, Log: slog.New(slog.DiscardHandler),
		Life: map[keyring.Purpose]time.Duration{keyring.Logs: logsLife, keyring.IDToken: idTokenLife},
		Confirmed: func() (time.Time, bool) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return time.Now(), !f.doubted
		},
		Changed: func(p keyring.Purpose) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.changed = append(f.changed, p)
		},
	})
}

// doubt makes the clock one by which nothing may be removed.
func (f *fixture) doubt(doubted bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.doubted = doubted
}

// takeChanged returns and forgets for which purposes a change was told.
func (f *fixture) takeChanged() []keyring.Purpose {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := f.changed
	f.changed = nil
	return changed
}

// operator may rotate keys.
func operator() access.Caller {
	return access.Caller{
		Subject: access.Subject{Principal: access.PrincipalUser, ID: id.New()}, Organization: "o",
		Standing: access.Standing{Grants: []access.Grant{{Role: resource.RoleOrgAdmin}, {Role: resource.RoleOperator}}},
	}
}

func (f *fixture) signing(t *testing.T, p keyring.Purpose) string {
	t.Helper()
	keyID, _, err := f.Ring(p).Signing(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return keyID
}

func verifying(t *testing.T, s *keyring.Service, p keyring.Purpose) []string {
	t.Helper()
	keys, err := s.Ring(p).Verifying(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for keyID := range keys {
		ids = append(ids, keyID)
	}
	slices.Sort(ids)
	return ids
}

func wantFault(t *testing.T, err error, reason fault.Reason) {
	t.Helper()
	if !fault.HasReason(err, reason) {
		t.Errorf("error %v, want one of reason %s", err, reason)
	}
}
