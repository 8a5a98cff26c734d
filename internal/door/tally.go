package door

import "sync"

// tally counts what is open, by key and in total. A key is kept for as long as
// it has something open.
type tally[K comparable] struct {
	mu    sync.Mutex
	by    map[K]int
	total int
}

type entry int

const (
	entered entry = iota
	fullOfOne
	full
)

// enter lets one in, unless each of the key or all together are in already. The
// zero key has only the second bound; there is none of 0.
func (t *tally[K]) enter(key K, each, all int) entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	var nobody K
	switch {
	case key != nobody && t.by[key] >= each:
		return fullOfOne
	case all > 0 && t.total >= all:
		return full
	}
	if t.by == nil {
		t.by = map[K]int{}
	}
	t.by[key]++
	t.total++
	return entered
}

func (t *tally[K]) leave(key K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total--
	if t.by[key]--; t.by[key] == 0 {
		delete(t.by, key)
	}
}

func (t *tally[K]) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}
