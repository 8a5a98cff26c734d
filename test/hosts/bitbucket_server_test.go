package hosts

import (
	"testing"

	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/scmurl"
)

// bitbucketServer is reached under another name than the recorded one believes to
// have: it has no ports, and speaks https.
var bitbucketServer = scmurl.Integration{SCMID: scmurl.BitbucketServer, Host: "git.example.com/bitbucket"}

func TestRecordedBitbucketServer(t *testing.T) {
	const data, at = "scm/driver/stash/testdata/", "/bitbucket/rest/api/latest/"
	const one = at + "projects/PRJ/repos/my-repo"
	s := replay(t, map[string]recording{
		one:                      {drone, data + "repo.json"},
		one + "/default-branch":  {drone, data + "default_branch.json"},
		one + "/commits/131cb13": {drone, data + "commit.json"},
		one + "/pull-requests/1": {drone, data + "pr.json"},
		at + "repos":             {drone, data + "repos.json"},
		at + "projects":          {jenkinsX, data + "orgs.json"},
	}, "git.example.com")
	p := provider(t, bitbucketServer, "x", nil, s)
	repo := scmhost.Repository{Owner: "PRJ", Repo: "my-repo", CloneURL: "https://git.example.com/bitbucket/scm/prj/my-repo.git"}
	whole := repo
	whole.DefaultBranch = "feature_branch"
	ask := questions("PRJ", "my-repo", "131cb13", "1", "1")
	expect(t, p, "repository", ask["repository"], whole, nil)
	expect(t, p, "commit", ask["commit"], "131cb13f4aed12e725177bc4b7c28db67839bf9f", nil)
	expect(t, p, "change", ask["change"], scmhost.Change{
		Number: "1", Title: "Updated Files", URL: "https://git.example.com/bitbucket/projects/PRJ/repos/my-repo/pull-requests/1",
		Author: "jcitizen", State: scmhost.ChangeOpen, FromBranch: "feature/x", ToBranch: "master", Head: &repo, Base: repo,
		Commit: "131cb13f4aed12e725177bc4b7c28db67839bf9f",
	}, nil)
	const pages = "https://git.example.com/bitbucket/projects/"
	expect(t, p, "everything", ask["everything"], scmhost.Repositories{Pages: 1, Total: 2, Rows: []scmhost.FoundRepository{
		{Name: "PRJ/my-repo", URL: pages + "PRJ/repos/my-repo"}, {Name: "PRJ/quux", URL: pages + "PRJ/repos/quux"},
	}}, nil)
	expect(t, p, "organizations", ask["organizations"], scmhost.Organizations{
		Rows: []scmhost.Organization{{Name: "PRJ", URL: pages + "PRJ"}},
	}, nil)
}

func TestTheFakeBitbucketServerIsLikeARealOne(t *testing.T) {
	git := fakehost.NewRepo(t)
	first := git.Commit("main", "first")
	repo := &fakehost.BitbucketServerRepository{Project: "PRJ", Slug: "my-repo", Git: git}
	repo.PullRequests = []fakehost.BitbucketServerPullRequest{{ID: 1, Author: "ada", From: "main", To: "main", State: "OPEN", Source: repo, Commit: first}}
	s := fakehost.NewNamed(t, "git.example.com")
	(&fakehost.BitbucketServer{Context: "/bitbucket", User: "ada", Token: "x", Projects: []fakehost.BitbucketServerProject{{Key: "PRJ"}}, Repositories: []*fakehost.BitbucketServerRepository{repo}}).Serve(s)
	const data, at = "scm/driver/stash/testdata/", "/bitbucket/rest/api/latest/"
	see, done := compare(t, map[string]likeness{
		"bitbucket server repository":   {at + "projects/PRJ/repos/my-repo", []recording{{drone, data + "repo.json"}}},
		"bitbucket server branch":       {at + "projects/PRJ/repos/my-repo/default-branch", []recording{{drone, data + "default_branch.json"}}},
		"bitbucket server commit":       {at + "projects/PRJ/repos/my-repo/commits/.*", []recording{{drone, data + "commit.json"}}},
		"bitbucket server pull request": {at + "projects/PRJ/repos/my-repo/pull-requests/1", []recording{{drone, data + "pr.json"}}},
		"bitbucket server repositories": {at + "repos", []recording{{drone, data + "repos.json"}}},
		"bitbucket server projects":     {at + "projects", []recording{{jenkinsX, data + "orgs.json"}}},
	})
	p := provider(t, bitbucketServer, "x", see, s)
	all := questions("PRJ", "my-repo", first, "1", "1")
	for _, name := range []string{"repository", "commit", "change", "everything", "organizations"} {
		if _, err := all[name](t.Context(), p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	done()
}
