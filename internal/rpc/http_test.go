package rpc_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
)

const getRunner = "/gitpod.v1.RunnerService/GetRunner"

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

type wireError struct {
	Code    string
	Message string
	Details []struct{ Type, Value string }
}

// failure reads the body as a Connect error.
func (a answer) failure(t *testing.T) wireError {
	t.Helper()
	var e wireError
	if ct := a.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type of the error is %q, want application/json", ct)
	}
	if err := json.Unmarshal(a.body, &e); err != nil {
		t.Fatalf("the error is no JSON: %v: %q", err, a.body)
	}
	return e
}

// detail decodes the first detail of m's type into m.
func (e wireError) detail(t *testing.T, m proto.Message) bool {
	t.Helper()
	for _, d := range e.Details {
		if d.Type == string(m.ProtoReflect().Descriptor().FullName()) {
			raw, err := base64.RawStdEncoding.DecodeString(d.Value)
			if err == nil {
				err = proto.Unmarshal(raw, m)
			}
			if err != nil {
				t.Fatalf("detail %s: %v", d.Type, err)
			}
			return true
		}
	}
	return false
}

func (e wireError) reason(t *testing.T) string {
	t.Helper()
	info := new(errdetails.ErrorInfo)
	if !e.detail(t, info) {
		t.Fatalf("no ErrorInfo in %+v", e)
	}
	return info.Reason
}

// request is an HTTP request in the making.
type request struct {
	method, url string
	header      http.Header
	body        io.Reader
}

// post is a call in JSON by an admin.
func post(url, body string) request {
	return request{http.MethodPost, url, http.Header{
		"Content-Type": {"application/json"}, "Authorization": {"Bearer " + adminToken},
	}, strings.NewReader(body)}
}

func (r request) with(name, value string) request {
	if r.header = r.header.Clone(); r.header == nil {
		r.header = http.Header{}
	}
	if value == "" {
		r.header.Del(name)
	} else {
		r.header.Set(name, value)
	}
	return r
}

func (r request) do(t testing.TB, client *http.Client) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), r.method, r.url, r.body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = r.header
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.url, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the answer: %v", r.method, r.url, err)
	}
	return answer{res.StatusCode, res.Header, body}
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestProcedureIsServedUnderBothPaths(t *testing.T) {
	url := newWorld(t).start(t)
	for _, prefix := range []string{"", "/api"} {
		for _, client := range []*http.Client{h1(t), h2c(t)} {
			a := post(url+prefix+getRunner, `{"runnerId":"`+runnerID+`"}`).do(t, client)
			if a.status != http.StatusOK || !bytes.Contains(a.body, []byte(`"runnerId":"`+runnerID+`"`)) {
				t.Errorf("%s: status %d, body %s", prefix+getRunner, a.status, a.body)
			}
		}
	}
}

// The SDKs send none of the headers of the Connect protocol, and many others.
func TestContentTypesAndHeadersOfTheSDKs(t *testing.T) {
	url := newWorld(t).start(t) + getRunner
	proto := "\x0a\x24" + runnerID
	asJSON := `{"runnerId":"` + runnerID + `"}`
	for _, tt := range []struct {
		contentType, body, answerType string
		status                        int
	}{
		{"application/json", asJSON, "application/json", 200},
		{"application/json; charset=utf-8", asJSON, "application/json; charset=utf-8", 200},
		{"application/json;charset=UTF-8", asJSON, "application/json; charset=utf-8", 200},
		{"application/proto", proto, "application/proto", 200},
		{"text/plain", asJSON, "", 415},
		{"application/x-www-form-urlencoded", "a=b", "", 415},
		{"", asJSON, "", 415},
	} {
		r := post(url, tt.body).with("Content-Type", tt.contentType).
			with("Accept", "application/json").with("User-Agent", "Gitpod/JS 0.6.0").
			with("X-Stainless-Lang", "js").with("X-Stainless-Retry-Count", "0").with("X-Stainless-Timeout", "60").
			with("X-Stainless-Read-Timeout", "60").with("Accept-Language", "*").with("Sec-Fetch-Mode", "cors")
		a := r.do(t, h1(t))
		if a.status != tt.status || tt.answerType != "" && a.header.Get("Content-Type") != tt.answerType {
			t.Errorf("%q: status %d, Content-Type %q; want %d, %q", tt.contentType, a.status, a.header.Get("Content-Type"), tt.status, tt.answerType)
		}
		if got := a.header.Get("X-Should-Retry"); tt.status == 200 && got != "" {
			t.Errorf("%q: a success has X-Should-Retry: %q", tt.contentType, got)
		}
	}
}

