package scmurl_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/scmurl"
)

// row is a URL and what it means. Where it has no scheme, it is below the base of
// the integration.
type row struct {
	url  string
	want targets // nil for a URL of no repository
}

// checkRows checks what URLs mean, and that the page of every target means that
// target and no other.
func checkRows(t *testing.T, i scmurl.Integration, rows []row) {
	t.Helper()
	for _, r := range rows {
		u := r.url
		if !strings.Contains(u, "://") {
			u = i.Base() + u
		}
		got, err := read(t, u, i)
		if (err != nil) != (r.want == nil) {
			t.Errorf("%s: %v, want %+v", u, err, r.want)
		}
		if d := cmp.Diff([]scmurl.Target(r.want), got); d != "" {
			t.Errorf("%s: -want +got\n%s", u, d)
		}
		for _, target := range got {
			page := target.URL(i)
			again, err := read(t, page, i)
			if d := cmp.Diff([]scmurl.Target{target}, again[:min(1, len(again))]); d != "" {
				t.Errorf("%s is at %s, which is another (%v):\n%s", u, page, err, d)
			}
		}
	}
}

func TestGitHub(t *testing.T) {
	theia, sample := repo("eclipse-theia", "theia"), func(k scmurl.RefKind, tail ...string) targets {
		return targets{at("gitpod-io", "gitpod-test-repo", k, tail...)}
	}
	checkRows(t, gitHub, []row{
		{"/eclipse-theia/theia", targets{theia}},
		{"/eclipse-theia/theia/", targets{theia}},
		{"//eclipse-theia//theia", targets{theia}},
		{"/eclipse-theia/theia.git", targets{theia}},
		{"/eclipse-theia/theia.git/", targets{theia}},
		{"/eclipse-theia/theia#license", targets{theia}},
		{"/eclipse-theia/theia?tab=readme-ov-file#license", targets{theia}},
		{"/Eclipse-Theia/THEIA", targets{repo("Eclipse-Theia", "THEIA")}},
		{"https://www.github.com/eclipse-theia/theia", targets{theia}},
		{"HTTPS://GitHub.com:443/eclipse-theia/theia", targets{theia}},
		{"https://github.com./eclipse-theia/theia", targets{theia}},
		{"/eclipse-theia/theia/tree/v0.1.0", targets{at("eclipse-theia", "theia", ref, "v0.1.0")}},
		{"/eclipse-theia/theia.git/tree/v0.1.0", targets{at("eclipse-theia", "theia", ref, "v0.1.0")}},
		{"/eclipse-theia/theia/tree", targets{theia}},
		{"/gitpod-io/gitpod-test-repo/blob/nametest/src/src/server.ts", sample(ref, "nametest", "src", "src", "server.ts")},
		{"/gitpod-io/gitpod-test-repo/blame/nametest/src/src/server.ts", sample(ref, "nametest", "src", "src", "server.ts")},
		{"/gitpod-io/gitpod-test-repo/blob/main/a.git", sample(ref, "main", "a.git")},
		{"https://raw.githubusercontent.com/gitpod-io/gitpod-test-repo/main/README.md", sample(ref, "main", "README.md")},
		{"https://raw.githubusercontent.com/gitpod-io/gitpod-test-repo/refs/heads/main/README.md", sample(branch, "main", "README.md")},
		{"/gitpod-io/gitpod-test-repo/tree/feature%2Flogin", sample(ref, "feature/login")},
		{"/gitpod-io/gitpod-test-repo/tree/feature%252Flogin", sample(ref, "feature%2Flogin")},
		{"/gitpod-io/gitpod-test-repo/tree/feature%2Flogin/src", sample(ref, "feature/login", "src")},
		{"/gitpod-io/gitpod-test-repo/blob/refs/tags/v1.0/README.md", sample(tag, "v1.0", "README.md")},
		{"/gitpod-io/gitpod-test-repo/tree/refs/heads/feature/x", sample(branch, "feature", "x")},
		{"/gitpod-io/gitpod-test-repo/tree/refs/heads", sample(ref, "refs", "heads")},
		{"/gitpod-io/gitpod-test-repo/blob/499efbbc/folder1/folder2/content2", sample(ref, "499efbbc", "folder1", "folder2", "content2")},
		{"/gitpod-io/gitpod-test-repo/blob/499ef/folder1/folder2/content2", sample(ref, "499ef", "folder1", "folder2", "content2")},
		{"/gitpod-io/gitpod-test-repo/commit/" + sha, sample(commit, sha)},
		{"/gitpod-io/gitpod-test-repo/commit/" + strings.ToUpper(sha), sample(commit, sha)},
		{"/gitpod-io/gitpod-test-repo/commit/409ac2d", sample(commit, "409ac2d")},
		{"/gitpod-io/gitpod-test-repo/commit/409ac2d.patch", sample(commit, "409ac2d")},
		{"/gitpod-io/gitpod-test-repo/commit/" + sha + "#diff-1", sample(commit, sha)},
		{"/gitpod-io/gitpod-test-repo/commit/invalid", nil},
		{"/gitpod-io/gitpod-test-repo/commit/409", nil},
		{"/gitpod-io/gitpod-test-repo/commit/" + strings.Repeat("a", 65), nil},
		{"/gitpod-io/gitpod-test-repo/commit", nil},
		{"/gitpod-io/gitpod-test-repo/commits/main/src/app.go", sample(ref, "main", "src", "app.go")},
		{"/gitpod-io/gitpod-test-repo/commits", targets{repo("gitpod-io", "gitpod-test-repo")}},
		{"/gitpod-io/gitpod/releases/tag/rel%2F1.0", targets{at("gitpod-io", "gitpod", tag, "rel/1.0")}},
		{"/gitpod-io/gitpod/releases/tag/rel/1.0", targets{at("gitpod-io", "gitpod", tag, "rel/1.0")}},
		{"/gitpod-io/gitpod/releases", targets{repo("gitpod-io", "gitpod")}},
		{"/gitpod-io/gitpod/releases/latest", targets{repo("gitpod-io", "gitpod")}},
		{"/TypeFox/theia/pull/1", targets{change("TypeFox", "theia", "1")}},
		{"/TypeFox/theia/pull/1/files", targets{change("TypeFox", "theia", "1")}},
		{"/TypeFox/theia/pull/1/checks", targets{change("TypeFox", "theia", "1")}},
		{"/TypeFox/theia/pull/1/commits/" + sha, targets{change("TypeFox", "theia", "1")}},
		{"/TypeFox/theia/pull/1.diff", targets{change("TypeFox", "theia", "1")}},
		{"/TypeFox/theia/pull/1.patch", targets{change("TypeFox", "theia", "1")}},
		{"/TypeFox/theia/pull/1?notification_referrer_id=x#issuecomment-1", targets{change("TypeFox", "theia", "1")}},
		{"/TypeFox/theia/pull/one", targets{repo("TypeFox", "theia")}},
		{"/TypeFox/theia/pull/99999999999999999999", targets{repo("TypeFox", "theia")}},
		{"/gitpod-io/gitpod-test-repo/pull/42", targets{change("gitpod-io", "gitpod-test-repo", "42")}},
		{"/gitpod-io/gitpod-test-repo/issues/42", targets{issue("gitpod-io", "gitpod-test-repo", "42")}},
		{"/eclipse-theia/theia/issues", targets{theia}},
		{"/eclipse-theia/theia/issues/new", targets{theia}},
		{"/eclipse-theia/theia/pulls", targets{theia}},
		{"/eclipse-theia/theia/compare/main...octocat:feature/x", targets{forked("octocat", at("eclipse-theia", "theia", ref, "feature/x"))}},
		{"/eclipse-theia/theia/compare/octocat:feature%2Fx", targets{forked("octocat", at("eclipse-theia", "theia", ref, "feature/x"))}},
		{"/eclipse-theia/theia/compare/main...octocat:theia-fork:feature/x", targets{at("octocat", "theia-fork", ref, "feature/x")}},
		{"/eclipse-theia/theia/compare/a/b...Eclipse-Theia:x", targets{at("eclipse-theia", "theia", ref, "x")}},
		{"/eclipse-theia/theia/compare/main..feature/x?expand=1", targets{at("eclipse-theia", "theia", ref, "feature/x")}},
		{"/eclipse-theia/theia/compare/feature/x", targets{at("eclipse-theia", "theia", ref, "feature/x")}},
		{"/eclipse-theia/theia/compare/main...", targets{theia}},
		{"/eclipse-theia/theia/compare", targets{theia}},
		{"/eclipse-theia/theia/compare/main...octocat:", targets{theia}},
		{"/eclipse-theia/theia/compare/main...:x", nil},
		{"/octocat/theia/pull/new/feature/x", targets{at("octocat", "theia", branch, "feature/x")}},
		{"/octocat/theia/actions/runs/123", targets{repo("octocat", "theia")}},
		{"/octocat/theia/wiki", targets{repo("octocat", "theia")}},
		{"/octocat/theia/settings", targets{repo("octocat", "theia")}},
		{"/gitpod-io", nil},
		{"/", nil},
		{"", nil},
		{"/orgs/gitpod-io/repositories", nil},
		{"/settings/tokens", nil},
		{"/topics/go", nil},
		{"/Settings/tokens", nil},
		{"ssh://git@github.com/eclipse-theia/theia.git", targets{theia}},
		{"ssh://git@ssh.github.com:443/eclipse-theia/theia.git", targets{theia}},
		{"https://x-access-token:SECRET@github.com/o/r.git", targets{repo("o", "r")}},
		{"https://TOKEN@github.com/o/r.git", targets{repo("o", "r")}},
		{"http://github.com/o/r", targets{repo("o", "r")}},
		{"http://github.com:80/o/r", targets{repo("o", "r")}},
		{"/o/.git", nil},
		{"/o/r.git.git", nil},
		{"/o/a%2Fb", nil},
		{"/o%2Fa/b", nil},
		{"/o/a%5Cb", nil},
		{"/o/a%00b", nil},
		{"/o/%2e%2e", nil},
		{"/o/r/../../x/y", nil},
		{"/o/r/tree/-x", nil},
		{"/o/r/tree/a%0Ab", nil},
		{"/o/r/tree/a%FFb", nil},
		{"/" + strings.Repeat("o", 256) + "/r", nil},
	})
	checkRows(t, ghes, []row{
		{"https://ghe.example.com:8443/o/r/tree/a/b", targets{at("o", "r", ref, "a", "b")}},
		{"https://ghe.example.com/o/r", nil},
		{"ssh://git@ghe.example.com:2222/o/r", targets{repo("o", "r")}},
	})
	checkRows(t, scmurl.Integration{SCMID: scmurl.GitHub, Host: "octocorp.ghe.com"}, []row{{"/o/r/issues/7", targets{issue("o", "r", "7")}}})
}

