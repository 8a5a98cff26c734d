package scmhost

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

var bitbucketCloud = scmurl.Integration{SCMID: scmurl.Bitbucket, Host: "bitbucket.org"}

func newFakeBitbucket(t *testing.T, b fakehost.Bitbucket) (*fakehost.Server, Provider) {
	t.Helper()
	b.User, b.Bearer = "ada", restToken
	s := fakehost.NewNamed(t, "bitbucket.org", "api.bitbucket.org")
	b.Serve(s)
	return s, provider(t, bitbucketCloud, Credential{Token: restToken, OAuth: true}, s)
}

func TestBitbucket(t *testing.T) {
	git := fakehost.NewRepo(t)
	first := git.Commit("main", "first")
	git.Ref("refs/heads/feature/login", git.Commit("main", "second"))
	git.Ref("refs/heads/"+first[:6]+"-not", first)
	git.Ref("refs/heads/deadbeef", first)
	widgets := &fakehost.BitbucketRepository{Workspace: "acme", Slug: "widgets", UUID: "{repo-uuid}", Git: git}
	fork := &fakehost.BitbucketRepository{Workspace: "bob", Slug: "widgets-fork", Git: git, Parent: widgets}
	empty := &fakehost.BitbucketRepository{Workspace: "acme", Slug: "empty", Git: fakehost.NewRepo(t)}
	widgets.PullRequests = []fakehost.BitbucketPullRequest{
		{ID: 1, Title: "Log in", Author: "ada", State: "OPEN", Draft: true, From: "feature/login", To: "main", Source: widgets, Commit: first},
		{ID: 2, Title: "Log in", Author: "ada", State: "MERGED", From: "feature/login", To: "main", Source: widgets, Commit: first},
		{ID: 3, Title: "From a fork", Author: "bob", State: "DECLINED", From: "fix", To: "main", Source: fork, Commit: first},
		{ID: 4, Title: "The fork is gone", State: "SUPERSEDED", From: "fix", To: "main", Commit: first},
		{ID: 5, Title: "The commit is gone", State: "MERGED", From: "fix", To: "main", Source: widgets, Commit: strings.Repeat("9", 40)},
		{ID: 6, Title: "All is gone", State: "DECLINED", From: "fix", To: "main"},
		{ID: 8, Title: "Open", Author: "ada", State: "OPEN", From: "feature/login", To: "main", Source: widgets, Commit: first},
	}
	s, p := newFakeBitbucket(t, fakehost.Bitbucket{
		Scopes:       "account, repository",
		Workspaces:   []fakehost.BitbucketWorkspace{{Slug: "acme", UUID: "{ws-uuid}"}, {Slug: "bob"}},
		Repositories: []*fakehost.BitbucketRepository{widgets, fork, empty},
	})
	clone := "https://bitbucket.org/acme/widgets.git"
	found := Repository{Owner: "acme", Repo: "widgets", CloneURL: clone, DefaultBranch: "main"}
	base := Repository{Owner: "acme", Repo: "widgets", CloneURL: clone}
	head := Repository{Owner: "bob", Repo: "widgets-fork", CloneURL: "https://bitbucket.org/bob/widgets-fork.git"}
	const pages = "https://bitbucket.org/acme/widgets/pull-requests/"
	check(t, s, p, []asked{
		{"viewer", viewer(), Viewer{Login: "ada", Scopes: []string{"account", "repository"}}, nil, 1},
		{"repository", repository("acme", "widgets"), found, nil, 1},
		{"in another case", repository("Acme", "WIDGETS"), found, nil, 1},
		{"by UUIDs", repository("{ws-uuid}", "{repo-uuid}"), found, nil, 1},
		{"a fork", repository("bob", "widgets-fork"), Repository{Owner: "bob", Repo: "widgets-fork", CloneURL: head.CloneURL, DefaultBranch: "main", UpstreamURL: clone}, nil, 1},
		{"without commits", repository("acme", "empty"), Repository{Owner: "acme", Repo: "empty", CloneURL: "https://bitbucket.org/acme/empty.git"}, nil, 1},
		{"no repository", repository("acme", "nothing"), nil, wantMissing, 1},
		{"short commit", commit("acme", "widgets", first[:4]), first, nil, 1},
		{"upper case", commit("acme", "widgets", strings.ToUpper(first[:9])), first, nil, 1},
		{"whole commit", commit("acme", "widgets", first), first, nil, 1},
		{"no commit", commit("acme", "widgets", "0000000"), nil, wantMissing, 1},
		{"a branch that looks like a commit", commit("acme", "widgets", "deadbeef"), nil, wantMissing, 1},
		{"a draft", change("acme", "widgets", "1"), Change{Number: "1", Title: "Log in", URL: pages + "1", Author: "ada", State: ChangeOpen, Draft: true, FromBranch: "feature/login", ToBranch: "main", Head: &base, Base: base, Commit: first}, nil, 2},
		{"merged", change("acme", "widgets", "2"), Change{Number: "2", Title: "Log in", URL: pages + "2", Author: "ada", State: ChangeMerged, FromBranch: "feature/login", ToBranch: "main", Head: &base, Base: base, Commit: first}, nil, 2},
		{"declined, from a fork", change("acme", "widgets", "3"), Change{Number: "3", Title: "From a fork", URL: pages + "3", Author: "bob", State: ChangeClosed, FromBranch: "fix", ToBranch: "main", Head: &head, Base: base, Commit: first}, nil, 2},
		{"superseded, the fork is gone", change("acme", "widgets", "4"), Change{Number: "4", Title: "The fork is gone", URL: pages + "4", State: ChangeClosed, FromBranch: "fix", ToBranch: "main", Base: base, Commit: first}, nil, 2},
		{"the commit is gone", change("acme", "widgets", "5"), Change{Number: "5", Title: "The commit is gone", URL: pages + "5", State: ChangeMerged, FromBranch: "fix", ToBranch: "main", Head: &base, Base: base}, nil, 2},
		{"all is gone", change("acme", "widgets", "6"), Change{Number: "6", Title: "All is gone", URL: pages + "6", State: ChangeClosed, FromBranch: "fix", ToBranch: "main", Base: base}, nil, 1},
		{"open", change("acme", "widgets", "8"), Change{Number: "8", Title: "Open", URL: pages + "8", Author: "ada", State: ChangeOpen, FromBranch: "feature/login", ToBranch: "main", Head: &base, Base: base, Commit: first}, nil, 2},
		{"no pull request", change("acme", "widgets", "7"), nil, wantMissing, 1},
		{"issue", issue("acme", "widgets", "1"), nil, wantMissing, 0},
	})
}

