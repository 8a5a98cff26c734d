package scmhost

import (
	"context"
	"encoding/base64"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// gitLabToken is ada's.
const gitLabToken = "glpat-0123456789abcdefghij" //nolint:gosec // of a fake

// gitLabLayouts are where GitLab can be, with the names of its certificate.
var gitLabLayouts = []struct {
	integration scmurl.Integration
	names       []string
}{
	{scmurl.Integration{SCMID: scmurl.GitLab, Host: "gitlab.com", PAT: true}, []string{"gitlab.com"}},
	{scmurl.Integration{SCMID: scmurl.GitLab, Host: "gitlab.example.com:8443", PAT: true}, []string{"gitlab.example.com"}},
	{scmurl.Integration{SCMID: scmurl.GitLab, Host: "example.com/tools/git", PAT: true}, []string{"example.com"}},
}

func TestGitLab(t *testing.T) {
	for _, layout := range gitLabLayouts {
		t.Run(layout.integration.Host, func(t *testing.T) {
			s := fakehost.NewNamed(t, layout.names...)
			git := fakehost.NewRepo(t)
			id := git.Commit("trunk", "first")
			git.Default("trunk")
			fix := git.Commit("fix", "a fix")
			git.Ref("refs/heads/"+fix[:6], id) // a branch that looks like a commit
			base := "https://" + layout.integration.Host
			widgets := &fakehost.GitLabProject{ID: 7, Path: "acme/backend/widgets", Private: true, Git: git, Issues: map[int]string{1: "It does not work"}}
			fork := &fakehost.GitLabProject{ID: 8, Path: "ada/widgets", Private: true, Git: git, Parent: widgets}
			hidden := &fakehost.GitLabProject{ID: 9, Path: "eve/widgets", Private: true, Git: git, Parent: widgets}
			empty := &fakehost.GitLabProject{ID: 10, Path: "ada/empty.site", Git: fakehost.NewRepo(t)}
			widgets.MergeRequests = map[int]fakehost.GitLabMergeRequest{
				1: {Title: "Draft: fix it", Author: "ada", From: "fix", To: "trunk", Source: fork, Commit: fix, State: "opened", Draft: true},
				2: {Title: "Merged", Author: "ada", From: "fix", To: "trunk", Source: widgets, Commit: fix, State: "merged"},
				3: {Title: "The fork is gone", From: "fix", To: "trunk", Commit: fix, State: "closed"},
				4: {Title: "The fork is hidden", Author: "eve", From: "fix", To: "trunk", Source: hidden, Commit: fix, State: "locked"},
				5: {Title: "Open", Author: "ada", From: "fix", To: "trunk", Source: widgets, Commit: fix, State: "opened"},
				6: {Title: "New", Author: "ada", From: "fix", To: "trunk", Source: widgets, Commit: fix, State: "not known here"},
			}
			lab := &fakehost.GitLab{
				URL: base,
				Users: map[string]fakehost.GitLabUser{
					gitLabToken: {Name: "ada", Scopes: []string{"api", "read_user"}, Groups: []string{"acme", "initech"}},
					"narrow":    {Name: "ada", Scopes: []string{"read_user"}, Groups: []string{"acme"}},
					"oauth":     {Name: "ada", Scopes: []string{"api"}, OAuth: true},
				},
				Projects: []*fakehost.GitLabProject{widgets, fork, hidden, empty},
				Groups:   []string{"acme", "acme/backend", "initech", "umbrella"},
			}
			lab.Serve(s)

			atWidgets := Repository{Owner: "acme/backend", Repo: "widgets", CloneURL: base + "/acme/backend/widgets.git", DefaultBranch: "trunk"}
			atFork := Repository{Owner: "ada", Repo: "widgets", CloneURL: base + "/ada/widgets.git", DefaultBranch: "trunk", UpstreamURL: atWidgets.CloneURL}
			pages := base + "/acme/backend/widgets/-/merge_requests/"
			p := provider(t, layout.integration, Credential{Token: gitLabToken}, s)
			check(t, s, p, []asked{
				{"the viewer", viewer(), Viewer{Login: "ada", Scopes: []string{"api", "read_user"}}, nil, 2},
				{"a project", repository("acme/backend", "widgets"), atWidgets, nil, 1},
				{"in other letters", repository("ACME/Backend", "WIDGETS"), atWidgets, nil, 1},
				{"a fork", repository("ada", "widgets"), atFork, nil, 1},
				{"an empty one with a dot", repository("ada", "empty.site"), Repository{
					Owner: "ada", Repo: "empty.site", CloneURL: base + "/ada/empty.site.git",
				}, nil, 1},
				{"a group", repository("acme", "backend"), nil, wantMissing, 1},
				{"a hidden project", repository("eve", "widgets"), nil, wantMissing, 1},
				{"a name that climbs", repository("..", "user"), nil, wantMissing, 0},
				{"another that does", issue("a/../..", "user", "1"), nil, wantMissing, 0},
				{"a commit", commit("acme/backend", "widgets", id[:5]), id, nil, 1},
				{"no commit", commit("acme/backend", "widgets", "0123"), nil, wantMissing, 1},
				{"a branch instead of a commit", commit("acme/backend", "widgets", fix[:6]), nil, wantMissing, 1},
				{"a commit where there are none", commit("ada", "empty.site", id), nil, wantMissing, 1},
				{"a draft from a fork", change("Acme/backend", "widgets", "1"), Change{
					Number: "1", Title: "Draft: fix it", URL: pages + "1", Author: "ada", State: ChangeOpen, Draft: true,
					FromBranch: "fix", ToBranch: "trunk", Head: &atFork, Base: atWidgets, Commit: fix,
				}, nil, 3},
				{"one that is merged", change("acme/backend", "widgets", "2"), Change{
					Number: "2", Title: "Merged", URL: pages + "2", Author: "ada", State: ChangeMerged,
					FromBranch: "fix", ToBranch: "trunk", Head: &atWidgets, Base: atWidgets, Commit: fix,
				}, nil, 2},
				{"one that is closed, whose fork is gone", change("acme/backend", "widgets", "3"), Change{
					Number: "3", Title: "The fork is gone", URL: pages + "3", State: ChangeClosed,
					FromBranch: "fix", ToBranch: "trunk", Base: atWidgets, Commit: fix,
				}, nil, 2},
				{"one that is locked, whose fork is hidden", change("acme/backend", "widgets", "4"), Change{
					Number: "4", Title: "The fork is hidden", URL: pages + "4", Author: "eve", State: ChangeOpen,
					FromBranch: "fix", ToBranch: "trunk", Base: atWidgets, Commit: fix,
				}, nil, 3},
				{"one that is open", change("acme/backend", "widgets", "5"), Change{
					Number: "5", Title: "Open", URL: pages + "5", Author: "ada", State: ChangeOpen,
					FromBranch: "fix", ToBranch: "trunk", Head: &atWidgets, Base: atWidgets, Commit: fix,
				}, nil, 2},
				{"one in a state of its own", change("acme/backend", "widgets", "6"), Change{
					Number: "6", Title: "New", URL: pages + "6", Author: "ada", State: ChangeUnknown,
					FromBranch: "fix", ToBranch: "trunk", Head: &atWidgets, Base: atWidgets, Commit: fix,
				}, nil, 2},
				{"no merge request", change("acme/backend", "widgets", "42"), nil, wantMissing, 1},
				{"a number that is none", change("acme/backend", "widgets", "x"), nil, wantMissing, 0},
				{"an issue", issue("acme/backend", "widgets", "1"), Issue{Number: "1", Title: "It does not work"}, nil, 1},
				{"no issue", issue("acme/backend", "widgets", "2"), nil, wantMissing, 1},
				{"groups", organizations(OrganizationQuery{Size: 2}), Organizations{Cursor: "2", Rows: []Organization{
					{Name: "acme", URL: base + "/groups/acme"}, {Name: "acme/backend", URL: base + "/groups/acme/backend"},
				}}, nil, 1},
				{"the rest of them", organizations(OrganizationQuery{Size: 2, Cursor: "2"}), Organizations{
					Rows: []Organization{{Name: "initech", URL: base + "/groups/initech"}},
				}, nil, 1},
				{"groups by name", organizations(OrganizationQuery{Size: 2, Text: "back"}), Organizations{
					Rows: []Organization{{Name: "acme/backend", URL: base + "/groups/acme/backend"}},
				}, nil, 1},
				{
					"from a cursor of somebody else", organizations(OrganizationQuery{Size: 2, Cursor: "0"}), nil,
					fault.New(fault.InvalidArgument, fault.InvalidPageToken, ""), 0,
				},
			})
			checkClone(t, layout.integration, s, atWidgets.CloneURL, map[string]int{gitLabToken: 200, "stale": 401, "": 401})
			check(t, s, provider(t, layout.integration, Credential{Token: "stale"}, s), []asked{
				{"a stale token", viewer(), nil, wantSignIn, 1},
			})
			check(t, s, provider(t, layout.integration, Credential{}, s), []asked{
				{"nobody", viewer(), nil, wantSignIn, 1},
				{"nobody in private", repository("acme/backend", "widgets"), nil, wantMissing, 1},
			})
			check(t, s, provider(t, layout.integration, Credential{Token: "narrow"}, s), []asked{
				{"who has a narrow token", viewer(), Viewer{Login: "ada", Scopes: []string{"read_user"}}, nil, 2},
				{"a narrow token", repository("acme/backend", "widgets"), nil, wantRefused, 1},
			})
			check(t, s, provider(t, layout.integration, Credential{Token: "oauth", OAuth: true}, s), []asked{
				{"a token of OAuth", viewer(), Viewer{Login: "ada"}, nil, 1},
			})
			check(t, s, provider(t, layout.integration, Credential{Token: "oauth"}, s), []asked{
				{"a token that tells nothing", viewer(), Viewer{Login: "ada"}, nil, 2},
			})
		})
	}
}

func TestGitLabFaults(t *testing.T) {
	questions := []asked{
		{name: "viewer", ask: viewer()},
		{name: "repository", ask: repository("o", "r")},
		{name: "commit", ask: commit("o", "r", "0123")},
		{name: "change", ask: change("o", "r", "1")},
		{name: "issue", ask: issue("o", "r", "1")},
		{name: "search", ask: searching(Query{Text: "x", Page: 1, Size: 10}), want: Repositories{Pages: -1, Total: -1}},
		{name: "native search", ask: searching(Query{Text: "search=x", Native: true, Page: 1, Size: 10}), want: Repositories{Pages: -1, Total: -1}},
		{name: "organizations", ask: organizations(OrganizationQuery{Size: 10}), want: Organizations{}},
	}
	for _, layout := range gitLabLayouts {
		s := fakehost.NewNamed(t, layout.names...)
		checkFaults(t, s, provider(t, layout.integration, Credential{Token: gitLabToken}, s), gitLabToken, questions)
		checkHollow(t, layout.integration, layout.names, questions)
	}
}

func TestGitLabSearch(t *testing.T) {
	s := fakehost.NewNamed(t, "gitlab.com")
	lab := &fakehost.GitLab{URL: "https://gitlab.com", Users: map[string]fakehost.GitLabUser{
		gitLabToken: {Name: "ada", Scopes: []string{"api"}, Groups: []string{"acme"}},
	}}
	for i, p := range []fakehost.GitLabProject{
		{Path: "famous/widgets"},
		{Path: "ada/widgets", Private: true},
		{Path: "eve/widgets", Private: true},
		{Path: "acme/backend/widgets", Private: true},
		{Path: "famous/more-widgets"},
		{Path: "ada/unrelated"},
	} {
		p.ID = int64(i + 1)
		lab.Projects = append(lab.Projects, &p)
	}
	lab.Serve(s)
	found := func(names ...string) []FoundRepository {
		var rows []FoundRepository
		for _, name := range names {
			rows = append(rows, FoundRepository{Name: name, URL: "https://gitlab.com/" + name})
		}
		return rows
	}
	p := provider(t, gitLabLayouts[0].integration, Credential{Token: gitLabToken}, s)
	native := func(text string) func(context.Context, Provider) (any, error) {
		return searching(Query{Text: text, Native: true, Page: 1, Size: 2})
	}
	check(t, s, p, []asked{
		{"one's own come first", searching(Query{Text: "Widgets", Page: 1, Size: 25}), Repositories{
			Rows: found("ada/widgets", "acme/backend/widgets", "famous/widgets", "famous/more-widgets"), Pages: 1, Total: 4,
		}, nil, 2},
		{"a page of both", searching(Query{Text: "widgets", Page: 1, Size: 3}), Repositories{
			Rows: found("ada/widgets", "acme/backend/widgets", "famous/widgets"), More: true, Pages: 2, Total: 4,
		}, nil, 2},
		{"the last page", searching(Query{Text: "widgets", Page: 2, Size: 3}), Repositories{
			Rows: found("famous/more-widgets"), Pages: 2, Total: 4,
		}, nil, 3},
		{"without words, one's own", searching(Query{Page: 1, Size: 2}), Repositories{
			Rows: found("ada/widgets", "acme/backend/widgets"), More: true, Pages: 2, Total: 3,
		}, nil, 1},
		{"words that look like a query", searching(Query{Text: "scope=projects&search=widgets", Page: 1, Size: 2}), Repositories{}, nil, 2},
		{"a native query", native("scope=projects&search=more&order_by=created_at&sort=asc&search_type=basic"), Repositories{
			Rows: found("famous/more-widgets"), Pages: 1, Total: 1,
		}, nil, 1},
		{"without a scope", native("search=more"), Repositories{Rows: found("famous/more-widgets"), Pages: 1, Total: 1}, nil, 1},
		{"another scope", native("scope=blobs&search=password"), nil, wantInvalid, 0},
		{"another parameter", native("search=x&private_token=y"), nil, wantInvalid, 0},
		{"a page of its own", native("search=x&per_page=1000"), nil, wantInvalid, 0},
		{"a parameter twice", native("search=x&search=y"), nil, wantInvalid, 0},
		{"nothing to search for", native("widgets"), nil, wantInvalid, 0},
		{"nothing at all", native("scope=projects"), nil, wantInvalid, 0},
		{"what is no query", native("search=%zz"), nil, wantInvalid, 0},
	})
	lab.ManyRows = true
	check(t, s, p, []asked{
		{"too many to be counted", searching(Query{Text: "widgets", Page: 1, Size: 3}), Repositories{
			Rows: found("ada/widgets", "acme/backend/widgets", "famous/widgets"), More: true, Pages: -1, Total: -1,
		}, nil, 2},
		{"too many of one's own", searching(Query{Page: 2, Size: 2}), Repositories{Rows: found("ada/unrelated"), Pages: -1, Total: -1}, nil, 1},
	})
	for status, want := range map[int]error{400: wantInvalid, 405: wantInvalid, 403: wantRefused} {
		s := answerAll(t, status, nil, `{"error":"order_by does not have a valid value"}`, "gitlab.com")
		_, err := provider(t, gitLabLayouts[0].integration, Credential{Token: gitLabToken}, s).
			Search(t.Context(), Query{Text: "search=x&order_by=bogus", Native: true, Page: 1, Size: 2})
		if !sameFault(err, want) {
			t.Errorf("of the status %d comes %v, not %v", status, err, want)
		}
	}
}

func TestGitLabIsCalledAsItself(t *testing.T) {
	for _, layout := range gitLabLayouts {
		s := answerAll(t, 200, nil, `{"username":"ada"}`, layout.names...)
		p := provider(t, layout.integration, Credential{Token: gitLabToken, OAuth: true}, s)
		if _, err := p.Viewer(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Search(t.Context(), Query{Text: "a&membership=false", Page: 1, Size: 10}); err == nil {
			t.Error("an object is taken for a list")
		}
		calls := s.Calls()
		h := calls[0].Header
		if h.Get("Authorization") != "Bearer "+gitLabToken || h.Get("Private-Token") != "" || h.Get("User-Agent") != "muster" {
			t.Errorf("%s was called with %v", layout.integration.Host, h)
		}
		u, err := url.Parse(calls[1].URL)
		if err != nil {
			t.Fatal(err)
		}
		want := url.Values{
			"search": {"a&membership=false"}, "membership": {"true"}, "simple": {"true"}, "order_by": {"last_activity_at"},
			"page": {"1"}, "per_page": {"100"},
		}
		if diff := cmp.Diff(want, u.Query()); diff != "" {
			t.Error(diff)
		}
		if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("oauth2:"+gitLabToken)); p.GitAuth() != want {
			t.Error("git signs in in another way")
		}
		if provider(t, layout.integration, Credential{}, s).GitAuth() != "" {
			t.Error("git signs in without a credential")
		}
	}
}

// The client would wait on its own when a server tells its limits, and try again.
func TestGitLabIsAskedOnce(t *testing.T) {
	s := answerAll(t, 500, map[string]string{"RateLimit-Limit": "1"}, `{}`, "gitlab.com")
	p := provider(t, gitLabLayouts[0].integration, Credential{Token: gitLabToken}, s)
	for range 5 {
		if _, err := p.Repository(t.Context(), "o", "r"); !sameFault(err, wantGone) {
			t.Fatal(err)
		}
	}
	if calls := s.Calls(); len(calls) != 5 {
		t.Errorf("%d calls instead of 5: %s", len(calls), urls(calls))
	}
}
