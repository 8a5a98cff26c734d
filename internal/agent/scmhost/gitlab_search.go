package scmhost

import (
	"context"
	"net/http"
	"net/url"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/musterhq/muster/internal/fault"
)

// Search with words finds projects of which the user is a member first, and then
// whatever else the credential may read. A native query is that of GitLab's
// search API: "scope=projects&search=kubernetes".
func (g *gitLab) Search(ctx context.Context, q Query) (Repositories, error) {
	if q.Native {
		return g.native(ctx, q)
	}
	list := func(membership *bool) lister {
		return func(page, size int) (Repositories, error) {
			options := &gitlab.ListProjectsOptions{
				ListOptions: gitLabPage(page, size), Membership: membership, Simple: new(true), OrderBy: new("last_activity_at"),
			}
			if q.Text != "" {
				options.Search = new(q.Text)
			}
			projects, resp, err := g.client.Projects.ListProjects(options, gitlab.WithContext(ctx))
			return g.found(projects, resp, err)
		}
	}
	return ownFirst(q, list(new(true)), list(nil))
}

func (g *gitLab) native(ctx context.Context, q Query) (Repositories, error) {
	values, err := url.ParseQuery(q.Text)
	if err != nil {
		return Repositories{}, fault.Invalid("search_string", "is no query of GitLab's, such as scope=projects&search=kubernetes")
	}
	options, search := &gitlab.SearchOptions{ListOptions: gitLabPage(q.Page, q.Size)}, ""
	for key, value := range values {
		switch key {
		case "scope":
			if value[0] != "projects" {
				return Repositories{}, fault.Invalid("search_string", "finds projects; the scope must be projects")
			}
		case "search":
			search = value[0]
		case "order_by":
			options.OrderBy = value[0]
		case "sort":
			options.Sort = value[0]
		case "search_type":
			options.SearchType = new(gitlab.SearchType(value[0]))
		default:
			return Repositories{}, fault.Invalid("search_string", "has the parameter %q; scope, search, order_by, sort and search_type can be used", key)
		}
		if len(value) > 1 {
			return Repositories{}, fault.Invalid("search_string", "has the parameter %q twice", key)
		}
	}
	if search == "" {
		return Repositories{}, fault.Invalid("search_string", "says nothing to search for; write it like scope=projects&search=kubernetes")
	}
	projects, resp, err := g.client.Search.Projects(search, options, gitlab.WithContext(ctx))
	return g.found(projects, resp, err)
}

func gitLabPage(page, size int) gitlab.ListOptions {
	return gitlab.ListOptions{Page: int64(page), PerPage: int64(size)}
}

// found reads a page of projects. Of more than 10,000 GitLab does not tell how
// many there are.
func (g *gitLab) found(projects []*gitlab.Project, resp *gitlab.Response, err error) (Repositories, error) {
	if resp != nil && (resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusMethodNotAllowed) {
		return Repositories{}, fault.New(fault.InvalidArgument, fault.InvalidField, "%s does not answer this query, or not so many pages of it.", g.Host)
	}
	if err != nil {
		return Repositories{}, g.failed(resp, err, "list of projects")
	}
	found := Repositories{More: resp.NextPage > 0, Pages: -1, Total: -1}
	if resp.Header.Get("X-Total") != "" {
		found.Pages, found.Total = int(resp.TotalPages), int(resp.TotalItems)
	}
	for _, p := range projects {
		if p == nil || p.PathWithNamespace == "" {
			return Repositories{}, g.garbled()
		}
		found.Rows = append(found.Rows, FoundRepository{Name: p.PathWithNamespace, URL: gitLabTarget(p.PathWithNamespace).URL(g.Integration)})
	}
	return found, nil
}
