package rpc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/rpc"
	"github.com/musterhq/muster/internal/rpc/rpcerr"
)

func recorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func stringOf(c byte, n int) string { return strings.Repeat(string(c), n) }

// Status, code and headers decide what the clients do next: the SDKs retry 409,
// 429 and everything from 500 on unless told otherwise, the Terraform provider
// waits as long as three headers and details say.
func TestErrorsOnTheWire(t *testing.T) {
	w := newWorld(t)
	url := w.start(t)
	secret := errors.New("pq: password authentication failed")
	for _, tt := range []struct {
		err                     error
		status                  int
		code, reason            string
		shouldRetry, retryAfter string
		retryInfo               time.Duration
	}{
		{fault.Invalid("name", "is bad"), 400, "invalid_argument", "invalid-field", "", "", 0},
		{fault.New(fault.FailedPrecondition, fault.ReasonImmutable, "no"), 400, "failed_precondition", "immutable", "", "", 0},
		{fault.New(fault.Unauthenticated, fault.UsedExchangeToken, "no"), 401, "unauthenticated", "exchange-token-used", "", "", 0},
		{fault.New(fault.PermissionDenied, fault.NotAllowed, "no"), 403, "permission_denied", "not-allowed", "", "", 0},
		{fault.Missing("runner", "x"), 404, "not_found", "not-found", "", "", 0},
		{fault.New(fault.AlreadyExists, fault.AlreadyThere, "no"), 409, "already_exists", "already-exists", "false", "", 0},
		{fault.New(fault.Aborted, fault.Conflict, "no"), 409, "aborted", "conflict", "true", "", 0},
		{fault.New(fault.Canceled, fault.ReasonCanceled, "no"), 499, "canceled", "canceled", "", "", 0},
		{fault.New(fault.ResourceExhausted, fault.Conflict, "no"), 429, "resource_exhausted", "conflict", "", "1", time.Second},
		{fault.New(fault.ResourceExhausted, fault.Conflict, "no").WithRetryAfter(2500 * time.Millisecond), 429, "resource_exhausted", "conflict", "", "3", 2500 * time.Millisecond},
		{fault.New(fault.ResourceExhausted, fault.BodyTooLarge, "no").WithRetryAfter(time.Second), 429, "resource_exhausted", "body-too-large", "false", "", 0},
		{fault.New(fault.Unavailable, fault.RunnerOffline, "no"), 503, "unavailable", "runner-offline", "", "1", 0},
		{fault.New(fault.Unavailable, fault.RunnerOffline, "no").WithRetryAfter(30 * time.Second), 503, "unavailable", "runner-offline", "", "30", 0},
		{fault.New(fault.DeadlineExceeded, fault.ReasonDeadline, "no"), 504, "deadline_exceeded", "deadline-exceeded", "", "1", 0},
		{fault.New(fault.Unimplemented, fault.ReasonUnimplemented, "no"), 501, "unimplemented", "unimplemented", "false", "", 0},
		{fault.New(fault.Unknown, fault.OutcomeUnknown, "no").WithRetryAfter(time.Second), 500, "unknown", "outcome-unknown", "false", "", 0},
		{fault.Wrap(secret, "reading"), 500, "internal", "internal", "false", "", 0},
		{secret, 500, "internal", "internal", "false", "", 0},
		{context.DeadlineExceeded, 504, "deadline_exceeded", "deadline-exceeded", "", "1", 0},
		{connect.NewError(connect.CodeUnknown, secret), 500, "internal", "internal", "false", "", 0},
		{connect.NewError(connect.CodeUnimplemented, errors.New("x")), 501, "unimplemented", "unimplemented", "false", "", 0},
	} {
		w.runners.get = func(context.Context, *gitpodv1.GetRunnerRequest) (*gitpodv1.GetRunnerResponse, error) {
			return nil, tt.err
		}
		for contentType, body := range map[string]string{
			"application/json":  `{"runnerId":"` + runnerID + `"}`,
			"application/proto": "\x0a\x24" + runnerID,
		} {
			name := tt.err.Error() + " " + contentType
			a := post(url+getRunner, body).with("Content-Type", contentType).do(t, h1(t))
			e := a.failure(t)
			if a.status != tt.status || e.Code != tt.code {
				t.Errorf("%s: status %d, code %s; want %d, %s", name, a.status, e.Code, tt.status, tt.code)
			}
			if got := strings.Join(a.header.Values("X-Should-Retry"), ","); got != tt.shouldRetry {
				t.Errorf("%s: X-Should-Retry %q, want %q", name, got, tt.shouldRetry)
			}
			if got := a.header.Get("Retry-After"); got != tt.retryAfter {
				t.Errorf("%s: Retry-After %q, want %q", name, got, tt.retryAfter)
			}
			rateLimit := ""
			if tt.retryInfo > 0 {
				rateLimit = tt.retryAfter
			}
			if got := a.header.Get("RateLimit-RetryAfter"); got != rateLimit {
				t.Errorf("%s: RateLimit-RetryAfter %q, want %q", name, got, rateLimit)
			}
			info := new(errdetails.RetryInfo)
			if e.detail(t, info); info.GetRetryDelay().AsDuration() != tt.retryInfo {
				t.Errorf("%s: RetryInfo %v, want %v", name, info.GetRetryDelay().AsDuration(), tt.retryInfo)
			}
			if strings.Contains(string(a.body), "password") {
				t.Errorf("%s: the cause leaves the process: %s", name, a.body)
			}
			meta := new(errdetails.ErrorInfo)
			if !e.detail(t, meta) || meta.Reason != tt.reason || meta.Domain != rpcerr.Domain || meta.Metadata["request_id"] != a.header.Get("X-Request-Id") {
				t.Errorf("%s: ErrorInfo %v, header %q; want reason %s", name, meta, a.header.Get("X-Request-Id"), tt.reason)
			}
			if e.Message == "" {
				t.Errorf("%s: no message", name)
			}
		}
	}
}