// A redirect makes Go and fetch turn the POST into a GET without a body.
func TestNeverRedirects(t *testing.T) {
	url := newWorld(t, withExtra).start(t)
	for _, path := range []string{
		getRunner + "/", "/" + getRunner, "/api/" + getRunner, "/./" + getRunner, "/x/.." + getRunner, "/api/x/.." + getRunner,
		"/gitpod.v1.RunnerService/", "/gitpod.v1.RunnerService", "/api", "/api/", "/", "//", "/nothing", "/extra/", "/extra//x",
		"/api/healthz", "/api/extra", "/gitpod.v1.RunnerService/GetRunner/more", "/gitpod.v1./GetRunner", "/gitpod.v2.RunnerService/GetRunner",
		"/muster.admin.v1.MemberService/Nothing", "/grpc.health.v1.Health/Nothing",
	} {
		a := post(url+path, `{}`).do(t, h1(t))
		if a.status != http.StatusNotFound {
			t.Errorf("POST %s: status %d, want 404", path, a.status)
		}
		if ct := a.header.Get("Content-Type"); strings.Contains(ct, "json") {
			t.Errorf("POST %s: %s, want a plain 404, which clients read as unimplemented", path, ct)
		}
	}
}

func TestOnlyPost(t *testing.T) {
	url := newWorld(t).start(t)
	for _, path := range []string{getRunner, "/api" + getRunner, "/gitpod.v1.EventService/WatchEvents", "/gitpod.v1.AccountService/GetAccount"} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodHead} {
			r := post(url+path, "")
			r.method, r.body = method, nil
			if a := r.do(t, h1(t)); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" {
				t.Errorf("%s %s: status %d, Allow %q; want 405, POST", method, path, a.status, a.header.Get("Allow"))
			}
		}
	}
}

func TestEmptyBodyIsTheEmptyMessage(t *testing.T) {
	url := newWorld(t).start(t) + "/gitpod.v1.IdentityService/GetAuthenticatedIdentity"
	for _, contentType := range []string{"application/json", "application/proto"} {
		for _, body := range []io.Reader{nil, strings.NewReader(""), io.MultiReader()} {
			r := post(url, "").with("Content-Type", contentType)
			r.body = body
			if a := r.do(t, h1(t)); a.status != http.StatusOK || len(a.body) == 0 {
				t.Errorf("%s: status %d, body %q", contentType, a.status, a.body)
			}
		}
	}
	// {"empty":true} is what the SDKs send for "nothing".
	if a := post(url, `{"empty":true}`).do(t, h1(t)); a.status != http.StatusOK {
		t.Errorf("status %d, body %q", a.status, a.body)
	}
}

func TestEmptyReplyIsAnObject(t *testing.T) {
	url := newWorld(t).start(t) + "/gitpod.v1.RunnerService/UpdateRunner"
	a := post(url, `{"runnerId":"`+runnerID+`"}`).do(t, h1(t))
	if a.status != http.StatusOK || string(a.body) != "{}" {
		t.Errorf("status %d, body %q; want 200, {}", a.status, a.body)
	}
}

func TestCompression(t *testing.T) {
	w := newWorld(t)
	url := w.start(t) + "/gitpod.v1.RunnerService/ListRunners"
	client := h1(t)
	client.Transport.(*http.Transport).DisableCompression = true

	a := post(url, `{}`).with("Accept-Encoding", "gzip").do(t, client)
	if got := a.header.Get("Content-Encoding"); got != "" {
		t.Errorf("a small reply has Content-Encoding %q", got)
	}
	w.runners.list = manyRunners
	a = post(url, `{}`).with("Accept-Encoding", "gzip").do(t, client)
	if got := a.header.Get("Content-Encoding"); got != "gzip" {
		t.Errorf("a large reply has Content-Encoding %q, want gzip", got)
	}
	a = post(url, `{}`).with("Accept-Encoding", "identity").do(t, client)
	if got := a.header.Get("Content-Encoding"); got != "" {
		t.Errorf("an unasked Content-Encoding %q", got)
	}
	r := post(url, "").with("Content-Encoding", "gzip")
	r.body = bytes.NewReader(gzipped(t, []byte(`{}`)))
	if a = r.do(t, client); a.status != http.StatusOK {
		t.Errorf("a compressed request: status %d, %s", a.status, a.body)
	}
}
