package hosts

import (
	"testing"

	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/scmurl"
)

var azureDevOps = scmurl.Integration{SCMID: scmurl.AzureDevOpsEntra, Host: "dev.azure.com/tphoney"}

func TestRecordedAzureDevOps(t *testing.T) {
	const data, at = "scm/driver/azure/testdata/", "/tphoney/test_project/_apis/git/repositories/test_repo"
	for module, pullRequest := range map[string]string{drone: "pr.json", jenkinsX: "pr_active.json"} {
		s := replay(t, map[string]recording{
			at:                                {module, data + "repo.json"},
			at + "/commits/14897f4":           {module, data + "commit.json"},
			at + "/pullrequests/19":           {module, data + pullRequest},
			"/tphoney/_apis/git/repositories": {module, data + "repos.json"},
			"/tphoney/_apis/projects":         {module, data + "projects.json"},
		}, "dev.azure.com")
		p := provider(t, azureDevOps, "x", nil, s)
		repository := func(name string) scmhost.Repository {
			return scmhost.Repository{Owner: "tphoney/test_project", Repo: name, CloneURL: "https://dev.azure.com/tphoney/test_project/_git/" + name}
		}
		name := map[string]string{drone: "test_project", jenkinsX: "test_repo"}[module]
		repo, base := repository(name), repository("test_repo2")
		repo.DefaultBranch = "main"
		state := map[string]scmhost.ChangeState{drone: scmhost.ChangeMerged, jenkinsX: scmhost.ChangeOpen}[module]
		ask := questions("tphoney/test_project", "test_repo", "14897f4", "19", "1")
		expect(t, p, "repository", ask["repository"], repo, nil)
		expect(t, p, "commit", ask["commit"], "14897f4465d2d63508242b5cbf68aa2865f693e7", nil)
		expect(t, p, "change", ask["change"], scmhost.Change{
			Number: "19", Title: "test_pr", URL: base.CloneURL + "/pullrequest/19", Author: "tp@harness.io", State: state,
			FromBranch: "pr_branch", ToBranch: "main", Head: &base, Base: base,
			Commit: "01768d964c03e97260af0bd8cd9e5cd1f9ac6356",
		}, nil)
		found := func(name string) scmhost.FoundRepository {
			return scmhost.FoundRepository{Name: "tphoney/test_project/" + name, URL: "https://dev.azure.com/tphoney/test_project/_git/" + name}
		}
		expect(t, p, "everything", ask["everything"], scmhost.Repositories{Rows: []scmhost.FoundRepository{found("test_project"), found("test_repo2")}, Pages: 1, Total: 2}, nil)
		expect(t, p, "organizations", ask["organizations"], scmhost.Organizations{
			Rows: []scmhost.Organization{{Name: "tphoney/test_project", URL: "https://dev.azure.com/tphoney/test_project"}},
		}, nil)
	}
}

func TestTheFakeAzureDevOpsIsLikeARealOne(t *testing.T) {
	git := fakehost.NewRepo(t)
	first := git.Commit("main", "first")
	s := fakehost.NewNamed(t, "dev.azure.com")
	(&fakehost.AzureDevOps{
		User: "ada", PAT: "x", Organizations: []fakehost.AzureDevOpsOrganization{{Name: "tphoney", Projects: []string{"tools"}}},
		Repositories: []*fakehost.AzureDevOpsRepository{{
			Organization: "tphoney", Project: "tools", Name: "widgets", Git: git,
			PullRequests: []fakehost.AzureDevOpsPullRequest{{ID: 1, Author: "ada", From: "main", To: "main", Status: "active", Commit: first}},
		}},
	}).Serve(s)
	const data, at = "scm/driver/azure/testdata/", "/tphoney/tools/_apis/git/repositories/widgets"
	see, done := compare(t, map[string]likeness{
		"azure repository":   {at, []recording{{drone, data + "repo.json"}}},
		"azure commit":       {at + "/commits/.*", []recording{{drone, data + "commit.json"}}},
		"azure pull request": {at + "/pullrequests/1", []recording{{drone, data + "pr.json"}}},
		"azure repositories": {"/tphoney/_apis/git/repositories", []recording{{drone, data + "repos.json"}}},
		"azure projects":     {"/tphoney/_apis/projects", []recording{{drone, data + "projects.json"}}},
	})
	p := provider(t, azureDevOps, "x", see, s)
	all := questions("tphoney/tools", "widgets", first, "1", "1")
	for _, name := range []string{"repository", "commit", "change", "everything", "organizations"} {
		if _, err := all[name](t.Context(), p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	done()
}