func TestErrorsCarryFieldAndDetails(t *testing.T) {
	w := newWorld(t)
	w.runners.get = func(context.Context, *gitpodv1.GetRunnerRequest) (*gitpodv1.GetRunnerResponse, error) {
		return nil, rpcerr.WithDetails(fault.Invalid("runner_id", "is bad"),
			&gitpodv1.ParseContextURLPreconditionFailureDetails{ScmId: "github"})
	}
	client := gitpodv1connect.NewRunnerServiceClient(h1(t), w.start(t))
	_, err := client.GetRunner(context.Background(), bearer(&gitpodv1.GetRunnerRequest{RunnerId: runnerID}))
	e, ok := errors.AsType[*connect.Error](err)
	if !ok || e.Code() != connect.CodeInvalidArgument || e.Message() != "runner_id: is bad" {
		t.Fatalf("error %v", err)
	}
	var field, scm string
	for _, d := range e.Details() {
		switch v, _ := d.Value(); v := v.(type) {
		case *errdetails.ErrorInfo:
			field = v.Metadata["field"]
		case *gitpodv1.ParseContextURLPreconditionFailureDetails:
			scm = v.ScmId
		}
	}
	if field != "runner_id" || scm != "github" {
		t.Errorf("field %q, scm %q", field, scm)
	}
}

