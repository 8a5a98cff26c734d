package fakehost

import (
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// GitLab is the state of a fake GitLab.
type GitLab struct {
	// URL is where people see it, with the relative root if it has one:
	// "https://gitlab.example.com:8443/git".
	URL string
	// Users sign in with a token, which is the key.
	Users    map[string]GitLabUser
	Projects []*GitLabProject
	// Groups have their whole path, such as "acme/backend".
	Groups []string
	// ManyRows hides totals, as GitLab does above 10,000 rows.
	ManyRows bool
}

// GitLabUser is somebody with a token.
type GitLabUser struct {
	Name string
	// Scopes are those of the token.
	Scopes []string
	// OAuth tokens tell nothing about themselves.
	OAuth bool
	// Groups of which the user is a member, with all below them.
	Groups []string
}

// GitLabProject is a project.
type GitLabProject struct {
	ID int64
	// Path is "acme/backend/widgets".
	Path    string
	Private bool
	Parent  *GitLabProject
	// Git is nil for a project that nobody clones; it counts as empty.
	Git *Repo
	// MergeRequests and Issues have their number as the key.
	MergeRequests map[int]GitLabMergeRequest
	Issues        map[int]string // titles
}

// GitLabMergeRequest is a merge request.
type GitLabMergeRequest struct {
	Title, From, To string
	// Source is nil when the fork is gone.
	Source *GitLabProject
	// Commit is the newest, in full.
	Commit string
	// Author is empty when nobody knows.
	Author string
	// State is opened, closed, locked or merged.
	State string
	Draft bool
}

// Serve mounts the API and the repositories. The state must not change later.
func (g *GitLab) Serve(s *Server) {
	_, host, _ := strings.Cut(g.URL, "://")
	_, root, _ := strings.Cut(host, "/")
	if root != "" {
		root = "/" + root
	}
	handle := func(pattern, scope string, h func(http.ResponseWriter, *http.Request, GitLabUser)) {
		s.Handle("GET "+root+"/api/v4"+pattern, func(w http.ResponseWriter, r *http.Request) {
			user, ok := g.who(bearer(r))
			switch {
			case !ok:
				refuse(w, http.StatusUnauthorized, object{"message": "401 Unauthorized"})
			case user.Name != "" && scope != "" && !slices.Contains(user.Scopes, "api") && !slices.Contains(user.Scopes, scope):
				refuse(w, http.StatusForbidden, object{
					"error": "insufficient_scope", "error_description": "The request requires higher privileges than provided by the access token.",
					"scope": "api " + scope,
				})
			default:
				h(w, r, user)
			}
		})
	}
	of := func(pattern string, h func(http.ResponseWriter, *http.Request, *GitLabProject)) {
		handle("/projects/{id}"+pattern, "read_api", func(w http.ResponseWriter, r *http.Request, user GitLabUser) {
			id := r.PathValue("id")
			for _, p := range g.Projects {
				if (strings.EqualFold(p.Path, id) || strconv.FormatInt(p.ID, 10) == id) && p.seenBy(user) {
					h(w, r, p)
					return
				}
			}
			refuse(w, http.StatusNotFound, object{"message": "404 Project Not Found"})
		})
	}
	handle("/user", "read_user", func(w http.ResponseWriter, _ *http.Request, user GitLabUser) {
		if user.Name == "" {
			refuse(w, http.StatusUnauthorized, object{"message": "401 Unauthorized"})
			return
		}
		answer(w, g.user(user.Name))
	})
	handle("/personal_access_tokens/self", "", func(w http.ResponseWriter, _ *http.Request, user GitLabUser) {
		if user.Name == "" || user.OAuth {
			refuse(w, http.StatusUnauthorized, object{"message": "401 Unauthorized"})
			return
		}
		answer(w, object{"id": 1, "name": "muster", "scopes": user.Scopes, "active": true, "revoked": false})
	})
	handle("/projects", "read_api", g.list)
	handle("/search", "read_api", func(w http.ResponseWriter, r *http.Request, user GitLabUser) {
		if r.FormValue("scope") != "projects" || user.Name == "" {
			refuse(w, http.StatusBadRequest, object{"error": "scope does not have a valid value"})
			return
		}
		g.list(w, r, user)
	})
	handle("/groups", "read_api", func(w http.ResponseWriter, r *http.Request, user GitLabUser) {
		rows := []object{}
		for _, group := range g.Groups {
			member := number(r, "min_access_level", 0) == 0 || user.memberOf(group)
			if member && strings.Contains(group, r.FormValue("search")) {
				rows = append(rows, object{"id": 1, "path": path.Base(group), "full_path": group, "web_url": g.URL + "/groups/" + group})
			}
		}
		g.page(w, r, rows)
	})
	of("", func(w http.ResponseWriter, _ *http.Request, p *GitLabProject) { answer(w, g.project(p)) })
	of("/repository/commits/{sha}", func(w http.ResponseWriter, r *http.Request, p *GitLabProject) {
		if id := p.Git.Resolve(r.PathValue("sha")); id != "" {
			answer(w, object{"id": id, "short_id": id[:11]})
			return
		}
		refuse(w, http.StatusNotFound, object{"message": "404 Commit Not Found"})
	})
	of("/merge_requests/{iid}", func(w http.ResponseWriter, r *http.Request, p *GitLabProject) {
		n, _ := strconv.Atoi(r.PathValue("iid"))
		mr, ok := p.MergeRequests[n]
		if !ok {
			refuse(w, http.StatusNotFound, object{"message": "404 Not found"})
			return
		}
		row := object{
			"iid": n, "title": mr.Title, "state": mr.State, "source_branch": mr.From, "target_branch": mr.To,
			"project_id": p.ID, "target_project_id": p.ID, "source_project_id": nil, "sha": mr.Commit, "draft": mr.Draft,
			"web_url": g.URL + "/" + p.Path + "/-/merge_requests/" + strconv.Itoa(n), "author": nil,
		}
		if mr.Author != "" {
			row["author"] = g.user(mr.Author)
		}
		if mr.Source != nil {
			row["source_project_id"] = mr.Source.ID
		}
		answer(w, row)
	})
	of("/issues/{iid}", func(w http.ResponseWriter, r *http.Request, p *GitLabProject) {
		n, _ := strconv.Atoi(r.PathValue("iid"))
		if title, ok := p.Issues[n]; ok {
			answer(w, object{"iid": n, "project_id": p.ID, "title": title, "state": "opened"})
			return
		}
		refuse(w, http.StatusNotFound, object{"message": "404 Not found"})
	})
	for _, p := range g.Projects {
		if p.Git != nil {
			s.Git(root+"/"+p.Path+".git", p.Git, func(r *http.Request) bool {
				_, token, _ := r.BasicAuth()
				user, ok := g.who(token)
				return ok && p.seenBy(user)
			})
		}
	}
}

// who is nobody in particular without a token; false for a token that nobody has.
func (g *GitLab) who(token string) (GitLabUser, bool) {
	if token == "" {
		return GitLabUser{}, true
	}
	user, ok := g.Users[token]
	return user, ok
}

func (g *GitLab) user(name string) object {
	return object{"id": 1, "username": name, "name": name, "state": "active", "web_url": g.URL + "/" + name}
}

func (u GitLabUser) memberOf(group string) bool {
	return slices.ContainsFunc(u.Groups, func(own string) bool { return strings.HasPrefix(group+"/", own+"/") })
}

func (p *GitLabProject) belongsTo(user GitLabUser) bool {
	owner := path.Dir(p.Path)
	return owner == user.Name || user.memberOf(owner)
}

func (p *GitLabProject) seenBy(user GitLabUser) bool { return !p.Private || p.belongsTo(user) }

func (g *GitLab) project(p *GitLabProject) object {
	row := object{
		"id": p.ID, "name": path.Base(p.Path), "path": path.Base(p.Path), "path_with_namespace": p.Path,
		"default_branch": nil, "empty_repo": p.Git.Head() == "",
		"http_url_to_repo": g.URL + "/" + p.Path + ".git", "web_url": g.URL + "/" + p.Path,
		"namespace": object{"full_path": path.Dir(p.Path), "path": path.Base(path.Dir(p.Path))},
	}
	if branch := p.Git.Head(); branch != "" {
		row["default_branch"] = branch
	}
	if p.Parent != nil {
		row["forked_from_project"] = object{
			"id": p.Parent.ID, "path_with_namespace": p.Parent.Path,
			"http_url_to_repo": g.URL + "/" + p.Parent.Path + ".git", "web_url": g.URL + "/" + p.Parent.Path,
		}
	}
	return row
}

// list answers both a list of projects and a search for them.
func (g *GitLab) list(w http.ResponseWriter, r *http.Request, user GitLabUser) {
	rows := []object{}
	for _, p := range g.Projects {
		member := r.FormValue("membership") != "true" || p.belongsTo(user)
		if member && p.seenBy(user) && strings.Contains(path.Base(p.Path), strings.ToLower(r.FormValue("search"))) {
			rows = append(rows, g.project(p))
		}
	}
	g.page(w, r, rows)
}

func (g *GitLab) page(w http.ResponseWriter, r *http.Request, rows []object) {
	page, size := number(r, "page", 1), number(r, "per_page", 20)
	if !g.ManyRows {
		w.Header().Set("X-Total", strconv.Itoa(len(rows)))
		w.Header().Set("X-Total-Pages", strconv.Itoa((len(rows)+size-1)/size))
	}
	next := ""
	if page*size < len(rows) {
		next = strconv.Itoa(page + 1)
	}
	w.Header().Set("X-Page", strconv.Itoa(page))
	w.Header().Set("X-Next-Page", next)
	answer(w, rows[min((page-1)*size, len(rows)):min(page*size, len(rows))])
}
