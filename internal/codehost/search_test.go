package codehost_test

import (
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/scmurl"
)

func rows(n int) []codehost.Repository { return make([]codehost.Repository, n) }

func TestSearchTokens(t *testing.T) {
	for _, c := range []struct {
		token string
		found codehost.Repositories
		page  int
		next  string
		want  string
	}{
		{"", codehost.Repositories{Rows: rows(1), More: true, Pages: 40, Total: 1000}, 1, "2/40/1000", "ok"},
		{"2/40/1000", codehost.Repositories{Rows: rows(1), More: true, Pages: -1, Total: -1}, 2, "3/-1/-1", "ok"},
		{"40/40/1000", codehost.Repositories{Rows: rows(1), Pages: 40, Total: 1000}, 40, "", "ok"},
		{"2/-1/-1", codehost.Repositories{More: true}, 2, "", "ok"}, // never an empty page with a next one
		{token: "0/1/1", want: "invalid/invalid-page-token"},
		{token: "-1/1/1", want: "invalid/invalid-page-token"},
		{token: "1/-2/1", want: "invalid/invalid-page-token"},
		{token: "2", want: "invalid/invalid-page-token"},
		{token: "2/40", want: "invalid/invalid-page-token"},
		{token: "2/40/1000/1", want: "invalid/invalid-page-token"},
		{token: "2/40/", want: "invalid/invalid-page-token"},
		{token: "+2/40/1000", want: "invalid/invalid-page-token"},
		{token: "02/40/1000", want: "invalid/invalid-page-token"},
		{token: " 2/40/1000", want: "invalid/invalid-page-token"},
		{token: "2147483647/1/1", want: "invalid/invalid-page-token"},
		{token: "9999999999/1/1", want: "invalid/invalid-page-token"},
		{token: "x/y/z", want: "invalid/invalid-page-token"},
	} {
		w := newWorld(t)
		w.runner("a", gitHub)
		w.signIn("ann", "a", gitHub)
		w.answer.repositories = c.found
		_, next, err := w.service.SearchRepositories(t.Context(), person("ann", members), "a", codehost.SearchQuery{Text: "app", Page: page.Request{Token: c.token}})
		if got := told(err); got != c.want || next != c.next {
			t.Errorf("%q: %s, next %q; want %s, %q", c.token, got, next, c.want, c.next)
		}
		if err == nil && (w.asked[0].search != codehost.Search{Text: "app", Page: c.page, Size: 25}) {
			t.Errorf("%q: asked for %+v", c.token, w.asked[0].search)
		}
	}
}

func TestSearchSizes(t *testing.T) {
	for size, want := range map[int32]string{-1: "invalid/invalid-field", 0: "ok", 1: "ok", 100: "ok", 101: "invalid/invalid-field"} {
		w := newWorld(t)
		w.runner("a", gitHub)
		w.signIn("ann", "a", gitHub)
		_, _, err := w.service.SearchRepositories(t.Context(), person("ann", members), "a", codehost.SearchQuery{Page: page.Request{Size: size}})
		if got := told(err); got != want {
			t.Errorf("%d: %s, want %s", size, got, want)
		}
	}
}

