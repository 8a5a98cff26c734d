package hosts

import (
	"testing"

	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/scmurl"
)

var bitbucket = scmurl.Integration{SCMID: scmurl.Bitbucket, Host: "bitbucket.org"}

func TestRecordedBitbucket(t *testing.T) {
	const data, at = "scm/driver/bitbucket/testdata/", "/2.0/repositories/"
	s := replay(t, map[string]recording{
		"/2.0/user":                           {drone, data + "user.json"},
		"/2.0/user/workspaces":                {drone, data + "user_workspaces.json"},
		at + "atlassian/stash-example-plugin": {drone, data + "repo.json"},

		at + "atlassian/stash-example-plugin/commit/a6e5e7d": {drone, data + "commit.json"},
		at + "atlassian/atlaskit/pullrequests/4982":          {drone, data + "pr.json"},
		// It is another commit than that of the pull request.
		at + "lachlanv/atlaskit/commit/31c54529bd80": {drone, data + "commit.json"},
		at + "my-workspace":                          {drone, data + "repos-2.json"},
		at + "team-workspace":                        {drone, data + "repos_filter.json"},
		at + "atlassian/gone":                        {drone, data + "error.json"},
	}, "bitbucket.org", "api.bitbucket.org")
	p := provider(t, bitbucket, "ada@example.com:ATATT3x", nil, s)
	repository := func(owner, repo string) scmhost.Repository {
		return scmhost.Repository{Owner: owner, Repo: repo, CloneURL: "https://bitbucket.org/" + owner + "/" + repo + ".git"}
	}
	plugin, base, head := repository("atlassian", "stash-example-plugin"), repository("atlassian", "atlaskit"), repository("lachlanv", "atlaskit")
	plugin.DefaultBranch = "master"
	found := func(name string) scmhost.FoundRepository {
		return scmhost.FoundRepository{Name: "atlassian/" + name, URL: "https://bitbucket.org/atlassian/" + name}
	}
	ask := questions("atlassian", "stash-example-plugin", "a6e5e7d", "4982", "1")
	expect(t, p, "viewer", ask["viewer"], scmhost.Viewer{Login: "brydzewski", Scopes: []string{"repo", "user"}}, nil)
	expect(t, p, "repository", ask["repository"], plugin, nil)
	expect(t, p, "commit", ask["commit"], "a6e5e7d797edf751cbd839d6bd4aef86c941eec9", nil)
	expect(t, p, "change", questions("atlassian", "atlaskit", "", "4982", "")["change"], scmhost.Change{
		Number: "4982", Title: "IOS date picker component duplicate March issue", URL: "https://bitbucket.org/atlassian/atlaskit/pull-requests/4982",
		Author: "Lachlan", State: scmhost.ChangeOpen, ToBranch: "master", Base: base, Head: &head,
		FromBranch: "Lachlan-Vass/ios-date-picker-component-duplicate-marc-1579222909688",
	}, nil)
	// One of the recordings has a next page, so that it is not known how many there are.
	expect(t, p, "everything", ask["everything"], scmhost.Repositories{
		Rows: []scmhost.FoundRepository{found("stash-example-plugin"), found("stash-example-plugin1")}, Pages: -1, Total: -1,
	}, nil)
	expect(t, p, "organizations", ask["organizations"], scmhost.Organizations{Rows: []scmhost.Organization{
		{Name: "my-workspace", URL: "https://bitbucket.org/my-workspace", Admin: true},
		{Name: "team-workspace", URL: "https://bitbucket.org/team-workspace"},
	}}, nil)
	if _, err := p.Repository(t.Context(), "atlassian", "gone"); err == nil {
		t.Error("an error is taken for a repository")
	}
}

func TestTheFakeBitbucketIsLikeARealOne(t *testing.T) {
	git := fakehost.NewRepo(t)
	first := git.Commit("main", "first")
	repo := &fakehost.BitbucketRepository{Workspace: "acme", Slug: "widgets", Git: git}
	repo.PullRequests = []fakehost.BitbucketPullRequest{{ID: 1, Author: "ada", From: "main", To: "main", State: "OPEN", Source: repo, Commit: first}}
	s := fakehost.NewNamed(t, "bitbucket.org", "api.bitbucket.org")
	(&fakehost.Bitbucket{
		User: "ada", Bearer: "x", Workspaces: []fakehost.BitbucketWorkspace{{Slug: "acme"}}, Repositories: []*fakehost.BitbucketRepository{repo},
	}).Serve(s)
	const data, at = "scm/driver/bitbucket/testdata/", "/2.0/repositories/acme"
	see, done := compare(t, map[string]likeness{
		"bitbucket user":         {"/2.0/user", []recording{{drone, data + "user.json"}, {jenkinsX, data + "user.json"}}},
		"bitbucket workspaces":   {"/2.0/user/workspaces", []recording{{drone, data + "user_workspaces.json"}}},
		"bitbucket repositories": {at, []recording{{drone, data + "repos.json"}}},
		"bitbucket repository":   {at + "/widgets", []recording{{drone, data + "repo.json"}}},
		"bitbucket commit":       {at + "/widgets/commit/.*", []recording{{drone, data + "commit.json"}}},
		"bitbucket pull request": {at + "/widgets/pullrequests/1", []recording{{drone, data + "pr.json"}}},
	})
	p := provider(t, bitbucket, "x", see, s)
	for name, ask := range questions("acme", "widgets", first, "1", "1") {
		if _, err := ask(t.Context(), p); err != nil && name != "issue" && name != "issue, change" && name != "change, issue" {
			t.Error(name, err)
		}
	}
	done()
}
