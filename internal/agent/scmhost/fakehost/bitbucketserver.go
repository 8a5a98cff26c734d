package fakehost

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// BitbucketServer is the state of a fake Bitbucket Data Center.
type BitbucketServer struct {
	// Context is the path that it runs under: "/bitbucket"; empty for none.
	Context string
	// User is who Token belongs to.
	User, Token  string
	Projects     []BitbucketServerProject
	Repositories []*BitbucketServerRepository
	// Most bounds a page whatever the client asks for; 0 for 1000.
	Most int
}

// BitbucketServerProject is a project of which the user may see something.
type BitbucketServerProject struct{ Key, Name string }

// BitbucketServerRepository is a repository.
type BitbucketServerRepository struct {
	// Project is a key, or "~USER" for a personal space.
	Project, Slug string
	// Hidden repositories are there, but not for the user.
	Hidden bool
	Origin *BitbucketServerRepository
	// Git is nil for a repository that nobody clones; it counts as empty.
	Git          *Repo
	PullRequests []BitbucketServerPullRequest
}

// BitbucketServerPullRequest is a pull request.
type BitbucketServerPullRequest struct {
	ID              int
	Title, From, To string
	// Author is a user name.
	Author string
	// State is OPEN, MERGED or DECLINED.
	State string
	Draft bool
	// Source is nil when the fork is gone.
	Source *BitbucketServerRepository
	Commit string
}

// Serve mounts the API and the repositories. The state must not change later.
func (b *BitbucketServer) Serve(s *Server) {
	handle := func(pattern string, h http.HandlerFunc) {
		s.Handle("GET "+b.Context+"/rest/api/latest/"+pattern, func(w http.ResponseWriter, r *http.Request) {
			switch r.Header.Get("Authorization") {
			case "Bearer " + b.Token:
				w.Header().Set("X-Ausername", b.User)
				h(w, r)
			case "":
				if strings.HasSuffix(r.URL.Path, "/application-properties") {
					h(w, r)
					return
				}
				fallthrough
			default:
				b.fail(w, http.StatusUnauthorized, "Authentication failed. Please check your credentials and try again.")
			}
		})
	}
	handle("application-properties", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, object{"version": "9.4.0", "buildNumber": "9004000", "displayName": "Bitbucket"})
	})
	handle("projects", func(w http.ResponseWriter, r *http.Request) {
		var rows []object
		for _, p := range b.Projects {
			rows = append(rows, object{"key": p.Key, "name": p.Name, "type": "NORMAL", "links": links(s.URL + b.Context + "/projects/" + p.Key)})
		}
		b.page(w, r, rows, func(row object) bool { return contains(row["name"], r.FormValue("name")) })
	})
	handle("repos", func(w http.ResponseWriter, r *http.Request) {
		var rows []object
		for _, repo := range b.Repositories {
			rows = append(rows, b.repository(s, repo))
		}
		b.page(w, r, rows, func(row object) bool {
			return row["state"] == "AVAILABLE" && contains(row["name"], r.FormValue("name"))
		})
	})
	const one = "projects/{project}/repos/{slug}"
	handle(one, b.withRepository(func(w http.ResponseWriter, _ *http.Request, repo *BitbucketServerRepository) {
		answer(w, b.repository(s, repo))
	}))
	handle(one+"/default-branch", b.withRepository(func(w http.ResponseWriter, _ *http.Request, repo *BitbucketServerRepository) {
		branch := repo.Git.Head()
		if branch == "" {
			b.fail(w, http.StatusNotFound, "The default branch does not exist.")
			return
		}
		answer(w, object{"id": "refs/heads/" + branch, "displayId": branch, "type": "BRANCH"})
	}))
	handle(one+"/commits/{commit}", b.withRepository(func(w http.ResponseWriter, r *http.Request, repo *BitbucketServerRepository) {
		id := repo.Git.Resolve(r.PathValue("commit"))
		if id == "" {
			b.fail(w, http.StatusNotFound, "Commit '"+r.PathValue("commit")+"' does not exist in repository '"+repo.Slug+"'.")
			return
		}
		answer(w, object{"id": id, "displayId": id[:11]})
	}))
	handle(one+"/pull-requests/{id}", b.withRepository(func(w http.ResponseWriter, r *http.Request, repo *BitbucketServerRepository) {
		i := slices.IndexFunc(repo.PullRequests, func(p BitbucketServerPullRequest) bool { return strconv.Itoa(p.ID) == r.PathValue("id") })
		if i < 0 {
			b.fail(w, http.StatusNotFound, "Pull request "+r.PathValue("id")+" does not exist.")
			return
		}
		p := repo.PullRequests[i]
		from := object{"id": "refs/heads/" + p.From, "displayId": p.From, "latestCommit": p.Commit}
		if p.Source != nil {
			from["repository"] = b.repository(s, p.Source)
		}
		answer(w, object{
			"id": p.ID, "title": p.Title, "state": p.State, "open": p.State == "OPEN", "closed": p.State != "OPEN", "draft": p.Draft, "fromRef": from,
			"author": object{"user": userOfServer(p.Author), "role": "AUTHOR", "approved": false, "status": "UNAPPROVED"},
			"toRef":  object{"id": "refs/heads/" + p.To, "displayId": p.To, "repository": b.repository(s, repo)},
		})
	}))
	for _, repo := range b.Repositories {
		if repo.Git != nil && !repo.Hidden {
			s.Git(b.Context+repo.clonePath(), repo.Git, func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+b.Token })
		}
	}
}

