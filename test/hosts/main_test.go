// Package hosts holds what the runner asks of source code hosts, and the fakes that
// other tests use in their place, against what the vendors say of their APIs:
// GitHub's own description of its API, and answers that were recorded from real
// hosts. All of that is read where its packages are installed.
//
//	npm ci && go test -count=1 ./...
package hosts

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	// These have the recorded answers; the imports keep them in go.mod.
	_ "github.com/drone/go-scm/scm"
	_ "github.com/jenkins-x/go-scm/pkg/hmac"
	_ "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/scmurl"
)

// provider makes the provider of an integration on a network that has nothing but
// these servers. Whatever goes over it is shown to see, which may be nil.
func provider(t *testing.T, i scmurl.Integration, token string, see func(*http.Request, *http.Response, []byte), servers ...*fakehost.Server) scmhost.Provider {
	t.Helper()
	transport := &http.Transport{
		DialContext:     fakehost.Network(servers...),
		TLSClientConfig: &tls.Config{RootCAs: fakehost.Trust(servers...), MinVersion: tls.VersionTLS12},
	}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: tap{transport, see}}
	p, err := scmhost.NewProvider(scmhost.Site{Integration: i, Credential: scmhost.Credential{Token: token}, HTTP: client})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tap shows what goes over a transport, with the body of the answer.
type tap struct {
	next http.RoundTripper
	see  func(*http.Request, *http.Response, []byte)
}

func (t tap) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil || t.see == nil {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	t.see(r, resp, body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// moduleFile reads a file of a module that go.mod requires.
func moduleFile(t *testing.T, module, path string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatalf("go list -m %s: %v", module, err)
	}
	raw, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), path))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// decode reads JSON.
func decode[T any](t *testing.T, raw []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v in %.200s", err, raw)
	}
	return v
}

// question is one to a provider.
type question func(context.Context, scmhost.Provider) (any, error)

// questions are all kinds of them about a repository with a change and an issue.
func questions(owner, repo, commit, change, issue string) map[string]question {
	return map[string]question{
		"viewer":        func(ctx context.Context, p scmhost.Provider) (any, error) { return p.Viewer(ctx) },
		"repository":    func(ctx context.Context, p scmhost.Provider) (any, error) { return p.Repository(ctx, owner, repo) },
		"commit":        func(ctx context.Context, p scmhost.Provider) (any, error) { return p.Commit(ctx, owner, repo, commit) },
		"change":        func(ctx context.Context, p scmhost.Provider) (any, error) { return p.Change(ctx, owner, repo, change) },
		"issue":         func(ctx context.Context, p scmhost.Provider) (any, error) { return p.Issue(ctx, owner, repo, issue) },
		"change, issue": func(ctx context.Context, p scmhost.Provider) (any, error) { return p.Change(ctx, owner, repo, issue) },
		"issue, change": func(ctx context.Context, p scmhost.Provider) (any, error) { return p.Issue(ctx, owner, repo, change) },
		"search": func(ctx context.Context, p scmhost.Provider) (any, error) {
			return p.Search(ctx, scmhost.Query{Text: repo, Page: 1, Size: 1})
		},
		"everything": func(ctx context.Context, p scmhost.Provider) (any, error) {
			return p.Search(ctx, scmhost.Query{Page: 1, Size: 10})
		},
		"organizations": func(ctx context.Context, p scmhost.Provider) (any, error) {
			return p.Organizations(ctx, scmhost.OrganizationQuery{Size: 1})
		},
	}
}
