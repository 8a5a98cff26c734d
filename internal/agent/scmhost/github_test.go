package scmhost

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// gitHubToken is octocat's.
const gitHubToken = "ghp_0123456789abcdefghijABCDEFGHIJ012345" //nolint:gosec // of a fake

// gitHubLayouts are where GitHub can be, with the fake's URL and the names of its
// certificate.
var gitHubLayouts = []struct {
	integration scmurl.Integration
	url         string
	names       []string
}{
	{scmurl.Integration{SCMID: scmurl.GitHub, Host: "github.com", PAT: true}, "", []string{"github.com", "api.github.com"}},
	{scmurl.Integration{SCMID: scmurl.GitHub, Host: "ghe.example.com:8443", PAT: true}, "https://ghe.example.com:8443", []string{"ghe.example.com"}},
}

func TestGitHub(t *testing.T) {
	for _, layout := range gitHubLayouts {
		t.Run(layout.integration.Host, func(t *testing.T) {
			s := fakehost.NewNamed(t, layout.names...)
			git := fakehost.NewRepo(t)
			id := git.Commit("main", "first")
			fix := git.Commit("fix", "a fix")
			git.Ref("refs/heads/"+fix[:6], id) // a branch that looks like a commit
			hub := &fakehost.GitHub{URL: layout.url, Users: map[string]fakehost.GitHubUser{
				gitHubToken: {Login: "octocat", Scopes: []string{"repo", "read:org", "user:email"}, Organizations: []fakehost.GitHubMembership{
					{Organization: "Acme", Role: "admin"}, {Organization: "initech", Role: "member"}, {Organization: "umbrella", Role: "member"},
				}},
				"narrow":       {Login: "hubot", Scopes: []string{"public_repo"}},
				"fine-grained": {Login: "monalisa"},
			}}
			widgets := &fakehost.GitHubRepository{Owner: "Acme", Name: "Widgets", Private: true, Git: git}
			fork := &fakehost.GitHubRepository{Owner: "octocat", Name: "widgets", Private: true, Git: git, Parent: widgets}
			widgets.Issues = map[int]string{42: "It does not work"}
			widgets.Pulls = map[int]fakehost.GitHubPull{
				1: {Title: "Fix it", Author: "octocat", From: "fix", To: "main", Source: fork, Commit: fix, Draft: true},
				2: {Title: "Merged", Author: "dependabot[bot]", From: "fix", To: "main", Source: widgets, Commit: fix, Merged: true},
				3: {Title: "The fork is gone", From: "fix", To: "main", Commit: fix, Closed: true},
				4: {Title: "Open", Author: "monalisa", From: "fix", To: "main", Source: widgets, Commit: fix},
			}
			empty := &fakehost.GitHubRepository{Owner: "octocat", Name: "empty", Git: fakehost.NewRepo(t)}
			hub.Repositories = []*fakehost.GitHubRepository{widgets, fork, empty}
			hub.Serve(s)
			base := "https://" + layout.integration.Host

			atWidgets := Repository{Owner: "Acme", Repo: "Widgets", CloneURL: base + "/Acme/Widgets.git", DefaultBranch: "main"}
			// GitHub tells of a fork only when it is asked for.
			atFork := Repository{Owner: "octocat", Repo: "widgets", CloneURL: base + "/octocat/widgets.git", DefaultBranch: "main"}
			forked := atFork
			forked.UpstreamURL = atWidgets.CloneURL
			p := provider(t, layout.integration, Credential{Token: gitHubToken}, s)
			check(t, s, p, []asked{
				{"the viewer", viewer(), Viewer{Login: "octocat", Scopes: []string{"repo", "read:org", "user:email"}}, nil, 1},
				{"a repository", repository("Acme", "Widgets"), atWidgets, nil, 1},
				{"in other letters", repository("ACME", "wIDGETS"), atWidgets, nil, 1},
				{"a fork", repository("octocat", "widgets"), forked, nil, 1},
				{"no repository", repository("Acme", "gadgets"), nil, wantMissing, 1},
				{"a name that climbs", repository("..", "user"), nil, wantMissing, 0},
				{"a name with a slash", repository("Acme", "Widgets/pulls/1"), nil, wantMissing, 0},
				{"a name with a query", repository("Acme", "Widgets?x=y"), nil, wantMissing, 0},
				{"a commit", commit("Acme", "Widgets", id[:5]), id, nil, 1},
				{"a whole commit", commit("Acme", "Widgets", strings.ToUpper(id)), id, nil, 1},
				{"no commit", commit("Acme", "Widgets", "0123"), nil, wantMissing, 1},
				{"a branch instead of a commit", commit("Acme", "Widgets", fix[:6]), nil, wantMissing, 1},
				{"of no repository", commit("Acme", "gadgets", id), nil, wantMissing, 1},
				{"a commit where there are none", commit("octocat", "empty", id), nil, wantMissing, 1},
				{"a draft from a fork", change("acme", "widgets", "1"), Change{
					Number: "1", Title: "Fix it", URL: base + "/Acme/Widgets/pull/1", Author: "octocat", State: ChangeOpen, Draft: true,
					FromBranch: "fix", ToBranch: "main", Head: &atFork, Base: atWidgets, Commit: fix,
				}, nil, 1},
				{"one that is merged", change("acme", "widgets", "2"), Change{
					Number: "2", Title: "Merged", URL: base + "/Acme/Widgets/pull/2", Author: "dependabot[bot]", State: ChangeMerged,
					FromBranch: "fix", ToBranch: "main", Head: &atWidgets, Base: atWidgets, Commit: fix,
				}, nil, 1},
				{"one that is closed, whose fork is gone", change("acme", "widgets", "3"), Change{
					Number: "3", Title: "The fork is gone", URL: base + "/Acme/Widgets/pull/3", State: ChangeClosed,
					FromBranch: "fix", ToBranch: "main", Base: atWidgets, Commit: fix,
				}, nil, 1},
				{"one that is open", change("acme", "widgets", "4"), Change{
					Number: "4", Title: "Open", URL: base + "/Acme/Widgets/pull/4", Author: "monalisa", State: ChangeOpen,
					FromBranch: "fix", ToBranch: "main", Head: &atWidgets, Base: atWidgets, Commit: fix,
				}, nil, 1},
				{"an issue as a pull request", change("Acme", "Widgets", "42"), nil, wantMissing, 1},
				{"no pull request", change("Acme", "Widgets", "43"), nil, wantMissing, 1},
				{"a number that is none", change("Acme", "Widgets", "99999999999999999999"), nil, wantMissing, 0},
				{"an issue", issue("Acme", "Widgets", "42"), Issue{Number: "42", Title: "It does not work"}, nil, 1},
				{"a pull request as an issue", issue("Acme", "Widgets", "1"), nil, ErrIsChange, 1},
				{"no issue", issue("Acme", "Widgets", "43"), nil, wantMissing, 1},
				{"organizations", organizations(OrganizationQuery{Size: 2}), Organizations{Cursor: "2", Rows: []Organization{
					{Name: "Acme", URL: base + "/Acme", Admin: true}, {Name: "initech", URL: base + "/initech"},
				}}, nil, 1},
				{"the rest of them", organizations(OrganizationQuery{Size: 2, Cursor: "2"}), Organizations{
					Rows: []Organization{{Name: "umbrella", URL: base + "/umbrella"}},
				}, nil, 1},
				{"organizations by name", organizations(OrganizationQuery{Size: 2, Text: "acme"}), nil, wantInvalid, 0},
				{
					"from a cursor of somebody else", organizations(OrganizationQuery{Size: 2, Cursor: "x"}), nil,
					fault.New(fault.InvalidArgument, fault.InvalidPageToken, ""), 0,
				},
			})
			h, err := New(Config{CAs: fakehost.Trust(s), Dial: fakehost.Network(s)})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			s.TakeCalls()
			bug, err := h.ParseContext(t.Context(), Account{layout.integration, Credential{Token: gitHubToken}}, base+"/Acme/Widgets/pull/42")
			if calls := s.TakeCalls(); err != nil || bug.Issue == nil || bug.Issue.Number != "42" || bug.Branch != "main" || len(calls) != 3 {
				t.Errorf("the page of a pull request that is an issue: %+v, %v, by %s", bug, err, urls(calls))
			}
			checkClone(t, layout.integration, s, atWidgets.CloneURL, map[string]int{gitHubToken: 200, "fine-grained": 401, "stale": 401, "": 401})
			check(t, s, provider(t, layout.integration, Credential{Token: "stale"}, s), []asked{
				{"a stale token", viewer(), nil, wantSignIn, 1},
			})
			check(t, s, provider(t, layout.integration, Credential{}, s), []asked{
				{"nobody", viewer(), nil, wantSignIn, 1},
				{"nobody in private", repository("Acme", "Widgets"), nil, wantMissing, 1},
				{"nobody in public", repository("octocat", "EMPTY"), Repository{
					Owner: "octocat", Repo: "empty", CloneURL: base + "/octocat/empty.git", DefaultBranch: "main",
				}, nil, 1},
			})
			check(t, s, provider(t, layout.integration, Credential{Token: "narrow"}, s), []asked{
				{"a token without scopes", organizations(OrganizationQuery{Size: 2}), nil, wantRefused, 1},
			})
			check(t, s, provider(t, layout.integration, Credential{Token: "fine-grained"}, s), []asked{
				{"a token that tells no scopes", viewer(), Viewer{Login: "monalisa"}, nil, 1},
			})
		})
	}
}

