package scmhost

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"
	"golang.org/x/oauth2"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// gitLab is gitlab.com or a GitLab of one's own.
type gitLab struct {
	Site
	client *gitlab.Client
}

func newGitLab(s Site) (Provider, error) {
	var auth gitlab.AuthSource = gitlab.Unauthenticated{}
	if s.Credential.Token != "" {
		// Bearer for personal access tokens too: Go drops this header, and not
		// GitLab's own, when a redirect leads to another host.
		auth = gitlab.OAuthTokenSource{TokenSource: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: s.Credential.Token})}
	}
	client, err := gitlab.NewAuthSourceClient(
		auth,
		gitlab.WithBaseURL(s.Base()+"/api/v4"), gitlab.WithHTTPClient(s.HTTP), gitlab.WithUserAgent("muster"),
		gitlab.WithoutRetries(), gitlab.WithCustomLimiter(unlimited{}), gitlab.WithURLWarningLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		return nil, fault.New(fault.FailedPrecondition, fault.HostNotConfigured, "The API of %s has no URL that can be used.", s.Host)
	}
	return &gitLab{Site: s, client: client}, nil
}

// unlimited takes the place of the client's own limit, which makes calls wait.
type unlimited struct{}

func (unlimited) Wait(context.Context) error { return nil }

func (g *gitLab) GitAuth() string {
	if g.Credential.Token == "" {
		return ""
	}
	return basicAuth("oauth2", g.Credential.Token)
}

func (g *gitLab) Viewer(ctx context.Context) (Viewer, error) {
	user, err := gitLabOne[gitlab.User](g, "user")(g.client.Users.CurrentUser(gitlab.WithContext(ctx)))
	if err != nil {
		return Viewer{}, err
	}
	if user.Username == "" {
		return Viewer{}, g.garbled()
	}
	viewer := Viewer{Login: user.Username}
	if !g.Credential.OAuth {
		// Old servers and some kinds of token do not tell; the user is known anyway.
		token, err := gitLabOne[gitlab.PersonalAccessToken](g, "token")(g.client.PersonalAccessTokens.GetSinglePersonalAccessToken(gitlab.WithContext(ctx)))
		if err == nil {
			viewer.Scopes = token.Scopes
		}
	}
	return viewer, nil
}

func (g *gitLab) Repository(ctx context.Context, owner, repo string) (Repository, error) {
	path, err := g.path(owner, repo)
	if err != nil {
		return Repository{}, err
	}
	return g.project(ctx, path)
}

// path is that of a project. Names of which it would lead to another place of the
// API are those of no project.
func (g *gitLab) path(owner, repo string) (string, error) {
	path := owner + "/" + repo
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." || name == ".." {
			return "", g.missing("project")
		}
	}
	return path, nil
}

// project reads a project by its path or its number.
func (g *gitLab) project(ctx context.Context, id any) (Repository, error) {
	p, err := gitLabOne[gitlab.Project](g, "project")(g.client.Projects.GetProject(id, nil, gitlab.WithContext(ctx)))
	if err != nil {
		return Repository{}, err
	}
	// Clone URLs are at the host as it was configured.
	t := gitLabTarget(p.PathWithNamespace)
	if t.Owner == "" {
		return Repository{}, g.garbled()
	}
	found := Repository{Owner: t.Owner, Repo: t.Repo, CloneURL: t.CloneURL(g.Integration), DefaultBranch: p.DefaultBranch}
	if p.EmptyRepo {
		found.DefaultBranch = ""
	}
	if parent := p.ForkedFromProject; parent != nil {
		found.UpstreamURL = gitLabTarget(parent.PathWithNamespace).CloneURL(g.Integration)
	}
	return found, nil
}

func gitLabTarget(path string) scmurl.Target {
	owner, repo := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		owner, repo = path[:i], path[i+1:]
	}
	return scmurl.Target{Owner: owner, Repo: repo}
}

func (g *gitLab) Commit(ctx context.Context, owner, repo, id string) (string, error) {
	path, err := g.path(owner, repo)
	if err != nil {
		return "", err
	}
	options := &gitlab.GetCommitOptions{Stats: new(false)}
	c, err := gitLabOne[gitlab.Commit](g, "commit")(g.client.Commits.GetCommit(path, id, options, gitlab.WithContext(ctx)))
	if err != nil {
		return "", err
	}
	return g.expanded(id, c.ID)
}