// Without a host, the search goes to the hosts on which the caller is signed in.
func TestSearchedHosts(t *testing.T) {
	gitLab := host("i-gitlab", scmurl.GitLab, "gitlab.com")
	w := newWorld(t)
	ask := func() (string, string) {
		w.asked = nil
		_, _, err := w.service.SearchRepositories(t.Context(), person("ann", members), "a", codehost.SearchQuery{Text: "app"})
		var hosts []string
		for _, q := range w.asked {
			for _, a := range q.as {
				hosts = append(hosts, a.Host.Host+" as "+a.Credential.ID)
			}
		}
		return told(err), strings.Join(hosts, ", ")
	}
	w.runner("a")
	if got, _ := ask(); got != "precondition/host-not-configured scm= begin= runners=[]" {
		t.Errorf("without hosts: %s", got)
	}
	w.hosts["a"] = []codehost.Host{gitHub}
	if got, _ := ask(); got != "precondition/sign-in-required scm=github begin=https://muster.example/begin/a/i-github runners=[]" {
		t.Errorf("without a credential for the only one: %s", got)
	}
	w.hosts["a"] = []codehost.Host{gitHub, host("i", scmurl.Gitea, "git.example.com"), gitLab}
	if got, _ := ask(); got != "precondition/sign-in-required scm= begin= runners=[]" {
		t.Errorf("without a credential for any: %s", got)
	}
	w.signIn("ann", "a", gitLab)
	w.signIn("ann", "a", gitHub)
	w.signIn("bob", "a", w.hosts["a"][1])
	if got, hosts := ask(); got != "ok" || hosts != "github.com as ann on a for github.com, gitlab.com as ann on a for gitlab.com" {
		t.Errorf("%s: asked %s", got, hosts)
	}
	// The page is shared among the hosts.
	for size, want := range map[int32]struct{ hosts, each int }{100: {2, 50}, 5: {2, 2}, 2: {2, 1}, 1: {1, 1}} {
		w.asked = nil
		_, _, err := w.service.SearchRepositories(t.Context(), person("ann", members), "a", codehost.SearchQuery{Page: page.Request{Size: size}})
		if err != nil || len(w.asked[0].as) != want.hosts || w.asked[0].search.Size != want.each {
			t.Errorf("a page of %d: %d hosts, %d of each, %v", size, len(w.asked[0].as), w.asked[0].search.Size, err)
		}
	}
	for n := range 30 {
		h := host(strings.Repeat("i", n+1), scmurl.Gitea, strings.Repeat("x", n+1)+".example.com")
		w.hosts["a"] = append(w.hosts["a"], h)
		w.signIn("ann", "a", h)
	}
	if got, hosts := ask(); got != "ok" || strings.Count(hosts, " as ") != 20 {
		t.Errorf("%s: asked %s", got, hosts)
	}
}

func TestOrganizationTokens(t *testing.T) {
	gitLab := host("i-gitlab", scmurl.GitLab, "gitlab.com")
	w := newWorld(t)
	for _, r := range []string{"a", "b"} {
		w.runner(idOf(r), gitHub, gitLab)
		for _, who := range []string{"ann", "bob"} {
			w.signIn(who, idOf(r), gitHub)
			w.signIn(who, idOf(r), gitLab)
		}
	}
	list := func(who, runner, host, text, token string) (string, string) {
		w.asked = nil
		_, next, err := w.service.ListOrganizations(t.Context(), person(who, members), idOf(runner), host, text, page.Request{Token: token, Size: 7})
		return next, told(err)
	}
	const cursor = "page=2&after=\u00e9"
	w.answer.organizations = codehost.Organizations{Rows: make([]codehost.Organization, 7), Cursor: cursor}
	token, got := list("ann", "a", "github.com", "x", "")
	if got != "ok" || token == "" || strings.ContainsAny(token, "&=/+") || w.asked[0].orgs != (codehost.OrganizationQuery{Text: "x", Size: 7}) {
		t.Fatalf("the first page: %s, token %q, asked for %+v", got, token, w.asked[0].orgs)
	}
	w.answer.organizations.Cursor = ""
	if next, got := list("ann", "a", "GitHub.com", "x", token); got != "ok" || next != "" || w.asked[0].orgs.Cursor != cursor {
		t.Errorf("the last page: %s, token %q, asked for %+v", got, next, w.asked[0].orgs)
	}
	for name, other := range map[string][4]string{
		"another caller": {"bob", "a", "github.com", "x"}, "another runner": {"ann", "b", "github.com", "x"},
		"another host": {"ann", "a", "gitlab.com", "x"}, "another query": {"ann", "a", "github.com", "y"},
	} {
		if _, got := list(other[0], other[1], other[2], other[3], token); got != "invalid/invalid-page-token" || len(w.asked) > 0 {
			t.Errorf("%s: %s", name, got)
		}
	}
	if _, got := list("ann", "a", "github.com", "x", "2/40/1000"); got != "invalid/invalid-page-token" {
		t.Errorf("a token of a search: %s", got)
	}
	// Tokens can be made by whoever knows how.
	for _, forged := range []string{"", "a\nb", "\xff", strings.Repeat("x", 513)} {
		q, err := page.Parse(page.Request{}, "scm organizations\x00org\x00ann\x00a\x00i-github\x00x")
		if err != nil {
			t.Fatal(err)
		}
		if _, got := list("ann", "a", "github.com", "x", q.Token(page.Cursor{ID: forged})); got != "invalid/invalid-page-token" || len(w.asked) > 0 {
			t.Errorf("%q: %s", forged, got)
		}
	}
}
