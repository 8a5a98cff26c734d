package scm_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// object is a JSON object.
type object = map[string]any

// reply is what the API answered.
type reply struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

// ask calls a procedure with nothing but JSON, in whatever way it ends.
func (p person) ask(t testing.TB, procedure string, body object) reply {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, p.plane.URL+"/gitpod.v1."+procedure, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+p.token)
	begun := time.Now()
	r := p.do(t, http.DefaultClient, req)
	r.took = time.Since(begun)
	return r
}

// do sends a request, and remembers the answer.
func (l *lab) do(t testing.TB, c *http.Client, req *http.Request) reply {
	t.Helper()
	res, err := c.Do(req)
	if err != nil {
		// The error has the URL, and that may have a code.
		t.Errorf("%s %s: no answer", req.Method, req.URL.Path)
		return reply{}
	}
	defer res.Body.Close() //nolint:errcheck // it is read
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	for name, values := range res.Header {
		if name != "Set-Cookie" { // that is where it belongs
			l.answered(name + ": " + strings.Join(values, ", "))
		}
	}
	l.answered(string(body))
	return reply{status: res.StatusCode, header: res.Header, body: body}
}

// call calls a procedure, which must succeed.
func (p person) call(t testing.TB, procedure string, body object) reply {
	t.Helper()
	r := p.ask(t, procedure, body)
	if r.status != http.StatusOK {
		t.Fatalf("%s: %d %s", procedure, r.status, r.body)
	}
	return r
}

// at returns what is at a path; a number in it is a place in a list. It is nil
// when there is nothing.
func (r reply) at(path ...string) any {
	var at any
	if json.Unmarshal(r.body, &at) != nil {
		return nil
	}
	for _, step := range path {
		switch v := at.(type) {
		case object:
			at = v[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(v) {
				return nil
			}
			at = v[i]
		default:
			return nil
		}
	}
	return at
}

// text returns the string at a path; empty when there is none.
func (r reply) text(path ...string) string {
	s, _ := r.at(path...).(string)
	return s
}

// is expects success and that very answer, as JSON.
func (r reply) is(t testing.TB, want any) {
	t.Helper()
	if r.status != http.StatusOK {
		t.Errorf("the answer is %d %s", r.status, r.body)
		return
	}
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(raw, &plain); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(plain, r.at()); d != "" {
		t.Error(d)
	}
}

// failure is what the details of an error say.
type failure struct {
	code, message string
	info          errdetails.ErrorInfo
	retry         *errdetails.RetryInfo
	signIn        *gitpodv1.ParseContextURLPreconditionFailureDetails
}

// failed reads an error and expects its code and reason.
func (r reply) failed(t testing.TB, code, reason string) *failure {
	t.Helper()
	var raw struct {
		Code, Message string
		Details       []struct{ Type, Value string }
	}
	if err := json.Unmarshal(r.body, &raw); err != nil {
		t.Fatalf("%d, and no JSON: %s", r.status, r.body)
	}
	f := &failure{code: raw.Code, message: raw.Message}
	for _, d := range raw.Details {
		value, err := base64.RawStdEncoding.DecodeString(d.Value)
		if err != nil {
			t.Fatalf("the detail %s: %v", d.Type, err)
		}
		var m proto.Message
		switch d.Type {
		case "google.rpc.ErrorInfo":
			m = &f.info
		case "google.rpc.RetryInfo":
			f.retry = &errdetails.RetryInfo{}
			m = f.retry
		case "gitpod.v1.ParseContextURLPreconditionFailureDetails":
			f.signIn = &gitpodv1.ParseContextURLPreconditionFailureDetails{}
			m = f.signIn
		case "buf.validate.Violations":
			continue
		default:
			t.Errorf("there is a detail of the type %s", d.Type)
			continue
		}
		if err := proto.Unmarshal(value, m); err != nil {
			t.Errorf("the detail %s: %v", d.Type, err)
		}
	}
	if f.code != code || f.info.GetReason() != reason || f.message == "" || f.info.GetDomain() != "muster" {
		t.Errorf("the answer is %d %s, want %s because of %s", r.status, r.body, code, reason)
	}
	return f
}
