package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/rpc"
)

// journal is a log that tests read.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(b)
}

func (j *journal) take() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.buf.String()
	j.buf.Reset()
	return s
}

// recorded serves in memory: the log line is there when ServeHTTP returns.
func recorded(w *world, r request) answer {
	req, _ := http.NewRequestWithContext(context.Background(), r.method, r.url, r.body)
	req.Header = r.header
	rec := recorder()
	w.ServeHTTP(rec, req)
	return answer{rec.Code, rec.Header(), rec.Body.Bytes()}
}

func TestLog(t *testing.T) {
	j := new(journal)
	w := newWorld(t, func(c *rpc.Config) {
		c.Logger = slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}, withExtra)
	ok := `{"runnerId":"` + runnerID + `"}`
	boom := func(context.Context, *gitpodv1.GetRunnerRequest) (*gitpodv1.GetRunnerResponse, error) {
		return nil, fault.Wrap(errors.New("disk on fire"), "reading")
	}
	for _, tt := range []struct {
		request request
		get     func(context.Context, *gitpodv1.GetRunnerRequest) (*gitpodv1.GetRunnerResponse, error)
		want    []string
	}{
		{post(getRunner, ok), nil, []string{"level=DEBUG", "procedure=gitpod.v1.RunnerService/GetRunner", "code=ok", "duration=", `caller="user ` + userID + `"`}},
		{post(getRunner, `{}`), nil, []string{"level=INFO", "code=invalid_argument", "reason=invalid-field"}},
		{post(getRunner, `{"no`), nil, []string{"level=INFO", "code=invalid_argument", "reason=invalid-field"}},
		{post(getRunner, ok).with("Content-Type", "text/plain"), nil, []string{"level=INFO", "code=invalid_argument"}},
		{post(getRunner, ok).with("Authorization", "Bearer wrong-secret"), nil, []string{"level=INFO", "code=unauthenticated", "reason=unknown-token"}},
		{post("/gitpod.v1.AccountService/GetAccount", ok), nil, []string{"level=INFO", "procedure=unbuilt", "code=unimplemented"}},
		{post(getRunner, ok), boom, []string{"level=ERROR", "code=internal", "disk on fire"}},
		{post(getRunner, ok), func(context.Context, *gitpodv1.GetRunnerRequest) (*gitpodv1.GetRunnerResponse, error) { panic("ouch") }, []string{"level=ERROR", "panic=ouch", "stack=", "code=internal"}},
		{request{http.MethodGet, "/extra/42?secret=query", nil, nil}, nil, []string{"level=DEBUG", `pattern="GET /extra/{id}"`, "status=200"}},
	} {
		w.runners.get = tt.get
		tt.request.url += "?token=page-token-here"
		recorded(w, tt.request.with("X-Request-Id", "request-of-mine"))
		line := j.take()
		for _, want := range append(tt.want, "request_id=request-of-mine") {
			if !strings.Contains(line, want) {
				t.Errorf("%s: the log lacks %s: %s", tt.request.url, want, line)
			}
		}
		for _, secret := range []string{adminToken, "wrong-secret", "secret=query", "page-token-here"} {
			if strings.Contains(line, secret) {
				t.Errorf("%s: the log has %s: %s", tt.request.url, secret, line)
			}
		}
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t, func(c *rpc.Config) { c.Registry = prometheus.NewRegistry() })
	recorded(w, post(getRunner, `{"runnerId":"`+runnerID+`"}`))
	recorded(w, post(getRunner, `{"runnerId":"`+unknownID+`"}`))
	recorded(w, post("/gitpod.v1.AccountService/GetAccount", ``))
	recorded(w, post("/gitpod.v1.NoSuchService/Whatever", ``))
	standing, end := make(chan struct{}), make(chan struct{})
	w.events.watch = func(_ context.Context, _ *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
		_ = send(nil)
		close(standing)
		<-end
		return nil
	}
	ended := make(chan struct{})
	go func() { recorded(w, post(watchEvents, `{}`)); close(ended) }()
	<-standing
	expect := func(lines ...string) {
		t.Helper()
		a := recorded(w, request{http.MethodGet, "/metrics", http.Header{}, nil})
		for _, line := range lines {
			if !strings.Contains(string(a.body), line+"\n") {
				t.Errorf("metrics lack %s:\n%s", line, a.body)
			}
		}
	}
	expect(
		`muster_rpc_calls_total{code="ok",procedure="gitpod.v1.RunnerService/GetRunner"} 1`,
		`muster_rpc_calls_total{code="not_found",procedure="gitpod.v1.RunnerService/GetRunner"} 1`,
		`muster_rpc_calls_total{code="unimplemented",procedure="unbuilt"} 2`,
		`muster_rpc_duration_seconds_count{code="ok",procedure="gitpod.v1.RunnerService/GetRunner"} 1`,
		`muster_rpc_streams{procedure="gitpod.v1.EventService/WatchEvents"} 1`,
	)
	close(end)
	<-ended
	expect(
		`muster_rpc_streams{procedure="gitpod.v1.EventService/WatchEvents"} 0`,
		`muster_rpc_calls_total{code="ok",procedure="gitpod.v1.EventService/WatchEvents"} 1`,
	)
	if _, err := rpc.New(w.cfg); err == nil {
		t.Error("two handlers share a registry")
	}
}

