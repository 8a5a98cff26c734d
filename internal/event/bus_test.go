package event_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/resource"
)

func all(event.Event) bool { return true }

func ev(op event.Operation, id string) event.Event {
	return event.Event{Operation: op, Object: access.Object{Type: resource.Runner, ID: id}}
}

func drain(t *testing.T, s *event.Subscription) []string {
	t.Helper()
	done, cancel := context.WithCancel(t.Context())
	cancel()
	var got []string
	for {
		e, err := s.Next(done)
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			return got
		}
		got = append(got, fmt.Sprint(e.Operation, e.Object.ID))
	}
}

func TestEventsComeInOrderAndCoalesce(t *testing.T) {
	b := event.NewBus()
	s, cancel := b.Subscribe(all)
	defer cancel()
	b.Publish([]event.Event{
		ev(event.Created, "a"), ev(event.StatusUpdated, "a"), ev(event.Created, "b"), ev(event.StatusUpdated, "a"),
		ev(event.Updated, "b"), ev(event.Deleted, "b"),
	})
	if got, want := fmt.Sprint(drain(t, s)), "[1a 4a 3b]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	b.Publish([]event.Event{ev(event.StatusUpdated, "a")})
	if got, want := fmt.Sprint(drain(t, s)), "[4a]"; got != want {
		t.Errorf("after reading: got %s, want %s", got, want)
	}
}

func TestASlowWatcherIsToldAndOthersAreNotHeldUp(t *testing.T) {
	b := event.NewBus()
	slow, cancelSlow := b.Subscribe(all)
	defer cancelSlow()
	picky, cancelPicky := b.Subscribe(func(e event.Event) bool { return e.Object.ID == "0" })
	defer cancelPicky()
	for i := range event.Buffer + 1 {
		b.Publish([]event.Event{ev(event.Created, fmt.Sprint(i))})
	}
	if _, err := slow.Next(t.Context()); !errors.Is(err, event.ErrTooSlow) {
		t.Errorf("the slow watcher got %v", err)
	}
	if got := fmt.Sprint(drain(t, picky)); got != "[10]" {
		t.Errorf("the other watcher got %s", got)
	}
	// The same event over and over does not make a watcher slow.
	same, cancelSame := b.Subscribe(all)
	defer cancelSame()
	for range 2 * event.Buffer {
		b.Publish([]event.Event{ev(event.StatusUpdated, "a")})
	}
	if got := fmt.Sprint(drain(t, same)); got != "[4a]" {
		t.Errorf("coalesced: %s", got)
	}
}

func TestConcurrentPublishAndNextLoseNothing(t *testing.T) {
	b := event.NewBus()
	s, cancel := b.Subscribe(all)
	defer cancel()
	const writers, each = 8, 200
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				b.Publish([]event.Event{ev(event.Created, fmt.Sprintf("%d-%d", w, i))})
			}
		})
	}
	last := map[string]bool{}
	for len(last) < writers*each {
		e, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if last[e.Object.ID] {
			t.Fatalf("%s came twice", e.Object.ID)
		}
		last[e.Object.ID] = true
	}
	wg.Wait()
}
