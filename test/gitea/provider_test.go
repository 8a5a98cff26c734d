package gitea_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	sdk "code.gitea.io/sdk/gitea"
	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/test/gitea"
)

// integration is that of a server.
func integration(s *gitea.Server) scmurl.Integration {
	return scmurl.Integration{SCMID: scmurl.Gitea, Host: strings.TrimPrefix(s.URL, "http://"), OAuth: true, PAT: true, Plain: true}
}

// calls counts the requests of a client.
type calls struct{ n atomic.Int32 }

func (c *calls) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return http.DefaultTransport.RoundTrip(r)
}

// provider is what somebody with a token sees of a server.
func provider(t *testing.T, s *gitea.Server, token string) (scmhost.Provider, *calls) {
	t.Helper()
	c := new(calls)
	p, err := scmhost.NewProvider(scmhost.Site{
		Integration: integration(s), Credential: scmhost.Credential{Token: token}, HTTP: &http.Client{Transport: c},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, c
}

func TestWhatAProviderSays(t *testing.T) {
	s := gitea.Start(t, gitea.Options{})
	p, calls := provider(t, s, s.Tokens[gitea.Alice])
	at := func(repo string) string { return s.URL + "/" + repo + ".git" }
	widgets := scmhost.Repository{Owner: "acme", Repo: "widgets", CloneURL: at("acme/widgets"), DefaultBranch: "main"}
	pub := scmhost.Repository{Owner: "alice", Repo: "pub", CloneURL: at("alice/pub"), DefaultBranch: "trunk"}
	fork := scmhost.Repository{Owner: "bob", Repo: "pub", CloneURL: at("bob/pub"), DefaultBranch: "trunk", UpstreamURL: at("alice/pub")}
	head := s.Commits["acme/widgets/main"]
	pulls := s.URL + "/alice/pub/pulls/"
	for name, tt := range map[string]struct {
		ask   func() (any, error)
		want  any
		calls int32
	}{
		"viewer":           {func() (any, error) { return p.Viewer(t.Context()) }, scmhost.Viewer{Login: "alice"}, 1},
		"repository":       {func() (any, error) { return p.Repository(t.Context(), "acme", "widgets") }, widgets, 1},
		"in other letters": {func() (any, error) { return p.Repository(t.Context(), "ACME", "Widgets") }, widgets, 1},
		"fork":             {func() (any, error) { return p.Repository(t.Context(), "bob", "pub") }, fork, 1},
		"without commits": {
			func() (any, error) { return p.Repository(t.Context(), "alice", "empty") },
			scmhost.Repository{Owner: "alice", Repo: "empty", CloneURL: at("alice/empty")},
			1,
		},
		"whole commit id": {func() (any, error) { return p.Commit(t.Context(), "acme", "widgets", head) }, head, 1},
		"short commit id": {func() (any, error) { return p.Commit(t.Context(), "acme", "widgets", head[:7]) }, head, 1},
		"shortest":        {func() (any, error) { return p.Commit(t.Context(), "acme", "widgets", strings.ToUpper(head[:5])) }, head, 1},
		"draft": {
			func() (any, error) { return p.Change(t.Context(), "acme", "widgets", gitea.DraftChange) },
			scmhost.Change{
				Number: "1", Title: "WIP: login form", URL: s.URL + "/acme/widgets/pulls/1", Author: "alice", State: scmhost.ChangeOpen, Draft: true,
				FromBranch: "feature/login-form", ToBranch: "main", Head: &widgets, Base: widgets,
				Commit: s.Commits["acme/widgets/feature/login-form"],
			},
			1,
		},
		"from a fork": {
			func() (any, error) { return p.Change(t.Context(), "alice", "pub", gitea.ForkChange) },
			scmhost.Change{
				Number: "1", Title: "Fix a typo", URL: pulls + "1", Author: "bob", State: scmhost.ChangeOpen,
				FromBranch: "fix/typo", ToBranch: "trunk", Head: &fork, Base: pub,
				Commit: s.Commits["bob/pub/fix/typo"],
			},
			1,
		},
		"merged": {
			func() (any, error) { return p.Change(t.Context(), "alice", "pub", gitea.MergedChange) },
			scmhost.Change{
				Number: "2", Title: "Done", URL: pulls + "2", Author: "alice", State: scmhost.ChangeMerged,
				FromBranch: "done", ToBranch: "trunk", Head: &pub, Base: pub, Commit: s.Commits["alice/pub/done"],
			},
			1,
		},
		"closed": {
			func() (any, error) { return p.Change(t.Context(), "alice", "pub", gitea.ClosedChange) },
			scmhost.Change{
				Number: "3", Title: "Never mind", URL: pulls + "3", Author: "alice", State: scmhost.ChangeClosed,
				FromBranch: "never", ToBranch: "trunk", Head: &pub, Base: pub, Commit: s.Commits["alice/pub/never"],
			},
			1,
		},
		"without its fork": {
			func() (any, error) { return p.Change(t.Context(), "alice", "pub", gitea.OrphanChange) },
			scmhost.Change{
				Number: "4", Title: "Gone", URL: pulls + "4", Author: "carol", State: scmhost.ChangeClosed,
				FromBranch: "gone", ToBranch: "trunk", Base: pub, Commit: s.Commits["carol/pub/gone"],
			},
			1,
		},
		"issue": {
			func() (any, error) { return p.Issue(t.Context(), "acme", "widgets", gitea.Bug) },
			scmhost.Issue{Number: "2", Title: "Login is slow"},
			1,
		},
		"organizations": {
			func() (any, error) { return p.Organizations(t.Context(), scmhost.OrganizationQuery{Size: 100}) },
			scmhost.Organizations{Rows: []scmhost.Organization{{Name: "acme", URL: s.URL + "/acme"}}},
			1,
		},
		"search": {
			func() (any, error) { return p.Search(t.Context(), scmhost.Query{Text: "WIDG", Page: 1, Size: 25}) },
			scmhost.Repositories{Rows: []scmhost.FoundRepository{{Name: "acme/widgets", URL: s.URL + "/acme/widgets"}}, Pages: 1, Total: 1},
			2,
		},
		"search of an owner's": {
			func() (any, error) { return p.Search(t.Context(), scmhost.Query{Text: "bob/pub", Page: 1, Size: 25}) },
			scmhost.Repositories{Rows: []scmhost.FoundRepository{{Name: "bob/pub", URL: s.URL + "/bob/pub"}}, Pages: 1, Total: 1},
			2,
		},
		"search for what has no name": {
			func() (any, error) {
				return p.Search(t.Context(), scmhost.Query{Text: "widgets,pub", Page: 1, Size: 25})
			},
			scmhost.Repositories{},
			2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			calls.n.Store(0)
			got, err := tt.ask()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if n := calls.n.Load(); n != tt.calls {
				t.Errorf("it took %d calls, want %d", n, tt.calls)
			}
		})
	}
}

// Of a search without words, the viewer's own repositories come first, and
// Gitea's own language reaches it only when it is asked for.
func TestSearch(t *testing.T) {
	s := gitea.Start(t, gitea.Options{})
	for login, want := range map[string]string{
		gitea.Alice: "alice/empty alice/pub | acme/widgets bob/pub",
		gitea.Bob:   "bob/pub | alice/pub",
	} {
		p, _ := provider(t, s, s.Tokens[login])
		found, err := p.Search(t.Context(), scmhost.Query{Page: 1, Size: 25})
		if err != nil {
			t.Fatal(err)
		}
		own, others, _ := strings.Cut(want, " | ")
		n := len(strings.Fields(own))
		if len(found.Rows) < n || sorted(found.Rows[:n]) != own || sorted(found.Rows[n:]) != others {
			t.Errorf("%s finds %v; want %s", login, found.Rows, want)
		}
	}
	p, _ := provider(t, s, s.Tokens[gitea.Alice])
	found, err := p.Search(t.Context(), scmhost.Query{Text: "widgets,empty", Native: true, Page: 1, Size: 25})
	if err != nil || sorted(found.Rows) != "acme/widgets alice/empty" {
		t.Errorf("Gitea's own language finds %v, %v", found.Rows, err)
	}
}

func TestFailures(t *testing.T) {
	s := gitea.Start(t, gitea.Options{})
	ask := map[string]func(scmhost.Provider) error{
		"viewer":     func(p scmhost.Provider) error { _, err := p.Viewer(t.Context()); return err },
		"repository": func(p scmhost.Provider) error { _, err := p.Repository(t.Context(), "acme", "widgets"); return err },
		"commit": func(p scmhost.Provider) error {
			_, err := p.Commit(t.Context(), "acme", "widgets", "00000000")
			return err
		},
		"no hex": func(p scmhost.Provider) error { _, err := p.Commit(t.Context(), "acme", "widgets", "main"); return err },
		"change": func(p scmhost.Provider) error { _, err := p.Change(t.Context(), "acme", "widgets", "99"); return err },
		"huge number": func(p scmhost.Provider) error {
			_, err := p.Change(t.Context(), "acme", "widgets", strings.Repeat("9", 30))
			return err
		},
		"issue": func(p scmhost.Provider) error { _, err := p.Issue(t.Context(), "acme", "widgets", "99"); return err },
		"change, issue": func(p scmhost.Provider) error {
			_, err := p.Change(t.Context(), "acme", "widgets", gitea.Bug)
			return err
		},
		"issue, change": func(p scmhost.Provider) error {
			_, err := p.Issue(t.Context(), "acme", "widgets", gitea.DraftChange)
			return err
		},
		"search": func(p scmhost.Provider) error {
			_, err := p.Search(t.Context(), scmhost.Query{Page: 1, Size: 100})
			return err
		},
		"organizations": func(p scmhost.Provider) error {
			_, err := p.Organizations(t.Context(), scmhost.OrganizationQuery{Size: 25})
			return err
		},
		"some organizations": func(p scmhost.Provider) error {
			_, err := p.Organizations(t.Context(), scmhost.OrganizationQuery{Text: "ac", Size: 25})
			return err
		},
		"bad cursor": func(p scmhost.Provider) error {
			_, err := p.Organizations(t.Context(), scmhost.OrganizationQuery{Cursor: "x", Size: 25})
			return err
		},
	}
	alice, bob, narrow, wrong := s.Tokens[gitea.Alice], s.Tokens[gitea.Bob], s.NarrowToken, strings.Repeat("0", 40)
	for _, tt := range []struct {
		token, what string
		code        fault.Code
		reason      fault.Reason
	}{
		{wrong, "viewer", fault.FailedPrecondition, fault.SignInRequired},
		{wrong, "repository", fault.FailedPrecondition, fault.SignInRequired},
		{wrong, "commit", fault.FailedPrecondition, fault.SignInRequired},
		{wrong, "change", fault.FailedPrecondition, fault.SignInRequired},
		{wrong, "search", fault.FailedPrecondition, fault.SignInRequired},
		{wrong, "organizations", fault.FailedPrecondition, fault.SignInRequired},
		{bob, "repository", fault.NotFound, fault.ReasonNotFound},
		{bob, "commit", fault.NotFound, fault.ReasonNotFound},
		{bob, "change", fault.NotFound, fault.ReasonNotFound},
		{bob, "issue", fault.NotFound, fault.ReasonNotFound},
		{narrow, "repository", fault.PermissionDenied, fault.HostRefused},
		{narrow, "commit", fault.PermissionDenied, fault.HostRefused},
		{narrow, "change", fault.PermissionDenied, fault.HostRefused},
		{narrow, "issue", fault.PermissionDenied, fault.HostRefused},
		{narrow, "search", fault.PermissionDenied, fault.HostRefused},
		{narrow, "organizations", fault.PermissionDenied, fault.HostRefused},
		{alice, "commit", fault.NotFound, fault.ReasonNotFound},
		{alice, "no hex", fault.NotFound, fault.ReasonNotFound},
		{alice, "change", fault.NotFound, fault.ReasonNotFound},
		{alice, "huge number", fault.NotFound, fault.ReasonNotFound},
		{alice, "issue", fault.NotFound, fault.ReasonNotFound},
		{alice, "change, issue", fault.NotFound, fault.ReasonNotFound},
		{alice, "issue, change", fault.NotFound, fault.ReasonNotFound},
		{alice, "some organizations", fault.InvalidArgument, fault.InvalidField},
		{alice, "bad cursor", fault.InvalidArgument, fault.InvalidPageToken},
	} {
		p, _ := provider(t, s, tt.token)
		err := ask[tt.what](p)
		if !fault.Is(err, tt.code) || !fault.HasReason(err, tt.reason) {
			t.Errorf("%s: %v; want the reason %s", tt.what, err, tt.reason)
		}
		if err != nil && strings.Contains(err.Error(), tt.token) {
			t.Errorf("%s: the token is in the error: %v", tt.what, err)
		}
	}
	p, _ := provider(t, s, alice)
	if err := ask["issue, change"](p); err != scmhost.ErrIsChange { //nolint:errorlint // it is a constant
		t.Errorf("a change is no issue: %v", err)
	}
}

// One that gives 50 rows needs two answers for a page of 100. Of a server that
// gives fewer rows than asked for, pages are shorter, and none is left out.
func TestPages(t *testing.T) {
	type sizes struct {
		size, perPage int
		calls         int32
	}
	for _, tt := range []struct {
		maxRows, all int
		sizes        []sizes
	}{
		{50, 55, []sizes{{100, 100, 3}, {51, 50, 3}, {50, 50, 2}, {20, 20, 2}, {1, 1, 2}}},
		{7, 23, []sizes{{50, 7, 2}, {100, 14, 3}}},
	} {
		s := gitea.Start(t, gitea.Options{MaxRows: tt.maxRows})
		for i := range tt.all {
			if _, _, err := s.API(t, gitea.Carol).CreateRepo(sdk.CreateRepoOption{Name: "many-" + strconv.Itoa(i)}); err != nil {
				t.Fatal(err)
			}
		}
		p, calls := provider(t, s, s.Tokens[gitea.Carol])
		for _, of := range tt.sizes {
			t.Run(fmt.Sprintf("%d of %d", of.size, tt.maxRows), func(t *testing.T) {
				last := (tt.all + of.perPage - 1) / of.perPage
				seen := map[string]bool{}
				for page := 1; page <= last; page++ {
					calls.n.Store(0)
					found, err := p.Search(t.Context(), scmhost.Query{Text: "many-", Page: page, Size: of.size})
					if err != nil {
						t.Fatal(err)
					}
					for _, r := range found.Rows {
						seen[r.Name] = true
					}
					if found.More != (page < last) || found.Total != tt.all || found.More && (found.Pages != last || len(found.Rows) != of.perPage) {
						t.Errorf("page %d has %d rows, more %v, %d pages, %d in all", page, len(found.Rows), found.More, found.Pages, found.Total)
					}
					if n := calls.n.Load(); n != of.calls {
						t.Errorf("page %d took %d calls, want %d", page, n, of.calls)
					}
				}
				if len(seen) != tt.all {
					t.Errorf("%d of %d repositories were found", len(seen), tt.all)
				}
			})
		}
	}
}

// Organizations come page by page.
func TestOrganizationPages(t *testing.T) {
	s := gitea.Start(t, gitea.Options{})
	for i := range 5 {
		if _, _, err := s.API(t, gitea.Bob).CreateOrg(sdk.CreateOrgOption{Name: "org-" + strconv.Itoa(i)}); err != nil {
			t.Fatal(err)
		}
	}
	p, _ := provider(t, s, s.Tokens[gitea.Bob])
	var names []string
	for q := (scmhost.OrganizationQuery{Size: 2}); ; {
		found, err := p.Organizations(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range found.Rows {
			names = append(names, o.Name)
		}
		if q.Cursor = found.Cursor; q.Cursor == "" || len(names) > 5 {
			break
		}
	}
	if got := strings.Join(names, " "); got != "org-0 org-1 org-2 org-3 org-4" {
		t.Errorf("the organizations are %q", got)
	}
}

// A server may be below a path of its host.
func TestBelowAPath(t *testing.T) {
	s := gitea.Start(t, gitea.Options{Path: "/git"})
	p, _ := provider(t, s, s.Tokens[gitea.Alice])
	repo, err := p.Repository(t.Context(), "acme", "widgets")
	if want := s.URL + "/acme/widgets.git"; err != nil || repo.CloneURL != want || !strings.Contains(want, "/git/") {
		t.Errorf("the clone URL is %q, %v; want %q", repo.CloneURL, err, want)
	}
	if _, err := p.Commit(t.Context(), "acme", "widgets", s.Commits["acme/widgets/main"][:8]); err != nil {
		t.Error(err)
	}
	lsRemote(t, repo.CloneURL, p.GitAuth())
}

// lsRemote lists the refs of a repository with an Authorization header.
func lsRemote(t *testing.T, cloneURL, authorization string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-remote", "--symref", cloneURL) //nolint:gosec // a test's own URL
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: "+authorization)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git ls-remote: %v\n%s", err, out)
	}
	return string(out)
}

// sorted are the names of what was found.
func sorted(rows []scmhost.FoundRepository) string {
	var names []string
	for _, r := range rows {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}