func TestGitLab(t *testing.T) {
	const group, sub = "gp-test-group", "gp-test-group/gp-test-subgroup"
	project := func(k scmurl.RefKind, tail ...string) targets {
		return targets{at(group, "gp-test-project", k, tail...)}
	}
	checkRows(t, gitLab, []row{
		{"/gitlab-org/gitlab", targets{repo("gitlab-org", "gitlab")}},
		{"/gp-test-group/gp-test-subgroup/gp-test-project-in-subgroup", targets{repo(sub, "gp-test-project-in-subgroup")}},
		{"/gp-test-group/gp-test-subgroup/gp-test-project-in-subgroup.git", targets{repo(sub, "gp-test-project-in-subgroup")}},
		{"/AlexTugarev/gp-test/-/tree/wip", targets{at("AlexTugarev", "gp-test", ref, "wip")}},
		{
			"/gp-test-group/gp-test-subgroup/gp-test-project-in-subgroup/-/tree/corneliusludmann/important-issue-1",
			targets{at(sub, "gp-test-project-in-subgroup", ref, "corneliusludmann", "important-issue-1")},
		},
		{"/gp-test-group/gp-test-project/-/tree/feature/%23123-issue", project(ref, "feature", "#123-issue")},
		{"/gp-test-group/gp-test-project/-/tree/another&amp;branch", project(ref, "another&amp;branch")},
		{"/gp-test-group/gp-test-project/-/tree/v1.0?ref_type=heads", project(branch, "v1.0")},
		{"/gp-test-group/gp-test-project/-/blob/a/b/c?ref_type=heads", project(branch, "a", "b", "c")},
		{"/gp-test-group/gp-test-project/-/tree/v1.0?ref_type=tags", project(tag, "v1.0")},
		{"/gp-test-group/gp-test-project/-/tree/v1.0/docs?ref_type=tags", project(tag, "v1.0", "docs")},
		{"/gp-test-group/gp-test-project/-/tree/refs/heads/v1.0?ref_type=heads", project(branch, "v1.0")},
		{"/gp-test-group/gp-test-project/-/tree/v1.0?ref_type=other", project(ref, "v1.0")},
		{"/gp-test-group/gp-test-project/-/tree/main/-/x", project(ref, "main", "-", "x")},
		{
			"/gp-test-group/gp-test-project/blob/corneliusludmann/important-issue-1/test%20dir%20with%20spaces/file%20with%20spaces.txt",
			project(ref, "corneliusludmann", "important-issue-1", "test dir with spaces", "file with spaces.txt"),
		},
		{"/gp-test-group/gp-test-project/-/tags/tag%2Fwithslash", project(tag, "tag/withslash")},
		{"/gp-test-group/gp-test-project/-/tags/tag/withslash", project(tag, "tag/withslash")},
		{"/gp-test-group/gp-test-project/-/tags/new", targets{repo(group, "gp-test-project")}},
		{"/gp-test-group/gp-test-project/-/tags", targets{repo(group, "gp-test-project")}},
		{"/gp-test-group/gp-test-project/-/releases/v1.0", project(tag, "v1.0")},
		{"/gp-test-group/gp-test-project/-/releases/v1.0/downloads/bin", project(tag, "v1.0")},
		{"/gp-test-group/gp-test-project/-/releases/permalink/latest", targets{repo(group, "gp-test-project")}},
		{"/gp-test-group/gp-test-project/-/releases", targets{repo(group, "gp-test-project")}},
		{"/gp-test-group/gp-test-project/-/commits/wip", project(ref, "wip")},
		{"/gp-test-group/gp-test-project/-/commit/" + sha, project(commit, sha)},
		{"/gp-test-group/gp-test-project/-/commit/invalid", nil},
		{"/gp-test-group/gp-test-project/commit/" + sha, targets{
			at(group, "gp-test-project", commit, sha), repo("gp-test-group/gp-test-project/commit", sha),
		}},
		{"/gp-test-group/gp-test-project/commit/invalid", targets{repo("gp-test-group/gp-test-project/commit", "invalid")}},
		{"/AlexTugarev/gp-test/merge_requests/2", targets{change("AlexTugarev", "gp-test", "2"), repo("AlexTugarev/gp-test/merge_requests", "2")}},
		{"/AlexTugarev/gp-test/-/merge_requests/2", targets{change("AlexTugarev", "gp-test", "2")}},
		{"/AlexTugarev/gp-test/-/merge_requests/2/diffs?commit_id=x#note_1", targets{change("AlexTugarev", "gp-test", "2")}},
		{"/AlexTugarev/gp-test/-/merge_requests", targets{repo("AlexTugarev", "gp-test")}},
		{"/AlexTugarev/gp-test/-/issues/1", targets{issue("AlexTugarev", "gp-test", "1")}},
		{"/AlexTugarev/gp-test/-/work_items/1", targets{issue("AlexTugarev", "gp-test", "1")}},
		{"/AlexTugarev/gp-test/issues/1", targets{issue("AlexTugarev", "gp-test", "1"), repo("AlexTugarev/gp-test/issues", "1")}},
		{"/AlexTugarev/gp-test/-/compare/main...feature/x", targets{at("AlexTugarev", "gp-test", ref, "feature/x")}},
		{"/AlexTugarev/gp-test/-/compare/main...feature%2Fx?from_project_id=1", targets{at("AlexTugarev", "gp-test", ref, "feature/x")}},
		{"/mygroup/foobar/issues", targets{repo("mygroup", "foobar"), repo("mygroup/foobar", "issues")}},
		{"/mygroup/foobar/issues.git", targets{repo("mygroup/foobar", "issues")}},
		{"/mygroup/issues/foobar", targets{repo("mygroup/issues", "foobar")}},
		{"/mygroup/tags/issues", targets{repo("mygroup", "tags"), repo("mygroup/tags", "issues")}},
		{"/a/b/issues/issues", targets{repo("a", "b"), repo("a/b", "issues"), repo("a/b/issues", "issues")}},
		{"/a/b/issues/tree/main", targets{repo("a", "b"), at("a/b", "issues", ref, "main")}},
		{"/a/b/tree/issues/issues", targets{at("a", "b", ref, "issues", "issues")}},
		{"/a/b/tree/x.git", targets{at("a", "b", ref, "x.git")}},
		{"/a/b/wikis/home", targets{repo("a", "b")}},
		{"/gitlab-org", nil},
		{"/groups/gitlab-org/-/issues", nil},
		{"/gitlab-org/-/issues", nil},
		{"/-/profile", nil},
		{"/users/sign_in", nil},
		{"/explore/projects", nil},
		{"/a/b%2Fc", nil},
		{"/a/-.git", nil},
		{"/gp-test-group/gp-test-empty-project", targets{repo(group, "gp-test-empty-project")}},
		{"/g/p/-/pipelines/1", targets{repo("g", "p")}},
		{"/g/p/-/jobs/2", targets{repo("g", "p")}},
		{"/g/p/-", targets{repo("g", "p")}},
		{"/g/p/pipelines/1", targets{repo("g", "p"), repo("g/p/pipelines", "1")}},
		{"/g/p/-/merge_requests/new?merge_request%5Bsource_branch%5D=feature%2Fx", targets{at("g", "p", branch, "feature/x")}},
		{"/g/p/-/merge_requests/new", targets{repo("g", "p")}},
		{"https://www.gitlab.com/g/p", targets{repo("g", "p")}},
		{"ssh://git@altssh.gitlab.com:443/g/p.git", targets{repo("g", "p")}},
		{"ssh://git@gitlab.com/g/p/issues", targets{repo("g/p", "issues")}},
	})
	checkRows(t, portLab, []row{
		{"https://gitlab.example.com:8443/g/p.git", targets{repo("g", "p")}},
		{"https://gitlab.example.com/g/p.git", nil},
		{"ssh://git@gitlab.example.com:2222/g/sub/p.git", targets{repo("g/sub", "p")}},
	})
	checkRows(t, ownLab, []row{{"ssh://git@gitlab.example.com:2222/g/sub/p.git", targets{repo("g/sub", "p")}}})
	checkRows(t, belowLab, []row{
		{"/g/p/-/tree/main", targets{at("g", "p", ref, "main")}},
		{"/g", nil},
		{"https://tools.example.com/git/labs/g/p", nil},
		{"https://tools.example.com/g/p", nil},
		{"ssh://git@tools.example.com/g/p.git", targets{repo("g", "p")}},
		{"ssh://git@tools.example.com/git/lab/p.git", targets{repo("git/lab", "p")}},
	})
}