// rowsOfBitbucket are found repositories.
func rowsOfBitbucket(names ...string) []FoundRepository {
	var rows []FoundRepository
	for _, name := range names {
		rows = append(rows, FoundRepository{Name: name, URL: "https://bitbucket.org" + (&url.URL{Path: "/" + name}).EscapedPath()})
	}
	return rows
}

func TestBitbucketSearchesOneWorkspace(t *testing.T) {
	b := fakehost.Bitbucket{Workspaces: []fakehost.BitbucketWorkspace{{Slug: "acme"}}}
	for i, slug := range []string{"web-app", "web-site", "api", `odd"name`, `back\slash`} {
		b.Repositories = append(b.Repositories, &fakehost.BitbucketRepository{
			Workspace: "acme", Slug: slug, Language: []string{"go", "c"}[i%2], Updated: fmt.Sprintf("2026-01-0%dT00:00:00.000000+00:00", i+1),
		})
	}
	s, p := newFakeBitbucket(t, b)
	check(t, s, p, []asked{
		{"everything, newest first", searching(Query{Page: 1, Size: 10}), Repositories{Rows: rowsOfBitbucket(`acme/back\slash`, `acme/odd"name`, "acme/api", "acme/web-site", "acme/web-app"), Pages: 1, Total: 5}, nil, 2},
		{"a page", searching(Query{Page: 1, Size: 3}), Repositories{Rows: rowsOfBitbucket(`acme/back\slash`, `acme/odd"name`, "acme/api"), More: true, Pages: 2, Total: 5}, nil, 2},
		{"the last page", searching(Query{Page: 2, Size: 3}), Repositories{Rows: rowsOfBitbucket("acme/web-site", "acme/web-app"), Pages: 2, Total: 5}, nil, 2},
		{"a word", searching(Query{Text: "WEB", Page: 1, Size: 3}), Repositories{Rows: rowsOfBitbucket("acme/web-site", "acme/web-app"), Pages: 1, Total: 2}, nil, 2},
		{"two words", searching(Query{Text: " app  web\n", Page: 1, Size: 3}), Repositories{Rows: rowsOfBitbucket("acme/web-app"), Pages: 1, Total: 1}, nil, 2},
		{"a quote", searching(Query{Text: `d"n`, Page: 1, Size: 3}), Repositories{Rows: rowsOfBitbucket(`acme/odd"name`), Pages: 1, Total: 1}, nil, 2},
		{"a backslash", searching(Query{Text: `k\s`, Page: 1, Size: 3}), Repositories{Rows: rowsOfBitbucket(`acme/back\slash`), Pages: 1, Total: 1}, nil, 2},
		{"words that look like a query", searching(Query{Text: `x" OR name ~ "`, Page: 1, Size: 3}), Repositories{}, nil, 2},
		{"a query", searching(Query{Text: `language = "c"`, Native: true, Page: 1, Size: 3}), Repositories{Rows: rowsOfBitbucket(`acme/odd"name`, "acme/web-site"), Pages: 1, Total: 2}, nil, 2},
		{"no query", searching(Query{Text: "web app", Native: true, Page: 1, Size: 3}), nil, wantInvalid, 2},
	})
}