func (b *BitbucketServer) fail(w http.ResponseWriter, status int, message string) {
	refuse(w, status, object{"errors": []object{{"context": nil, "message": message, "exceptionName": nil}}})
}

func (b *BitbucketServer) withRepository(h func(http.ResponseWriter, *http.Request, *BitbucketServerRepository)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, repo := range b.Repositories {
			if !repo.Hidden && strings.EqualFold(repo.Project, r.PathValue("project")) && strings.EqualFold(repo.Slug, r.PathValue("slug")) {
				h(w, r, repo)
				return
			}
		}
		b.fail(w, http.StatusNotFound, "Repository "+r.PathValue("project")+"/"+r.PathValue("slug")+" does not exist.")
	}
}

// page answers a page of those rows that are wanted. As on the real server, start
// counts all rows, so that the next start is not start plus limit.
func (b *BitbucketServer) page(w http.ResponseWriter, r *http.Request, rows []object, wanted func(object) bool) {
	most := b.Most
	if most == 0 {
		most = 1000
	}
	start, limit := number(r, "start", 0), min(number(r, "limit", 25), most)
	values := []object{}
	next := start
	for ; next < len(rows) && len(values) < limit; next++ {
		if wanted(rows[next]) {
			values = append(values, rows[next])
		}
	}
	last := !slices.ContainsFunc(rows[min(next, len(rows)):], wanted)
	out := object{"values": values, "size": len(values), "limit": limit, "start": start, "isLastPage": last, "nextPageStart": nil}
	if !last {
		out["nextPageStart"] = next
	}
	answer(w, out)
}

func (b *BitbucketServer) repository(s *Server, repo *BitbucketServerRepository) object {
	project := object{"key": repo.Project, "name": repo.Project, "type": "NORMAL"}
	page := "/projects/" + repo.Project
	if user, personal := strings.CutPrefix(repo.Project, "~"); personal {
		user = strings.ToLower(user)
		project["type"], project["owner"] = "PERSONAL", userOfServer(user)
		page = "/users/" + user
	}
	project["links"] = links(s.URL + b.Context + page)
	l := links(s.URL + b.Context + page + "/repos/" + repo.Slug + "/browse")
	l["clone"] = []object{
		{"name": "http", "href": strings.Replace(s.URL, "://", "://"+b.User+"@", 1) + b.Context + repo.clonePath()},
		{"name": "ssh", "href": "ssh://git@example.com:7999" + strings.TrimPrefix(repo.clonePath(), "/scm")},
	}
	state := "AVAILABLE"
	if repo.Hidden {
		state = "HIDDEN"
	}
	o := object{"slug": repo.Slug, "name": repo.Slug, "scmId": "git", "state": state, "project": project, "public": false, "links": l}
	if repo.Origin != nil {
		o["origin"] = b.repository(s, repo.Origin)
	}
	return o
}

func userOfServer(name string) object {
	return object{"name": name, "slug": name, "type": "NORMAL"}
}

func (repo *BitbucketServerRepository) clonePath() string {
	return "/scm/" + strings.ToLower(repo.Project) + "/" + repo.Slug + ".git"
}

func links(self string) object { return object{"self": []object{{"href": self}}} }

func contains(name any, part string) bool {
	s, _ := name.(string)
	return strings.Contains(strings.ToLower(s), strings.ToLower(strings.TrimSpace(part)))
}
