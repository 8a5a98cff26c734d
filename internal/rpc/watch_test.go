package rpc_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/rpc"
)

const watchEvents = "/gitpod.v1.EventService/WatchEvents"

// watchAs opens a stream of JSON lines and returns when its headers are there.
func watchAs(t *testing.T, url, contentType, body string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/jsonl")
	req.Header.Set("Accept-Encoding", "gzip, deflate")
	req.Header.Set("Authorization", "Bearer "+adminToken)
	res, err := h1(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// The Go SDK blocks until the headers come, and the first event may be hours
// away; JavaScript sends another content type than the others.
func TestWatchInLinesOfJSON(t *testing.T) {
	w := newWorld(t)
	more := make(chan struct{})
	requests := make(chan *gitpodv1.WatchEventsRequest, 10)
	w.events.watch = func(_ context.Context, req *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
		requests <- req
		if err := send(nil); err != nil {
			return err
		}
		<-more
		for _, id := range []string{runnerID, unknownID} {
			if err := send(&gitpodv1.WatchEventsResponse{
				Operation: gitpodv1.ResourceOperation_RESOURCE_OPERATION_CREATE, ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, ResourceId: id,
			}); err != nil {
				return err
			}
			<-more
		}
		return nil
	}
	url := w.start(t)
	for _, path := range []string{watchEvents, "/api" + watchEvents} {
		for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "application/jsonl"} {
			res := watchAs(t, url+path, contentType, `{"organization":true,"newer":1}`)
			if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/jsonl" ||
				res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("X-Accel-Buffering") != "no" ||
				res.Header.Get("Content-Encoding") != "" || res.Header.Get("X-Should-Retry") != "" || res.Header.Get("X-Request-Id") == "" {
				t.Fatalf("%s: status %d, header %v", contentType, res.StatusCode, res.Header)
			}
			if req := <-requests; !req.GetOrganization() {
				t.Errorf("request %v", req)
			}
			lines := bufio.NewReader(res.Body)
			for _, id := range []string{runnerID, unknownID} {
				more <- struct{}{}
				line, err := lines.ReadString('\n')
				want := `{"operation":"RESOURCE_OPERATION_CREATE","resourceType":"RESOURCE_TYPE_RUNNER","resourceId":"` + id + `"}` + "\n"
				if err != nil || line != want {
					t.Errorf("%s: line %q, error %v; want %q", contentType, line, err, want)
				}
			}
			more <- struct{}{}
			if rest, err := io.ReadAll(lines); err != nil || len(rest) != 0 {
				t.Errorf("%s: rest %q, error %v", contentType, rest, err)
			}
		}
	}
}

// Before the subscription stands, a failure is an ordinary answer.
func TestWatchFailsBeforeTheFirstByte(t *testing.T) {
	w := newWorld(t)
	w.events.watch = func(context.Context, *gitpodv1.WatchEventsRequest, func(*gitpodv1.WatchEventsResponse) error) error {
		return fault.New(fault.FailedPrecondition, fault.Conflict, "The subscription cannot stand.")
	}
	url := w.start(t) + watchEvents
	for _, contentType := range []string{"application/json", "application/jsonl"} {
		for _, tt := range []struct {
			body, token, code string
			status            int
		}{
			{`{}`, adminToken, "failed_precondition", 400},
			{`{"no`, adminToken, "invalid_argument", 400},
			{`{"resourceTypeFilters":[{"resourceType":"RESOURCE_TYPE_TOASTER"}]}`, adminToken, "invalid_argument", 400},
			{`{"resourceTypeFilters":[{}]}`, adminToken, "invalid_argument", 400},
			{`{}`, "no-such-token", "unauthenticated", 401},
			{`{}`, "token-of-a-runner", "permission_denied", 403},
		} {
			a := post(url, tt.body).with("Content-Type", contentType).with("Accept", "application/jsonl").
				with("Authorization", "Bearer "+tt.token).do(t, h1(t))
			if e := a.failure(t); a.status != tt.status || e.Code != tt.code {
				t.Errorf("%s %s: status %d: %s", contentType, tt.body, a.status, a.body)
			}
		}
	}
}

// A line must not be left unfinished, whatever ends the stream.
func TestWatchEndsWithAWholeLine(t *testing.T) {
	spaces := make(chan struct{})
	for name, end := range map[string]func(ctx context.Context) error{
		"orderly": func(context.Context) error { return nil },
		"failed": func(context.Context) error {
			return fault.New(fault.ResourceExhausted, fault.WatcherTooSlow, "You read too slowly.")
		},
		"drained": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *rpc.Config) { c.KeepAlive = time.Millisecond })
			w.events.watch = func(ctx context.Context, _ *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
				if err := send(nil); err != nil {
					return err
				}
				<-spaces
				return end(ctx)
			}
			res := watchAs(t, w.start(t)+watchEvents, "application/json", `{}`)
			first := make([]byte, 1)
			if _, err := io.ReadFull(res.Body, first); err != nil || first[0] != ' ' {
				t.Fatalf("first byte %q, error %v; want a space", first, err)
			}
			if name == "drained" {
				w.Drain()
			}
			spaces <- struct{}{}
			rest, err := io.ReadAll(res.Body)
			if text := strings.TrimLeft(string(rest), " "); err != nil || text != "{}\n" {
				t.Errorf("rest %q, error %v; want {} on a line", rest, err)
			}
		})
	}
}

// A client that hangs up ends its subscription.
func TestWatchEndsWithItsClient(t *testing.T) {
	w := newWorld(t)
	ended := make(chan error, 1)
	w.events.watch = func(ctx context.Context, _ *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
		_ = send(nil)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	res := watchAs(t, w.start(t)+watchEvents, "application/json", `{}`)
	_ = res.Body.Close()
	if err := <-ended; err == nil {
		t.Error("the watch ended without a reason")
	}
}

// A client that stays connected and does not read is cut off.
func TestWatchEndsWithAStalledReader(t *testing.T) {
	w := newWorld(t, func(c *rpc.Config) { c.WriteTimeout = 50 * time.Millisecond })
	ended := make(chan error, 1)
	w.events.watch = func(_ context.Context, _ *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
		event := &gitpodv1.WatchEventsResponse{ResourceId: stringOf('x', 60_000)}
		for {
			if err := send(event); err != nil {
				ended <- err
				return err
			}
		}
	}
	watchAs(t, w.start(t)+watchEvents, "application/json", `{}`)
	if err := <-ended; err == nil {
		t.Error("sending goes on for ever")
	}
}

// The content types of Connect go to the ordinary handler.
func TestWatchRefusesOtherContentTypes(t *testing.T) {
	url := newWorld(t).start(t) + watchEvents
	for _, contentType := range []string{"text/plain", "application/proto", "application/x-ndjson"} {
		if a := post(url, `{}`).with("Content-Type", contentType).do(t, h1(t)); a.status != http.StatusUnsupportedMediaType {
			t.Errorf("%s: status %d, want 415", contentType, a.status)
		}
	}
}