func TestBitbucket(t *testing.T) {
	tests := repo("gitpod", "integration-tests")
	on := func(k scmurl.RefKind, tail ...string) targets {
		return targets{at("gitpod", "integration-tests", k, tail...)}
	}
	checkRows(t, cloud, []row{
		{"/gitpod/integration-tests", targets{tests}},
		{"/gitpod/integration-tests.git", targets{tests}},
		{"https://alice@bitbucket.org/gitpod/integration-tests.git", targets{tests}},
		{"/gitpod/integration-tests/src", targets{tests}},
		{"/gitpod/integration-tests/src/master/", on(ref, "master")},
		{"/gitpod/integration-tests/src/first-tag/", on(ref, "first-tag")},
		{"/gitpod/integration-tests/src/master/README.md", on(ref, "master", "README.md")},
		{"/gitpod/integration-tests/src/feature%2Flogin/README.md", on(ref, "feature/login", "README.md")},
		{"/gitpod/integration-tests/src/feature/login/README.md", on(ref, "feature", "login", "README.md")},
		{"/gitpod/integration-tests/src/" + sha + "/README.md?at=feature%2Flogin", on(ref, "feature/login")},
		{"/gitpod/integration-tests/branch/feature/JIRA-123-summary", on(branch, "feature/JIRA-123-summary")},
		{"/gitpod/integration-tests/branch/feature%2FJIRA-123-summary?dest=x", on(branch, "feature/JIRA-123-summary")},
		{"/gitpod/integration-tests/commits/tag/first-tag", on(tag, "first-tag")},
		{"/gitpod/integration-tests/commits/branch/feature/x", on(branch, "feature/x")},
		{"/gitpod/integration-tests/commits/" + sha, on(commit, sha)},
		{"/gitpod/integration-tests/commits/invalid", nil},
		{"/gitpod/integration-tests/commits", targets{tests}},
		{"/gitpod/integration-tests/commits/", targets{tests}},
		{"/gitpod/integration-tests/pull-requests/1/readme-updated/diff", targets{change("gitpod", "integration-tests", "1")}},
		{"/gitpod/integration-tests/pull-requests/3", targets{change("gitpod", "integration-tests", "3")}},
		{"/gitpod/integration-tests/pull-requests/", targets{tests}},
		{"/gitpod/integration-tests/pull-requests/new?source=x", targets{tests}},
		{"/gitpod/integration-tests/branches/compare/feature%2Fx%0Dmain", on(ref, "feature/x")},
		{"/gitpod/integration-tests/branches/compare/ann/fork:feature%2Fx%0Dgitpod/integration-tests:main", targets{at("ann", "fork", ref, "feature/x")}},
		{"/gitpod/integration-tests/branches/", targets{tests}},
		{"/gitpod/integration-tests/branches/compare", targets{tests}},
		{"/gitpod/integration-tests/pipelines/results/1", targets{tests}},
		{"/gitpod/integration-tests/issues/1", targets{tests}},
		{"/%7Bws-uuid%7D/%7Brepo-uuid%7D", targets{repo("{ws-uuid}", "{repo-uuid}")}},
		{"/gitpod/workspace/projects/PROJ", nil},
		{"/gitpod/workspace.git", nil},
		{"/gitpod/", nil},
		{"/account/settings", nil},
		{"ssh://git@altssh.bitbucket.org:443/gitpod/integration-tests.git", targets{tests}},
		{"/gitpod/integration-tests/src/a%0Db", nil},
	})
}

