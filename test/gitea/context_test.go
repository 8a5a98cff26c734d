package gitea_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	sdk "code.gitea.io/sdk/gitea"
	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/test/gitea"
)

// hosts are those of a runner that may call a server.
func hosts(t *testing.T, s *gitea.Server) *scmhost.Hosts {
	t.Helper()
	host, _, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), "/")
	h, err := scmhost.New(scmhost.Config{PrivateHosts: []string{"http://" + host}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// account is somebody with a personal access token; Plain is the operator's.
func account(s *gitea.Server, token string) scmhost.Account {
	i := integration(s)
	i.Plain = false
	return scmhost.Account{Integration: i, Credential: scmhost.Credential{Token: token}}
}

// What a URL means to the runner is what Gitea's own pages show there.
func TestContextOfEveryPage(t *testing.T) {
	for _, o := range []gitea.Options{{}, {Path: "/git"}} {
		t.Run("below "+o.Path, func(t *testing.T) {
			var requests atomic.Int32
			o.Front = func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { requests.Add(1); next.ServeHTTP(w, r) })
			}
			testContextOfEveryPage(t, gitea.Start(t, o), &requests)
		})
	}
}

func testContextOfEveryPage(t *testing.T, s *gitea.Server, requests *atomic.Int32) {
	// A branch that looks like a commit.
	api := s.API(t, gitea.Alice)
	if _, _, err := api.CreateBranch("acme", "widgets", sdk.CreateBranchOption{BranchName: "beef", OldBranchName: "release/1.x"}); err != nil {
		t.Fatal(err)
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), "/")
	commit := func(branch string) string { return s.Commits[branch] }
	repository := func(owner, repo, branch string) scmhost.Repository {
		return scmhost.Repository{Owner: owner, Repo: repo, CloneURL: s.URL + "/" + owner + "/" + repo + ".git", DefaultBranch: branch}
	}
	widgets, pub := repository("acme", "widgets", "main"), repository("alice", "pub", "trunk")
	fork := repository("bob", "pub", "trunk")
	fork.UpstreamURL = pub.CloneURL
	main := scmhost.Context{Host: host, Repository: widgets, Branch: "main", Commit: commit("acme/widgets/main")}
	branch := func(name string) scmhost.Context {
		return scmhost.Context{Host: host, Repository: widgets, Branch: name, Commit: commit("acme/widgets/" + name)}
	}
	tag := func(name string) scmhost.Context {
		return scmhost.Context{Host: host, Repository: widgets, Tag: name, Commit: main.Commit}
	}
	detached := scmhost.Context{Host: host, Repository: widgets, Commit: main.Commit}
	draft := branch("feature/login-form")
	draft.Change = &scmhost.Change{
		Number: "1", Title: "WIP: login form", URL: s.URL + "/acme/widgets/pulls/1", Author: "alice", State: scmhost.ChangeOpen, Draft: true,
		FromBranch: "feature/login-form", ToBranch: "main", Head: &widgets, Base: widgets, Commit: draft.Commit,
	}
	bug := main
	bug.Commit = "" // nothing of the issue needs it
	bug.Issue = &scmhost.Issue{Number: "2", Title: "Login is slow"}
	fromFork := scmhost.Context{Host: host, Repository: fork, Branch: "fix/typo", Commit: commit("bob/pub/fix/typo")}
	fromFork.Change = &scmhost.Change{
		Number: "1", Title: "Fix a typo", URL: s.URL + "/alice/pub/pulls/1", Author: "bob", State: scmhost.ChangeOpen,
		FromBranch: "fix/typo", ToBranch: "trunk", Head: &fork, Base: pub, Commit: fromFork.Commit,
	}
	orphan := scmhost.Context{Host: host, Repository: pub, Commit: commit("carol/pub/gone")}
	orphan.Change = &scmhost.Change{
		Number: "4", Title: "Gone", URL: s.URL + "/alice/pub/pulls/4", Author: "carol", State: scmhost.ChangeClosed,
		FromBranch: "gone", ToBranch: "trunk", Base: pub, Commit: orphan.Commit,
	}
	// The branch was deleted when it was merged, and is no ref any more.
	merged := scmhost.Context{Host: host, Repository: pub, Commit: commit("alice/pub/done")}
	merged.Change = &scmhost.Change{
		Number: "2", Title: "Done", URL: s.URL + "/alice/pub/pulls/2", Author: "alice", State: scmhost.ChangeMerged,
		FromBranch: "done", ToBranch: "trunk", Head: &pub, Base: pub, Commit: merged.Commit,
	}
	closed := scmhost.Context{Host: host, Repository: pub, Branch: "never", Commit: commit("alice/pub/never")}
	closed.Change = &scmhost.Change{
		Number: "3", Title: "Never mind", URL: s.URL + "/alice/pub/pulls/3", Author: "alice", State: scmhost.ChangeClosed,
		FromBranch: "never", ToBranch: "trunk", Head: &pub, Base: pub, Commit: closed.Commit,
	}

	const ok, moved = http.StatusOK, http.StatusSeeOther
	sha := main.Commit
	h, me, browser := hosts(t, s), account(s, s.Tokens[gitea.Alice]), s.Browser(t, gitea.Alice)
	for _, tt := range []struct {
		path string
		// page is the status of Gitea's own page; zero leaves it alone.
		page int
		want scmhost.Context
	}{
		{"/acme/widgets", ok, main},
		{"/acme/widgets/", ok, main},
		{"/acme/widgets.git", ok, main},
		{"/ACME/Widgets", ok, main},
		{"/acme/widgets#readme", ok, main},
		{"/acme/widgets?tab=readme", ok, main},
		{"/acme/widgets/src/branch/feature/login-form", ok, branch("feature/login-form")},
		{"/acme/widgets/src/branch/feature/login-form/src/app.go", ok, branch("feature/login-form")},
		{"/acme/widgets/src/branch/feature%2Flogin-form/src/app.go", 0, branch("feature/login-form")},
		{"/acme/widgets/src/branch/feature/login/v2/src", ok, branch("feature/login/v2")},
		{"/acme/widgets/src/branch/release/1.x/", 0, branch("release/1.x")},
		{"/acme/widgets/src/tag/rel/1.0", ok, tag("rel/1.0")},
		{"/acme/widgets/src/tag/rel/1.0/src/app.go", ok, tag("rel/1.0")},
		{"/acme/widgets/src/tag/v1", ok, tag("v1")},
		{"/acme/widgets/src/commit/" + sha + "/src/app.go", ok, detached},
		{"/acme/widgets/src/commit/" + sha[:10], ok, detached},
		{"/acme/widgets/src/commit/" + sha[:5], 0, detached},
		{"/acme/widgets/commit/" + sha, ok, detached},
		{"/acme/widgets/commit/" + sha[:8], ok, detached},
		{"/acme/widgets/commits/branch/feature/login-form", ok, branch("feature/login-form")},
		{"/acme/widgets/commits/tag/rel/1.0", ok, tag("rel/1.0")},
		{"/acme/widgets/blame/branch/main/src/app.go", ok, main},
		{"/acme/widgets/raw/branch/main/src/app.go", ok, main},
		{"/acme/widgets/releases/tag/rel%2F1.0", ok, tag("rel/1.0")},
		{"/acme/widgets/releases/tag/v1", ok, tag("v1")},
		{"/acme/widgets/releases", ok, main},
		{"/acme/widgets/pulls/1", ok, draft},
		{"/acme/widgets/pulls/1/files", ok, draft},
		{"/acme/widgets/pulls/1/commits", ok, draft},
		{"/acme/widgets/issues/1", moved, draft},
		{"/acme/widgets/issues/2", ok, bug},
		{"/acme/widgets/pulls/2", moved, bug},
		{"/acme/widgets/issues", ok, main},
		{"/acme/widgets/pulls", ok, main},
		{"/acme/widgets/wiki", 0, main},
		{"/acme/widgets/settings", ok, main},
		{"/acme/widgets/tree/main", moved, main},
		{"/acme/widgets/src/feature/login-form/src/app.go", moved, branch("feature/login-form")},
		{"/alice/pub", ok, scmhost.Context{Host: host, Repository: pub, Branch: "trunk", Commit: trunk(t, s)}},
		{"/bob/pub", ok, scmhost.Context{Host: host, Repository: fork, Branch: "trunk", Commit: commit("alice/pub/trunk")}},
		{"/alice/pub/pulls/1", ok, fromFork},
		{"/alice/pub/pulls/2", ok, merged},
		{"/alice/pub/pulls/3", ok, closed},
		{"/alice/pub/pulls/4", ok, orphan},
		{"/alice/empty", ok, scmhost.Context{Host: host, Repository: repository("alice", "empty", "")}},
	} {
		t.Run(tt.path, func(t *testing.T) {
			if tt.page != 0 {
				if p := browser.Open(t, s.URL+tt.path); p.Status != tt.page {
					t.Errorf("Gitea's page has the status %d, want %d", p.Status, tt.page)
				}
			}
			got, err := h.ParseContext(t.Context(), me, s.URL+tt.path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}

	// A page of the other kind costs three calls.
	for _, path := range []string{"/acme/widgets/pulls/2", "/acme/widgets/issues/1"} {
		requests.Store(0)
		if _, err := hosts(t, s).ParseContext(t.Context(), me, s.URL+path); err != nil || requests.Load() != 3 {
			t.Errorf("%s: %d calls, %v", path, requests.Load(), err)
		}
	}

	none := http.StatusNotFound
	for _, tt := range []struct {
		path string
		page int
		code fault.Code
	}{
		{"/acme/widgets/src/branch/nope", none, fault.NotFound},
		{"/acme/widgets/src/branch/feature", none, fault.NotFound},
		{"/acme/widgets/src/tag/nope", none, fault.NotFound},
		{"/acme/widgets/src/commit/00000000", none, fault.NotFound},
		{"/acme/widgets/src/commit/beef", 0, fault.NotFound}, // a branch
		{"/acme/widgets/pulls/99", none, fault.NotFound},
		{"/acme/widgets/issues/99", none, fault.NotFound},
		{"/acme/nope", none, fault.NotFound},
		{"/nobody/widgets", none, fault.NotFound},
		{"/acme", ok, fault.InvalidArgument},
		{"/", 0, fault.InvalidArgument},
		{"/user/settings", 0, fault.InvalidArgument},
		{"/explore/repos", 0, fault.InvalidArgument},
		{"/acme/widgets/commit/nothex", 0, fault.InvalidArgument},
		{"/../../etc/passwd", 0, fault.InvalidArgument},
	} {
		t.Run(tt.path, func(t *testing.T) {
			if tt.page != 0 {
				if p := browser.Open(t, s.URL+tt.path); p.Status != tt.page {
					t.Errorf("Gitea's page has the status %d, want %d", p.Status, tt.page)
				}
			}
			if got, err := h.ParseContext(t.Context(), me, s.URL+tt.path); !fault.Is(err, tt.code) {
				t.Errorf("it is %+v, %v", got, err)
			}
		})
	}
	stranger := account(s, s.Tokens[gitea.Bob])
	if _, err := h.ParseContext(t.Context(), stranger, s.URL+"/acme/widgets"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger gets %v", err)
	}
}

// trunk is the newest commit of alice/pub, which a merge made.
func trunk(t *testing.T, s *gitea.Server) string {
	t.Helper()
	b, _, err := s.API(t, gitea.Alice).GetRepoBranch("alice", "pub", "trunk")
	if err != nil {
		t.Fatal(err)
	}
	return b.Commit.ID
}

// A repository that was renamed is still found by its old name.
func TestRenamedRepository(t *testing.T) {
	s := gitea.Start(t, gitea.Options{})
	renamed := "gadgets"
	if _, _, err := s.API(t, gitea.Alice).EditRepo("acme", "widgets", sdk.EditRepoOption{Name: &renamed}); err != nil {
		t.Fatal(err)
	}
	h := hosts(t, s)
	got, err := h.ParseContext(t.Context(), account(s, s.Tokens[gitea.Alice]), s.URL+"/acme/widgets/src/branch/release/1.x")
	if err != nil || got.Repo != "gadgets" || got.CloneURL != s.URL+"/acme/gadgets.git" || got.Branch != "release/1.x" {
		t.Errorf("it is %+v, %v", got, err)
	}
}

// Who can read what.
func TestCheckRepository(t *testing.T) {
	s := gitea.Start(t, gitea.Options{})
	h := hosts(t, s)
	for _, tt := range []struct {
		token, repo string
		yes         bool
		reason      fault.Reason
	}{
		{s.Tokens[gitea.Alice], "acme/widgets", true, ""},
		{s.Tokens[gitea.Bob], "acme/widgets", false, ""},
		{s.Tokens[gitea.Bob], "alice/pub", true, ""},
		{s.Tokens[gitea.Bob], "alice/nope", false, ""},
		{"", "alice/pub", true, ""},
		{"", "acme/widgets", false, fault.SignInRequired},
	} {
		yes, why, err := h.CheckRepository(t.Context(), account(s, tt.token), s.URL+"/"+tt.repo)
		if yes != tt.yes || (err != nil) != (tt.reason != "") || err != nil && !fault.HasReason(err, tt.reason) || (why == "") != (yes || err != nil) {
			t.Errorf("%s: %v, %q, %v", tt.repo, yes, why, err)
		}
	}
}
