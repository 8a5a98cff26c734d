package scmhost

import (
	"io"
	"net/http"
	"testing"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/scmurl"
)

// What Gitea says when all is well is tested against a real one, in test/gitea.

const giteaToken = "2c1ae9bfa1b2c3d4e5f60718293a4b5c6d7e8f90"

func newFakeGitea(t *testing.T) (*fakehost.Server, Provider) {
	t.Helper()
	s := fakehost.NewNamed(t, "git.example.com")
	i := scmurl.Integration{SCMID: scmurl.Gitea, Host: "git.example.com/forge"}
	return s, provider(t, i, Credential{Token: giteaToken}, s)
}

func TestGiteaFaults(t *testing.T) {
	s, p := newFakeGitea(t)
	checkFaults(t, s, p, giteaToken, []asked{
		{name: "viewer", ask: viewer()},
		{name: "repository", ask: repository("acme", "widgets")},
		{name: "commit", ask: commit("acme", "widgets", "0123456")},
		{name: "change", ask: change("acme", "widgets", "1")},
		{name: "issue", ask: issue("acme", "widgets", "1")},
		{name: "organizations", ask: organizations(OrganizationQuery{Size: 100})},
	})
}

// JSON that says nothing is no answer.
func TestGiteaSaysNothing(t *testing.T) {
	s, p := newFakeGitea(t)
	s.Handle("GET /forge/api/v1/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	check(t, s, p, []asked{
		{"viewer", viewer(), nil, wantGone, 1},
		{"repository", repository("acme", "widgets"), nil, wantGone, 1},
		{"commit", commit("acme", "widgets", "0123456"), nil, wantGone, 1},
		{"change", change("acme", "widgets", "1"), nil, wantGone, 1},
		{"issue", issue("acme", "widgets", "1"), nil, wantGone, 1},
		{"organizations", organizations(OrganizationQuery{Size: 100}), nil, wantGone, 1},
		{"search", searching(Query{Text: "x", Page: 1, Size: 100}), Repositories{Pages: -1, Total: -1}, nil, 3},
	})
}

// A token that may not tell whose it is may search all the same.
func TestGiteaSearchWithANarrowToken(t *testing.T) {
	s, p := newFakeGitea(t)
	s.Handle("GET /forge/api/v1/user", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"message":"token does not have at least one of required scope(s), required=[read:user]"}`)
	})
	s.Handle("GET /forge/api/v1/repos/search", func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("q") != "x y" || q.Has("priority_owner_id") {
			t.Errorf("the search is %s", r.URL)
		}
		w.Header().Set("X-Total-Count", "1")
		_, _ = io.WriteString(w, `{"ok":true,"data":[{"full_name":"Acme/Widgets","html_url":"http://internal:3000/Acme/Widgets"}]}`)
	})
	check(t, s, p, []asked{
		{"search", searching(Query{Text: "x,y", Page: 1, Size: 25}), Repositories{
			Rows: []FoundRepository{{"Acme/Widgets", "https://git.example.com/forge/Acme/Widgets"}}, Pages: 1, Total: 1,
		}, nil, 2},
	})
}