// Change takes two calls, and a third for a merge request from a fork. Merge
// requests and issues are numbered apart, so a number never is of the other kind.
func (g *gitLab) Change(ctx context.Context, owner, repo, number string) (Change, error) {
	path, err := g.path(owner, repo)
	if err != nil {
		return Change{}, err
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return Change{}, g.missing("merge request")
	}
	mr, err := gitLabOne[gitlab.MergeRequest](g, "merge request")(g.client.MergeRequests.GetMergeRequest(path, n, nil, gitlab.WithContext(ctx)))
	if err != nil {
		return Change{}, err
	}
	if mr.IID == 0 || mr.TargetProjectID == 0 {
		return Change{}, g.garbled()
	}
	base, err := g.project(ctx, mr.TargetProjectID)
	if err != nil {
		return Change{}, err
	}
	number = strconv.FormatInt(mr.IID, 10)
	change := Change{
		Number: number, Title: mr.Title, URL: g.changeURL(base, number), State: changeState(mr.State), Draft: mr.Draft,
		FromBranch: mr.SourceBranch, ToBranch: mr.TargetBranch, Base: base, Commit: mr.SHA,
	}
	if mr.Author != nil {
		change.Author = mr.Author.Username
	}
	switch mr.SourceProjectID {
	case 0: // deleted
	case mr.TargetProjectID:
		change.Head = &base
	default:
		head, err := g.project(ctx, mr.SourceProjectID)
		switch {
		case err == nil:
			change.Head = &head
		case !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.PermissionDenied):
			return Change{}, err
		}
	}
	return change, nil
}

func (g *gitLab) Issue(ctx context.Context, owner, repo, number string) (Issue, error) {
	path, err := g.path(owner, repo)
	if err != nil {
		return Issue{}, err
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return Issue{}, g.missing("issue")
	}
	issue, err := gitLabOne[gitlab.Issue](g, "issue")(g.client.Issues.GetIssue(path, n, gitlab.WithContext(ctx)))
	if err != nil {
		return Issue{}, err
	}
	if issue.IID == 0 {
		return Issue{}, g.garbled()
	}
	return Issue{Number: strconv.FormatInt(issue.IID, 10), Title: issue.Title}, nil
}

func (g *gitLab) Organizations(ctx context.Context, q OrganizationQuery) (Organizations, error) {
	page, err := pageNumber(q.Cursor)
	if err != nil {
		return Organizations{}, err
	}
	options := &gitlab.ListGroupsOptions{ListOptions: gitLabPage(page, q.Size), MinAccessLevel: new(gitlab.GuestPermissions)}
	if q.Text != "" {
		options.Search = new(q.Text)
	}
	groups, resp, err := g.client.Groups.ListGroups(options, gitlab.WithContext(ctx))
	if err != nil {
		return Organizations{}, g.failed(resp, err, "list of groups")
	}
	found := Organizations{Cursor: pageCursor(int(resp.NextPage))}
	for _, group := range groups {
		if group == nil || group.FullPath == "" {
			return Organizations{}, g.garbled()
		}
		found.Rows = append(found.Rows, Organization{Name: group.FullPath, URL: g.Base() + "/groups/" + group.FullPath})
	}
	return found, nil
}

// gitLabOne takes an answer of the client about one thing, which is called what.
func gitLabOne[T any](g *gitLab, what string) func(*T, *gitlab.Response, error) (*T, error) {
	return func(one *T, resp *gitlab.Response, err error) (*T, error) {
		if err != nil {
			return nil, g.failed(resp, err, what)
		}
		if one == nil { // the answer was "null"
			return nil, g.garbled()
		}
		return one, nil
	}
}

// failed turns an error of the client into a fault; what is what was asked for.
func (g *gitLab) failed(resp *gitlab.Response, err error, what string) error {
	if resp == nil {
		return g.faultOf(nil, err)
	}
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone {
		return g.missing(what)
	}
	if e := new(gitlab.ErrorResponse); errors.As(err, &e) && e.StatusCode == http.StatusForbidden && strings.Contains(e.Message, "insufficient_scope") {
		return g.narrow()
	}
	return g.faultOf(resp.Response, err)
}