func TestBitbucketServer(t *testing.T) {
	sample := repo("GIT", "gitpod-test-repo")
	on := func(k scmurl.RefKind, tail string) targets { return targets{at("GIT", "gitpod-test-repo", k, tail)} }
	personal := func(k scmurl.RefKind, tail string) targets {
		return targets{at("~svenefftinge", "browser-extension-test", k, tail)}
	}
	const project, user, tester = "/projects/GIT/repos/gitpod-test-repo", "/users/svenefftinge/repos/browser-extension-test", "/projects/~geropl/repos/test-user-repo"
	checkRows(t, data, []row{
		{project, targets{sample}},
		{project + "/", targets{sample}},
		{"/projects/git/repos/gitpod-test-repo", targets{sample}},
		{project + "/browse", targets{sample}},
		{project + "/browse?at=refs%2Fheads%2Ffeature%2Fx", on(branch, "feature/x")},
		{project + "?at=refs%2Fheads%2Ffeature%2Fx", on(branch, "feature/x")},
		{project + "/browse?at=refs%2Ftags%2Ftest-tag-v1.0.1", on(tag, "test-tag-v1.0.1")},
		{project + "/browse/src/main.go?at=refs%2Fheads%2Ffoo", on(branch, "foo")},
		{project + "/browse/src/main.go?at=" + sha + "#12", on(ref, sha)},
		{project + "/raw/src/main.go?at=foo", on(ref, "foo")},
		{project + "/commits/" + sha, on(commit, sha)},
		{project + "/commits/invalid", nil},
		{project + "/commits", targets{sample}},
		{user + "/commits?until=refs%2Fheads%2Fmy-branch&merges=include", personal(branch, "my-branch")},
		{user + "/commits?until=my-branch&merges=include", personal(ref, "my-branch")},
		{tester, targets{repo("~geropl", "test-user-repo")}},
		{"/scm/~geropl/test-user-repo.git", targets{repo("~geropl", "test-user-repo")}},
		{"/scm/git/gitpod-test-repo.git", targets{sample}},
		{
			tester + "/compare/commits?sourceBranch=refs%2Fheads%2Ffeature%2Fx&targetBranch=refs%2Fheads%2Fmaster",
			targets{at("~geropl", "test-user-repo", branch, "feature/x")},
		},
		{project + "/compare", targets{sample}},
		{project + "/pull-requests/7/overview", targets{change("GIT", "gitpod-test-repo", "7")}},
		{project + "/pull-requests/7/diff#a.go", targets{change("GIT", "gitpod-test-repo", "7")}},
		{project + "/pull-requests", targets{sample}},
		{project + "/pull-requests?create&sourceBranch=refs%2Fheads%2Fx", on(branch, "x")},
		{project + "/branches", targets{sample}},
		{"ssh://git@bitbucket.gitpod-dev.com:7999/git/gitpod-test-repo.git", targets{sample}},
		{"ssh://git@bitbucket.gitpod-dev.com:7999/~geropl/test-user-repo.git", targets{repo("~geropl", "test-user-repo")}},
		{"http://alice@bitbucket.gitpod-dev.com/scm/git/gitpod-test-repo.git", targets{sample}},
		{"/projects/GIT", nil},
		{"/users/svenefftinge", nil},
		{"/git/gitpod-test-repo.git", nil},
		{"/dashboard", nil},
		{project + "/browse?at=-x", nil},
		{project + "/browse?at=a%00", nil},
		{project + "/browse?at=a%FF", nil},
	})
	checkRows(t, dataHTTP, []row{
		{"/scm/git/r.git", targets{repo("GIT", "r")}},
		{"/projects/GIT/repos/r", targets{repo("GIT", "r")}},
		{"ssh://git@stash.corp:7999/git/r.git", targets{repo("GIT", "r")}},
		{"http://stash.corp:7990/projects/GIT/repos/r", nil},
	})
}

