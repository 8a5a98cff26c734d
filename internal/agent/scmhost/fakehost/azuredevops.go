package fakehost

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// AzureDevOps is the state of a fake Azure DevOps: Services, which a server made
// with NewNamed for dev.azure.com and app.vssps.visualstudio.com can be, or a
// Server.
type AzureDevOps struct {
	// Directory is the virtual directory of a Server: "/tfs". Services have none.
	Directory string
	// Server says that this is a Server; its organizations are collections.
	Server bool
	// User is who the credentials belong to: a personal access token, and a token
	// of Entra ID.
	User, PAT, Bearer string
	Organizations     []AzureDevOpsOrganization
	Repositories      []*AzureDevOpsRepository
	WorkItems         []AzureDevOpsWorkItem
}

// AzureDevOpsOrganization is an organization or a collection.
type AzureDevOpsOrganization struct {
	Name     string
	Projects []string
}

// AzureDevOpsRepository is a repository.
type AzureDevOpsRepository struct {
	Organization, Project, Name string
	Parent                      *AzureDevOpsRepository
	Disabled                    bool
	// Git is nil for a repository that nobody clones; it counts as empty.
	Git          *Repo
	PullRequests []AzureDevOpsPullRequest
}

// AzureDevOpsPullRequest is a pull request.
type AzureDevOpsPullRequest struct {
	ID              int
	Title, From, To string
	// Author is as people sign in.
	Author string
	// Status is active, completed or abandoned.
	Status string
	Draft  bool
	// Fork is where it comes from when that is another repository; ForkGone says
	// that there was one.
	Fork     *AzureDevOpsRepository
	ForkGone bool
	Commit   string
}

// AzureDevOpsWorkItem is a work item.
type AzureDevOpsWorkItem struct {
	Organization, Project string
	ID                    int
	Title                 string
}