// GitHub sends those who ask for an old name on to the new one.
func TestGitHubFollowsARename(t *testing.T) {
	s := fakehost.NewNamed(t, "github.com", "api.github.com")
	s.Handle("GET api.github.com/repos/acme/gadgets", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/repositories/7", http.StatusMovedPermanently)
	})
	s.Handle("GET api.github.com/repositories/7", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+gitHubToken {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(`{"full_name":"Acme/Widgets","default_branch":"main"}`))
	})
	check(t, s, provider(t, gitHubLayouts[0].integration, Credential{Token: gitHubToken}, s), []asked{
		{"an old name", repository("acme", "gadgets"), Repository{
			Owner: "Acme", Repo: "Widgets", CloneURL: "https://github.com/Acme/Widgets.git", DefaultBranch: "main",
		}, nil, 2},
	})
}

func TestGitHubFaults(t *testing.T) {
	questions := []asked{
		{name: "viewer", ask: viewer()},
		{name: "repository", ask: repository("o", "r")},
		{name: "commit", ask: commit("o", "r", "0123")},
		{name: "change", ask: change("o", "r", "1")},
		{name: "issue", ask: issue("o", "r", "1")},
		{name: "native search", ask: searching(Query{Text: "x", Native: true, Page: 1, Size: 10}), want: Repositories{}},
		{name: "organizations", ask: organizations(OrganizationQuery{Size: 10}), want: Organizations{}},
	}
	for _, layout := range gitHubLayouts {
		s := fakehost.NewNamed(t, layout.names...)
		checkFaults(t, s, provider(t, layout.integration, Credential{Token: gitHubToken}, s), gitHubToken, questions)
		checkHollow(t, layout.integration, layout.names, questions)
	}
}

