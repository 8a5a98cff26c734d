package scmhost

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// azureVersion is the version of the API that is asked for. Servers of 2019 have
// it, and newer ones keep it.
const azureVersion = "5.0"

// azureDevOps is Azure DevOps Services or an Azure DevOps Server. What is an
// organization on the one is a collection on the other; the owner of a repository
// is "organization/project".
type azureDevOps struct {
	rest
	// root is what organizations are under.
	root string
	// organization is set when the integration is for one only.
	organization string
	server       bool
}

func newAzureDevOps(s Site) (Provider, error) {
	a := azureDevOps{rest: rest{Site: s, authorization: s.bearer()}, root: s.Base(), server: s.SCMID == scmurl.AzureDevOpsServer}
	if !s.Credential.OAuth && s.Credential.Token != "" {
		a.authorization = basicAuth("", s.Credential.Token)
	}
	if !a.server {
		root, err := url.Parse(s.Base())
		if err != nil {
			return nil, fault.New(fault.InvalidArgument, fault.InvalidField, "%q is no host of Azure DevOps.", s.Host)
		}
		a.organization, _, _ = strings.Cut(strings.Trim(root.Path, "/"), "/")
		root.Path = ""
		a.root = root.String()
	}
	return a, nil
}

// GitAuth implements Provider.
func (a azureDevOps) GitAuth() string { return a.authorization }

func (a azureDevOps) get(ctx context.Context, what string, out any, query url.Values, path ...string) error {
	return a.getAt(ctx, a.root, what, out, query, path...)
}

func (a azureDevOps) getAt(ctx context.Context, root, what string, out any, query url.Values, path ...string) error {
	v := url.Values{"api-version": {azureVersion}}
	for name, values := range query {
		v[name] = values
	}
	_, err := a.rest.get(ctx, what, out, root, v, path...)
	return err
}

// Viewer implements Provider.
func (a azureDevOps) Viewer(ctx context.Context) (Viewer, error) {
	if !a.server && a.organization == "" {
		me, err := a.profile(ctx)
		return Viewer{Login: me.Email}, err
	}
	var path []string
	if a.organization != "" {
		path = []string{a.organization}
	}
	var connection struct {
		User struct {
			Descriptor string `json:"descriptor"`
			Name       string `json:"providerDisplayName"`
			Properties struct {
				Account struct {
					Value string `json:"$value"`
				} `json:"Account"`
			} `json:"properties"`
		} `json:"authenticatedUser"`
	}
	// This call is for ever a preview.
	query := url.Values{"api-version": {azureVersion + "-preview"}}
	if err := a.get(ctx, "page", &connection, query, append(path, "_apis", "connectionData")...); err != nil {
		return Viewer{}, err
	}
	user := connection.User
	switch {
	case strings.HasPrefix(user.Descriptor, "System:PublicAccess"): // it answers nobody too
		return Viewer{}, a.refusedCredential()
	case user.Properties.Account.Value != "":
		return Viewer{Login: user.Properties.Account.Value}, nil
	case user.Name != "":
		return Viewer{Login: user.Name}, nil
	}
	return Viewer{}, a.garbled()
}

type azureRepository struct {
	Name    string `json:"name"`
	Project struct {
		Name string `json:"name"`
	} `json:"project"`
	// URL is that of the API; it tells how the organization is spelled.
	URL           string           `json:"url"`
	DefaultBranch string           `json:"defaultBranch"`
	Disabled      bool             `json:"isDisabled"`
	Parent        *azureRepository `json:"parentRepository"`
}

// split splits an owner. Azure DevOps does not mind the case of an organization, but
// what the runner may call is spelled as in the integration.
func (a azureDevOps) split(owner string) (organization, project string) {
	organization, project, _ = strings.Cut(owner, "/")
	if strings.EqualFold(organization, a.organization) {
		organization = a.organization
	}
	return organization, project
}

// owner is "organization/project" of what the organization answered, which spells
// itself in the URL.
func (a azureDevOps) owner(organization string, r azureRepository) string {
	if r.Project.Name == "" {
		return ""
	}
	if u, err := url.Parse(r.URL); err == nil && a.organization == "" {
		for segment := range strings.SplitSeq(u.Path, "/") {
			if strings.EqualFold(segment, organization) {
				organization = segment
			}
		}
	}
	return organization + "/" + r.Project.Name
}