func TestAzureDevOps(t *testing.T) {
	const org, project = "services-azure", "services-azure/test-project"
	on := func(k scmurl.RefKind, tail string) targets { return targets{at(project, "repo2", k, tail)} }
	const repo2 = "/services-azure/test-project/_git/repo2"
	checkRows(t, entra, []row{
		{repo2, targets{repo(project, "repo2")}},
		{"https://services-azure@dev.azure.com" + repo2, targets{repo(project, "repo2")}},
		{"/services-azure/_git/empty-project", targets{repo(org+"/empty-project", "empty-project")}},
		{"/services-azure/empty-project", targets{repo(org+"/empty-project", "empty-project")}},
		{"/services-azure/empty-project/_git", targets{repo(org+"/empty-project", "empty-project")}},
		{"/services-azure/empty-project/_build", targets{repo(org+"/empty-project", "empty-project")}},
		{"/services-azure/test-project/a%20team/_git/repo2", targets{repo(project, "repo2")}},
		{repo2 + "?path=%2F&version=GBdevelop-2&_a=contents", on(branch, "develop-2")},
		{repo2 + "?version=GBfeature%2Flogin&path=/src/app.go", on(branch, "feature/login")},
		{repo2 + "?path=/src/app.go&version=GTv1.0", on(tag, "v1.0")},
		{repo2 + "?version=GC4c47246a2eacd9700aab401902775c248e85aee7", on(commit, "4c47246a2eacd9700aab401902775c248e85aee7")},
		{repo2 + "?version=GCinvalid", nil},
		{repo2 + "?version=GB", targets{repo(project, "repo2")}},
		{repo2 + "?version=main", targets{repo(project, "repo2")}},
		{repo2 + "?path=/README.md", targets{repo(project, "repo2")}},
		{repo2 + "/commits?itemVersion=GBmain", on(branch, "main")},
		{repo2 + "/branchCompare?baseVersion=GBmain&targetVersion=GBfeature%2Fx", on(branch, "feature/x")},
		{repo2 + "/pullrequestcreate?sourceRef=feature%2Fx&targetRef=main", on(branch, "feature/x")},
		{repo2 + "/commit/" + sha + "?refName=refs%2Fheads%2Fmain", on(commit, sha)},
		{repo2 + "/commit/invalid", nil},
		{repo2 + "/branches", targets{repo(project, "repo2")}},
		{repo2 + "/pullrequest/1", targets{change(project, "repo2", "1")}},
		{repo2 + "/pullrequest/1?_a=files", targets{change(project, "repo2", "1")}},
		{repo2 + "/pullRequest/1", targets{change(project, "repo2", "1")}},
		{repo2 + "/pullrequests?_a=mine", targets{repo(project, "repo2")}},
		{"/org/My%20Project/_git/My%20Repo", targets{repo("org/My Project", "My Repo")}},
		{"/org/p/_git/repo.git", targets{repo("org/p", "repo.git"), repo("org/p", "repo")}},
		{"/org/p/_git/repo.git?version=GBx", targets{at("org/p", "repo.git", branch, "x"), at("org/p", "repo", branch, "x")}},
		{"/org/_git/repo.git", targets{repo("org/repo.git", "repo.git"), repo("org/repo", "repo")}},
		{"https://fabrikam.visualstudio.com/DefaultCollection/Proj/_git/repo", targets{repo("fabrikam/Proj", "repo")}},
		{"https://Fabrikam.VisualStudio.com/defaultcollection/Proj/_git/repo", targets{repo("fabrikam/Proj", "repo")}},
		{"https://fabrikam.visualstudio.com/Proj/_git/repo", targets{repo("fabrikam/Proj", "repo")}},
		{"https://fabrikam.visualstudio.com/_git/repo", targets{repo("fabrikam/repo", "repo")}},
		{"ssh://org@vs-ssh.visualstudio.com/v3/org/proj/repo", targets{repo("org/proj", "repo")}},
		{"ssh://git@ssh.dev.azure.com:22/v3/org/My%20Project/repo", targets{repo("org/My Project", "repo")}},
		{"ssh://fabrikam@vs-ssh.visualstudio.com:22/DefaultCollection/Proj/_ssh/repo", nil},
		{"/org/proj/_workitems/edit/123", targets{issue("org/proj", "proj", "123")}},
		{"/org/proj/_workitems", targets{repo("org/proj", "proj")}},
		{"/org", nil},
		{"/org/_git", nil},
		{"/org/_settings/users", nil},
		{"/", nil},
		{"/org/a%2Fb/_git/c", nil},
		{repo2 + "?version=GB-x", nil},
	})
	checkRows(t, acme, []row{
		{"/p/_git/r", targets{repo("acme/p", "r")}},
		{"https://dev.azure.com/Acme/p/_git/r", targets{repo("acme/p", "r")}},
		{"https://acme.visualstudio.com/p/_git/r", targets{repo("acme/p", "r")}},
		{"https://dev.azure.com/other/p/_git/r", nil},
		{"https://dev.azure.com/acme2/p/_git/r", nil},
		{"ssh://git@ssh.dev.azure.com/v3/other/p/r", nil},
		{"ssh://git@ssh.dev.azure.com/v3/acme/p/r", targets{repo("acme/p", "r")}},
	})
	checkRows(t, server, []row{
		{"/DefaultCollection/Proj/_git/Repo", targets{repo("DefaultCollection/Proj", "Repo")}},
		{"https://ado.example.com/TFS/DefaultCollection/Proj/_git/Repo", targets{repo("DefaultCollection/Proj", "Repo")}},
		{"ssh://ado.example.com:22/tfs/DefaultCollection/Proj/_ssh/Repo", targets{repo("DefaultCollection/Proj", "Repo")}},
		{"https://ado.example.com/DefaultCollection/Proj/_git/Repo", nil},
		{"/DefaultCollection", nil},
	})
	checkRows(t, tfs, []row{
		{"http://tfs:8080/tfs/DefaultCollection/_git/Repo", targets{repo("DefaultCollection/Repo", "Repo")}},
		{"/DefaultCollection/Proj/_git/Repo?version=GBmain", targets{at("DefaultCollection/Proj", "Repo", branch, "main")}},
	})
	checkRows(t, rootTFS, []row{{"/DefaultCollection/Proj/_git/Repo/pullrequest/3", targets{change("DefaultCollection/Proj", "Repo", "3")}}})
}