// However a word is spelled, it is one string of the query language.
func FuzzBitbucketQuery(f *testing.F) {
	for _, seed := range []string{"a", `"`, `\`, `\"`, `" OR name ~ "`, "a\x00b", "a b\tc"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		query := bitbucketQuery(text)
		for _, word := range strings.Fields(text) {
			rest, ok := strings.CutPrefix(query, `name ~ "`)
			if !ok {
				t.Fatalf("%q became %q", text, query)
			}
			var read strings.Builder
			for rest[0] != '"' {
				if rest[0] == '\\' {
					rest = rest[1:]
				}
				read.WriteByte(rest[0])
				rest = rest[1:]
			}
			if read.String() != word {
				t.Fatalf("%q of %q is read as %q", word, text, read.String())
			}
			query = strings.TrimPrefix(rest[1:], " AND ")
		}
		if query != "" {
			t.Fatalf("%q leaves %q behind", text, query)
		}
	})
}

func TestBitbucketSearchesSeveralWorkspaces(t *testing.T) {
	b := fakehost.Bitbucket{}
	for i := range 6 {
		ws := fmt.Sprintf("w%d", i)
		b.Workspaces = append(b.Workspaces, fakehost.BitbucketWorkspace{Slug: ws, Locked: i == 2})
		b.Repositories = append(b.Repositories, &fakehost.BitbucketRepository{
			Workspace: ws, Slug: "api", Updated: fmt.Sprintf("2026-01-0%dT00:00:00.000000+00:00", i+1),
		})
	}
	s, p := newFakeBitbucket(t, b)
	// The third is locked, and two are left out.
	check(t, s, p, []asked{
		{"first page", searching(Query{Text: "api", Page: 1, Size: 2}), Repositories{Rows: rowsOfBitbucket("w3/api", "w1/api"), More: true, Pages: -1, Total: -1}, nil, 5},
		{"last page", searching(Query{Text: "api", Page: 2, Size: 2}), Repositories{Rows: rowsOfBitbucket("w0/api"), Pages: -1, Total: -1}, nil, 5},
		{"far behind", searching(Query{Text: "api", Page: 1 << 62, Size: 100}), Repositories{Rows: []FoundRepository{}, Pages: -1, Total: -1}, nil, 5},
		{"one that is left out", searching(Query{Text: "W5/ap", Page: 1, Size: 2}), Repositories{Rows: rowsOfBitbucket("w5/api"), Pages: 1, Total: 1}, nil, 2},
		{"one that is locked", searching(Query{Text: "w2/api", Page: 1, Size: 2}), nil, wantRefused, 2},
		{"a slash that is none of a workspace", searching(Query{Text: "x/api", Page: 1, Size: 2}), Repositories{Pages: -1, Total: -1}, nil, 5},
		{"a query", searching(Query{Text: `full_name = "w3/api"`, Native: true, Page: 1, Size: 2}), Repositories{Rows: rowsOfBitbucket("w3/api"), Pages: -1, Total: -1}, nil, 5},
	})

	b.Workspaces = b.Workspaces[:2]
	s, p = newFakeBitbucket(t, b)
	check(t, s, p, []asked{
		{"all is counted", searching(Query{Page: 1, Size: 1}), Repositories{Rows: rowsOfBitbucket("w1/api"), More: true, Pages: 2, Total: 2}, nil, 3},
	})
	for i := range 100 {
		b.Repositories = append(b.Repositories, &fakehost.BitbucketRepository{Workspace: "w0", Slug: fmt.Sprintf("r%02d", i), Updated: "2026-02"})
	}
	s, p = newFakeBitbucket(t, b)
	found, err := p.Search(t.Context(), Query{Page: 2, Size: 100})
	if err != nil || len(found.Rows) != 1 || found.Rows[0].Name != "w1/api" || found.More || found.Total != -1 {
		t.Errorf("behind the first hundred of a workspace: %+v, %v", found, err)
	}
	if calls := s.TakeCalls(); len(calls) != 3 {
		t.Errorf("%d calls: %s", len(calls), urls(calls))
	}
	s, p = newFakeBitbucket(t, fakehost.Bitbucket{})
	check(t, s, p, []asked{{"no workspace", searching(Query{Page: 1, Size: 1}), Repositories{}, nil, 1}})
}

