package scmhost

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// asked is a question to a provider and what must come of it.
type asked struct {
	name string
	ask  func(context.Context, Provider) (any, error)
	want any
	// fails is the error, or has its code and reason.
	fails error
	calls int
}

func viewer() func(context.Context, Provider) (any, error) {
	return func(ctx context.Context, p Provider) (any, error) { return p.Viewer(ctx) }
}

func repository(owner, repo string) func(context.Context, Provider) (any, error) {
	return func(ctx context.Context, p Provider) (any, error) { return p.Repository(ctx, owner, repo) }
}

func commit(owner, repo, id string) func(context.Context, Provider) (any, error) {
	return func(ctx context.Context, p Provider) (any, error) { return p.Commit(ctx, owner, repo, id) }
}

func change(owner, repo, number string) func(context.Context, Provider) (any, error) {
	return func(ctx context.Context, p Provider) (any, error) { return p.Change(ctx, owner, repo, number) }
}

func issue(owner, repo, number string) func(context.Context, Provider) (any, error) {
	return func(ctx context.Context, p Provider) (any, error) { return p.Issue(ctx, owner, repo, number) }
}

func searching(q Query) func(context.Context, Provider) (any, error) {
	return func(ctx context.Context, p Provider) (any, error) { return p.Search(ctx, q) }
}

func organizations(q OrganizationQuery) func(context.Context, Provider) (any, error) {
	return func(ctx context.Context, p Provider) (any, error) { return p.Organizations(ctx, q) }
}

var (
	wantMissing error = fault.New(fault.NotFound, fault.ReasonNotFound, "")
	wantInvalid error = fault.New(fault.InvalidArgument, fault.InvalidField, "")
	wantSignIn  error = fault.New(fault.FailedPrecondition, fault.SignInRequired, "")
	wantRefused error = fault.New(fault.PermissionDenied, fault.HostRefused, "")
	wantLimited error = fault.New(fault.ResourceExhausted, fault.HostLimited, "")
	wantGone    error = fault.New(fault.Unavailable, fault.HostUnavailable, "")
	wantLate    error = fault.New(fault.DeadlineExceeded, fault.HostUnavailable, "")
)

// sameFault tells whether an error is the other, or has its code and reason.
func sameFault(err, want error) bool {
	if want == nil || err == nil || errors.Is(err, want) {
		return errors.Is(err, want)
	}
	var a, b *fault.Error
	return errors.As(err, &a) && errors.As(want, &b) && a.Code == b.Code && a.Reason == b.Reason
}

// check asks all questions, one after the other.
func check(t *testing.T, s *fakehost.Server, p Provider, questions []asked) {
	t.Helper()
	for _, q := range questions {
		s.TakeCalls()
		got, err := q.ask(t.Context(), p)
		if !sameFault(err, q.fails) {
			t.Errorf("%s: the error is %v, not %v", q.name, err, q.fails)
		}
		if err == nil {
			if diff := cmp.Diff(q.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", q.name, diff)
			}
		}
		if calls := s.TakeCalls(); len(calls) != q.calls {
			t.Errorf("%s: %d calls, not %d: %s", q.name, len(calls), q.calls, urls(calls))
		}
	}
}

func urls(calls []fakehost.Call) string {
	var all []string
	for _, c := range calls {
		all = append(all, c.URL)
	}
	return strings.Join(all, " ")
}

// provider makes the provider of an integration behind the guard, on a network that
// has nothing but these servers.
func provider(t *testing.T, i scmurl.Integration, c Credential, servers ...*fakehost.Server) Provider {
	t.Helper()
	n, err := newNetwork(Config{CAs: fakehost.Trust(servers...), Dial: fakehost.Network(servers...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.transport.CloseIdleConnections)
	p, err := NewProvider(Site{Integration: i, Credential: c, HTTP: n.client(i)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// checkClone asks for what git asks for first, signed in as the provider says, and
// compares the status by token.
func checkClone(t *testing.T, i scmurl.Integration, s *fakehost.Server, cloneURL string, want map[string]int) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DialContext: fakehost.Network(s), TLSClientConfig: &tls.Config{RootCAs: fakehost.Trust(s), MinVersion: tls.VersionTLS12},
	}}
	t.Cleanup(client.CloseIdleConnections)
	for token, status := range want {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, cloneURL+"/info/refs?service=git-upload-pack", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if auth := provider(t, i, Credential{Token: token}, s).GitAuth(); auth != "" {
			req.Header.Set("Authorization", auth)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("git gets %s with the token %q, not %d", resp.Status, token, status)
		}
	}
}

// checkFaults breaks the host in every way while each of the questions is asked.
// What comes of it must say what happened, and nothing of the token. Anything but
// a missing page is told alike for all questions.
func checkFaults(t *testing.T, s *fakehost.Server, p Provider, token string, questions []asked) {
	t.Helper()
	for what, want := range map[fakehost.Fault]error{
		fakehost.Unauthorized: wantSignIn, fakehost.Forbidden: wantRefused, fakehost.NotFound: wantMissing, fakehost.Gone: wantMissing,
		fakehost.Limited: wantLimited, fakehost.SignInPage: wantGone, fakehost.Failing: wantGone, fakehost.Slow: wantLate,
		fakehost.Huge: wantGone, fakehost.Elsewhere: wantGone, fakehost.Garbage: wantGone,
	} {
		s.Mend()
		s.Break(nil, what)
		for _, q := range questions {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if what == fakehost.Slow {
				ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			}
			got, err := q.ask(ctx, p)
			cancel()
			if !sameFault(err, want) {
				t.Errorf("%s, while the host does %d: %v, not %v", q.name, what, err, want)
			}
			all := fmt.Sprintf("%v %+v %#v %v", err, err, err, got)
			for _, secret := range []string{token, base64.StdEncoding.EncodeToString([]byte(token))} {
				if strings.Contains(all, secret) {
					t.Errorf("%s, while the host does %d: the token is in %s", q.name, what, all)
				}
			}
			if f := fault.From(err); what == fakehost.Limited && f.RetryAfter != 30*time.Second {
				t.Errorf("%s: to be tried again after %s, not after 30 s", q.name, f.RetryAfter)
			}
		}
	}
	s.Mend()
}

// checkHollow asks a host that answers everything with nothing in particular: that
// is no answer to these questions.
func checkHollow(t *testing.T, i scmurl.Integration, names []string, questions []asked) {
	t.Helper()
	for _, body := range []string{``, `null`, `{}`, `[null]`, `[{}]`, `{"items":[null]}`} {
		p := provider(t, i, Credential{Token: "x"}, answerAll(t, 200, nil, body, names...))
		for _, q := range questions {
			got, err := q.ask(t.Context(), p)
			if err == nil && fmt.Sprintf("%+v", got) == fmt.Sprintf("%+v", q.want) {
				continue // a list may be empty
			}
			if !sameFault(err, wantGone) {
				t.Errorf("%s, of the answer %q: %+v, %v", q.name, body, got, err)
			}
		}
	}
}

// answerAll makes a host that gives one answer to everything.
func answerAll(t *testing.T, status int, header map[string]string, body string, names ...string) *fakehost.Server {
	t.Helper()
	s := fakehost.NewNamed(t, names...)
	s.Handle("/", func(w http.ResponseWriter, _ *http.Request) {
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
	return s
}