func TestGitea(t *testing.T) {
	widgets := repo("acme", "widgets")
	on := func(k scmurl.RefKind, tail ...string) targets { return targets{at("acme", "widgets", k, tail...)} }
	const id = "e72321af3b1d5d7b3a27a90e5a4a9d0d6a9e4f10"
	rows := []row{
		{"/acme/widgets", targets{widgets}},
		{"/acme/widgets/", targets{widgets}},
		{"/acme/widgets.git", targets{widgets}},
		{"/ACME/Widgets", targets{repo("ACME", "Widgets")}},
		{"/acme/widgets/src/branch/feature/login-form/src/app.go", on(branch, "feature", "login-form", "src", "app.go")},
		{"/acme/widgets/src/branch/nope", on(branch, "nope")},
		{"/acme/widgets/src/branch", targets{widgets}},
		{"/acme/widgets/src/tag/rel/1.0", on(tag, "rel", "1.0")},
		{"/acme/widgets/src/tag/rel%2F1.0", on(tag, "rel/1.0")},
		{"/acme/widgets/src/commit/" + id + "/src/app.go", on(commit, id)},
		{"/acme/widgets/src/commit/e72321af3b", on(commit, "e72321af3b")},
		{"/acme/widgets/src/commit/nope", nil},
		{"/acme/widgets/src/main", on(ref, "main")},
		{"/acme/widgets/raw/branch/main/README.md", on(branch, "main", "README.md")},
		{"/acme/widgets/commits/branch/feature/login-form", on(branch, "feature", "login-form")},
		{"/acme/widgets/commit/" + id, on(commit, id)},
		{"/acme/widgets/commit/" + id + ".diff", on(commit, id)},
		{"/acme/widgets/pulls/1", targets{change("acme", "widgets", "1")}},
		{"/acme/widgets/pulls/1/files", targets{change("acme", "widgets", "1")}},
		{"/acme/widgets/pulls/1.patch", targets{change("acme", "widgets", "1")}},
		{"/acme/widgets/pulls", targets{widgets}},
		{"/acme/widgets/issues/1", targets{issue("acme", "widgets", "1")}},
		{"/acme/widgets/pulls/2", targets{change("acme", "widgets", "2")}},
		{"/acme/widgets/issues", targets{widgets}},
		{"/acme/widgets/releases/tag/rel%2F1.0", on(tag, "rel/1.0")},
		{"/acme/widgets/releases", targets{widgets}},
		{"/acme/widgets/tree/main", on(ref, "main")},
		{"/acme/widgets/blob/main/src/app.go", on(ref, "main", "src", "app.go")},
		{"/acme/widgets/compare/main...feature/x", on(ref, "feature/x")},
		{"/acme/widgets/compare/main...bob:feature/x", targets{forked("bob", on(ref, "feature/x")[0])}},
		{"/acme/widgets/compare/main...bob/gadgets:feature/x", targets{at("bob", "gadgets", ref, "feature/x")}},
		{"/acme/widgets/wiki/Home", targets{widgets}},
		{"/acme", nil},
		{"/explore/repos", nil},
		{"/user/settings", nil},
		{"/-/admin", nil},
	}
	checkRows(t, gitea, rows)
	checkRows(t, subGitea, rows)
	checkRows(t, subGitea, []row{
		{"ssh://git@127.0.0.1:2222/acme/widgets.git", targets{widgets}},
		{"https://127.0.0.1:3000/acme/widgets", nil},
	})
}

