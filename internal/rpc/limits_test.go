package rpc_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/rpc"
)

func smallBodies(c *rpc.Config) { c.MaxBody = 64 << 10 }

// 429 is retried unless the answer says that it does not help.
func TestBodyTooLarge(t *testing.T) {
	url := newWorld(t, smallBodies).start(t)
	padding := func(n int) string { return `{"runnerId":"` + runnerID + `","padding":"` + stringOf('x', n) + `"}` }
	fits := padding(64<<10 - len(padding(0)))
	for _, tt := range []struct {
		name, path, body string
		noLength         bool
		encoding         string
		status           int
	}{
		{"exact fit", getRunner, fits, false, "", 200},
		{"exact fit, no length", getRunner, fits, true, "", 200},
		{"one byte more", getRunner, fits + " ", false, "", 429},
		{"one byte more, no length", getRunner, fits + " ", true, "", 429},
		{"much more", getRunner, padding(1 << 20), false, "", 429},
		{"much more, no length", getRunner, padding(1 << 20), true, "", 429},
		{"compressed bomb", getRunner, string(gzipped(t, []byte(padding(8<<20)))), false, "gzip", 429},
		{"lines of JSON", watchEvents, padding(1 << 20), false, "", 429},
		{"lines of JSON, no length", watchEvents, padding(1 << 20), true, "", 429},
	} {
		for _, client := range []*http.Client{h1(t), h2c(t)} {
			r := post(url+tt.path, tt.body).with("Content-Encoding", tt.encoding)
			if tt.noLength {
				r.body = io.MultiReader(r.body)
			}
			a := r.do(t, client)
			if a.status != tt.status {
				t.Errorf("%s: status %d, want %d", tt.name, a.status, tt.status)
			}
			if tt.status == 200 {
				continue
			}
			e := a.failure(t)
			if e.Code != "resource_exhausted" || strings.Join(a.header.Values("X-Should-Retry"), ",") != "false" ||
				a.header.Get("Retry-After") != "" || a.header.Get("RateLimit-RetryAfter") != "" || strings.Contains(string(a.body), "RetryInfo") {
				t.Errorf("%s: header %v, body %s", tt.name, a.header, a.body)
			}
			if e.reason(t) != "body-too-large" || !strings.Contains(e.Message, "65536 bytes") {
				t.Errorf("%s: %s", tt.name, a.body)
			}
		}
	}
	for name, opts := range protocols() {
		c := gitpodv1connect.NewRunnerServiceClient(h2c(t), url, opts...)
		_, err := c.CreateRunner(context.Background(), bearer(&gitpodv1.CreateRunnerRequest{Name: stringOf('x', 1<<20)}))
		if connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := linkAs(t, h2c(t), url, "token-of-a-runner")
	defer s.CloseResponse()
	if err := s.Send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: &linkv1.Hello{BootId: stringOf('x', 1<<20)}}}); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	var err error
	for err == nil {
		_, err = s.Receive()
	}
	if connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("a large frame: %v", err)
	}
}

// A body that trickles must not hold its call for ever.
func TestTricklingBody(t *testing.T) {
	w := newWorld(t, func(c *rpc.Config) { c.ReadTimeout = 30 * time.Millisecond })
	url := w.start(t)
	for _, path := range []string{getRunner, watchEvents} {
		for name, client := range map[string]*http.Client{"HTTP/1.1": h1(t), "h2c": h2c(t)} {
			trickle, hold := io.Pipe()
			go func() { _, _ = hold.Write([]byte(`{"runnerId":`)) }()
			r := post(url+path, "")
			r.body = trickle
			a := r.do(t, client)
			if e := a.failure(t); a.status != http.StatusGatewayTimeout || e.Code != "deadline_exceeded" || a.header.Get("X-Should-Retry") != "" {
				t.Errorf("%s over %s: status %d: %s", path, name, a.status, a.body)
			}
			_ = hold.Close()
		}
	}
}

