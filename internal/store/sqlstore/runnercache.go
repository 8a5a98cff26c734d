package sqlstore

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
)

// runnerCache keeps runners that were read a moment ago, because clients look
// at the same runner over and over, and the query costs more than all the rest
// of the call.
//
// It is for a database that only this process writes to. A commit takes what it
// changed out of the cache before anybody hears of it, so a read sees every
// write that was acknowledged before it began. The age bounds how long what
// another program writes, such as the sqlite3 shell, may go unseen.
type runnerCache struct {
	seed   maphash.Seed
	shards [64]runnerShard
}

const (
	runnerCacheAge = time.Second
	// runnersPerShard bounds the size; a full shard is emptied.
	runnersPerShard = 512
)

type runnerShard struct {
	mu      sync.RWMutex
	runners map[id.Runner]cachedRunner
	// gen grows with every commit that changed a runner of this shard. What was
	// read at an older one is not kept: it may be older than that commit.
	gen uint64
}

type cachedRunner struct {
	runner fleet.Runner
	at     time.Time
}

func newRunnerCache() *runnerCache { return &runnerCache{seed: maphash.MakeSeed()} }

func (c *runnerCache) shard(r id.Runner) *runnerShard {
	return &c.shards[maphash.String(c.seed, string(r))%uint64(len(c.shards))]
}

// get returns a runner from the cache, or reads it. A runner that is not there
// is not remembered.
func (c *runnerCache) get(ctx context.Context, want id.Runner, read func(context.Context, id.Runner) (fleet.Runner, bool, error)) (fleet.Runner, bool, error) {
	s, now := c.shard(want), time.Now()
	s.mu.RLock()
	known, ok := s.runners[want]
	gen := s.gen
	s.mu.RUnlock()
	if ok && now.Sub(known.at) < runnerCacheAge {
		return copyOf(known.runner), true, nil
	}
	r, found, err := read(ctx, want)
	if err != nil || !found {
		return r, found, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen == gen {
		if s.runners == nil || len(s.runners) >= runnersPerShard {
			s.runners = make(map[id.Runner]cachedRunner)
		}
		s.runners[want] = cachedRunner{copyOf(r), now}
	}
	return r, true, nil
}

// forget takes out runners that were changed.
func (c *runnerCache) forget(runners []id.Runner) {
	for _, r := range runners {
		s := c.shard(r)
		s.mu.Lock()
		s.gen++
		delete(s.runners, r)
		s.mu.Unlock()
	}
}

// forgetAll takes out all runners.
func (c *runnerCache) forgetAll() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.gen++
		clear(s.runners)
		s.mu.Unlock()
	}
}

// copyOf keeps a reader from changing the session of another.
func copyOf(r fleet.Runner) fleet.Runner {
	if r.Session != nil {
		session := *r.Session
		r.Session = &session
	}
	return r
}

// Runner returns a runner with its newest session. What its slices and pointers
// lead to must not be changed.
func (s fleetStore) Runner(ctx context.Context, r id.Runner) (fleet.Runner, bool, error) {
	if c := s.engine.runners(); c != nil {
		return c.get(ctx, r, s.reads.Runner)
	}
	return s.reads.Runner(ctx, r)
}