func TestUnknownKinds(t *testing.T) {
	i := scmurl.Integration{SCMID: "sourcehut", Host: "git.sr.ht"}
	if got, err := read(t, "https://git.sr.ht/~a/b", i); err == nil {
		t.Errorf("read %+v", got)
	}
	if u, c := repo("a", "b").URL(i), repo("a", "b").CloneURL(i); u+c != "" {
		t.Errorf("URLs %q, %q", u, c)
	}
}

func TestCloneURL(t *testing.T) {
	for want, c := range map[string]struct {
		i      scmurl.Integration
		target scmurl.Target
	}{
		"https://github.com/eclipse-theia/theia.git":                            {gitHub, repo("eclipse-theia", "theia")},
		"https://ghe.example.com:8443/o/r.git":                                  {ghes, at("o", "r", ref, "a", "b")},
		"https://gitlab.com/g/sub/p.git":                                        {gitLab, repo("g/sub", "p")},
		"https://gitlab.com/g/p/issues.git":                                     {gitLab, repo("g/p", "issues")},
		"https://tools.example.com/git/lab/g/p.git":                             {belowLab, repo("g", "p")},
		"https://bitbucket.org/gitpod/integration-tests.git":                    {cloud, change("gitpod", "integration-tests", "1")},
		"https://bitbucket.org/%7Bws-uuid%7D/%7Brepo-uuid%7D.git":               {cloud, repo("{ws-uuid}", "{repo-uuid}")},
		"https://bitbucket.gitpod-dev.com/scm/git/gitpod-test-repo.git":         {data, repo("GIT", "gitpod-test-repo")},
		"https://bitbucket.gitpod-dev.com/scm/~geropl/test-user-repo.git":       {data, repo("~geropl", "test-user-repo")},
		"http://stash.corp:7990/bitbucket/scm/git/r.git":                        {dataHTTP, repo("GIT", "r")},
		"https://dev.azure.com/services-azure/test-project/_git/repo2":          {entra, repo("services-azure/test-project", "repo2")},
		"https://dev.azure.com/services-azure/empty-project/_git/empty-project": {entra, repo("services-azure/empty-project", "empty-project")},
		"https://dev.azure.com/org/My%20Project/_git/My%20Repo":                 {entra, repo("org/My Project", "My Repo")},
		"https://dev.azure.com/acme/p/_git/r":                                   {acme, repo("acme/p", "r")},
		"https://ado.example.com/tfs/DefaultCollection/Proj/_git/Repo":          {server, repo("DefaultCollection/Proj", "Repo")},
		"http://tfs:8080/tfs/DefaultCollection/Repo/_git/Repo":                  {tfs, repo("DefaultCollection/Repo", "Repo")},
		"https://tfs.example.com/DefaultCollection/Proj/_git/Repo":              {rootTFS, repo("DefaultCollection/Proj", "Repo")},
		"https://gitea.example.com/acme/widgets.git":                            {gitea, repo("acme", "widgets")},
		"http://127.0.0.1:3000/git/acme/widgets.git":                            {subGitea, repo("acme", "widgets")},
	} {
		if got := c.target.CloneURL(c.i); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
