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
	"time"

	"github.com/musterhq/muster/internal/seal"
)

// maxKept is how many opened secrets are kept. More are asked for each time.
const maxKept = 10_000

// maxFetch is how long a secret may take to come, also when nobody waits for it
// any more.
const maxFetch = 5 * time.Minute

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
	opened map[string]opened
	// coming are the secrets that were asked for, and have not changed since.
	coming map[string]*fetch
}

// opened is a secret in the clear, and which sealed one it was.
type opened struct {
	plain  []byte
	digest seal.Digest
}

// fetch is a secret on its way to all who want it.
type fetch struct {
	done   chan struct{}
	opened // once done is closed, as err
	err    error
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
	v.forget("")
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
	v.forget("")
}

// Forget forgets secrets that were changed or deleted; see Named.
func (v *Vault) Forget(names ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, name := range names {
		if strings.HasSuffix(name, "/") {
			v.forget(name)
		} else {
			v.drop(name)
		}
	}
}

// Named tells whether a secret is among those that names stand for. A name that
// ends with "/" stands for all that begin with it.
func Named(names []string, secret string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		return n == secret || strings.HasSuffix(n, "/") && strings.HasPrefix(secret, n)
	})
}

// forget drops all that begin with a prefix. The mutex is held.
func (v *Vault) forget(prefix string) {
	for name := range v.opened {
		if strings.HasPrefix(name, prefix) {
			v.drop(name)
		}
	}
	for name := range v.coming {
		if strings.HasPrefix(name, prefix) {
			v.drop(name)
		}
	}
}

// drop wipes a secret; one that is on its way is not going to be kept. The mutex
// is held.
func (v *Vault) drop(name string) {
	clear(v.opened[name].plain)
	delete(v.opened, name)
	delete(v.coming, name)
}

// Get returns a secret in the clear, which is the caller's to wipe, and the digest
// of its sealed form. It asks for one that is not there, and opens it. Many who
// want the same secret ask once; each waits no longer than its own ctx.
func (v *Vault) Get(ctx context.Context, name string) ([]byte, seal.Digest, error) {
	there, coming := v.look(ctx, name)
	switch {
	case there.plain != nil:
		return there.plain, there.digest, nil
	case coming == nil:
		return nil, seal.Digest{}, ErrClosed
	}
	select {
	case <-coming.done:
		return slices.Clone(coming.plain), coming.digest, coming.err
	case <-ctx.Done():
		return nil, seal.Digest{}, ctx.Err()
	}
}

// look returns a copy of a secret that is there; else one that is coming; neither
// while nobody can be asked.
func (v *Vault) look(ctx context.Context, name string) (opened, *fetch) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if o, ok := v.opened[name]; ok {
		return o.clone(), nil
	}
	if v.source == nil {
		return opened{}, nil
	}
	f := v.coming[name]
	if f == nil {
		f = &fetch{done: make(chan struct{})}
		if v.coming == nil {
			v.coming = map[string]*fetch{}
		}
		v.coming[name] = f
		go v.fetch(context.WithoutCancel(ctx), *v.source, name, f)
	}
	return opened{}, f
}

func (o opened) clone() opened { return opened{slices.Clone(o.plain), o.digest} }

// fetch asks for a secret, opens it, and keeps it unless it has changed since it
// was asked for.
func (v *Vault) fetch(ctx context.Context, s Source, name string, f *fetch) {
	defer close(f.done)
	ctx, cancel := context.WithTimeout(ctx, maxFetch)
	defer cancel()
	f.opened, f.err = s.get(ctx, name)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.coming[name] != f {
		return
	}
	delete(v.coming, name)
	if f.err != nil || len(v.opened) >= maxKept {
		return
	}
	if v.opened == nil {
		v.opened = map[string]opened{}
	}
	v.opened[name] = f.clone()
}

// get asks for a secret and opens it.
func (s Source) get(ctx context.Context, name string) (opened, error) {
	sealed, err := s.Ask(ctx, name)
	if err != nil {
		return opened{}, err
	}
	plain, err := s.Open(sealed, name)
	if err != nil {
		return opened{}, fmt.Errorf("%s cannot be opened: %w", name, err)
	}
	return opened{plain, sealed.Digest()}, nil
}
