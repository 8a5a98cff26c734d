package rpc_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/rpc"
)

func withExtra(c *rpc.Config) {
	c.Extra = map[string]http.Handler{
		"GET /extra": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, audit.RequestID(r.Context()))
		}),
		"GET /extra/{id}": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.PathValue("id"))
		}),
		"GET /panics": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("extra is broken") }),
	}
}

// unread fails the test when it is read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read before the token was checked")
	return 0, io.EOF
}

// The token comes before the body, its form, and even the question whether the
// procedure exists.
func TestTokenIsCheckedFirst(t *testing.T) {
	url := newWorld(t).start(t)
	for _, path := range []string{
		getRunner, "/api" + getRunner, "/gitpod.v1.EventService/WatchEvents", "/gitpod.v1.AccountService/GetAccount",
		"/gitpod.v1.GroupService/CreateGroup", "/muster.admin.v1.MemberService/RemoveMember",
	} {
		for _, tt := range []struct{ authorization, reason string }{
			{"", "missing-token"},
			{"Basic dXNlcjpwdw==", "malformed-token"},
			{"Bearer", "malformed-token"},
			{"Bearer ", "malformed-token"},
			{"Bearer no-such-token", "unknown-token"},
		} {
			for _, contentType := range []string{"application/json", "application/proto", "application/jsonl", "text/plain"} {
				a := post(url+path, `{"this is no JSON`).with("Authorization", tt.authorization).with("Content-Type", contentType).do(t, h1(t))
				if a.status != http.StatusUnauthorized {
					t.Fatalf("%s %q %s: status %d, want 401", path, tt.authorization, contentType, a.status)
				}
				e := a.failure(t)
				if e.Code != "unauthenticated" || e.reason(t) != tt.reason {
					t.Errorf("%s %q: code %s, reason %s; want unauthenticated, %s", path, tt.authorization, e.Code, e.reason(t), tt.reason)
				}
				if a.header.Get("X-Should-Retry") != "" || a.header.Get("Www-Authenticate") != "Bearer" {
					t.Errorf("%s: headers %v", path, a.header)
				}
			}
		}
	}
	// The scheme is case-insensitive.
	if a := post(url+getRunner, `{"runnerId":"`+runnerID+`"}`).with("Authorization", "bearer "+adminToken).do(t, h1(t)); a.status != http.StatusOK {
		t.Errorf("bearer in lower case: status %d", a.status)
	}
}

func TestBodyIsNotReadBeforeTheToken(t *testing.T) {
	w := newWorld(t)
	req, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, getRunner, unread{t})
	req.Header.Set("Content-Type", "application/json")
	rec := recorder()
	w.ServeHTTP(rec, req)
	if rec.Code != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", rec.Code)
	}
}

func TestPublicProcedures(t *testing.T) {
	url := newWorld(t).start(t)
	for path, body := range map[string]string{
		"/gitpod.v1.IdentityService/ExchangeToken": `{"exchangeToken":"x"}`,
		"/grpc.health.v1.Health/Check":             `{}`,
	} {
		for _, authorization := range []string{"", "Bearer no-such-token"} {
			if a := post(url+path, body).with("Authorization", authorization).do(t, h1(t)); a.status != http.StatusOK {
				t.Errorf("%s with %q: status %d: %s", path, authorization, a.status, a.body)
			}
		}
	}
}