// The deadline of the body is not one of the call, nor of the next.
func TestSlowCallsAndStreamsOutliveTheBodysDeadline(t *testing.T) {
	t.Parallel()
	const timeout = 100 * time.Millisecond
	w := newWorld(t, func(c *rpc.Config) { c.ReadTimeout, c.WriteTimeout = timeout, timeout })
	w.runners.get = func(ctx context.Context, _ *gitpodv1.GetRunnerRequest) (*gitpodv1.GetRunnerResponse, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(2 * timeout):
			return &gitpodv1.GetRunnerResponse{}, nil
		}
	}
	w.events.watch = func(ctx context.Context, _ *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
		_ = send(nil)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * timeout):
			return send(&gitpodv1.WatchEventsResponse{ResourceId: runnerID})
		}
	}
	url := w.start(t)
	for name, client := range map[string]*http.Client{"HTTP/1.1": h1(t), "h2c": h2c(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if a := post(url+getRunner, `{"runnerId":"`+runnerID+`"}`).do(t, client); a.status != http.StatusOK {
				t.Errorf("%s: a slow call: status %d: %s", name, a.status, a.body)
			}
			if a := post(url+watchEvents, `{}`).do(t, client); a.status != http.StatusOK || !strings.Contains(string(a.body), runnerID) {
				t.Errorf("%s: lines of JSON: status %d: %q", name, a.status, a.body)
			}
			stream, err := gitpodv1connect.NewEventServiceClient(client, url).WatchEvents(context.Background(), bearer(&gitpodv1.WatchEventsRequest{}))
			if err != nil {
				t.Fatal(err)
			}
			if !stream.Receive() || stream.Receive() || stream.Err() != nil {
				t.Errorf("%s: a stream: %v", name, stream.Err())
			}
			_ = stream.Close()
			// All of these shared a connection.
			if a := post(url+getRunner, `{"runnerId":"`+runnerID+`"}`).do(t, client); a.status != http.StatusOK {
				t.Errorf("%s: a slow call after the streams: status %d: %s", name, a.status, a.body)
			}
		})
	}
}

// A reader of a Connect stream that stalls while its connection lives is cut
// off: nothing else would free the sender.
func TestStalledStreamReader(t *testing.T) {
	w := newWorld(t, func(c *rpc.Config) { c.WriteTimeout = 50 * time.Millisecond })
	ended := make(chan error, 1)
	w.events.watch = func(_ context.Context, _ *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
		event := &gitpodv1.WatchEventsResponse{ResourceId: stringOf('x', 100_000)}
		for {
			if err := send(event); err != nil {
				ended <- err
				return err
			}
		}
	}
	url := w.start(t)
	for name, client := range map[string]*http.Client{"HTTP/1.1": h1(t), "h2c": h2c(t)} {
		ctx, cancel := context.WithCancel(context.Background())
		// Uncompressed, to fill the buffers in between soon.
		plain := connect.WithAcceptCompression("gzip", nil, nil)
		stream, err := gitpodv1connect.NewEventServiceClient(client, url, plain).WatchEvents(ctx, bearer(&gitpodv1.WatchEventsRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil {
			t.Errorf("%s: sending goes on for ever", name)
		}
		cancel()
		_ = stream.Close()
	}
}

// Nor may one hold a call by not reading its answer, or the end of a stream.
func TestStalledReaderOfAnAnswer(t *testing.T) {
	t.Parallel()
	huge := stringOf('x', 32<<20)
	w := newWorld(t, func(c *rpc.Config) { c.WriteTimeout = 50 * time.Millisecond })
	w.runners.get = func(context.Context, *gitpodv1.GetRunnerRequest) (*gitpodv1.GetRunnerResponse, error) {
		return &gitpodv1.GetRunnerResponse{Runner: &gitpodv1.Runner{Name: huge}}, nil
	}
	w.events.watch = func(_ context.Context, _ *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
		_ = send(nil)
		return fault.New(fault.Unavailable, fault.ShuttingDown, "%s", huge)
	}
	done := make(chan string)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		defer func() {
			_ = recover()
			done <- r.URL.Path
		}()
		w.ServeHTTP(rw, r)
	}))
	defer server.Close()
	for path, contentType := range map[string]string{getRunner: "application/json", watchEvents: "application/connect+json"} {
		conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		body := `{"runnerId":"` + runnerID + `"}`
		if path == watchEvents {
			body = "\x00\x00\x00\x00\x02{}"
		}
		_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
			path, adminToken, contentType, len(body), body)
		if got := <-done; got != path {
			t.Errorf("%s ended instead of %s", got, path)
		}
		_ = conn.Close()
	}
}

func TestShortBody(t *testing.T) {
	url := newWorld(t).start(t)
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{}", getRunner, adminToken)
	_ = conn.(*net.TCPConn).CloseWrite()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d: %s", res.StatusCode, body)
	}
}

func TestHugeHeaders(t *testing.T) {
	url := newWorld(t).start(t)
	a := post(url+getRunner, `{}`).with("X-Huge", stringOf('x', 100<<10)).do(t, h1(t))
	if a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d, want 431", a.status)
	}
}
