package fakehost

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// GitHub is the state of a fake GitHub.
type GitHub struct {
	// URL is where people see it. Empty stands for https://github.com, whose API is
	// at api.github.com: a server made with NewNamed can be both. Of others the API
	// is below /api/v3.
	URL string
	// Users sign in with a token, which is the key.
	Users        map[string]GitHubUser
	Repositories []*GitHubRepository
}

// GitHubUser is somebody with a token.
type GitHubUser struct {
	Login string
	// Scopes are those of the token; nil for a fine-grained token, which has none
	// and may do everything here.
	Scopes []string
	// Organizations of which the user is a member, with the role "admin" or
	// "member".
	Organizations []GitHubMembership
}

// GitHubMembership is that of a user in an organization.
type GitHubMembership struct{ Organization, Role string }

// GitHubRepository is a repository.
type GitHubRepository struct {
	Owner, Name string
	// Private repositories are seen by their owner, by members of their
	// organization and by Readers.
	Private bool
	Readers []string
	Parent  *GitHubRepository
	// Git is nil for a repository that nobody clones; it counts as empty.
	Git *Repo
	// Pulls and Issues have their number as the key.
	Pulls  map[int]GitHubPull
	Issues map[int]string // titles
}

// GitHubPull is a pull request.
type GitHubPull struct {
	Title, From, To string
	// Author is empty when the account is gone.
	Author string
	// Source is nil when the fork is gone.
	Source *GitHubRepository
	// Commit is the newest, in full.
	Commit                string
	Draft, Merged, Closed bool
}

// Serve mounts the API and the repositories. The state must not change later.
func (g *GitHub) Serve(s *Server) {
	api := "api.github.com"
	if g.URL != "" {
		api = "/api/v3"
	} else {
		g.URL = "https://github.com"
	}
	handle := func(pattern string, h func(http.ResponseWriter, *http.Request, GitHubUser)) {
		s.Handle("GET "+api+pattern, func(w http.ResponseWriter, r *http.Request) {
			user, ok := g.who(bearer(r))
			if !ok {
				g.fail(w, http.StatusUnauthorized, "Bad credentials")
				return
			}
			if user.Scopes != nil {
				w.Header().Set("X-OAuth-Scopes", strings.Join(user.Scopes, ", "))
			}
			h(w, r, user)
		})
	}
	of := func(pattern string, h func(http.ResponseWriter, *http.Request, *GitHubRepository)) {
		handle("/repos/{owner}/{repo}"+pattern, func(w http.ResponseWriter, r *http.Request, user GitHubUser) {
			for _, repo := range g.Repositories {
				if strings.EqualFold(repo.Owner+"/"+repo.Name, r.PathValue("owner")+"/"+r.PathValue("repo")) && repo.seenBy(user) {
					h(w, r, repo)
					return
				}
			}
			g.fail(w, http.StatusNotFound, "Not Found")
		})
	}
	handle("/user", func(w http.ResponseWriter, _ *http.Request, user GitHubUser) {
		if user.Login == "" {
			g.fail(w, http.StatusUnauthorized, "Requires authentication")
			return
		}
		me := g.account(user.Login)
		me["user_view_type"] = "private"
		answer(w, me)
	})
	handle("/user/memberships/orgs", g.memberships)
	handle("/search/repositories", g.search)
	of("", func(w http.ResponseWriter, _ *http.Request, repo *GitHubRepository) {
		full := g.repository(repo)
		if repo.Parent != nil {
			full["parent"] = g.repository(repo.Parent)
		}
		answer(w, full)
	})
	of("/commits/{ref...}", func(w http.ResponseWriter, r *http.Request, repo *GitHubRepository) {
		id := repo.Git.Resolve(r.PathValue("ref"))
		switch {
		case repo.Git.Head() == "":
			g.fail(w, http.StatusConflict, "Git Repository is empty.")
		case id == "":
			g.fail(w, http.StatusUnprocessableEntity, "No commit found for SHA: "+r.PathValue("ref"))
		case strings.Contains(r.Header.Get("Accept"), ".sha"):
			w.Header().Set("Content-Type", "application/vnd.github.v3.sha")
			_, _ = w.Write([]byte(id))
		default:
			answer(w, object{"sha": id})
		}
	})
	of("/pulls/{number}", func(w http.ResponseWriter, r *http.Request, repo *GitHubRepository) {
		n, _ := strconv.Atoi(r.PathValue("number"))
		if pull, ok := repo.Pulls[n]; ok {
			answer(w, g.pull(repo, n, pull))
			return
		}
		g.fail(w, http.StatusNotFound, "Not Found")
	})
	of("/issues/{number}", func(w http.ResponseWriter, r *http.Request, repo *GitHubRepository) {
		n, _ := strconv.Atoi(r.PathValue("number"))
		issue := object{"number": n, "state": "open", "html_url": fmt.Sprintf("%s/issues/%d", g.page(repo), n)}
		if pull, ok := repo.Pulls[n]; ok {
			issue["title"], issue["pull_request"] = pull.Title, object{"html_url": fmt.Sprintf("%s/pull/%d", g.page(repo), n)}
		} else if title, ok := repo.Issues[n]; ok {
			issue["title"] = title
		} else {
			g.fail(w, http.StatusNotFound, "Not Found")
			return
		}
		answer(w, issue)
	})
	for _, repo := range g.Repositories {
		if repo.Git != nil {
			s.Git("/"+repo.Owner+"/"+repo.Name+".git", repo.Git, func(r *http.Request) bool {
				_, token, _ := r.BasicAuth()
				user, ok := g.who(token)
				return ok && repo.seenBy(user)
			})
		}
	}
}