// The rest of the contract exists, but not here; the SDKs must not retry that.
func TestUnbuiltProcedures(t *testing.T) {
	url := newWorld(t).start(t)
	for _, path := range []string{
		"/gitpod.v1.AccountService/GetAccount",            // no such service
		"/api/gitpod.v1.EnvironmentService/Create",        // nor here
		"/gitpod.v1.RunnerService/NoSuchProcedure",        // no such procedure
		"/gitpod.v1.UserService/SetPreference",            // a row without a service behind it
		"/gitpod.v1.UserService/SetPreference?pageSize=x", // whatever else is wrong
	} {
		for contentType, body := range map[string]string{"application/json": `{"no`, "application/proto": "\xff"} {
			a := post(url+path, body).with("Content-Type", contentType).do(t, h1(t))
			e := a.failure(t)
			if a.status != http.StatusNotImplemented || e.Code != "unimplemented" || a.header.Get("X-Should-Retry") != "false" {
				t.Errorf("%s %s: status %d, code %s, X-Should-Retry %q", path, contentType, a.status, e.Code, a.header.Get("X-Should-Retry"))
			}
		}
	}
	for name, opts := range protocols() {
		client := connect.NewClient[gitpodv1.GetRunnerRequest, gitpodv1.GetRunnerResponse](h2c(t), url+"/gitpod.v1.AccountService/GetAccount", opts...)
		_, err := client.CallUnary(context.Background(), bearer(&gitpodv1.GetRunnerRequest{}))
		if e, _ := errors.AsType[*connect.Error](err); connect.CodeOf(err) != connect.CodeUnimplemented || e.Meta().Get("X-Should-Retry") != "false" || !connect.IsWireError(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPanicsAreInternalErrors(t *testing.T) {
	w := newWorld(t)
	w.runners.get = func(context.Context, *gitpodv1.GetRunnerRequest) (*gitpodv1.GetRunnerResponse, error) { panic("oh") }
	w.events.watch = func(_ context.Context, _ *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
		panic("oh")
	}
	url := w.start(t)
	for _, r := range []request{
		post(url+getRunner, `{"runnerId":"`+runnerID+`"}`),
		post(url+getRunner, `{}`).with("Authorization", "Bearer token-that-panics"),
		post(url+"/gitpod.v1.EventService/WatchEvents", `{}`),
	} {
		a := r.do(t, h1(t))
		if e := a.failure(t); a.status != 500 || e.Code != "internal" || strings.Contains(e.Message, "oh") || a.header.Get("X-Should-Retry") != "false" {
			t.Errorf("%s: status %d, %s", r.url, a.status, a.body)
		}
	}
	for name, opts := range protocols() {
		stream, err := gitpodv1connect.NewEventServiceClient(h2c(t), url, opts...).WatchEvents(context.Background(), bearer(&gitpodv1.WatchEventsRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeInternal {
			t.Errorf("%s: %v", name, stream.Err())
		}
		_ = stream.Close()
	}
}

// Once an answer has begun there is no way to take it back: the client must
// see that it broke off.
func TestPanicInsideAnAnswerBreaksItOff(t *testing.T) {
	w := newWorld(t, func(c *rpc.Config) {
		c.Extra = map[string]http.Handler{"GET /aborts": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })}
	})
	w.events.watch = func(_ context.Context, _ *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
		_ = send(nil)
		panic("oh")
	}
	url := w.start(t)
	if body, err := io.ReadAll(watchAs(t, url+watchEvents, "application/json", `{}`).Body); err == nil {
		t.Errorf("the stream ended in good order: %q", body)
	}
	if res, err := h1(t).Get(url + "/aborts"); err == nil { //nolint:noctx // a test
		_ = res.Body.Close()
		t.Errorf("an aborted answer: status %d", res.StatusCode)
	}
}

// connect refuses some requests by itself, with statuses that the SDKs retry.
func TestWhatConnectRefusesIsNotRetried(t *testing.T) {
	url := newWorld(t).start(t)
	body := `{"runnerId":"` + runnerID + `"}`
	for _, r := range []request{
		post(url+getRunner, body).with("Content-Encoding", "br"),
		post(url+getRunner, body).with("Content-Encoding", "gzip"),
		post(url+getRunner, body).with("Connect-Protocol-Version", "7"),
	} {
		if a := r.do(t, h1(t)); a.status < 400 || a.header.Get("X-Should-Retry") != "false" {
			t.Errorf("%v: status %d, X-Should-Retry %q", r.header, a.status, a.header.Get("X-Should-Retry"))
		}
	}
}

// What connect would quote from the insides of its libraries is refused in words.
func TestBrokenHeadersAreRefusedInWords(t *testing.T) {
	url := newWorld(t).start(t)
	for header, values := range map[string][]string{
		"Connect-Timeout-Ms": {"soon", "-1", "12345678901", "1.5"},
		"Content-Encoding":   {"gzip"},
	} {
		for _, value := range values {
			a := post(url+getRunner, `{"runnerId":"`+runnerID+`"}`).with(header, value).do(t, h1(t))
			if a.status != 400 || strings.Contains(string(a.body), "strconv") || strings.Contains(string(a.body), "decompressor") || strings.Contains(string(a.body), "EOF") {
				t.Errorf("%s: %s: status %d: %s", header, value, a.status, a.body)
			}
		}
	}
}

func protocols() map[string][]connect.ClientOption {
	return map[string][]connect.ClientOption{
		"connect":       nil,
		"connect json":  {connect.WithProtoJSON()},
		"grpc":          {connect.WithGRPC()},
		"grpc json":     {connect.WithGRPC(), connect.WithProtoJSON()},
		"grpc-web":      {connect.WithGRPCWeb()},
		"grpc-web json": {connect.WithGRPCWeb(), connect.WithProtoJSON()},
	}
}
