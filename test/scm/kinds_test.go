package scm_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/test/muster"
)

// kind is a host of a kind that nobody can run here, with one repository that
// has a branch and a change.
type kind struct {
	scmID string
	// path is below the host, and args are besides it in an integration.
	path string
	args []string
	// serve makes the host, and returns a token for it.
	serve func(t *testing.T, s *fakehost.Server, r repository) (token string)
	// branch and change are the paths of pages.
	branch, change string
	// owner and clone are the repository's, and org is what the organizations are.
	owner, clone, org string
	// change is what is said of it.
	want object
}

// repository is in every host.
type repository struct {
	git *fakehost.Repo
	// form is the newest commit of feature/login-form.
	form string
}

var kinds = map[string]kind{
	"GitHub Enterprise Server": {
		scmID: "github", branch: "/acme/widgets/tree/feature/login-form/src", change: "/acme/widgets/pull/7/files",
		owner: "acme", clone: "/acme/widgets.git", org: "acme",
		want: object{"id": "7", "title": "A form", "draft": true, "state": "STATE_OPEN", "url": "/acme/widgets/pull/7"},
		serve: func(t *testing.T, s *fakehost.Server, r repository) string {
			repo := &fakehost.GitHubRepository{Owner: "acme", Name: "widgets", Private: true, Git: r.git}
			repo.Pulls = map[int]fakehost.GitHubPull{7: {Title: "A form", From: "feature/login-form", To: "main", Source: repo, Commit: r.form, Draft: true}}
			const token = "ghp_planted0GitHubEnterprise0123456789ab"
			(&fakehost.GitHub{URL: s.URL, Repositories: []*fakehost.GitHubRepository{repo}, Users: map[string]fakehost.GitHubUser{
				token: {Login: "alice", Scopes: []string{"repo", "read:org", "read:user", "user:email"}, Organizations: []fakehost.GitHubMembership{{Organization: "acme", Role: "admin"}}},
			}}).Serve(s)
			return token
		},
	},
	"GitLab below a path": {
		scmID: "gitlab", path: "/git", branch: "/acme/backend/widgets/-/tree/feature/login-form", change: "/acme/backend/widgets/-/merge_requests/3/diffs",
		owner: "acme/backend", clone: "/acme/backend/widgets.git", org: "acme/backend",
		want: object{"id": "3", "title": "A form", "state": "STATE_MERGED", "url": "/acme/backend/widgets/-/merge_requests/3"},
		serve: func(t *testing.T, s *fakehost.Server, r repository) string {
			project := &fakehost.GitLabProject{ID: 11, Path: "acme/backend/widgets", Private: true, Git: r.git}
			project.MergeRequests = map[int]fakehost.GitLabMergeRequest{3: {Title: "A form", From: "feature/login-form", To: "main", Source: project, Commit: r.form, State: "merged"}}
			const token = "glpat-planted0GitLab0123456789abcdef"
			(&fakehost.GitLab{URL: s.URL + "/git", Groups: []string{"acme/backend", "other"}, Projects: []*fakehost.GitLabProject{project}, Users: map[string]fakehost.GitLabUser{
				token: {Name: "alice", Scopes: []string{"api", "read_user", "read_repository"}, Groups: []string{"acme"}},
			}}).Serve(s)
			return token
		},
	},
	"Bitbucket Data Center": {
		scmID: "bitbucket_server", path: "/bitbucket",
		branch: "/projects/GIT/repos/widgets/browse?at=refs%2Fheads%2Ffeature%2Flogin-form", change: "/projects/GIT/repos/widgets/pull-requests/5/overview",
		owner: "GIT", clone: "/scm/git/widgets.git", org: "GIT",
		want: object{"id": "5", "title": "A form", "state": "STATE_CLOSED", "url": "/projects/GIT/repos/widgets/pull-requests/5"},
		serve: func(t *testing.T, s *fakehost.Server, r repository) string {
			repo := &fakehost.BitbucketServerRepository{Project: "GIT", Slug: "widgets", Git: r.git}
			repo.PullRequests = []fakehost.BitbucketServerPullRequest{{ID: 5, Title: "A form", From: "feature/login-form", To: "main", State: "DECLINED", Source: repo, Commit: r.form}}
			const token = "BBDC-planted0DataCenter0123456789abcdef"
			(&fakehost.BitbucketServer{
				Context: "/bitbucket", User: "alice", Token: token, Repositories: []*fakehost.BitbucketServerRepository{repo},
				Projects: []fakehost.BitbucketServerProject{{Key: "GIT", Name: "Git"}},
			}).Serve(s)
			return token
		},
	},
	"Azure DevOps Server": {
		scmID: "azuredevops_server", args: []string{"--virtual-directory", "/tfs"},
		branch: "/tfs/Default/Web/_git/widgets?path=%2Fsrc&version=GBfeature%2Flogin-form", change: "/tfs/Default/Web/_git/widgets/pullrequest/9?_a=files",
		owner: "Default/Web", clone: "/tfs/Default/Web/_git/widgets", org: "Default",
		want: object{"id": "9", "title": "A form", "state": "STATE_OPEN", "url": "/tfs/Default/Web/_git/widgets/pullrequest/9"},
		serve: func(t *testing.T, s *fakehost.Server, r repository) string {
			const token = "planted0AzureDevOpsServer0123456789abcdefghijklmnopq"
			(&fakehost.AzureDevOps{
				Server: true, Directory: "/tfs", User: "alice", PAT: token,
				Organizations: []fakehost.AzureDevOpsOrganization{{Name: "Default", Projects: []string{"Web"}}},
				Repositories: []*fakehost.AzureDevOpsRepository{{
					Organization: "Default", Project: "Web", Name: "widgets", Git: r.git,
					PullRequests: []fakehost.AzureDevOpsPullRequest{{ID: 9, Title: "A form", From: "feature/login-form", To: "main", Status: "active", Commit: r.form}},
				}},
			}).Serve(s)
			return token
		},
	},
}

