package hosts

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/scmurl"
)

// recording is an answer of a real host, in a file of a module.
type recording struct{ module, file string }

// The modules that have recorded answers, and where.
const (
	drone    = "github.com/drone/go-scm"
	jenkinsX = "github.com/jenkins-x/go-scm"
	gitLabGo = "gitlab.com/gitlab-org/api/client-go/v2"
)

func (r recording) read(t *testing.T) []byte { return moduleFile(t, r.module, r.file) }

// replay serves recorded answers at paths, with their escapes.
func replay(t *testing.T, answers map[string]recording, names ...string) *fakehost.Server {
	t.Helper()
	s := fakehost.NewNamed(t, names...)
	bodies := map[string][]byte{}
	for path, r := range answers {
		bodies[path] = r.read(t)
	}
	s.Handle("/", func(w http.ResponseWriter, r *http.Request) {
		body, ok := bodies[r.URL.EscapedPath()]
		if !ok {
			t.Errorf("nothing was recorded for %s", r.URL)
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-OAuth-Scopes", "repo, user")
		_, _ = w.Write(body)
	})
	return s
}

// expect asks a provider and compares what comes out.
func expect(t *testing.T, p scmhost.Provider, name string, ask question, want any, fails error) {
	t.Helper()
	got, err := ask(t.Context(), p)
	if err != fails { //nolint:errorlint // it is this very one
		t.Errorf("%s: %v", name, err)
	} else if diff := cmp.Diff(want, got); err == nil && diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestRecordedGitHub(t *testing.T) {
	const data = "scm/driver/github/testdata/"
	s := replay(t, map[string]recording{
		"/user":                                 {drone, data + "user.json"},
		"/repos/octocat/hello-world":            {drone, data + "repo.json"},
		"/repos/octocat/hello-world/pulls/1347": {drone, data + "pr.json"},
		"/repos/octocat/hello-world/issues/1":   {drone, data + "issue.json"},
		"/search/repositories":                  {drone, data + "repos_filter.json"},
		"/user/memberships/orgs":                {jenkinsX, data + "list_memberships.json"},
	}, "github.com", "api.github.com")
	p := provider(t, scmurl.Integration{SCMID: scmurl.GitHub, Host: "github.com", PAT: true}, "x", nil, s)
	ask := questions("octocat", "hello-world", "", "1347", "1")
	hello := scmhost.Repository{Owner: "octocat", Repo: "Hello-World", CloneURL: "https://github.com/octocat/Hello-World.git", DefaultBranch: "master"}
	fork := hello
	fork.UpstreamURL = hello.CloneURL // the recorded parent is the repository itself
	expect(t, p, "viewer", ask["viewer"], scmhost.Viewer{Login: "octocat", Scopes: []string{"repo", "user"}}, nil)
	expect(t, p, "repository", ask["repository"], fork, nil)
	expect(t, p, "pull request", ask["change"], scmhost.Change{
		Number: "1347", Title: "new-feature", URL: "https://github.com/octocat/Hello-World/pull/1347", Author: "octocat", State: scmhost.ChangeOpen,
		FromBranch: "new-topic", ToBranch: "master", Head: &hello, Base: hello,
		Commit: "6dcb09b5b57875f334f61aebed695e2e4193db5e",
	}, nil)
	expect(t, p, "issue", ask["issue"], nil, scmhost.ErrIsChange) // the recorded one is that of a pull request
	expect(t, p, "native search", func(ctx context.Context, p scmhost.Provider) (any, error) {
		return p.Search(ctx, scmhost.Query{Text: "testRepo2", Native: true, Page: 1, Size: 1})
	}, scmhost.Repositories{
		Rows: []scmhost.FoundRepository{{Name: "user123/testRepo2", URL: "https://github.com/user123/testRepo2"}}, More: true, Pages: 5, Total: 5,
	}, nil)
	expect(t, p, "organizations", ask["organizations"], scmhost.Organizations{Rows: []scmhost.Organization{
		{Name: "github", URL: "https://github.com/github", Admin: true}, {Name: "jenkins-x", URL: "https://github.com/jenkins-x", Admin: true},
	}}, nil)
}

// gitLabRecordings are answers of GitLab by what they are about.
var gitLabRecordings = map[string][]recording{
	"project": {
		{drone, gitLabData + "repo.json"}, {jenkinsX, gitLabData + "repo.json"}, {jenkinsX, gitLabData + "nested_repo.json"},
	},
	"projects":      {{drone, gitLabData + "repos_filter.json"}},
	"merge request": {{drone, gitLabData + "merge.json"}, {gitLabGo, "testdata/get_merge_request.json"}},
	"issue":         {{drone, gitLabData + "issue.json"}},
	"commit":        {{drone, gitLabData + "commit.json"}, {gitLabGo, "testdata/get_commit.json"}},
	"user":          {{drone, gitLabData + "user.json"}, {gitLabGo, "testdata/get_user.json"}},
	"token":         {{gitLabGo, "testdata/list_personal_access_tokens_single.json"}},
	"groups":        {{drone, gitLabData + "groups.json"}},
}

const gitLabData = "scm/driver/gitlab/testdata/"

func TestRecordedGitLab(t *testing.T) {
	const api, projects = "/api/v4", "/api/v4/projects/"
	of := func(kind string, i int) recording { return gitLabRecordings[kind][i] }
	s := replay(t, map[string]recording{
		api + "/user":                                                 of("user", 0),
		api + "/personal_access_tokens/self":                          of("token", 0),
		api + "/groups":                                               of("groups", 0),
		api + "/projects":                                             of("projects", 0),
		projects + "diaspora%2Fdiaspora":                              of("project", 0),
		projects + "diaspora%2Fdiaspora/merge_requests/1":             of("merge request", 0),
		projects + "32732":                                            of("project", 1),
		projects + "diaspora%2Fdiaspora/issues/2":                     of("issue", 0),
		projects + "diaspora%2Fdiaspora/repository/commits/610494":    of("commit", 0),
		projects + "jx-gitlab-test%2Fcluster%2Fgitlab-import-test-1":  of("project", 2),
		projects + "gitlab-org%2Fgitlab-ee/merge_requests/14656":      of("merge request", 1),
		projects + "278964":                                           of("project", 1),
		projects + "gitlab-org%2Fgitlab-ee/repository/commits/610494": of("commit", 1),
	}, "gitlab.com")
	p := provider(t, scmurl.Integration{SCMID: scmurl.GitLab, Host: "gitlab.com", PAT: true}, "x", nil, s)
	ask := questions("diaspora", "diaspora", "610494", "1", "2")
	diaspora := scmhost.Repository{Owner: "diaspora", Repo: "diaspora", CloneURL: "https://gitlab.com/diaspora/diaspora.git", DefaultBranch: "master"}
	const commit = "6104942438c14ec7bd21c6cd5bd995272b3faff6"
	expect(t, p, "viewer", ask["viewer"], scmhost.Viewer{Login: "john_smith", Scopes: []string{"api"}}, nil)
	expect(t, p, "project", ask["repository"], diaspora, nil)
	expect(t, p, "project of a subgroup", questions("jx-gitlab-test/cluster", "gitlab-import-test-1", "", "", "")["repository"], scmhost.Repository{
		Owner: "jx-gitlab-test/cluster", Repo: "gitlab-import-test-1",
		CloneURL: "https://gitlab.com/jx-gitlab-test/cluster/gitlab-import-test-1.git", DefaultBranch: "main",
	}, nil)
	expect(t, p, "merge request", ask["change"], scmhost.Change{
		Number: "1", Title: "JS fix", URL: "https://gitlab.com/diaspora/diaspora/-/merge_requests/1", Author: "dblessing", State: scmhost.ChangeClosed,
		FromBranch: "fix", ToBranch: "master", Head: &diaspora, Base: diaspora, Commit: "12d65c8dd2b2676fa3ac47d955accc085a37a9c1",
	}, nil)
	newer := questions("gitlab-org", "gitlab-ee", "610494", "14656", "")
	expect(t, p, "newer merge request", newer["change"], scmhost.Change{
		Number: "14656", Title: "Add deletion support for designs", URL: "https://gitlab.com/diaspora/diaspora/-/merge_requests/14656",
		Author: "alexkalderimis", State: scmhost.ChangeOpen, Draft: true, FromBranch: "delete-designs-v2", ToBranch: "master", Head: &diaspora, Base: diaspora,
		Commit: "8e0b45049b6253b8984cde9241830d2851168142",
	}, nil)
	expect(t, p, "issue", ask["issue"], scmhost.Issue{Number: "1", Title: "Ut commodi ullam eos dolores perferendis nihil sunt."}, nil)
	expect(t, p, "commit", ask["commit"], commit, nil)
	expect(t, p, "newer commit", newer["commit"], commit, nil)
	expect(t, p, "search", ask["everything"], scmhost.Repositories{
		Rows: []scmhost.FoundRepository{{Name: "diaspora/diaspora", URL: "https://gitlab.com/diaspora/diaspora"}}, Pages: -1, Total: -1,
	}, nil)
	expect(t, p, "groups", ask["organizations"], scmhost.Organizations{Rows: []scmhost.Organization{{Name: "twitter", URL: "https://gitlab.com/groups/twitter"}}}, nil)
}

// The fake GitLab answers with what real ones answer with: no other keys, and no
// other types.
func TestTheFakeGitLabIsLikeARealOne(t *testing.T) {
	kinds := map[string]*regexp.Regexp{
		"project":       regexp.MustCompile(`^/api/v4/projects/[^/]+$`),
		"projects":      regexp.MustCompile(`^/api/v4/(projects|search)$`),
		"merge request": regexp.MustCompile(`/merge_requests/\d+$`),
		"issue":         regexp.MustCompile(`/issues/\d+$`),
		"commit":        regexp.MustCompile(`/commits/[0-9a-f]+$`),
		"user":          regexp.MustCompile(`/user$`),
		"token":         regexp.MustCompile(`/self$`),
		"groups":        regexp.MustCompile(`/groups$`),
	}
	recorded := map[string][]any{}
	for kind, all := range gitLabRecordings {
		for _, r := range all {
			recorded[kind] = append(recorded[kind], decode[any](t, r.read(t)))
		}
	}
	s := fakehost.NewNamed(t, "gitlab.com")
	git := fakehost.NewRepo(t)
	id := git.Commit("main", "first")
	widgets := &fakehost.GitLabProject{ID: 7, Path: "acme/backend/widgets", Git: git, Issues: map[int]string{2: "It does not work"}}
	fork := &fakehost.GitLabProject{ID: 8, Path: "ada/widgets", Git: git, Parent: widgets}
	widgets.MergeRequests = map[int]fakehost.GitLabMergeRequest{1: {Title: "Fix", Author: "ada", From: "fix", To: "main", Source: fork, Commit: id, State: "opened"}}
	(&fakehost.GitLab{
		URL: "https://gitlab.com", Users: map[string]fakehost.GitLabUser{"ada": {Name: "ada", Scopes: []string{"api"}, Groups: []string{"acme"}}},
		Projects: []*fakehost.GitLabProject{widgets, fork}, Groups: []string{"acme"},
	}).Serve(s)
	seen := map[string]bool{}
	p := provider(t, scmurl.Integration{SCMID: scmurl.GitLab, Host: "gitlab.com", PAT: true}, "ada", func(r *http.Request, resp *http.Response, body []byte) {
		for kind, path := range kinds {
			if resp.StatusCode == http.StatusOK && path.MatchString(r.URL.EscapedPath()) {
				seen[kind] = true
				for _, p := range unlike(decode[any](t, body), recorded[kind], kind) {
					t.Errorf("%s: %s", r.URL, p)
				}
			}
		}
	}, s)
	for name, ask := range questions("acme/backend", "widgets", id[:8], "1", "2") {
		if _, err := ask(t.Context(), p); err != nil && name != "change, issue" && name != "issue, change" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for kind := range kinds {
		if !seen[kind] {
			t.Errorf("the fake was not asked for: %s", kind)
		}
	}
	// And the comparison can fail.
	for _, odd := range []any{map[string]any{"username": 1.0}, map[string]any{"login": "ada"}, []any{}} {
		if len(unlike(odd, recorded["user"], "user")) == 0 {
			t.Errorf("%v passes for a user", odd)
		}
	}
}

// unrecorded is what the documentation of a host has, and none of the recordings.
var unrecorded = []string{
	"project.forked_from_project", "projects[].forked_from_project", "projects[].empty_repo",
	"bitbucket workspaces.size", "bitbucket workspaces.values[].administrator", "bitbucket workspaces.values[].type",
	"bitbucket workspaces.values[].workspace.type", "bitbucket repositories.page", "bitbucket repositories.size",
	"bitbucket pull request.draft", "bitbucket server pull request.draft",
	"azure repository.isFork", "azure repositories.value[].isFork", "azure pull request.repository.isFork", "azure pull request.repository.project.visibility",
}

// unlike lists what of an answer is in none of the examples.
func unlike(answer any, examples []any, path string) (problems []string) {
	if slices.Contains(unrecorded, path) || answer == nil {
		return nil
	}
	var alike []any
	for _, e := range examples {
		if e == nil || reflect.TypeOf(e) == reflect.TypeOf(answer) {
			alike = append(alike, e)
		}
	}
	if len(alike) == 0 {
		return []string{fmt.Sprintf("%s is a %T, or not recorded at all", path, answer)}
	}
	switch answer := answer.(type) {
	case map[string]any:
		for key, value := range answer {
			var values []any
			for _, e := range alike {
				if v, ok := e.(map[string]any)[key]; ok {
					values = append(values, v)
				}
			}
			problems = append(problems, unlike(value, values, path+"."+key)...)
		}
	case []any:
		var rows []any
		for _, e := range alike {
			if list, ok := e.([]any); ok {
				rows = append(rows, list...)
			}
		}
		for _, row := range answer {
			problems = append(problems, unlike(row, rows, path+"[]")...)
		}
	}
	return problems
}
