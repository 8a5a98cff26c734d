package scmurl

import (
	"slices"
	"strings"
)

// github is github.com, GitHub Enterprise Server and ghe.com.
var github = kind{
	name:  "GitHub",
	read:  readGitHub,
	path:  pathOfGitHub,
	clone: cloneOfHome,
	pat: func(i Integration) PAT {
		return PAT{
			CreateURL: i.Base() + "/settings/tokens/new?description=Muster&scopes=" + strings.Join(scopesOfGitHub, ","),
			DocsURL:   "https://docs.github.com/authentication/keeping-your-account-and-data-secure/managing-your-personal-access-tokens",
			Example:   "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
			Scopes:    scopesOfGitHub,
		}
	},
	oauth: func(i Integration) OAuth {
		return OAuth{
			AuthorizeURL: i.Base() + "/login/oauth/authorize",
			TokenURL:     i.Base() + "/login/oauth/access_token",
			Scopes:       scopesOfGitHub,
			DocsURL:      "https://docs.github.com/apps/oauth-apps/building-oauth-apps/creating-an-oauth-app",
		}
	},
}

var scopesOfGitHub = []string{"repo", "read:org", "read:user", "user:email"}

// notOwnersOfGitHub are pages of the site where a user or an organization could
// be.
var notOwnersOfGitHub = []string{
	"about", "account", "apps", "codespaces", "collections", "contact", "copilot", "customer-stories", "dashboard", "enterprise", "enterprises",
	"events", "explore", "features", "issues", "join", "login", "logout", "marketplace", "new", "notifications", "organizations", "orgs", "pricing",
	"pulls", "search", "security", "sessions", "settings", "signup", "site", "sponsors", "stars", "team", "topics", "trending", "users",
}

func readGitHub(p page) ([]Target, error) {
	if len(p.path) < 2 || slices.Contains(notOwnersOfGitHub, strings.ToLower(p.path[0])) {
		return nil, problemRepository
	}
	t, err := repository(p.path[:1], p.path[1])
	if err != nil {
		return nil, err
	}
	name, rest := first(p.path[2:])
	switch name {
	case "tree", "blob", "raw", "blame", "edit", "commits":
		return t.at(qualified(AnyRef, rest))
	case "commit":
		id, _ := first(rest)
		return t.commit(withoutSuffix(id))
	case "releases":
		if what, tag := first(rest); what == "tag" {
			return t.at(whole(Tag, tag...))
		}
	case "pull":
		number, branch := first(rest)
		if number == "new" {
			return t.at(whole(Branch, branch...))
		}
		return t.numbered(ChangePage, []string{withoutSuffix(number)})
	case "issues":
		return t.numbered(IssuePage, rest)
	case "compare":
		return t.fork(compared(rest), ":")
	}
	return []Target{t}, nil
}

// withoutSuffix takes the ends off with which GitHub shows a change as text.
func withoutSuffix(s string) string {
	return strings.TrimSuffix(strings.TrimSuffix(s, ".diff"), ".patch")
}

// fork is the target at a ref that may be of a fork: "owner:ref", or with the name
// of the fork "owner:repo:ref", where the separator is ":".
func (t Target) fork(head, separator string) ([]Target, error) {
	where, ref, ok := cutLast(head, ":")
	if !ok {
		return t.at(whole(AnyRef, head))
	}
	owner, repo, named := strings.Cut(where, separator)
	if !named {
		repo = t.Repo
	}
	f, err := exactRepository([]string{owner}, repo)
	switch {
	case err != nil:
		return nil, err
	case named:
		t = f
	case ref != "" && !strings.EqualFold(owner, t.Owner):
		t.Fork = owner
	}
	return t.at(whole(AnyRef, ref))
}

func cutLast(s, separator string) (before, after string, found bool) {
	if n := strings.LastIndex(s, separator); n >= 0 {
		return s[:n], s[n+len(separator):], true
	}
	return "", s, false
}

func pathOfGitHub(t Target) string {
	switch {
	case t.Page == ChangePage:
		return t.home() + join("pull", t.Number)
	case t.Page == IssuePage:
		return t.home() + join("issues", t.Number)
	case t.Page == RepositoryPage:
		return t.home()
	case t.Fork != "":
		return t.home() + join("compare", t.Fork+":"+t.Ref.Tail[0])
	case t.Ref.Kind == Commit:
		return t.home() + join("commit", t.Ref.Tail[0])
	case t.Ref.Kind == Tag && t.Ref.Whole:
		return t.home() + join("releases", "tag", t.Ref.Tail[0])
	case t.Ref.Kind == Tag:
		return t.home() + join(append([]string{"tree", "refs", "tags"}, t.Ref.Tail...)...)
	case t.Ref.Kind == Branch:
		return t.home() + join(append([]string{"tree", "refs", "heads"}, t.Ref.Tail...)...)
	}
	return t.home() + join(append([]string{"tree"}, t.Ref.Tail...)...)
}
