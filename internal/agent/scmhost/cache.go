package scmhost

import (
	"container/list"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/musterhq/muster/internal/fault"
)

// How long answers are remembered.
const (
	repositoryLife = time.Minute
	refsLife       = 30 * time.Second
	changeLife     = 30 * time.Second
	viewerLife     = 10 * time.Minute
	protocolLife   = time.Hour
	// acceptedLife is that of knowing that a credential was accepted.
	acceptedLife = 24 * time.Hour
	// missingLife is that of what is not there, and wrongReadingLife of a
	// repository that a URL turned out not to mean.
	missingLife      = 5 * time.Second
	wrongReadingLife = time.Minute

	maxRemembered = 8192
)

// cache remembers answers, each for the one credential that they were given to.
// Who asks for what somebody with the same credential asks for already, waits for
// the same answer.
type cache struct {
	secret []byte

	mu      sync.Mutex
	entries map[cacheKey]*list.Element // of *remembered
	recent  *list.List                 // the one used last is in front
	flights map[cacheKey]*flight
}

// flight is an answer that is on its way. Unlike one of singleflight, it is given
// up when nobody waits for it any more, and only then.
type flight struct {
	waiters int
	cancel  context.CancelFunc
	done    chan struct{}
	value   any
	err     error
}

// cacheKey says who asked for what, in few bytes. An integration that was changed,
// or a new token, is another key.
type cacheKey struct {
	integration string
	question    [sha256.Size]byte
}

type remembered struct {
	key     cacheKey
	value   any
	err     error
	expires time.Time
}

func newCache() *cache {
	c := &cache{secret: make([]byte, sha256.Size), entries: map[cacheKey]*list.Element{}, recent: list.New(), flights: map[cacheKey]*flight{}}
	_, _ = rand.Read(c.secret) // never fails
	return c
}

// key says who asks for what; an empty token stands for what is the same for
// everybody.
func (c *cache) key(s Site, token string, what ...string) cacheKey {
	mac := hmac.New(sha256.New, c.secret)
	_, _ = fmt.Fprintf(mac, "%#v%q%q", s.Integration, token, what)
	return cacheKey{integration: s.ID, question: [sha256.Size]byte(mac.Sum(nil))}
}

// recall returns what is remembered, or asks and remembers it for that long.
func recall[T any](ctx context.Context, c *cache, key cacheKey, life time.Duration, ask func(context.Context) (T, error)) (T, error) {
	c.mu.Lock()
	if r, ok := c.get(key); ok {
		c.mu.Unlock()
		value, _ := r.value.(T)
		return value, r.err
	}
	f, ok := c.flights[key]
	if !ok {
		f = &flight{done: make(chan struct{})}
		var alone context.Context
		alone, f.cancel = context.WithTimeout(context.WithoutCancel(ctx), Patience)
		c.flights[key] = f
		go func() {
			defer f.cancel()
			value, err := ask(alone)
			c.land(key, f, life, value, err)
		}()
	}
	f.waiters++
	c.mu.Unlock()
	select {
	case <-f.done:
		value, _ := f.value.(T)
		return value, f.err
	case <-ctx.Done():
		c.leave(key, f)
		var none T
		return none, ctx.Err()
	}
}

// land ends a flight, and remembers the answer if it was not forgotten meanwhile.
// Of errors, only that something is not there is remembered.
func (c *cache) land(key cacheKey, f *flight, life time.Duration, value any, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.value, f.err = value, err
	close(f.done)
	if c.flights[key] != f {
		return
	}
	delete(c.flights, key)
	switch {
	case err == nil:
		c.put(&remembered{key, value, nil, time.Now().Add(life)})
	case fault.Is(err, fault.NotFound):
		c.put(&remembered{key, nil, err, time.Now().Add(missingLife)})
	}
}

func (c *cache) leave(key cacheKey, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiters--; f.waiters > 0 {
		return
	}
	f.cancel()
	if c.flights[key] == f {
		delete(c.flights, key)
	}
}

// get needs the lock.
func (c *cache) get(key cacheKey) (*remembered, bool) {
	e, ok := c.entries[key]
	if !ok {
		return nil, false
	}
	r := e.Value.(*remembered)
	if !time.Now().Before(r.expires) {
		c.drop(e)
		return nil, false
	}
	c.recent.MoveToFront(e)
	return r, true
}

// note remembers that something is so, has tells whether it was noted, and unnote
// forgets it.
func (c *cache) note(key cacheKey, life time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(&remembered{key, nil, nil, time.Now().Add(life)})
}

func (c *cache) has(key cacheKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.get(key)
	return ok
}

func (c *cache) unnote(key cacheKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok {
		c.drop(e)
	}
}

// prolong remembers for longer what is known not to be there.
func (c *cache) prolong(key cacheKey, life time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.get(key); ok && r.err != nil {
		c.put(&remembered{key, nil, r.err, time.Now().Add(life)})
	}
}

// put needs the lock. What was used last long ago makes room when it has ended, or
// when there is too much.
func (c *cache) put(r *remembered) {
	if e, ok := c.entries[r.key]; ok {
		c.drop(e)
	}
	c.entries[r.key] = c.recent.PushFront(r)
	now := time.Now()
	for e := c.recent.Back(); e != nil && (c.recent.Len() > maxRemembered || !now.Before(e.Value.(*remembered).expires)); e = c.recent.Back() {
		c.drop(e)
	}
}

// drop needs the lock.
func (c *cache) drop(e *list.Element) {
	c.recent.Remove(e)
	delete(c.entries, e.Value.(*remembered).key)
}

// forget drops what is remembered of an integration, and what is on its way.
func (c *cache) forget(integration string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.flights {
		if key.integration == integration {
			delete(c.flights, key)
		}
	}
	for key, e := range c.entries {
		if key.integration == integration {
			c.drop(e)
		}
	}
}
