package muster

import (
	"context"
	"sync"
	"testing"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// Watcher keeps the events that come.
type Watcher struct {
	mu     sync.Mutex
	events []*gitpodv1.WatchEventsResponse
	err    error // why the stream ended; nil while it has not
	ended  bool
}

// Watch watches the organization until the test ends: everything, or some types
// of resources. It returns once the subscription stands.
func (a *API) Watch(t testing.TB, types ...gitpodv1.ResourceType) *Watcher {
	t.Helper()
	req := &gitpodv1.WatchEventsRequest{Scope: &gitpodv1.WatchEventsRequest_Organization{Organization: true}}
	for _, typ := range types {
		req.ResourceTypeFilters = append(req.ResourceTypeFilters, &gitpodv1.WatchEventsRequest_ResourceTypeFilter{ResourceType: typ})
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := a.Events.WatchEvents(ctx, connect.NewRequest(req))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	stream.ResponseHeader() // waits for it
	w := &Watcher{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for stream.Receive() {
			w.mu.Lock()
			w.events = append(w.events, stream.Msg())
			w.mu.Unlock()
		}
		w.mu.Lock()
		w.err, w.ended = stream.Err(), true
		w.mu.Unlock()
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = stream.Close()
	})
	return w
}

// Of returns the operations on a resource so far. It fails the test when the
// stream has ended, since then nobody knows.
func (w *Watcher) Of(t testing.TB, id string) []gitpodv1.ResourceOperation {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		t.Errorf("the event stream ended: %v", w.err)
	}
	var operations []gitpodv1.ResourceOperation
	for _, e := range w.events {
		if e.GetResourceId() == id {
			operations = append(operations, e.GetOperation())
		}
	}
	return operations
}

// All returns all events so far, like Of.
func (w *Watcher) All(t testing.TB) []*gitpodv1.WatchEventsResponse {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		t.Errorf("the event stream ended: %v", w.err)
	}
	return w.events[:len(w.events):len(w.events)]
}

// Ended tells whether the stream has ended, and why.
func (w *Watcher) Ended() (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended, w.err
}

// Seen returns all events so far, whether or not the stream has ended.
func (w *Watcher) Seen() []*gitpodv1.WatchEventsResponse {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.events[:len(w.events):len(w.events)]
}