func TestHealthAndReadiness(t *testing.T) {
	ready := new(readiness)
	w := newWorld(t, ready.config)
	get := func(path string) answer { return recorded(w, request{http.MethodGet, path, http.Header{}, nil}) }
	if a := get("/healthz"); a.status != 200 {
		t.Errorf("/healthz: %d", a.status)
	}
	if a := get("/readyz"); a.status != 200 {
		t.Errorf("/readyz: %d", a.status)
	}
	if a := get("/metrics"); a.status != 404 {
		t.Errorf("/metrics without a registry: %d", a.status)
	}
	ready.down.Store(true)
	if a := get("/healthz"); a.status != 200 {
		t.Errorf("/healthz: %d", a.status)
	}
	if a := get("/readyz"); a.status != 503 || strings.Contains(string(a.body), "password") {
		t.Errorf("/readyz: %d %s", a.status, a.body)
	}
	if a := recorded(w, post("/healthz", "")); a.status != http.StatusMethodNotAllowed {
		t.Errorf("POST /healthz: %d", a.status)
	}
}

// Who cannot take changes can still answer; only who asks strictly hears no.
func TestReadyzTellsOfHalfAReplica(t *testing.T) {
	why, ready := "", new(readiness)
	w := newWorld(t, ready.config, func(c *rpc.Config) {
		c.Degraded = func() string { return why }
		c.Remarks = func() []string { return []string{"The clock is odd.", "So is the moon."} }
	})
	for _, tt := range []struct {
		why, path string
		down      bool
		status    int
		text      string
	}{
		{"", "/readyz", false, 200, "ok"},
		{"", "/readyz?strict", false, 200, "ok"},
		{"The disk is full.", "/readyz", false, 200, "degraded: The disk is full."},
		{"The disk is full.", "/readyz?strict", false, 503, "degraded: The disk is full."},
		{"The disk is full.", "/readyz?strict=1", false, 503, "degraded: The disk is full."},
		{"The disk is full.", "/readyz", true, 503, "Something failed"},
	} {
		why = tt.why
		ready.down.Store(tt.down)
		a := recorded(w, request{http.MethodGet, tt.path, http.Header{}, nil})
		if a.status != tt.status || !strings.HasPrefix(string(a.body), tt.text) || !strings.HasSuffix(string(a.body), "\nThe clock is odd.\nSo is the moon.\n") {
			t.Errorf("%s, %q: %d %s", tt.path, tt.why, a.status, a.body)
		}
	}
}