// Every other kind of host that can be in somebody's own network, from the
// integration to the answers.
func TestEveryOwnKindOfHost(t *testing.T) {
	t.Parallel()
	l := newLab(t, muster.ServerOptions{})
	defer l.search(t)
	var r repository
	r.git = fakehost.NewRepo(t)
	main := r.git.Commit("main", "first")
	r.git.Ref("refs/heads/feature/login-form", main)
	r.form = r.git.Commit("feature/login-form", "second")
	servers, tokens, addresses := map[string]*fakehost.Server{}, map[string]string{}, []string{}
	for name, k := range kinds {
		s := fakehost.NewPlain(t)
		tokens[name], servers[name] = k.serve(t, s, r), s
		l.plant("the token for "+name, tokens[name])
		addresses = append(addresses, s.Address())
	}
	l.join(t, "lab", addresses...)
	grace := l.member(t, "Grace", l.runners[0])
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			testKind(t, l, grace, k, servers[name], tokens[name], r)
			for _, call := range servers[name].Calls() {
				l.askedFor(call.URL)
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		found := grace.call(t, "RunnerService/SearchRepositories", object{"runnerId": l.runners[0].id, "searchString": "widgets"})
		rows, _ := found.at("repositories").([]any)
		if len(rows) != len(kinds) {
			t.Errorf("a search of all hosts finds %s", found.body)
		}
		// One that fails is left out.
		servers["GitLab below a path"].Break(nil, fakehost.Failing)
		found = grace.call(t, "RunnerService/SearchRepositories", object{"runnerId": l.runners[0].id, "searchString": "widgets"})
		if rows, _ = found.at("repositories").([]any); len(rows) != len(kinds)-1 {
			t.Errorf("without one of the hosts it finds %s", found.body)
		}
	})
	t.Run("what a host says goes nowhere", func(t *testing.T) { echoes(t, l, grace, servers) })
}

