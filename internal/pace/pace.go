// Package pace bounds how often somebody may do something: so many times a
// second, and more at once after a while of quiet. It is for what leaves a trace
// each time, so that a loop does not bury everything else.
package pace

import (
	"maps"
	"sync"
	"time"
)

// Limiter has a bucket of turns for each key. It is safe for concurrent use.
type Limiter[K comparable] struct {
	// each is what one turn costs, and full how long an empty bucket takes to fill.
	each, full time.Duration

	mu sync.Mutex
	// most is how many keys may be kept; 0 for any number.
	most int
	// fullAt is when the bucket of a key is full again. A full one is not kept.
	fullAt map[K]time.Time
	swept  time.Time
}

// New makes a limiter of so many turns a second, and of burst turns at once.
func New[K comparable](perSecond, burst int) *Limiter[K] {
	return Every[K](time.Second/time.Duration(perSecond), burst)
}

// Every makes a limiter of a turn each so often, and of burst turns at once.
func Every[K comparable](each time.Duration, burst int) *Limiter[K] {
	return &Limiter[K]{each: each, full: time.Duration(burst) * each, fullAt: map[K]time.Time{}}
}

// AtMost bounds how many keys have buckets of their own, where strangers choose
// the keys; those for which there is no room share that of the zero key.
func (l *Limiter[K]) AtMost(keys int) *Limiter[K] {
	l.most = keys
	return l
}

// Take takes a turn of a key. When there is none it takes nothing, and returns
// how long to wait for the next.
func (l *Limiter[K]) Take(key K, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.swept) >= l.full {
		maps.DeleteFunc(l.fullAt, func(_ K, at time.Time) bool { return !at.After(now) })
		l.swept = now
	}
	key = l.kept(key)
	at, wait := l.next(key, now)
	if wait > 0 {
		return wait
	}
	l.fullAt[key] = at
	return 0
}

// Wait returns how long to wait for the next turn of a key, and takes none.
func (l *Limiter[K]) Wait(key K, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, wait := l.next(l.kept(key), now)
	return max(wait, 0)
}

// kept is the key of the bucket that a key has. The mutex is held.
func (l *Limiter[K]) kept(key K) K {
	if _, ok := l.fullAt[key]; !ok && l.most > 0 && len(l.fullAt) >= l.most {
		var shared K
		return shared
	}
	return key
}

// next is when a bucket would be full after another turn, and how long to wait
// for that turn. The mutex is held.
func (l *Limiter[K]) next(key K, now time.Time) (fullAt time.Time, wait time.Duration) {
	at := l.fullAt[key]
	if at.Before(now) {
		at = now
	}
	at = at.Add(l.each)
	return at, at.Sub(now) - l.full
}
