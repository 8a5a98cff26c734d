package scmhost

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-github/v92/github"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// gitHub is github.com, a tenant of ghe.com or a GitHub Enterprise Server.
type gitHub struct {
	Site
	client *github.Client
}

func newGitHub(s Site) (Provider, error) {
	api := gitHubAPI(s.Integration)
	options := []github.ClientOptionsFunc{
		github.WithHTTPClient(s.HTTP), github.WithURLs(&api, nil), github.WithUserAgent("muster"),
		// A provider lives for one question, too short to learn anything about limits.
		github.WithDisableRateLimitCheck(),
	}
	if s.Credential.Token != "" {
		options = append(options, github.WithAuthToken(s.Credential.Token))
	}
	client, err := github.NewClient(options...)
	if err != nil {
		return nil, fault.New(fault.FailedPrecondition, fault.HostNotConfigured, "The API of %s has no URL that can be used.", s.Host)
	}
	return &gitHub{Site: s, client: client}, nil
}

// gitHubAPI is where the API of a host is: on a host of its own, or below
// "/api/v3".
func gitHubAPI(i scmurl.Integration) string {
	for _, host := range i.APIHosts() {
		if strings.HasPrefix(host, "api.") {
			return "https://" + host + "/"
		}
	}
	return i.Base() + "/api/v3/"
}

func (g *gitHub) GitAuth() string {
	if g.Credential.Token == "" {
		return ""
	}
	return basicAuth("x-access-token", g.Credential.Token)
}

func (g *gitHub) Viewer(ctx context.Context) (Viewer, error) {
	user, resp, err := g.client.Users.Get(ctx, "")
	if err != nil {
		return Viewer{}, g.failed(resp, err, "user")
	}
	if user.GetLogin() == "" {
		return Viewer{}, g.garbled()
	}
	return Viewer{Login: user.GetLogin(), Scopes: scopes(resp.Header, "X-OAuth-Scopes")}, nil
}

func (g *gitHub) Repository(ctx context.Context, owner, repo string) (Repository, error) {
	if !gitHubNames(owner, repo) {
		return Repository{}, g.missing("repository")
	}
	r, resp, err := g.client.Repositories.Get(ctx, owner, repo)
	if err != nil {
		return Repository{}, g.failed(resp, err, "repository")
	}
	return g.repository(r)
}

// repository has clone URLs at the host as it was configured. That there are no
// commits cannot be seen: GitHub names the default branch that there will be.
func (g *gitHub) repository(r *github.Repository) (Repository, error) {
	t := gitHubTarget(r)
	if t.Repo == "" {
		return Repository{}, g.garbled()
	}
	found := Repository{Owner: t.Owner, Repo: t.Repo, CloneURL: t.CloneURL(g.Integration), DefaultBranch: r.GetDefaultBranch()}
	if parent := r.GetParent(); parent != nil {
		found.UpstreamURL = gitHubTarget(parent).CloneURL(g.Integration)
	}
	return found, nil
}

func gitHubTarget(r *github.Repository) scmurl.Target {
	owner, repo, _ := strings.Cut(r.GetFullName(), "/")
	return scmurl.Target{Owner: owner, Repo: repo}
}

func (g *gitHub) Commit(ctx context.Context, owner, repo, id string) (string, error) {
	if !gitHubNames(owner, repo) {
		return "", g.missing("repository")
	}
	full, resp, err := g.client.Repositories.GetCommitSHA1(ctx, owner, repo, id, "")
	if resp != nil && (resp.StatusCode == http.StatusUnprocessableEntity || resp.StatusCode == http.StatusConflict) {
		return "", g.missing("commit") // no such commit, several, or no commits at all
	}
	if err != nil {
		return "", g.failed(resp, err, "commit")
	}
	return g.expanded(id, full)
}

