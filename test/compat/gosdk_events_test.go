package compat

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/gitpod-io/gitpod-sdk-go"
	"github.com/gitpod-io/gitpod-sdk-go/shared"
)

// watcher reads an event stream.
type watcher struct {
	events chan gitpod.EventWatchResponse
	err    error // of the stream; read it after events is closed
}

// watch opens a stream; when it returns, the subscription stands.
func watch(ctx context.Context, t *testing.T, client *gitpod.Client, params gitpod.EventWatchParams) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	stream := client.Events.WatchStreaming(ctx, params)
	if err := stream.Err(); err != nil {
		cancel()
		t.Fatalf("WatchEvents: %v", err)
	}
	w := &watcher{events: make(chan gitpod.EventWatchResponse, 1000)}
	t.Cleanup(func() {
		cancel()
		_ = stream.Close()
		w.rest(t)
	})
	go func() {
		defer close(w.events)
		for stream.Next() {
			w.events <- stream.Current()
		}
		w.err = stream.Err()
	}()
	return w
}

// next returns the next event that is about anything.
func (w *watcher) next(t *testing.T) gitpod.EventWatchResponse {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case e, ok := <-w.events:
			if !ok {
				t.Fatalf("the stream ended: %v", w.err)
			}
			if e.ResourceID != "" {
				return e
			}
		case <-timer.C:
			t.Fatal("no event came")
		}
	}
}

// await skips events until one of that operation on that runner.
func (w *watcher) await(t *testing.T, op gitpod.ResourceOperation, runner string) {
	t.Helper()
	for {
		if e := w.next(t); e.Operation == op && e.ResourceID == runner && e.ResourceType == shared.ResourceTypeRunner {
			return
		}
	}
}

// awaitStatus waits for a runner to be as wanted, driven by events.
func (w *watcher) awaitStatus(ctx context.Context, t *testing.T, client *gitpod.Client, runner string, wanted func(gitpod.RunnerStatus) bool) gitpod.RunnerStatus {
	t.Helper()
	for {
		if r := getRunner(ctx, t, client, runner); wanted(r.Status) {
			return r.Status
		}
		w.await(t, gitpod.ResourceOperationUpdateStatus, runner)
	}
}

// inPhase is a status of that phase.
func inPhase(phase gitpod.RunnerPhase) func(gitpod.RunnerStatus) bool {
	return func(s gitpod.RunnerStatus) bool { return s.Phase == phase }
}

// rest waits for the end of the stream.
func (w *watcher) rest(t *testing.T) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case _, ok := <-w.events:
			if !ok {
				return
			}
		case <-timer.C:
			t.Fatal("the stream does not end")
		}
	}
}

func TestGoSDKWatchEvents(t *testing.T) {
	t.Parallel()
	s := serve(t)
	client, wire := s.goSDK(t, bootstrapToken)
	ctx := deadline(t)
	type filter = gitpod.EventWatchParamsResourceTypeFilter
	filtered := func(f filter) gitpod.EventWatchParams {
		f.ResourceType = gitpod.F(shared.ResourceTypeRunner)
		return gitpod.EventWatchParams{ResourceTypeFilters: gitpod.F([]filter{f})}
	}

	other := newRunner(ctx, t, client, linuxHost("other")).Runner.RunnerID
	everything := watch(ctx, t, client, gitpod.EventWatchParams{Organization: gitpod.F(true)})
	unscoped := watch(ctx, t, client, gitpod.EventWatchParams{})
	byStranger := watch(ctx, t, client, filtered(filter{CreatorIDs: gitpod.F([]string{"d2c94c27-3b76-4a42-b88c-95a85e392c68"})}))

	// An event must be the next one of each of the watchers.
	expect := func(op gitpod.ResourceOperation, runner string, watchers ...*watcher) {
		t.Helper()
		for i, w := range watchers {
			if e := w.next(t); e.Operation != op || e.ResourceID != runner || e.ResourceType != shared.ResourceTypeRunner {
				t.Errorf("watcher %d got %s, want %s of %s", i, e.JSON.RawJSON(), op, runner)
			}
		}
	}
	rename := func(runner string) {
		t.Helper()
		if _, err := client.Runners.Update(ctx, gitpod.RunnerUpdateParams{RunnerID: gitpod.F(runner), Name: gitpod.F("renamed")}); err != nil {
			t.Fatal(err)
		}
	}
	runner := newRunner(ctx, t, client, linuxHost("watched")).Runner.RunnerID
	expect(gitpod.ResourceOperationCreate, runner, everything, unscoped)
	onlyIt := watch(ctx, t, client, filtered(filter{ResourceIDs: gitpod.F([]string{runner})}))
	rename(other)
	expect(gitpod.ResourceOperationUpdate, other, everything, unscoped)
	rename(runner)
	expect(gitpod.ResourceOperationUpdate, runner, everything, unscoped, onlyIt)
	if _, err := client.Runners.Delete(ctx, gitpod.RunnerDeleteParams{RunnerID: gitpod.F(runner)}); err != nil {
		t.Fatal(err)
	}
	// A creator filter lets deletions through: nobody knows who made what is gone.
	expect(gitpod.ResourceOperationDelete, runner, everything, unscoped, onlyIt, byStranger)

	// Watchers are let go without an error, to connect again elsewhere.
	s.stop(t)
	for _, w := range []*watcher{everything, byStranger, unscoped, onlyIt} {
		w.rest(t)
		if w.err != nil {
			t.Errorf("the stream ended with %v", w.err)
		}
	}
	for _, x := range wire.take() {
		if x.header.Get("Accept") == "application/jsonl" && x.replyHeader.Get("Content-Type") != "application/jsonl" {
			t.Errorf("the stream is of type %q", x.replyHeader.Get("Content-Type"))
		}
	}
}

// TestGoSDKWatchEventsRefused: what is wrong is said before the stream begins,
// since nothing can be said in it.
func TestGoSDKWatchEventsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t)
	client, wire := s.goSDK(t, bootstrapToken)
	nobody, nobodyWire := s.goSDK(t, "")
	ctx := deadline(t)
	environment := gitpod.F("d2c94c27-3b76-4a42-b88c-95a85e392c68")
	type filter = gitpod.EventWatchParamsResourceTypeFilter
	for name, test := range map[string]struct {
		client *gitpod.Client
		wire   *traffic
		params gitpod.EventWatchParams
		status int
		code   shared.ErrorCode
	}{
		"no token": {nobody, nobodyWire, gitpod.EventWatchParams{}, http.StatusUnauthorized, shared.ErrorCodeUnauthenticated},
		"a filter in an environment": {client, wire, gitpod.EventWatchParams{
			EnvironmentID: environment, ResourceTypeFilters: gitpod.F([]filter{{ResourceType: gitpod.F(shared.ResourceTypeRunner)}}),
		}, http.StatusBadRequest, shared.ErrorCodeInvalidArgument},
		"a filter without a type": {client, wire, gitpod.EventWatchParams{
			ResourceTypeFilters: gitpod.F([]filter{{ResourceIDs: gitpod.F([]string{environment.Value})}}),
		}, http.StatusBadRequest, shared.ErrorCodeInvalidArgument},
		"no such environment": {client, wire, gitpod.EventWatchParams{EnvironmentID: environment}, http.StatusNotFound, shared.ErrorCodeNotFound},
	} {
		stream := test.client.Events.WatchStreaming(ctx, test.params)
		if !wantError(t, stream.Err(), test.status, test.code) || len(test.wire.take()) != 1 {
			t.Errorf("%s: not refused, or not at once", name)
		}
	}
}