func testKind(t *testing.T, l *lab, grace person, k kind, s *fakehost.Server, token string, r repository) {
	t.Helper()
	host, site := s.Address()+k.path, s.URL+k.path
	l.admin.muster(t, append([]string{"scm", "create", "--runner", "lab", "--kind", k.scmID, "--host", host, "--pat"}, k.args...)...).
		says(t, `^Runner "lab" is connected to `)
	grace.muster(t, "scm", "open", site+k.branch).fails(t, "reason sign-in-required")
	grace.musterWith(t, "wrong-"+token[:10]+"\n", "host", "login", host, "--token-stdin").fails(t, "does not accept it", "It must allow: +.")
	grace.musterWith(t, token+"\n", "host", "login", host, "--token-stdin").says(t, `^You are signed in to \S+ on runner "lab"\.$`)

	git := object{
		"host": s.Address(), "owner": k.owner, "repo": "widgets", "cloneUrl": site + k.clone, "branch": "feature/login-form", "commit": r.form,
	}
	opened := func(path string) (got struct{ Git, PullRequest, Pr object }) {
		t.Helper()
		raw := grace.muster(t, "scm", "open", site+path, "-o", "json").ok(t).stdout
		if err := json.Unmarshal([]byte(raw), &got); err != nil {
			t.Fatalf("%v in %s", err, raw)
		}
		return got
	}
	if got := opened(k.branch); got.PullRequest != nil || !cmp.Equal(git, got.Git) {
		t.Errorf("the branch: %v\n%s", got, cmp.Diff(git, got.Git))
	}
	got := opened(k.change)
	want := object{
		"fromBranch": "feature/login-form", "toBranch": "main", "headSha": r.form,
		"repository": object{"host": s.Address(), "owner": k.owner, "name": "widgets", "cloneUrl": site + k.clone},
	}
	for key, v := range k.want {
		want[key] = v
	}
	want["url"] = site + want["url"].(string)
	delete(got.PullRequest, "author")
	short := object{"id": want["id"], "title": want["title"], "fromBranch": want["fromBranch"], "toBranch": want["toBranch"]}
	if d := cmp.Diff([]object{git, want, short}, []object{got.Git, got.PullRequest, got.Pr}); d != "" {
		t.Errorf("the change: %s", d)
	}
	grace.muster(t, "scm", "open", site+k.branch).says(t, `^Branch: +feature/login-form$`)
	grace.muster(t, "scm", "check", site+k.change).says(t, `^You can read it`)
	grace.muster(t, "scm", "check", strings.ReplaceAll(site+k.branch, "widgets", "gadgets")).fails(t, "^muster: you cannot read it through runner")
	grace.muster(t, "scm", "orgs", host).says(t, `^`+regexp.QuoteMeta(k.org)+` +http://`)
	grace.muster(t, "scm", "search", "widgets", "--host", host).says(t, `^`+regexp.QuoteMeta(k.owner)+`/widgets +`+regexp.QuoteMeta(s.URL))
}

// echoes makes hosts answer with what they were sent; none of that comes out,
// which the search for secrets sees.
func echoes(t *testing.T, l *lab, grace person, servers map[string]*fakehost.Server) {
	t.Helper()
	s := servers["GitHub Enterprise Server"]
	ask := func() reply {
		return grace.ask(t, "RunnerService/SearchRepositories", object{"runnerId": l.runners[0].id, "scmHost": s.Address(), "searchString": "x"})
	}
	for _, tt := range []struct {
		fault              fakehost.Fault
		status             int
		code, reason, wait string
	}{
		{fakehost.Unauthorized, http.StatusBadRequest, "failed_precondition", "sign-in-required", ""},
		{fakehost.Forbidden, http.StatusForbidden, "permission_denied", "host-refused", ""},
		{fakehost.Limited, http.StatusTooManyRequests, "resource_exhausted", "host-rate-limited", "30"},
		{fakehost.Failing, http.StatusServiceUnavailable, "unavailable", "host-unavailable", "1"},
		{fakehost.Garbage, http.StatusServiceUnavailable, "unavailable", "host-unavailable", "1"},
		{fakehost.Reset, http.StatusServiceUnavailable, "unavailable", "host-unavailable", "1"},
		{fakehost.Huge, http.StatusServiceUnavailable, "unavailable", "host-unavailable", "1"},
	} {
		s.Break(nil, tt.fault)
		got := ask()
		f := got.failed(t, tt.code, tt.reason)
		if wait := got.header.Get("Retry-After"); got.status != tt.status || wait != tt.wait {
			t.Errorf("the fault %d gives the status %d and Retry-After %q, want %d and %q", tt.fault, got.status, wait, tt.status, tt.wait)
		}
		if tt.fault == fakehost.Limited && f.retry.GetRetryDelay().AsDuration() != 30*time.Second {
			t.Errorf("clients are told to come back after %s", f.retry.GetRetryDelay().AsDuration())
		}
		s.Mend()
	}
}