func (g *gitHub) Change(ctx context.Context, owner, repo, number string) (Change, error) {
	n, err := strconv.Atoi(number)
	if err != nil || !gitHubNames(owner, repo) {
		return Change{}, g.missing("pull request")
	}
	pr, resp, err := g.client.PullRequests.Get(ctx, owner, repo, n)
	if err != nil {
		return Change{}, g.failed(resp, err, "pull request")
	}
	base, err := g.repository(pr.GetBase().GetRepo())
	if err != nil {
		return Change{}, err
	}
	number = strconv.Itoa(pr.GetNumber())
	change := Change{
		Number: number, Title: pr.GetTitle(), URL: g.changeURL(base, number), Author: pr.GetUser().GetLogin(),
		State: changeStateOf(pr.GetState(), pr.GetMerged()), Draft: pr.GetDraft(),
		FromBranch: pr.GetHead().GetRef(), ToBranch: pr.GetBase().GetRef(), Base: base, Commit: pr.GetHead().GetSHA(),
	}
	if from := pr.GetHead().GetRepo(); from != nil {
		head, err := g.repository(from)
		if err != nil {
			return Change{}, err
		}
		change.Head = &head
	}
	return change, nil
}

func (g *gitHub) Issue(ctx context.Context, owner, repo, number string) (Issue, error) {
	n, err := strconv.Atoi(number)
	if err != nil || !gitHubNames(owner, repo) {
		return Issue{}, g.missing("issue")
	}
	issue, resp, err := g.client.Issues.Get(ctx, owner, repo, n)
	if err != nil {
		return Issue{}, g.failed(resp, err, "issue")
	}
	if issue.GetNumber() == 0 {
		return Issue{}, g.garbled()
	}
	if issue.IsPullRequest() {
		return Issue{}, ErrIsChange
	}
	return Issue{Number: strconv.Itoa(issue.GetNumber()), Title: issue.GetTitle()}, nil
}

func (g *gitHub) Organizations(ctx context.Context, q OrganizationQuery) (Organizations, error) {
	if q.Text != "" {
		return Organizations{}, fault.Invalid("query", "GitHub lists organizations and cannot search them. Leave it empty.")
	}
	page, err := pageNumber(q.Cursor)
	if err != nil {
		return Organizations{}, err
	}
	memberships, next, err := g.memberships(ctx, page, q.Size)
	if err != nil {
		return Organizations{}, err
	}
	found := Organizations{Cursor: pageCursor(next)}
	for _, m := range memberships {
		name := m.GetOrganization().GetLogin()
		found.Rows = append(found.Rows, Organization{Name: name, URL: g.Base() + "/" + name, Admin: m.GetRole() == "admin"})
	}
	return found, nil
}

// memberships reads a page of the user's organizations; next is zero at the end.
func (g *gitHub) memberships(ctx context.Context, page, size int) (rows []*github.Membership, next int, err error) {
	rows, resp, err := g.client.Organizations.ListOrgMemberships(ctx, &github.ListOrgMembershipsOptions{
		State: "active", ListOptions: github.ListOptions{Page: page, PerPage: size},
	})
	if err != nil {
		return nil, 0, g.failed(resp, err, "list of organizations")
	}
	for _, m := range rows {
		if m.GetOrganization().GetLogin() == "" {
			return nil, 0, g.garbled()
		}
	}
	return rows, resp.NextPage, nil
}

// failed turns an error of the client into a fault; what is what was asked for.
func (g *gitHub) failed(resp *github.Response, err error, what string) error {
	if limited := new(github.AbuseRateLimitError); errors.As(err, &limited) {
		return fault.New(fault.ResourceExhausted, fault.HostLimited, "%s asks to be called less often.", g.Host).
			WithRetryAfter(min(limited.GetRetryAfter(), time.Hour))
	}
	switch {
	case resp == nil:
		return g.faultOf(nil, err)
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone:
		return g.missing(what)
	}
	return g.faultOf(resp.Response, err)
}

// gitHubNames tells whether names can be names of GitHub. The client puts them
// into URLs as they are.
func gitHubNames(names ...string) bool {
	for _, name := range names {
		if name == "." || name == ".." || !gitHubName.MatchString(name) {
			return false
		}
	}
	return true
}

var gitHubName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
