// Package vault holds the secrets that a runner has opened.
//
// They are asked for when they are needed, opened with the runner's key, and
// kept in memory only, until the control plane says that they have changed. No
// secret is ever logged or written. The package knows nothing of the link that
// secrets come over.
package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/musterhq/muster/internal/seal"
)

// maxKept is how many opened secrets are kept. More are asked for each time.
const maxKept = 10_000

// ErrClosed is what Get returns while nobody can be asked.
var ErrClosed = errors.New("the runner is not connected to its control plane")

// ErrSealed is in the chain of what Get returns for a secret that is there and
// cannot be opened: it was sealed to another key.
var ErrSealed = seal.ErrOpen

// Source gives a vault its secrets.
type Source struct {
	// Ask fetches a sealed secret by its name.
	Ask func(ctx context.Context, name string) (seal.Secret, error)
	// Open opens it.
	Open func(s seal.Secret, purpose string) ([]byte, error)
}

// Vault holds opened secrets. It may be used by many at once. The zero Vault has
// no source.
type Vault struct {
	mu     sync.Mutex
	source *Source
	opened map[string][]byte
	// changes counts the calls of Forget, Connect and Close.
	changes uint64
}

// String keeps the secrets out of messages.
func (v *Vault) String() string { return "[vault]" }

// GoString does the same for %#v.
func (v *Vault) GoString() string { return v.String() }

// LogValue does the same for logs.
func (v *Vault) LogValue() slog.Value { return slog.StringValue(v.String()) }

// Connect gives the vault a source. What was opened before is forgotten, since
// nobody said what has changed meanwhile.
func (v *Vault) Connect(s Source) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.source = &s
	v.forget(func(string) bool { return true })
}

// Disconnect takes the source away. What was opened stays.
func (v *Vault) Disconnect() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.source = nil
}

// Close takes the source away and forgets everything: the runner has lost its
// key, or the right to act as the runner.
func (v *Vault) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.source = nil
	v.forget(func(string) bool { return true })
}

// Forget forgets secrets that were changed or deleted. A name that ends with "/"
// stands for all that begin with it.
func (v *Vault) Forget(names ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.forget(func(kept string) bool {
		return slices.ContainsFunc(names, func(n string) bool {
			return n == kept || strings.HasSuffix(n, "/") && strings.HasPrefix(kept, n)
		})
	})
}

// forget wipes what matches. The mutex is held.
func (v *Vault) forget(match func(name string) bool) {
	v.changes++
	for name, plain := range v.opened {
		if match(name) {
			clear(plain)
			delete(v.opened, name)
		}
	}
}

// Get returns a secret in the clear, which is the caller's to wipe. It asks for
// one that is not there, and opens it.
func (v *Vault) Get(ctx context.Context, name string) ([]byte, error) {
	v.mu.Lock()
	source, changes := v.source, v.changes
	plain, kept := v.opened[name]
	if kept {
		defer v.mu.Unlock()
		return slices.Clone(plain), nil
	}
	v.mu.Unlock()
	if source == nil {
		return nil, ErrClosed
	}
	sealed, err := source.Ask(ctx, name)
	if err != nil {
		return nil, err
	}
	if plain, err = source.Open(sealed, name); err != nil {
		return nil, fmt.Errorf("%s cannot be opened: %w", name, err)
	}
	v.keep(name, plain, changes)
	return plain, nil
}

// keep remembers a secret, unless something has changed since it was asked for:
// it may have been this one.
func (v *Vault) keep(name string, plain []byte, changes uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.changes != changes || len(v.opened) >= maxKept {
		return
	}
	if v.opened == nil {
		v.opened = map[string][]byte{}
	}
	v.opened[name] = slices.Clone(plain)
}
