package fakehost

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Bitbucket is the state of a fake Bitbucket Cloud: bitbucket.org and its API at
// api.bitbucket.org, which a server made with NewNamed can both be.
type Bitbucket struct {
	// User is who all credentials belong to.
	User string
	// Email and APIToken are accepted by the API with basic authentication, the
	// token also by git. Bearer is an OAuth or repository access token.
	Email, APIToken, Bearer string
	// Scopes are told in a header.
	Scopes       string
	Workspaces   []BitbucketWorkspace
	Repositories []*BitbucketRepository
}

// BitbucketWorkspace is a workspace of the user.
type BitbucketWorkspace struct {
	Slug, UUID string
	Admin      bool
	// Locked workspaces show nothing, as those with a list of allowed addresses do.
	Locked bool
}

// BitbucketRepository is a private repository.
type BitbucketRepository struct {
	Workspace, Slug string
	// UUID has braces; empty for one that is never asked for by it.
	UUID string
	// Language is there for queries.
	Language string
	// Updated orders repositories: "2026-01-02T03:04:05.000000+00:00".
	Updated string
	Parent  *BitbucketRepository
	// Git is nil for a repository that nobody clones; it counts as empty.
	Git          *Repo
	PullRequests []BitbucketPullRequest
}

// BitbucketPullRequest is a pull request.
type BitbucketPullRequest struct {
	ID              int
	Title, From, To string
	// Author is a nickname; empty when the account is gone.
	Author string
	// State is OPEN, MERGED, DECLINED or SUPERSEDED.
	State string
	Draft bool
	// Source is nil when the fork is gone.
	Source *BitbucketRepository
	// Commit is the newest, in full; the API abbreviates it.
	Commit string
}

// Serve mounts the API and the repositories. The state must not change later.
func (b *Bitbucket) Serve(s *Server) {
	const api = "api.bitbucket.org/2.0/"
	handle := func(pattern string, h http.HandlerFunc) {
		s.Handle("GET "+api+pattern, func(w http.ResponseWriter, r *http.Request) {
			if !b.allowed(r) {
				b.fail(w, http.StatusUnauthorized, "Token is invalid or expired")
				return
			}
			h(w, r)
		})
	}
	handle("user", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Oauth-Scopes", b.Scopes)
		answer(w, object{"type": "user", "username": b.User, "display_name": b.User, "uuid": "{" + b.User + "}"})
	})
	handle("user/workspaces", func(w http.ResponseWriter, r *http.Request) {
		var rows []object
		for _, ws := range b.Workspaces {
			rows = append(rows, object{
				"type": "workspace_access", "administrator": ws.Admin,
				"workspace": object{"type": "workspace_base", "slug": ws.Slug, "uuid": ws.UUID},
			})
		}
		b.page(w, r, rows)
	})
	handle("repositories/{workspace}", b.list)
	handle("repositories/{workspace}/{slug}", b.withRepository(func(w http.ResponseWriter, _ *http.Request, repo *BitbucketRepository) {
		answer(w, repo.object(b.User, s.URL))
	}))
	handle("repositories/{workspace}/{slug}/commit/{commit}", b.withRepository(func(w http.ResponseWriter, r *http.Request, repo *BitbucketRepository) {
		if id := repo.Git.Resolve(r.PathValue("commit")); id != "" {
			answer(w, object{"type": "commit", "hash": id, "repository": repo.reference()})
			return
		}
		b.fail(w, http.StatusNotFound, "Commit not found")
	}))
	handle("repositories/{workspace}/{slug}/pullrequests/{id}", b.withRepository(func(w http.ResponseWriter, r *http.Request, repo *BitbucketRepository) {
		i := slices.IndexFunc(repo.PullRequests, func(p BitbucketPullRequest) bool { return strconv.Itoa(p.ID) == r.PathValue("id") })
		if i < 0 {
			b.fail(w, http.StatusNotFound, "No such pull request")
			return
		}
		answer(w, repo.PullRequests[i].object(repo))
	}))
	for _, gone := range []string{"repositories", "workspaces", "user/permissions/{rest...}", "repositories/{workspace}/{slug}/issues/{id}"} {
		handle(gone, func(w http.ResponseWriter, _ *http.Request) {
			b.fail(w, http.StatusGone, "This endpoint has been removed")
		})
	}
	for _, repo := range b.Repositories {
		if repo.Git != nil {
			s.Git("/"+repo.Workspace+"/"+repo.Slug+".git", repo.Git, func(r *http.Request) bool {
				user, password, _ := r.BasicAuth()
				return user == "x-bitbucket-api-token-auth" && password == b.APIToken || user == "x-token-auth" && password == b.Bearer
			})
		}
	}
}

func (b *Bitbucket) allowed(r *http.Request) bool {
	if email, token, ok := r.BasicAuth(); ok {
		return email == b.Email && token == b.APIToken
	}
	return b.Bearer != "" && r.Header.Get("Authorization") == "Bearer "+b.Bearer
}

func (b *Bitbucket) fail(w http.ResponseWriter, status int, message string) {
	refuse(w, status, object{"type": "error", "error": object{"message": message}})
}