// Serve mounts the API and the repositories. The state must not change later.
func (a *AzureDevOps) Serve(s *Server) {
	handle := func(pattern string, h http.HandlerFunc) {
		s.Handle("GET "+pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Vss-E2eid", "7a0f4f6c-0d5e-4b58-9d0b-7c7f5f1f0b11")
			if a.allowed(r) {
				h(w, r)
				return
			}
			if a.Server {
				a.fail(w, http.StatusUnauthorized, "TF400813: The user '' is not authorized to access this resource.")
				return
			}
			http.Redirect(w, r, "https://spsprod.vssps.visualstudio.com/_signin", http.StatusFound)
		})
	}
	me := func(w http.ResponseWriter, _ *http.Request) {
		answer(w, object{"authenticatedUser": object{
			"id": "3ff4a20f-306e-677e-8a01-57f35e71f109", "descriptor": "Microsoft.IdentityModel.Claims.ClaimsIdentity;" + a.User,
			"providerDisplayName": a.User, "properties": object{"Account": object{"$type": "System.String", "$value": a.User}},
		}})
	}
	handle(a.Directory+"/{organization}/_apis/connectionData", a.inOrganization(func(w http.ResponseWriter, r *http.Request, _ AzureDevOpsOrganization) { me(w, r) }))
	handle(a.Directory+"/_apis/connectionData", me)
	if a.Server {
		handle(a.Directory+"/_apis/projectCollections", func(w http.ResponseWriter, r *http.Request) {
			var rows []object
			for _, o := range a.Organizations {
				rows = append(rows, object{"id": o.Name, "name": o.Name, "url": s.URL + a.Directory + "/_apis/projectCollections/" + o.Name})
			}
			page(w, r, rows)
		})
	} else {
		const accounts = "app.vssps.visualstudio.com/_apis/"
		handle(accounts+"profile/profiles/me", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, object{"id": "me-1", "displayName": a.User, "emailAddress": a.User, "publicAlias": "me-1"})
		})
		handle(accounts+"accounts", func(w http.ResponseWriter, r *http.Request) {
			rows := []object{}
			for _, o := range a.Organizations {
				if r.FormValue("memberId") == "me-1" {
					rows = append(rows, object{"accountId": o.Name, "accountName": o.Name, "accountUri": "https://vssps.dev.azure.com:443/" + o.Name + "/"})
				}
			}
			answer(w, object{"count": len(rows), "value": rows})
		})
	}
	handle(a.Directory+"/{organization}/_apis/projects", a.inOrganization(func(w http.ResponseWriter, r *http.Request, o AzureDevOpsOrganization) {
		var rows []object
		for _, p := range o.Projects {
			rows = append(rows, a.project(s, o.Name, p))
		}
		page(w, r, rows)
	}))
	handle(a.Directory+"/{organization}/_apis/git/repositories", a.inOrganization(func(w http.ResponseWriter, _ *http.Request, o AzureDevOpsOrganization) {
		rows := []object{}
		for _, repo := range a.Repositories {
			if repo.Organization == o.Name {
				rows = append(rows, a.repository(s, repo))
			}
		}
		answer(w, object{"value": rows, "count": len(rows)})
	}))
	one := a.Directory + "/{organization}/{project}/_apis/git/repositories/{name}"
	handle(one, a.withRepository(func(w http.ResponseWriter, r *http.Request, repo *AzureDevOpsRepository) {
		o := a.repository(s, repo)
		if repo.Parent != nil && r.FormValue("includeParent") == "true" {
			o["parentRepository"] = a.reference(s, repo.Parent)
		}
		answer(w, o)
	}))
	handle(one+"/commits/{commit}", a.withRepository(func(w http.ResponseWriter, r *http.Request, repo *AzureDevOpsRepository) {
		id := repo.Git.Resolve(r.PathValue("commit"))
		if id == "" {
			a.fail(w, http.StatusNotFound, "TF401175: The version descriptor could not be resolved.")
			return
		}
		answer(w, object{"commitId": id, "comment": "a commit"})
	}))
	handle(one+"/pullrequests/{id}", a.withRepository(func(w http.ResponseWriter, r *http.Request, repo *AzureDevOpsRepository) {
		i := slices.IndexFunc(repo.PullRequests, func(p AzureDevOpsPullRequest) bool { return strconv.Itoa(p.ID) == r.PathValue("id") })
		if i < 0 {
			a.fail(w, http.StatusNotFound, "TF401180: The requested pull request was not found.")
			return
		}
		answer(w, a.pullRequest(s, repo, repo.PullRequests[i]))
	}))
	handle(a.Directory+"/{organization}/{project}/_apis/wit/workitems/{id}", func(w http.ResponseWriter, r *http.Request) {
		for _, i := range a.WorkItems {
			if strings.EqualFold(i.Organization, r.PathValue("organization")) && strings.EqualFold(i.Project, r.PathValue("project")) && strconv.Itoa(i.ID) == r.PathValue("id") {
				answer(w, object{"id": i.ID, "rev": 1, "fields": object{"System.Title": i.Title}})
				return
			}
		}
		a.fail(w, http.StatusNotFound, "TF401232: Work item "+r.PathValue("id")+" does not exist, or you do not have permissions to read it.")
	})
	for _, repo := range a.Repositories {
		if repo.Git == nil {
			continue
		}
		s.Git(a.clonePath(repo), repo.Git, a.allowed)
		if repo.Name == repo.Project {
			s.Git(a.Directory+"/"+url.PathEscape(repo.Organization)+"/_git/"+url.PathEscape(repo.Name), repo.Git, a.allowed)
		}
	}
}

func (a *AzureDevOps) allowed(r *http.Request) bool {
	if _, pat, ok := r.BasicAuth(); ok {
		return a.PAT != "" && pat == a.PAT
	}
	return a.Bearer != "" && r.Header.Get("Authorization") == "Bearer "+a.Bearer
}

func (a *AzureDevOps) fail(w http.ResponseWriter, status int, message string) {
	refuse(w, status, object{"$id": "1", "message": message, "typeName": "Microsoft.VisualStudio.Services.Common.VssServiceException", "errorCode": 0})
}

