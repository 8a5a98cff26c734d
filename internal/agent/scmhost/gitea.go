package scmhost

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"code.gitea.io/sdk/gitea"
	"golang.org/x/sync/errgroup"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// giteaMost is how many rows an answer of Gitea has at most. An administrator may
// lower that: pages get shorter then, and still follow upon each other.
const giteaMost = 50

// giteaHost is a Gitea or a Forgejo.
type giteaHost struct{ Site }

func newGitea(s Site) (Provider, error) { return giteaHost{s}, nil }

func (g giteaHost) GitAuth() string {
	if g.Credential.Token == "" {
		return ""
	}
	return basicAuth("oauth2", g.Credential.Token)
}

// giteaCall makes one call about what; the client has the context of its calls
// in it, so that each gets its own.
func giteaCall[T any](ctx context.Context, g giteaHost, what string, call func(*gitea.Client) (T, *gitea.Response, error)) (T, *gitea.Response, error) {
	var none T
	client, err := gitea.NewClient(g.Base(), gitea.SetHTTPClient(g.HTTP), gitea.SetToken(g.Credential.Token), gitea.SetContext(ctx),
		gitea.SetGiteaVersion("")) // or it asks for the version first
	if err != nil {
		return none, nil, fault.New(fault.FailedPrecondition, fault.HostNotConfigured, "The API of %s has no URL that can be used.", g.Host)
	}
	out, resp, err := call(client)
	if err != nil {
		return none, nil, g.failed(resp, err, what)
	}
	return out, resp, nil
}

// failed turns an error of the client into a fault.
func (g giteaHost) failed(resp *gitea.Response, err error, what string) error {
	switch {
	case resp == nil:
		return g.faultOf(nil, err)
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone:
		return g.missing(what)
	case resp.StatusCode == http.StatusForbidden && strings.Contains(err.Error(), "scope"):
		return g.narrow()
	}
	return g.faultOf(resp.Response, err)
}

func (g giteaHost) Viewer(ctx context.Context) (Viewer, error) {
	me, _, err := giteaCall(ctx, g, "user", (*gitea.Client).GetMyUserInfo)
	if err != nil {
		return Viewer{}, err
	}
	if me.UserName == "" {
		return Viewer{}, g.garbled()
	}
	return Viewer{Login: me.UserName}, nil
}

func (g giteaHost) Repository(ctx context.Context, owner, repo string) (Repository, error) {
	r, _, err := giteaCall(ctx, g, "repository", func(c *gitea.Client) (*gitea.Repository, *gitea.Response, error) {
		return c.GetRepo(owner, repo)
	})
	if err != nil {
		return Repository{}, err
	}
	if r.FullName == "" {
		return Repository{}, g.garbled()
	}
	return g.repository(r), nil
}

// repository has clone URLs at the host as it was configured. Those of the answer
// are at the address that the server believes it has.
func (g giteaHost) repository(r *gitea.Repository) Repository {
	t := giteaTarget(r)
	out := Repository{Owner: t.Owner, Repo: t.Repo, CloneURL: t.CloneURL(g.Integration), DefaultBranch: r.DefaultBranch}
	if r.Empty {
		out.DefaultBranch = "" // the answer has the one that it will have
	}
	if r.Parent != nil {
		out.UpstreamURL = giteaTarget(r.Parent).CloneURL(g.Integration)
	}
	return out
}

func giteaTarget(r *gitea.Repository) scmurl.Target {
	owner, repo, _ := strings.Cut(r.FullName, "/")
	return scmurl.Target{Owner: owner, Repo: repo}
}

// Commit does not use the client, which cannot leave out what the commit changed.
func (g giteaHost) Commit(ctx context.Context, owner, repo, id string) (string, error) {
	u := g.Base() + "/api/v1/repos/" + url.PathEscape(owner) + "/" + url.PathEscape(repo) + "/git/commits/" + url.PathEscape(id) +
		"?stat=false&verification=false&files=false"
	var commit struct {
		SHA string `json:"sha"`
	}
	if _, err := g.getJSON(ctx, u, g.GitAuth(), &commit); err != nil {
		if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Unimplemented) {
			return "", g.missing("commit")
		}
		return "", err
	}
	return g.expanded(id, commit.SHA)
}