func TestGitHubSaysWhyItRefuses(t *testing.T) {
	in := time.Now().Add(90 * time.Second).Unix()
	for _, row := range []struct {
		name   string
		status int
		header map[string]string
		body   string
		want   error
		text   string
		wait   time.Duration // at least half of it
	}{
		{"the limit", 403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": strconv.FormatInt(in, 10)}, `{}`, wantLimited, "less often", 90 * time.Second},
		{"the limit with 429", 429, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": strconv.FormatInt(in, 10)}, `{}`, wantLimited, "less often", 90 * time.Second},
		{"the secondary limit", 403, map[string]string{"Retry-After": "60"}, `{}`, wantLimited, "less often", time.Minute},
		{"the secondary limit in words", 403, nil, `{"documentation_url":"https://docs.github.com/rest/overview/resources-in-the-rest-api#secondary-rate-limits"}`, wantLimited, "less often", 0},
		{"single sign-on", 403, map[string]string{"X-GitHub-SSO": "required; url=https://github.com/orgs/acme/sso?authorization_request=SECRET"}, `{}`, wantRefused, "single sign-on", 0},
		{"scopes", 403, map[string]string{"X-Accepted-OAuth-Scopes": "read:org", "X-OAuth-Scopes": "repo"}, `{}`, wantRefused, "scopes", 0},
		{"no reason", 403, map[string]string{"X-Accepted-OAuth-Scopes": "repo", "X-OAuth-Scopes": "repo"}, `{}`, wantRefused, "does not allow this", 0},
	} {
		s := answerAll(t, row.status, row.header, row.body, "github.com", "api.github.com")
		_, err := provider(t, gitHubLayouts[0].integration, Credential{Token: gitHubToken}, s).Viewer(t.Context())
		f := fault.From(err)
		if !sameFault(err, row.want) || !strings.Contains(f.Message, row.text) || f.RetryAfter < row.wait/2 || strings.Contains(f.Message, "SECRET") {
			t.Errorf("%s: %v, to be tried again after %s", row.name, err, f.RetryAfter)
		}
	}
}

func TestGitHubSearch(t *testing.T) {
	s := fakehost.NewNamed(t, "github.com", "api.github.com")
	hub := &fakehost.GitHub{Users: map[string]fakehost.GitHubUser{
		gitHubToken: {Login: "octocat", Organizations: []fakehost.GitHubMembership{{Organization: "acme", Role: "member"}}},
		"newcomer":  {Login: "newcomer", Scopes: []string{"public_repo"}}, // may not list organizations
	}}
	add := func(owner, name string, private bool, readers ...string) {
		hub.Repositories = append(hub.Repositories, &fakehost.GitHubRepository{Owner: owner, Name: name, Private: private, Readers: readers})
	}
	add("famous", "widgets", false)
	add("octocat", "widgets-dotfiles", true)
	add("umbrella", "widgets", true)
	add("famous", "more-widgets", false)
	add("acme", "widgets", true)
	add("friend", "widgets", true, "octocat")
	add("octocat", "unrelated", false)
	for i := range 1100 {
		add("crowd", fmt.Sprintf("sprocket-%04d", i), false)
	}
	hub.Serve(s)
	found := func(names ...string) []FoundRepository {
		var rows []FoundRepository
		for _, name := range names {
			rows = append(rows, FoundRepository{Name: name, URL: "https://github.com/" + name})
		}
		return rows
	}
	var all []string
	for i := range 100 {
		all = append(all, fmt.Sprintf("crowd/sprocket-%04d", i))
	}
	p := provider(t, gitHubLayouts[0].integration, Credential{Token: gitHubToken}, s)
	check(t, s, p, []asked{
		{"one's own come first", searching(Query{Text: "Widgets", Page: 1, Size: 25}), Repositories{
			Rows:  found("octocat/widgets-dotfiles", "acme/widgets", "famous/widgets", "famous/more-widgets", "friend/widgets"),
			Pages: 1, Total: 5,
		}, nil, 3},
		{"a first page of one's own", searching(Query{Text: "Widgets", Page: 1, Size: 2}), Repositories{
			Rows: found("octocat/widgets-dotfiles", "acme/widgets"), More: true, Pages: 4, Total: 5,
		}, nil, 3},
		{"a second one of others", searching(Query{Text: "Widgets", Page: 2, Size: 2}), Repositories{
			Rows: found("famous/widgets"), More: true, Pages: 4, Total: 5,
		}, nil, 3},
		{"a page of both", searching(Query{Text: "Widgets", Page: 1, Size: 3}), Repositories{
			Rows: found("octocat/widgets-dotfiles", "acme/widgets", "famous/widgets"), More: true, Pages: 3, Total: 5,
		}, nil, 3},
		{"a page that lies on two", searching(Query{Text: "Widgets", Page: 2, Size: 3}), Repositories{
			Rows: found("famous/more-widgets"), More: true, Pages: 3, Total: 5,
		}, nil, 4},
		{"the last page", searching(Query{Text: "Widgets", Page: 3, Size: 3}), Repositories{
			Rows: found("friend/widgets"), Pages: 3, Total: 5,
		}, nil, 3},
		{"after the last page", searching(Query{Text: "Widgets", Page: 4, Size: 3}), Repositories{Pages: 3, Total: 5}, nil, 3},
		{"only one's own", searching(Query{Text: "unrelated", Page: 1, Size: 1}), Repositories{
			Rows: found("octocat/unrelated"), Pages: 1, Total: 1,
		}, nil, 3},
		{"without words, one's own", searching(Query{Text: ` "" `, Page: 1, Size: 2}), Repositories{
			Rows: found("octocat/widgets-dotfiles", "acme/widgets"), More: true, Pages: 2, Total: 3,
		}, nil, 2},
		{"words that look like a query", searching(Query{Text: "user:famous", Page: 1, Size: 2}), Repositories{}, nil, 3},
		{"a native query", searching(Query{Text: "user:famous in:name more", Native: true, Page: 1, Size: 2}), Repositories{
			Rows: found("famous/more-widgets"), Pages: 1, Total: 1,
		}, nil, 1},
		{"a native query of what is private", searching(Query{Text: "is:private user:octocat", Native: true, Page: 1, Size: 2}), Repositories{
			Rows: found("octocat/widgets-dotfiles"), Pages: 1, Total: 1,
		}, nil, 1},
		{"a native query that makes no sense", searching(Query{Text: "bogus:yes", Native: true, Page: 1, Size: 2}), nil, wantInvalid, 1},
		{"more than GitHub shows", searching(Query{Text: "sprocket", Page: 1, Size: 100}), Repositories{
			Rows: found(all...), More: true, Pages: 10, Total: 1000,
		}, nil, 3},
		{"behind what it shows", searching(Query{Text: "sprocket", Native: true, Page: 11, Size: 100}), Repositories{Pages: 10, Total: 1000}, nil, 0},
	})
	check(t, s, provider(t, gitHubLayouts[0].integration, Credential{Token: "newcomer"}, s), []asked{
		{"somebody who owns nothing", searching(Query{Text: "Widgets", Page: 1, Size: 25}), Repositories{
			Rows: found("famous/widgets", "famous/more-widgets"), Pages: 1, Total: 2,
		}, nil, 3},
	})
}

// Whatever words are searched for, the query has no qualifier but those that the
// provider adds.
func TestGitHubWordsAreNoQuery(t *testing.T) {
	for text, want := range map[string]string{
		"kubernetes operator": `kubernetes operator`,
		"user:famous":         `"user:famous"`,
		"a OR b":              `a "OR" b`,
		"not x":               `"not" x`,
		"-fork":               `"-fork"`,
		`"user:x`:             `"user:x"`,
		`a"is:private"b`:      `a "is:private" b`,
		`x\" user:y`:          `x "user:y"`,
		"(a)":                 `"(a)"`,
		"stars:>1\tx\x00y":    `"stars:>1" x y`,
		"größe":               `größe`,
		"@me":                 `"@me"`,
		"  ":                  ``,
	} {
		if got := gitHubWords(text); got != want {
			t.Errorf("%q becomes %s, not %s", text, got, want)
		}
	}
	s := answerAll(t, 200, nil, `[]`, "github.com", "api.github.com")
	p := provider(t, gitHubLayouts[0].integration, Credential{Token: gitHubToken}, s)
	_, _ = p.Search(t.Context(), Query{Text: `stars:>1 " user:famous`, Page: 1, Size: 10})
	var queries []string
	for _, c := range s.Calls() {
		if u, err := url.Parse(c.URL); err == nil && u.Path == "/search/repositories" {
			queries = append(queries, u.Query().Get("q"))
		}
	}
	if diff := cmp.Diff([]string{`"stars:>1" "user:famous" in:name user:@me`}, queries); diff != "" {
		t.Error(diff)
	}
}

func TestGitHubIsCalledAsItself(t *testing.T) {
	for _, layout := range gitHubLayouts {
		s := answerAll(t, 200, nil, `{"login":"octocat"}`, layout.names...)
		p := provider(t, layout.integration, Credential{Token: gitHubToken}, s)
		if _, err := p.Viewer(t.Context()); err != nil {
			t.Fatal(err)
		}
		h := s.Calls()[0].Header
		if h.Get("Authorization") != "Bearer "+gitHubToken || h.Get("User-Agent") != "muster" {
			t.Errorf("%s was called with %v", layout.integration.Host, h)
		}
		if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("x-access-token:"+gitHubToken)); p.GitAuth() != want {
			t.Error("git signs in in another way")
		}
		if provider(t, layout.integration, Credential{}, s).GitAuth() != "" {
			t.Error("git signs in without a credential")
		}
	}
	for host, want := range map[string]string{
		"github.com": "https://api.github.com/", "acme.ghe.com": "https://api.acme.ghe.com/",
		"ghe.example.com": "https://ghe.example.com/api/v3/", "api.example.com": "https://api.example.com/api/v3/",
	} {
		if got := gitHubAPI(scmurl.Integration{SCMID: scmurl.GitHub, Host: host}); got != want {
			t.Errorf("the API of %s is at %s, not %s", host, got, want)
		}
	}
}