func (a azureDevOps) repository(organization string, r azureRepository) (Repository, error) {
	out, err := a.rest.repository(a.owner(organization, r), r.Name)
	out.DefaultBranch = strings.TrimPrefix(r.DefaultBranch, "refs/heads/")
	if r.Parent != nil && r.Parent.Name != "" {
		out.UpstreamURL = a.target(a.owner(organization, *r.Parent), r.Parent.Name).CloneURL(a.Integration)
	}
	return out, err
}

// inRepository asks for something of a repository.
func (a azureDevOps) inRepository(ctx context.Context, what string, out any, query url.Values, owner, repo string, path ...string) error {
	organization, project := a.split(owner)
	return a.get(ctx, what, out, query, append([]string{organization, project, "_apis", "git", "repositories", repo}, path...)...)
}

// Repository implements Provider.
func (a azureDevOps) Repository(ctx context.Context, owner, repo string) (Repository, error) {
	var r azureRepository
	if err := a.inRepository(ctx, "repository", &r, url.Values{"includeParent": {"true"}}, owner, repo); err != nil {
		return Repository{}, err
	}
	organization, _ := a.split(owner)
	return a.repository(organization, r)
}

// Commit implements Provider.
func (a azureDevOps) Commit(ctx context.Context, owner, repo, id string) (string, error) {
	var commit struct {
		ID string `json:"commitId"`
	}
	err := a.inRepository(ctx, "commit", &commit, nil, owner, repo, "commits", id)
	if hasStatus(err, http.StatusBadRequest) {
		return "", a.missing("commit") // too short for the host
	}
	if err != nil {
		return "", err
	}
	return a.expanded(id, commit.ID)
}

// Change implements Provider.
func (a azureDevOps) Change(ctx context.Context, owner, repo, number string) (Change, error) {
	var pr struct {
		ID     int    `json:"pullRequestId"`
		Title  string `json:"title"`
		Author struct {
			Name string `json:"uniqueName"`
		} `json:"createdBy"`
		Status     string          `json:"status"`
		Draft      bool            `json:"isDraft"`
		Repository azureRepository `json:"repository"`
		// Fork is nil when the pull request comes from the repository itself.
		Fork *struct {
			Repository *azureRepository `json:"repository"`
		} `json:"forkSource"`
		From   string `json:"sourceRefName"`
		To     string `json:"targetRefName"`
		Commit struct {
			ID string `json:"commitId"`
		} `json:"lastMergeSourceCommit"`
	}
	if err := a.inRepository(ctx, "pull request", &pr, nil, owner, repo, "pullrequests", number); err != nil {
		return Change{}, err
	}
	organization, _ := a.split(owner)
	base, err := a.repository(organization, pr.Repository)
	if err != nil {
		return Change{}, err
	}
	number = strconv.Itoa(pr.ID)
	c := Change{
		Number: number, Title: pr.Title, URL: a.changeURL(base, number), Author: pr.Author.Name, State: changeState(pr.Status), Draft: pr.Draft,
		FromBranch: strings.TrimPrefix(pr.From, "refs/heads/"), ToBranch: strings.TrimPrefix(pr.To, "refs/heads/"),
		Base: base, Commit: pr.Commit.ID,
	}
	switch {
	case pr.Fork == nil:
		c.Head = &base
	case pr.Fork.Repository != nil:
		head, err := a.repository(organization, *pr.Fork.Repository)
		if err != nil {
			return Change{}, err
		}
		c.Head = &head
	}
	return c, nil
}

// Issue implements Provider. Issues are work items, which belong to a project and
// not to a repository.
func (a azureDevOps) Issue(ctx context.Context, owner, _, number string) (Issue, error) {
	var item struct {
		ID     int `json:"id"`
		Fields struct {
			Title string `json:"System.Title"`
		} `json:"fields"`
	}
	organization, project := a.split(owner)
	query := url.Values{"fields": {"System.Title"}}
	if err := a.get(ctx, "work item", &item, query, organization, project, "_apis", "wit", "workitems", number); err != nil {
		return Issue{}, err
	}
	if item.ID == 0 {
		return Issue{}, a.garbled()
	}
	return Issue{Number: strconv.Itoa(item.ID), Title: item.Fields.Title}, nil
}
