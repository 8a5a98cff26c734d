package event

import (
	"context"
	"errors"
	"sync"

	"github.com/musterhq/muster/internal/resource"
)

// Bus hands events to the watchers of this process.
type Bus struct {
	mu   sync.RWMutex
	subs map[*Subscription]struct{}
}

// NewBus makes a bus.
func NewBus() *Bus { return &Bus{subs: map[*Subscription]struct{}{}} }

// Publish hands events to all subscriptions. It never blocks.
func (b *Bus) Publish(events []Event) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for s := range b.subs {
		for _, e := range events {
			if s.want(e) {
				s.add(e)
			}
		}
	}
}

// Buffer is how many different events a watcher may be behind.
const Buffer = 4096

// ErrTooSlow ends a subscription that fell behind by more than Buffer events.
var ErrTooSlow = errors.New("event: the watcher is too slow")

// Subscription is one watcher. Events that wait are coalesced: of the same
// operation on the same object one is kept, and a deletion replaces all others
// of its object.
type Subscription struct {
	want func(Event) bool

	mu       sync.Mutex
	queue    []Event
	waiting  map[key]struct{}
	overflow bool
	signal   chan struct{}
}

type key struct {
	typ resource.Type
	id  string
	op  Operation
}

// Subscribe adds a watcher that gets the events that want accepts; want must be
// fast and safe for concurrent use. The caller must call cancel.
func (b *Bus) Subscribe(want func(Event) bool) (s *Subscription, cancel func()) {
	s = &Subscription{want: want, waiting: map[key]struct{}{}, signal: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subs[s] = struct{}{}
	return s, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.subs, s)
	}
}

func (s *Subscription) add(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{e.Object.Type, e.Object.ID, e.Operation}
	if _, ok := s.waiting[k]; ok || s.overflow {
		return
	}
	if e.Operation == Deleted {
		kept := s.queue[:0]
		for _, q := range s.queue {
			if q.Object.Type == e.Object.Type && q.Object.ID == e.Object.ID {
				delete(s.waiting, key{q.Object.Type, q.Object.ID, q.Operation})
				continue
			}
			kept = append(kept, q)
		}
		s.queue = kept
	}
	if len(s.queue) >= Buffer {
		s.overflow, s.queue, s.waiting = true, nil, nil
	} else {
		s.queue = append(s.queue, e)
		s.waiting[k] = struct{}{}
	}
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// Next waits for the next event. It returns ErrTooSlow when events were lost,
// and the cause of ctx when that ended.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		s.mu.Lock()
		if s.overflow {
			s.mu.Unlock()
			return Event{}, ErrTooSlow
		}
		if len(s.queue) > 0 {
			e := s.queue[0]
			s.queue = s.queue[1:]
			delete(s.waiting, key{e.Object.Type, e.Object.ID, e.Operation})
			s.mu.Unlock()
			return e, nil
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return Event{}, context.Cause(ctx)
		case <-s.signal:
		}
	}
}
