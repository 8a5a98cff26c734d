package scmhost

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/musterhq/muster/internal/fault"
)

// bitbucketServer is Bitbucket Data Center.
type bitbucketServer struct{ rest }

func newBitbucketServer(s Site) (Provider, error) {
	return bitbucketServer{rest{Site: s, authorization: s.bearer()}}, nil
}

// GitAuth implements Provider. The tokens of projects and repositories work as
// bearer tokens only, those of people do as well.
func (b bitbucketServer) GitAuth() string { return b.authorization }

func (b bitbucketServer) get(ctx context.Context, what string, out any, query url.Values, path ...string) (http.Header, error) {
	return b.rest.get(ctx, what, out, b.Base()+"/rest/api/latest", query, path...)
}

// Viewer implements Provider. The API has no call for it, but every answer names
// the user in a header; an answer to nobody does not.
func (b bitbucketServer) Viewer(ctx context.Context) (Viewer, error) {
	var ignored struct{}
	header, err := b.get(ctx, "page", &ignored, nil, "application-properties")
	if err != nil {
		return Viewer{}, err
	}
	login := header.Get("X-Ausername")
	if login == "" || login == "anonymous" {
		return Viewer{}, b.refusedCredential()
	}
	return Viewer{Login: login}, nil
}

type bitbucketServerRepository struct {
	Slug    string `json:"slug"`
	Project struct {
		Key string `json:"key"`
		// Type is PERSONAL for the space of a user, who is the owner.
		Type  string `json:"type"`
		Owner struct {
			Slug string `json:"slug"`
		} `json:"owner"`
	} `json:"project"`
	Origin *bitbucketServerRepository `json:"origin"`
}

// owner is the key of a project, or "~user" for a personal space.
func (r bitbucketServerRepository) owner() string {
	if r.Project.Owner.Slug != "" {
		return "~" + r.Project.Owner.Slug
	}
	if strings.HasPrefix(r.Project.Key, "~") {
		return strings.ToLower(r.Project.Key)
	}
	return r.Project.Key
}

func (b bitbucketServer) repository(r bitbucketServerRepository) (Repository, error) {
	out, err := b.rest.repository(r.owner(), r.Slug)
	if r.Origin != nil {
		out.UpstreamURL = b.target(r.Origin.owner(), r.Origin.Slug).CloneURL(b.Integration)
	}
	return out, err
}

// Repository implements Provider. It makes two calls at once, since the answer
// about a repository does not tell the default branch.
func (b bitbucketServer) Repository(ctx context.Context, owner, repo string) (Repository, error) {
	var r bitbucketServerRepository
	var branch struct {
		DisplayID string `json:"displayId"`
	}
	var both errgroup.Group
	both.Go(func() error {
		_, err := b.get(ctx, "repository", &r, nil, "projects", owner, "repos", repo)
		return err
	})
	both.Go(func() error {
		_, err := b.get(ctx, "branch", &branch, nil, "projects", owner, "repos", repo, "default-branch")
		if fault.Is(err, fault.NotFound) || hasStatus(err, http.StatusNoContent) {
			return nil // there are no commits, or no repository
		}
		return err
	})
	if err := both.Wait(); err != nil {
		return Repository{}, err
	}
	out, err := b.repository(r)
	out.DefaultBranch = branch.DisplayID
	return out, err
}

// Commit implements Provider.
func (b bitbucketServer) Commit(ctx context.Context, owner, repo, id string) (string, error) {
	var commit struct {
		ID string `json:"id"`
	}
	if _, err := b.get(ctx, "commit", &commit, nil, "projects", owner, "repos", repo, "commits", id); err != nil {
		return "", err
	}
	return b.expanded(id, commit.ID)
}

// Change implements Provider.
func (b bitbucketServer) Change(ctx context.Context, owner, repo, number string) (Change, error) {
	type ref struct {
		ID           string                     `json:"id"`
		LatestCommit string                     `json:"latestCommit"`
		Repository   *bitbucketServerRepository `json:"repository"`
	}
	var pr struct {
		ID     int    `json:"id"`
		Title  string `json:"title"`
		Author struct {
			User struct {
				Name string `json:"name"`
			} `json:"user"`
		} `json:"author"`
		State   string `json:"state"`
		Draft   bool   `json:"draft"` // older versions have no drafts
		FromRef ref    `json:"fromRef"`
		ToRef   ref    `json:"toRef"`
	}
	if _, err := b.get(ctx, "pull request", &pr, nil, "projects", owner, "repos", repo, "pull-requests", number); err != nil {
		return Change{}, err
	}
	if pr.ToRef.Repository == nil {
		return Change{}, b.garbled()
	}
	base, err := b.repository(*pr.ToRef.Repository)
	if err != nil {
		return Change{}, err
	}
	number = strconv.Itoa(pr.ID)
	c := Change{
		Number: number, Title: pr.Title, URL: b.changeURL(base, number), Author: pr.Author.User.Name, State: changeState(pr.State), Draft: pr.Draft,
		FromBranch: strings.TrimPrefix(pr.FromRef.ID, "refs/heads/"), ToBranch: strings.TrimPrefix(pr.ToRef.ID, "refs/heads/"),
		Base: base, Commit: pr.FromRef.LatestCommit,
	}
	if pr.FromRef.Repository != nil {
		head, err := b.repository(*pr.FromRef.Repository)
		if err != nil {
			return Change{}, err
		}
		c.Head = &head
	}
	return c, nil
}

// Issue implements Provider. Bitbucket has none.
func (b bitbucketServer) Issue(context.Context, string, string, string) (Issue, error) {
	return Issue{}, fault.New(fault.NotFound, fault.ReasonNotFound, "%s has no issues.", b.Host)
}
