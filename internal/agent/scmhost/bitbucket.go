package scmhost

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/musterhq/muster/internal/fault"
)

const bitbucketAPI = "https://api.bitbucket.org/2.0"

// bitbucket is Bitbucket Cloud.
type bitbucket struct{ rest }

func newBitbucket(s Site) (Provider, error) {
	b := bitbucket{rest{Site: s, authorization: s.bearer()}}
	if email, token, ok := b.apiToken(); ok {
		b.authorization = basicAuth(email, token)
	}
	return b, nil
}

// apiToken splits an API token of a person, which is kept with the e-mail address
// that the REST API wants beside it: "ada@example.com:ATATT...". The tokens of
// OAuth, repositories and workspaces stand alone.
func (b bitbucket) apiToken() (email, token string, ok bool) {
	i := strings.LastIndexByte(b.Credential.Token, ':')
	if b.Credential.OAuth || i < 0 {
		return "", "", false
	}
	return b.Credential.Token[:i], b.Credential.Token[i+1:], true
}

// GitAuth implements Provider.
func (b bitbucket) GitAuth() string {
	if b.Credential.Token == "" {
		return ""
	}
	if _, token, ok := b.apiToken(); ok {
		return basicAuth("x-bitbucket-api-token-auth", token)
	}
	return basicAuth("x-token-auth", b.Credential.Token)
}

// get calls the API; owners and repositories may be named by UUIDs in braces.
func (b bitbucket) get(ctx context.Context, what string, out any, query url.Values, path ...string) (http.Header, error) {
	return b.rest.get(ctx, what, out, bitbucketAPI, query, path...)
}

// Viewer implements Provider.
func (b bitbucket) Viewer(ctx context.Context) (Viewer, error) {
	var me bitbucketUser
	header, err := b.get(ctx, "user", &me, nil, "user")
	if err != nil {
		return Viewer{}, err
	}
	if me.login() == "" {
		return Viewer{}, b.garbled()
	}
	return Viewer{Login: me.login(), Scopes: scopes(header, "X-OAuth-Scopes")}, nil
}

// bitbucketUser is an account. People have a nickname; only the answer about
// oneself has a user name.
type bitbucketUser struct {
	Username string `json:"username"`
	Nickname string `json:"nickname"`
}

func (u bitbucketUser) login() string {
	if u.Username != "" {
		return u.Username
	}
	return u.Nickname
}

type bitbucketRepository struct {
	FullName   string `json:"full_name"`
	MainBranch struct {
		Name string `json:"name"`
	} `json:"mainbranch"`
	Parent *struct {
		FullName string `json:"full_name"`
	} `json:"parent"`
}

func (b bitbucket) repository(r bitbucketRepository) (Repository, error) {
	owner, repo, _ := strings.Cut(r.FullName, "/")
	out, err := b.rest.repository(owner, repo)
	out.DefaultBranch = r.MainBranch.Name
	if r.Parent != nil {
		owner, repo, _ := strings.Cut(r.Parent.FullName, "/")
		out.UpstreamURL = b.target(owner, repo).CloneURL(b.Integration)
	}
	return out, err
}

// Repository implements Provider.
func (b bitbucket) Repository(ctx context.Context, owner, repo string) (Repository, error) {
	var r bitbucketRepository
	if _, err := b.get(ctx, "repository", &r, nil, "repositories", owner, repo); err != nil {
		return Repository{}, err
	}
	return b.repository(r)
}

// Commit implements Provider.
func (b bitbucket) Commit(ctx context.Context, owner, repo, id string) (string, error) {
	var commit struct {
		Hash string `json:"hash"`
	}
	if _, err := b.get(ctx, "commit", &commit, url.Values{"fields": {"hash"}}, "repositories", owner, repo, "commit", id); err != nil {
		return "", err
	}
	return b.expanded(id, commit.Hash)
}

// Change implements Provider. It makes two calls: a pull request has only the
// beginning of its commit's id. The commit is empty when the host has dropped it,
// which happens after the source branch is gone.
func (b bitbucket) Change(ctx context.Context, owner, repo, number string) (Change, error) {
	var pr struct {
		ID     int           `json:"id"`
		Title  string        `json:"title"`
		Author bitbucketUser `json:"author"`
		State  string        `json:"state"`
		Draft  bool          `json:"draft"`
		Source struct {
			Branch     struct{ Name string }
			Repository *bitbucketRepository
			Commit     struct{ Hash string }
		} `json:"source"`
		Destination struct {
			Branch     struct{ Name string }
			Repository bitbucketRepository
		} `json:"destination"`
	}
	if _, err := b.get(ctx, "pull request", &pr, nil, "repositories", owner, repo, "pullrequests", number); err != nil {
		return Change{}, err
	}
	base, err := b.repository(pr.Destination.Repository)
	if err != nil {
		return Change{}, err
	}
	number = strconv.Itoa(pr.ID)
	c := Change{
		Number: number, Title: pr.Title, URL: b.changeURL(base, number), Author: pr.Author.login(), State: changeState(pr.State), Draft: pr.Draft,
		FromBranch: pr.Source.Branch.Name, ToBranch: pr.Destination.Branch.Name, Base: base,
	}
	at := base
	if pr.Source.Repository != nil {
		if at, err = b.repository(*pr.Source.Repository); err != nil {
			return Change{}, err
		}
		c.Head = &at
	}
	if pr.Source.Commit.Hash != "" {
		c.Commit, err = b.Commit(ctx, at.Owner, at.Repo, pr.Source.Commit.Hash)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return Change{}, err
		}
	}
	return c, nil
}

// Issue implements Provider. Bitbucket has given up its issues.
func (b bitbucket) Issue(context.Context, string, string, string) (Issue, error) {
	return Issue{}, fault.New(fault.NotFound, fault.ReasonNotFound, "%s has no issues any more.", b.Host)
}
