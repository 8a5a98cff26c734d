package compat

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// The tests in the files named wire_* send what clients send that are not at
// hand: the TypeScript SDK and the Terraform provider (Connect with binary
// protobuf), and the Python SDK (JSON).

// wire sends requests without the help of any SDK.
type wire struct {
	client http.Client
	base   string
	token  string
}

// wire makes a client with a token. It decompresses nothing and follows no
// redirect.
func (s *server) wire(t *testing.T, token string) *wire {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &wire{
		client: http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		base: s.url, token: token,
	}
}

// reply is an answer that has been read.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// open posts a request and returns the answer with its body unread.
func (w *wire) open(t *testing.T, path string, header map[string]string, body []byte) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(deadline(t), http.MethodPost, w.base+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if w.token != "" {
		req.Header.Set("Authorization", "Bearer "+w.token)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// post posts a request and reads the answer.
func (w *wire) post(t *testing.T, path string, header map[string]string, body []byte) reply {
	t.Helper()
	res := w.open(t, path, header, body)
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, b}
}

// json posts JSON as the Stainless SDKs do: without the header of Connect.
func (w *wire) json(t *testing.T, path, body string) reply {
	t.Helper()
	return w.post(t, path, map[string]string{"Content-Type": "application/json", "Accept": "application/json"}, []byte(body))
}

// wireError is the body of an error.
type wireError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Details []struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	} `json:"details"`
}

// call makes a call in binary protobuf, as connect-go and connect-web make it.
func (w *wire) call(t *testing.T, procedure string, in, out proto.Message) *wireError {
	t.Helper()
	body, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r := w.post(t, "/api/"+procedure, map[string]string{
		"Content-Type": "application/proto", "Connect-Protocol-Version": "1", "User-Agent": "terraform-provider-ona/dev",
	}, body)
	if r.status != http.StatusOK {
		return r.error(t)
	}
	if ct := r.header.Get("Content-Type"); ct != "application/proto" {
		t.Fatalf("%s: the reply is of type %q", procedure, ct)
	}
	if err := proto.Unmarshal(r.body, out); err != nil {
		t.Fatalf("%s: %v", procedure, err)
	}
	return nil
}

// must makes a call that must succeed.
func (w *wire) must(t *testing.T, procedure string, in, out proto.Message) {
	t.Helper()
	if e := w.call(t, procedure, in, out); e != nil {
		t.Fatalf("%s: %s: %s", procedure, e.Code, e.Message)
	}
}

// refused makes a call that must fail with a code.
func (w *wire) refused(t *testing.T, procedure string, in proto.Message, code string) {
	t.Helper()
	e := w.call(t, procedure, in, &emptypb.Empty{})
	if e == nil || e.Code != code {
		t.Errorf("%s: got %+v, want %s", procedure, e, code)
	}
}

// error reads an error, which is JSON whatever the request was.
func (r reply) error(t *testing.T) *wireError {
	t.Helper()
	if ct := r.header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
		t.Fatalf("the error %d is of type %q: %s", r.status, ct, r.body)
	}
	var e wireError
	if err := json.Unmarshal(r.body, &e); err != nil {
		t.Fatalf("the error %d: %v in %s", r.status, err, r.body)
	}
	for _, d := range e.Details {
		if _, err := base64.RawStdEncoding.DecodeString(d.Value); err != nil || d.Type == "" || strings.Contains(d.Type, "/") {
			t.Errorf("the detail %q of the error %s cannot be read: %v", d.Type, e.Code, err)
		}
	}
	return &e
}

// want checks status and code of an error.
func (r reply) want(t *testing.T, status int, code string) {
	t.Helper()
	if r.status != status {
		t.Errorf("status %d, want %d: %s", r.status, status, r.body)
		return
	}
	if e := r.error(t); e.Code != code || e.Message == "" {
		t.Errorf("got %+v, want %s", e, code)
	}
}