func (a *AzureDevOps) inOrganization(h func(http.ResponseWriter, *http.Request, AzureDevOpsOrganization)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("organization")
		i := slices.IndexFunc(a.Organizations, func(o AzureDevOpsOrganization) bool { return strings.EqualFold(o.Name, name) })
		if i < 0 {
			a.fail(w, http.StatusNotFound, "TF400817: The organization does not exist.")
			return
		}
		h(w, r, a.Organizations[i])
	}
}

func (a *AzureDevOps) withRepository(h func(http.ResponseWriter, *http.Request, *AzureDevOpsRepository)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, repo := range a.Repositories {
			if strings.EqualFold(repo.Organization, r.PathValue("organization")) && strings.EqualFold(repo.Project, r.PathValue("project")) &&
				strings.EqualFold(repo.Name, r.PathValue("name")) {
				h(w, r, repo)
				return
			}
		}
		a.fail(w, http.StatusNotFound, "TF401019: The Git repository with name or identifier "+r.PathValue("name")+" does not exist or you do not have permissions.")
	}
}

// page answers the rows that $top and $skip choose.
func page(w http.ResponseWriter, r *http.Request, rows []object) {
	from := min(number(r, "$skip", 0), len(rows))
	to := min(from+number(r, "$top", 100), len(rows))
	answer(w, object{"count": to - from, "value": append([]object{}, rows[from:to]...)})
}

func (a *AzureDevOps) clonePath(repo *AzureDevOpsRepository) string {
	return a.Directory + "/" + url.PathEscape(repo.Organization) + "/" + url.PathEscape(repo.Project) + "/_git/" + url.PathEscape(repo.Name)
}

func (a *AzureDevOps) project(s *Server, organization, name string) object {
	return object{
		"id": "id-of-" + name, "name": name, "state": "wellFormed", "visibility": "private",
		"url": s.URL + a.Directory + "/" + url.PathEscape(organization) + "/_apis/projects/id-of-" + url.PathEscape(name),
	}
}

// reference is what stands for a repository inside others.
func (a *AzureDevOps) reference(s *Server, repo *AzureDevOpsRepository) object {
	return object{
		"id": "id-of-" + repo.Name, "name": repo.Name, "isFork": repo.Parent != nil, "project": a.project(s, repo.Organization, repo.Project),
		"url":       s.URL + a.Directory + "/" + url.PathEscape(repo.Organization) + "/_apis/git/repositories/id-of-" + url.PathEscape(repo.Name),
		"remoteUrl": strings.Replace(s.URL, "://", "://"+url.PathEscape(repo.Organization)+"@", 1) + a.clonePath(repo),
	}
}

func (a *AzureDevOps) repository(s *Server, repo *AzureDevOpsRepository) object {
	o := a.reference(s, repo)
	o["isDisabled"], o["webUrl"], o["size"] = repo.Disabled, s.URL+a.clonePath(repo), 0
	if branch := repo.Git.Head(); branch != "" {
		o["defaultBranch"] = "refs/heads/" + branch
	}
	return o
}

func (a *AzureDevOps) pullRequest(s *Server, repo *AzureDevOpsRepository, p AzureDevOpsPullRequest) object {
	o := object{
		"repository": a.reference(s, repo), "pullRequestId": p.ID, "status": p.Status, "title": p.Title, "isDraft": p.Draft,
		"createdBy":     object{"id": "id-of-" + p.Author, "displayName": p.Author, "uniqueName": p.Author},
		"sourceRefName": "refs/heads/" + p.From, "targetRefName": "refs/heads/" + p.To,
	}
	if p.Commit != "" {
		o["lastMergeSourceCommit"] = object{"commitId": p.Commit}
	}
	if p.Fork != nil {
		o["forkSource"] = object{"name": "refs/heads/" + p.From, "repository": a.reference(s, p.Fork)}
	} else if p.ForkGone {
		o["forkSource"] = object{"name": "refs/heads/" + p.From, "repository": nil}
	}
	return o
}