func (b *Bitbucket) withRepository(h func(http.ResponseWriter, *http.Request, *BitbucketRepository)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ws, slug := r.PathValue("workspace"), r.PathValue("slug")
		if i := slices.IndexFunc(b.Workspaces, func(x BitbucketWorkspace) bool { return x.UUID == ws }); i >= 0 {
			ws = b.Workspaces[i].Slug
		}
		for _, repo := range b.Repositories {
			if strings.EqualFold(repo.Workspace, ws) && (strings.EqualFold(repo.Slug, slug) || repo.UUID == slug) {
				h(w, r, repo)
				return
			}
		}
		b.fail(w, http.StatusNotFound, "Repository "+ws+"/"+slug+" not found")
	}
}

func (b *Bitbucket) list(w http.ResponseWriter, r *http.Request) {
	ws := r.PathValue("workspace")
	i := slices.IndexFunc(b.Workspaces, func(x BitbucketWorkspace) bool { return x.Slug == ws })
	if i < 0 {
		b.fail(w, http.StatusNotFound, "No workspace with identifier '"+ws+"'.")
		return
	}
	if b.Workspaces[i].Locked {
		b.fail(w, http.StatusForbidden, "To access this workspace, your address must be allowed.")
		return
	}
	var found []*BitbucketRepository
	for _, repo := range b.Repositories {
		if repo.Workspace != ws {
			continue
		}
		yes, err := repo.matches(r.FormValue("q"))
		if err != nil {
			b.fail(w, http.StatusBadRequest, "Invalid query: "+err.Error())
			return
		}
		if yes {
			found = append(found, repo)
		}
	}
	if r.FormValue("sort") == "-updated_on" {
		slices.SortStableFunc(found, func(a, b *BitbucketRepository) int { return strings.Compare(b.Updated, a.Updated) })
	}
	var rows []object
	for _, repo := range found {
		rows = append(rows, repo.object(b.User, "https://bitbucket.org"))
	}
	b.page(w, r, rows)
}

// condition is the part of the query language that the fake knows.
var condition = regexp.MustCompile(`^\s*(name|full_name|language)\s*(~|=)\s*"((?:[^"\\]|\\.)*)"\s*(AND\b|$)`)

func (repo *BitbucketRepository) matches(q string) (bool, error) {
	fields := map[string]string{"name": repo.Slug, "full_name": repo.Workspace + "/" + repo.Slug, "language": repo.Language}
	yes := true
	for q != "" {
		m := condition.FindStringSubmatch(q)
		if m == nil {
			return false, fmt.Errorf("cannot parse %q", q)
		}
		q = q[len(m[0]):]
		have, want := strings.ToLower(fields[m[1]]), strings.ToLower(regexp.MustCompile(`\\(.)`).ReplaceAllString(m[3], "$1"))
		yes = yes && (have == want || m[2] == "~" && strings.Contains(have, want))
	}
	return yes, nil
}

// page answers a page of rows as page and pagelen ask.
func (b *Bitbucket) page(w http.ResponseWriter, r *http.Request, rows []object) {
	n, length := number(r, "page", 1), min(number(r, "pagelen", 10), 100)
	from, to := min((n-1)*length, len(rows)), min(n*length, len(rows))
	out := object{"values": append([]object{}, rows[from:to]...), "page": n, "pagelen": length, "size": len(rows)}
	if to < len(rows) {
		q := r.URL.Query()
		q.Set("page", strconv.Itoa(n+1))
		out["next"] = "https://" + r.Host + r.URL.Path + "?" + q.Encode()
	}
	answer(w, out)
}

func (repo *BitbucketRepository) reference() object {
	name := repo.Workspace + "/" + repo.Slug
	return object{
		"type": "repository", "full_name": name, "name": repo.Slug, "uuid": repo.UUID,
		"links": object{"html": object{"href": "https://bitbucket.org/" + name}},
	}
}

func (repo *BitbucketRepository) object(user, base string) object {
	o := repo.reference()
	name := repo.Workspace + "/" + repo.Slug
	o["slug"], o["scm"], o["is_private"], o["updated_on"], o["language"] = repo.Slug, "git", true, repo.Updated, repo.Language
	o["links"].(object)["clone"] = []object{
		{"name": "https", "href": strings.Replace(base, "://", "://"+user+"@", 1) + "/" + name + ".git"},
		{"name": "ssh", "href": "git@bitbucket.org:" + name + ".git"},
	}
	o["mainbranch"] = nil
	if branch := repo.Git.Head(); branch != "" {
		o["mainbranch"] = object{"type": "branch", "name": branch}
	}
	if repo.Parent != nil {
		o["parent"] = repo.Parent.reference()
	}
	return o
}

func (p *BitbucketPullRequest) object(base *BitbucketRepository) object {
	source := object{"branch": object{"name": p.From}, "repository": nil, "commit": nil}
	if p.Source != nil {
		source["repository"] = p.Source.reference()
	}
	if p.Commit != "" {
		source["commit"] = object{"type": "commit", "hash": p.Commit[:12]}
	}
	var author any
	if p.Author != "" {
		author = object{"type": "user", "display_name": p.Author, "nickname": p.Author, "uuid": "{" + p.Author + "}", "account_id": "id-of-" + p.Author}
	}
	return object{
		"type": "pullrequest", "id": p.ID, "title": p.Title, "author": author, "state": p.State, "draft": p.Draft, "source": source,
		"destination": object{"branch": object{"name": p.To}, "repository": base.reference()},
	}
}