func (g giteaHost) Change(ctx context.Context, owner, repo, number string) (Change, error) {
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return Change{}, g.missing("pull request")
	}
	pr, _, err := giteaCall(ctx, g, "pull request", func(c *gitea.Client) (*gitea.PullRequest, *gitea.Response, error) {
		return c.GetPullRequest(owner, repo, n)
	})
	if err != nil {
		return Change{}, err
	}
	if pr.Base == nil || pr.Base.Repository == nil || pr.Head == nil {
		return Change{}, g.garbled()
	}
	base := g.repository(pr.Base.Repository)
	number = strconv.FormatInt(pr.Index, 10)
	change := Change{
		Number: number, Title: pr.Title, URL: g.changeURL(base, number), State: changeStateOf(string(pr.State), pr.HasMerged), Draft: pr.Draft,
		FromBranch: pr.Head.Name, ToBranch: pr.Base.Ref, Base: base, Commit: pr.Head.Sha,
	}
	if pr.Poster != nil {
		change.Author = pr.Poster.UserName
	}
	if pr.Head.Repository != nil {
		change.Head = new(g.repository(pr.Head.Repository))
	}
	return change, nil
}

func (g giteaHost) Issue(ctx context.Context, owner, repo, number string) (Issue, error) {
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return Issue{}, g.missing("issue")
	}
	issue, _, err := giteaCall(ctx, g, "issue", func(c *gitea.Client) (*gitea.Issue, *gitea.Response, error) {
		return c.GetIssue(owner, repo, n)
	})
	if err != nil {
		return Issue{}, err
	}
	switch {
	case issue.PullRequest != nil:
		return Issue{}, ErrIsChange
	case issue.Index == 0:
		return Issue{}, g.garbled()
	}
	return Issue{Number: strconv.FormatInt(issue.Index, 10), Title: issue.Title}, nil
}

// Search has the user's own repositories first, for which it takes a call to learn
// the user's number. All that is Gitea's query language
// is the comma, which divides alternatives; no name has one.
func (g giteaHost) Search(ctx context.Context, q Query) (Repositories, error) {
	o := gitea.SearchRepoOptions{Keyword: q.Text, Sort: "updated", Order: "desc"}
	if !q.Native {
		o.Keyword = strings.ReplaceAll(q.Text, ",", " ")
	}
	me, _, err := giteaCall(ctx, g, "user", (*gitea.Client).GetMyUserInfo)
	switch {
	case err == nil:
		o.PrioritizedByOwnerID = me.ID
	case !fault.Is(err, fault.PermissionDenied): // a token may be too narrow for this alone
		return Repositories{}, err
	}
	// A page that is too long for one answer is made of two halves.
	halves := pages(q.Size, giteaMost)
	size := q.Size / halves
	rows := make([][]*gitea.Repository, halves)
	resp := make([]*gitea.Response, halves)
	calls, ctx := errgroup.WithContext(ctx)
	for i := range halves {
		o := o
		o.ListOptions = gitea.ListOptions{Page: (q.Page-1)*halves + i + 1, PageSize: size}
		calls.Go(func() (err error) {
			rows[i], resp[i], err = giteaCall(ctx, g, "search", func(c *gitea.Client) ([]*gitea.Repository, *gitea.Response, error) {
				return c.SearchRepos(o)
			})
			return err
		})
	}
	if err := calls.Wait(); err != nil {
		return Repositories{}, err
	}
	end := resp[halves-1]
	found := Repositories{More: end.NextPage != 0, Pages: -1, Total: -1}
	if n, err := strconv.Atoi(end.Header.Get("X-Total-Count")); err == nil {
		found.Total, found.Pages = n, pages(n, size*halves)
	}
	if end.LastPage != 0 {
		found.Pages = pages(end.LastPage, halves) // counts what the server has made of the size
	}
	for _, half := range rows {
		for _, r := range half {
			found.Rows = append(found.Rows, FoundRepository{Name: r.FullName, URL: giteaTarget(r).URL(g.Integration)})
		}
	}
	return found, nil
}

func (g giteaHost) Organizations(ctx context.Context, q OrganizationQuery) (Organizations, error) {
	if q.Text != "" {
		return Organizations{}, fault.Invalid("query", "Gitea lists organizations and cannot search them. Leave it empty.")
	}
	page, err := pageNumber(q.Cursor)
	if err != nil {
		return Organizations{}, err
	}
	orgs, resp, err := giteaCall(ctx, g, "list of organizations", func(c *gitea.Client) ([]*gitea.Organization, *gitea.Response, error) {
		return c.ListMyOrgs(gitea.ListOrgsOptions{ListOptions: gitea.ListOptions{Page: page, PageSize: min(q.Size, giteaMost)}})
	})
	if err != nil {
		return Organizations{}, err
	}
	found := Organizations{Cursor: pageCursor(resp.NextPage)}
	for _, o := range orgs {
		found.Rows = append(found.Rows, Organization{Name: o.Name, URL: g.Base() + "/" + url.PathEscape(o.Name)})
	}
	return found, nil
}