func TestBitbucketOrganizations(t *testing.T) {
	s, p := newFakeBitbucket(t, fakehost.Bitbucket{Workspaces: []fakehost.BitbucketWorkspace{{Slug: "acme", Admin: true}, {Slug: "bob"}, {Slug: "carol"}}})
	acme := Organization{Name: "acme", URL: "https://bitbucket.org/acme", Admin: true}
	bob := Organization{Name: "bob", URL: "https://bitbucket.org/bob"}
	carol := Organization{Name: "carol", URL: "https://bitbucket.org/carol"}
	check(t, s, p, []asked{
		{"first page", organizations(OrganizationQuery{Size: 2}), Organizations{Rows: []Organization{acme, bob}, Cursor: "2"}, nil, 1},
		{"last page", organizations(OrganizationQuery{Size: 2, Cursor: "2"}), Organizations{Rows: []Organization{carol}}, nil, 1},
		{"a cursor of nobody", organizations(OrganizationQuery{Size: 2, Cursor: "x&role=owner"}), nil, fault.New(fault.InvalidArgument, fault.InvalidPageToken, ""), 0},
		{"words", organizations(OrganizationQuery{Size: 2, Text: "ac"}), nil, wantInvalid, 0},
	})
}

// The role is told in one of two ways.
func TestBitbucketRoles(t *testing.T) {
	s := answerAll(t, http.StatusOK, nil, `{"values":[{"permission":"owner","workspace":{"slug":"a"}},{"permission":"member","workspace":{"slug":"b"}},{"administrator":true,"workspace":{"slug":"c"}}]}`,
		"bitbucket.org", "api.bitbucket.org")
	found, err := provider(t, bitbucketCloud, Credential{Token: "x"}, s).Organizations(t.Context(), OrganizationQuery{Size: 10})
	if err != nil || len(found.Rows) != 3 || !found.Rows[0].Admin || found.Rows[1].Admin || !found.Rows[2].Admin {
		t.Errorf("%+v, %v", found, err)
	}
}

// Retired calls would be answered with 410.
func TestBitbucketCallsNothingRetired(t *testing.T) {
	s, p := newFakeBitbucket(t, fakehost.Bitbucket{Workspaces: []fakehost.BitbucketWorkspace{{Slug: "acme"}}})
	_, _ = p.Search(t.Context(), Query{Text: "a", Page: 1, Size: 10})
	_, _ = p.Organizations(t.Context(), OrganizationQuery{Size: 10})
	_, _ = p.Issue(t.Context(), "acme", "widgets", "1")
	for _, c := range s.TakeCalls() {
		u, err := url.Parse(c.URL)
		if err != nil {
			t.Fatal(err)
		}
		if u.Path == "/2.0/repositories" || u.Path == "/2.0/workspaces" || strings.HasPrefix(u.Path, "/2.0/user/permissions") || strings.Contains(u.Path, "/issues") {
			t.Errorf("%s is retired", c.URL)
		}
	}
}