// who is nobody in particular without a token; false for a token that nobody has.
func (g *GitHub) who(token string) (GitHubUser, bool) {
	if token == "" {
		return GitHubUser{}, true
	}
	user, ok := g.Users[token]
	return user, ok
}

// bearer is the token of a request to an API.
func bearer(r *http.Request) string {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return r.Header.Get("Authorization")
	}
	return token
}

// fail refuses a request; the message is of GitHub's.
func (g *GitHub) fail(w http.ResponseWriter, status int, message string) {
	refuse(w, status, object{"message": message, "documentation_url": "https://docs.github.com/rest"})
}

func (u GitHubUser) may(scope string) bool {
	return u.Scopes == nil || slices.Contains(u.Scopes, scope)
}

func (repo *GitHubRepository) seenBy(user GitHubUser) bool {
	if !repo.Private {
		return true
	}
	return user.may("repo") && (repo.belongsTo(user) || slices.Contains(repo.Readers, user.Login))
}

func (repo *GitHubRepository) belongsTo(user GitHubUser) bool {
	return repo.Owner == user.Login || slices.ContainsFunc(user.Organizations, func(m GitHubMembership) bool { return m.Organization == repo.Owner })
}

func (g *GitHub) page(repo *GitHubRepository) string {
	return g.URL + "/" + repo.Owner + "/" + repo.Name
}

func (g *GitHub) account(login string) object {
	return object{"login": login, "id": 1, "type": "User", "html_url": g.URL + "/" + login, "site_admin": false}
}

func (g *GitHub) repository(repo *GitHubRepository) object {
	branch := repo.Git.Head()
	if branch == "" {
		branch = "main" // GitHub names the branch that it will be
	}
	return object{
		"id": 1 + slices.Index(g.Repositories, repo), "name": repo.Name, "full_name": repo.Owner + "/" + repo.Name,
		"owner": g.account(repo.Owner), "private": repo.Private, "fork": repo.Parent != nil,
		"html_url": g.page(repo), "clone_url": g.page(repo) + ".git", "default_branch": branch,
	}
}

func (g *GitHub) pull(repo *GitHubRepository, number int, p GitHubPull) object {
	head := object{"label": "gone:" + p.From, "ref": p.From, "sha": p.Commit, "repo": nil, "user": nil}
	if p.Source != nil {
		head["label"], head["repo"], head["user"] = p.Source.Owner+":"+p.From, g.repository(p.Source), g.account(p.Source.Owner)
	}
	state := "open"
	if p.Closed || p.Merged {
		state = "closed"
	}
	var author any
	if p.Author != "" {
		author = g.account(p.Author)
	}
	return object{
		"number": number, "title": p.Title, "user": author, "state": state, "draft": p.Draft, "merged": p.Merged,
		"html_url": fmt.Sprintf("%s/pull/%d", g.page(repo), number), "head": head,
		"base": object{
			"label": repo.Owner + ":" + p.To, "ref": p.To, "sha": repo.Git.Resolve(p.To),
			"repo": g.repository(repo), "user": g.account(repo.Owner),
		},
	}
}

func (g *GitHub) memberships(w http.ResponseWriter, r *http.Request, user GitHubUser) {
	w.Header().Set("X-Accepted-OAuth-Scopes", "admin:org, read:org, repo, user, write:org")
	if !user.may("read:org") && !user.may("repo") {
		g.fail(w, http.StatusForbidden, "You need at least read:org scope or user scope to list your organization memberships.")
		return
	}
	rows := []object{}
	for _, m := range user.Organizations {
		rows = append(rows, object{
			"state": "active", "role": m.Role, "user": g.account(user.Login),
			"organization": object{"login": m.Organization, "id": 1},
		})
	}
	page, size := number(r, "page", 1), number(r, "per_page", 30)
	if page*size < len(rows) {
		q := r.URL.Query()
		q.Set("page", strconv.Itoa(page+1))
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?%s>; rel="next"`, g.URL, r.URL.Path, q.Encode()))
	}
	answer(w, rows[min((page-1)*size, len(rows)):min(page*size, len(rows))])
}