func TestPermissions(t *testing.T) {
	w := newWorld(t)
	url := w.start(t)
	create := `{"name":"runner","provider":"RUNNER_PROVIDER_AWS_EC2"}`
	for _, tt := range []struct {
		token, path, body string
		status            int
	}{
		{adminToken, "/gitpod.v1.RunnerService/CreateRunner", create, 200},
		{"token-of-a-member", "/gitpod.v1.RunnerService/CreateRunner", create, 403},
		{"token-of-a-member", "/gitpod.v1.RunnerService/CreateRunner", `{"this is no JSON`, 403},
		{"token-of-a-runner", "/gitpod.v1.RunnerService/CreateRunner", create, 403},
		{"token-of-a-runner", "/gitpod.v1.RunnerService/ListRunners", `{}`, 200},
		{"token-of-a-member", "/gitpod.v1.EventService/WatchEvents", `{"this is no JSON`, 400},
		{"token-of-a-runner", "/gitpod.v1.EventService/WatchEvents", `{"this is no JSON`, 403},
	} {
		a := post(url+tt.path, tt.body).with("Authorization", "Bearer "+tt.token).do(t, h1(t))
		if a.status != tt.status {
			t.Errorf("%s by %s: status %d, want %d: %s", tt.path, tt.token, a.status, tt.status, a.body)
		}
		if tt.status == 403 && a.failure(t).reason(t) != "not-allowed" {
			t.Errorf("%s by %s: %s", tt.path, tt.token, a.body)
		}
	}
	w.SetRule("gitpod.v1.RunnerService/GetRunner", nil)
	a := post(url+getRunner, `{"runnerId":"`+runnerID+`"}`).do(t, h1(t))
	if e := a.failure(t); a.status != http.StatusInternalServerError || e.Code != "internal" {
		t.Errorf("a procedure without a row: status %d, %s", a.status, a.body)
	}
	a = post(url+getRunner, `{}`).with("Authorization", "").do(t, h1(t))
	if a.status != http.StatusUnauthorized {
		t.Errorf("a procedure without a row, without a token: status %d, %s", a.status, a.body)
	}
}

func TestCallerAndRequestIDReachTheService(t *testing.T) {
	w := newWorld(t)
	var got access.Caller
	var requestID string
	w.runners.get = func(ctx context.Context, _ *gitpodv1.GetRunnerRequest) (*gitpodv1.GetRunnerResponse, error) {
		got, requestID = access.CallerOf(ctx), audit.RequestID(ctx)
		return &gitpodv1.GetRunnerResponse{}, nil
	}
	url := w.start(t)
	a := post(url+getRunner, `{"runnerId":"`+runnerID+`"}`).with("X-Request-Id", "request-of-mine").do(t, h1(t))
	if got.ID != userID || !got.Has(resource.RoleOrgAdmin) {
		t.Errorf("caller %+v", got)
	}
	if requestID != "request-of-mine" || a.header.Get("X-Request-Id") != "request-of-mine" {
		t.Errorf("request id %q, header %q", requestID, a.header.Get("X-Request-Id"))
	}
	for _, unfit := range []string{"", "short", "line\tbreak in it", "quote\"quote", stringOf('x', 129)} {
		a := post(url+getRunner, `{"runnerId":"`+runnerID+`"}`).with("X-Request-Id", unfit).do(t, h1(t))
		if id := a.header.Get("X-Request-Id"); len(id) != 36 || id != requestID {
			t.Errorf("for %q: header %q, context %q; want a new id", unfit, id, requestID)
		}
	}
}

// Outside of the API the transport mounts and does not ask.
func TestExtra(t *testing.T) {
	url := newWorld(t, withExtra).start(t)
	get := func(path string) answer {
		return request{http.MethodGet, url + path, http.Header{"X-Request-Id": {"request-of-mine"}}, nil}.do(t, h1(t))
	}
	if a := get("/extra"); a.status != 200 || string(a.body) != "request-of-mine" {
		t.Errorf("status %d, body %q", a.status, a.body)
	}
	if a := get("/extra/42"); a.status != 200 || string(a.body) != "42" {
		t.Errorf("status %d, body %q", a.status, a.body)
	}
	if a := get("/panics"); a.status != http.StatusInternalServerError || a.failure(t).Code != "internal" {
		t.Errorf("status %d, body %q", a.status, a.body)
	}
	for _, bad := range []map[string]http.Handler{
		{"not a pattern at all": http.NotFoundHandler()},
		{"GET /healthz": http.NotFoundHandler()},
	} {
		if _, err := rpc.New(rpc.Config{Authenticate: authenticate, Services: newWorld(t).cfg.Services, Extra: bad}); err == nil {
			t.Errorf("New accepts %v", bad)
		}
	}
}
