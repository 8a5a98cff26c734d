package scmurl

import (
	"slices"
	"strings"
)

// gitlab is gitlab.com and every other GitLab.
var gitlab = kind{
	name:  "GitLab",
	read:  readGitLab,
	path:  pathOfGitLab,
	clone: cloneOfHome,
	pat: func(i Integration) PAT {
		return PAT{
			CreateURL: i.Base() + "/-/user_settings/personal_access_tokens?name=Muster&scopes=" + strings.Join(scopesOfGitLab, ","),
			DocsURL:   "https://docs.gitlab.com/user/profile/personal_access_tokens/",
			Example:   "glpat-xxxxxxxxxxxxxxxxxxxx",
			Scopes:    scopesOfGitLab,
		}
	},
	oauth: func(i Integration) OAuth {
		return OAuth{
			AuthorizeURL: i.Base() + "/oauth/authorize",
			TokenURL:     i.Base() + "/oauth/token",
			Scopes:       scopesOfGitLab,
			DocsURL:      "https://docs.gitlab.com/integration/oauth_provider/",
		}
	},
}

var scopesOfGitLab = []string{"api", "read_user", "read_repository"}

var (
	// notOwnersOfGitLab are pages of the site where a user or a group could be.
	notOwnersOfGitLab = []string{
		"-", "admin", "api", "assets", "dashboard", "explore", "groups", "help", "import", "jwt", "oauth", "profile", "projects", "public", "s",
		"search", "snippets", "unsubscribes", "uploads", "users", "v2",
	}
	// neverOfGitLab are pages of a project by whose name neither a project nor a
	// group below another can go.
	neverOfGitLab = []string{"badges", "blame", "blob", "builds", "commits", "edit", "files", "find_file", "preview", "raw", "refs", "tree", "wikis"}
	// pagesOfGitLab are the others that old URLs have, which do not set them apart
	// from the project with "/-/".
	pagesOfGitLab = []string{
		"activity", "boards", "branches", "commit", "compare", "environments", "forks", "graphs", "issues", "jobs", "labels", "merge_requests",
		"milestones", "network", "pipelines", "project_members", "releases", "settings", "snippets", "tags", "work_items",
	}
)

// readGitLab returns several readings for old URLs without "/-/": in
// "group/project/issues", the last may be a page or the name of a project.
func readGitLab(p page) ([]Target, error) {
	if len(p.path) < 2 || slices.Contains(notOwnersOfGitLab, p.path[0]) {
		return nil, problemRepository
	}
	if n := slices.Index(p.path, "-"); n >= 0 {
		if n < 2 {
			return nil, problemRepository
		}
		return readGitLabPage(p, n, n+1)
	}
	var found []Target
	isRepository := strings.HasSuffix(p.path[len(p.path)-1], ".git") || p.ssh
	for n := 2; n < len(p.path); n++ {
		switch {
		case slices.Contains(neverOfGitLab, p.path[n]):
			ts, err := readGitLabPage(p, n, n)
			if len(found) > 0 {
				err = nil
			}
			return append(found, ts...), err
		case slices.Contains(pagesOfGitLab, p.path[n]) && !isRepository:
			if ts, err := readGitLabPage(p, n, n); err == nil {
				found = append(found, ts...)
			}
		}
	}
	last := len(p.path) - 1
	t, err := repository(p.path[:last], p.path[last])
	if t.Repo == "-" {
		err = problemRepository
	}
	switch {
	case err == nil:
		return append(found, t), nil
	case len(found) > 0:
		return found, nil
	default:
		return nil, err
	}
}

// readGitLabPage reads a URL whose project ends before one segment and whose page
// begins at another.
func readGitLabPage(p page, end, begin int) ([]Target, error) {
	t, err := repository(p.path[:end-1], p.path[end-1])
	if err != nil {
		return nil, err
	}
	kind := map[string]RefKind{"heads": Branch, "tags": Tag}[p.query.Get("ref_type")]
	name, rest := first(p.path[begin:])
	switch name {
	case "tree", "blob", "raw", "blame", "edit", "commits", "find_file":
		return t.at(qualified(kind, rest))
	case "commit":
		id, _ := first(rest)
		return t.commit(withoutSuffix(id))
	case "tags":
		if len(rest) > 0 && rest[0] != "new" {
			return t.at(whole(Tag, rest...))
		}
	case "releases":
		if tag, _ := first(rest); tag != "new" && tag != "permalink" {
			return t.at(whole(Tag, tag))
		}
	case "merge_requests":
		if number, _ := first(rest); number == "new" {
			return t.at(whole(Branch, p.query.Get("merge_request[source_branch]")))
		}
		return t.numbered(ChangePage, rest)
	case "issues", "work_items":
		return t.numbered(IssuePage, rest)
	case "compare":
		return t.at(whole(AnyRef, compared(rest)))
	}
	return []Target{t}, nil
}

func pathOfGitLab(t Target) string {
	switch {
	case t.Page == ChangePage:
		return t.home() + join("-", "merge_requests", t.Number)
	case t.Page == IssuePage:
		return t.home() + join("-", "issues", t.Number)
	case t.Page == RepositoryPage:
		names := append(strings.Split(t.Owner, "/"), t.Repo)
		if slices.ContainsFunc(names[2:], func(s string) bool {
			return slices.Contains(pagesOfGitLab, s) || slices.Contains(neverOfGitLab, s)
		}) {
			return t.home() + ".git" // which leads to the same page, and can be no other
		}
		return t.home()
	case t.Ref.Kind == Commit:
		return t.home() + join("-", "commit", t.Ref.Tail[0])
	case t.Ref.Kind == Tag && t.Ref.Whole:
		return t.home() + join("-", "tags", t.Ref.Tail[0])
	}
	path := t.home() + join(append([]string{"-", "tree"}, t.Ref.Tail...)...)
	switch t.Ref.Kind {
	case Branch:
		return path + "?ref_type=heads"
	case Tag:
		return path + "?ref_type=tags"
	default:
		return path
	}
}
