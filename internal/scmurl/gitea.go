package scmurl

import (
	"slices"
	"strings"
)

// gitea is Gitea and Forgejo.
var gitea = kind{
	name:  "Gitea or Forgejo",
	read:  readGitea,
	path:  pathOfGitea,
	clone: cloneOfHome,
	pat: func(i Integration) PAT {
		return PAT{
			CreateURL: i.Base() + "/user/settings/applications",
			DocsURL:   "https://docs.gitea.com/development/api-usage",
			Example:   strings.Repeat("x", 40),
			Scopes:    []string{"read:user", "read:organization", "read:repository", "read:issue"},
		}
	},
	oauth: func(i Integration) OAuth {
		return OAuth{
			AuthorizeURL: i.Base() + "/login/oauth/authorize",
			TokenURL:     i.Base() + "/login/oauth/access_token",
			Scopes:       []string{"read:user", "read:organization", "write:repository", "read:issue"},
			DocsURL:      "https://docs.gitea.com/development/oauth2-provider",
		}
	},
}

// notOwnersOfGitea are pages of the site where a user or an organization could
// be.
var notOwnersOfGitea = []string{
	"-", "admin", "api", "assets", "attachments", "avatar", "avatars", "captcha", "explore", "issues", "login", "metrics", "milestones", "notifications",
	"org", "pulls", "repo", "repo-avatars", "search", "user", "v2",
}

func readGitea(p page) ([]Target, error) {
	if len(p.path) < 2 || slices.Contains(notOwnersOfGitea, strings.ToLower(p.path[0])) {
		return nil, problemRepository
	}
	t, err := repository(p.path[:1], p.path[1])
	if err != nil {
		return nil, err
	}
	name, rest := first(p.path[2:])
	switch name {
	case "src", "raw", "media", "blame", "commits":
		switch what, ref := first(rest); what {
		case "branch":
			return t.at(tail(Branch, ref))
		case "tag":
			return t.at(tail(Tag, ref))
		case "commit":
			id, _ := first(ref)
			return t.commit(id)
		}
		return t.at(qualified(AnyRef, rest))
	case "tree", "blob": // as on GitHub
		return t.at(qualified(AnyRef, rest))
	case "commit":
		id, _ := first(rest)
		return t.commit(withoutSuffix(id))
	case "releases":
		if what, tag := first(rest); what == "tag" {
			return t.at(whole(Tag, tag...))
		}
	case "pulls":
		number, _ := first(rest)
		return t.numbered(ChangePage, []string{withoutSuffix(number)})
	case "issues":
		return t.numbered(IssuePage, rest)
	case "compare":
		return t.fork(compared(rest), "/")
	}
	return []Target{t}, nil
}

func pathOfGitea(t Target) string {
	switch {
	case t.Page == ChangePage:
		return t.home() + join("pulls", t.Number)
	case t.Page == IssuePage:
		return t.home() + join("issues", t.Number)
	case t.Page == RepositoryPage:
		return t.home()
	case t.Fork != "":
		return t.home() + join("compare", t.Fork+":"+t.Ref.Tail[0])
	}
	switch t.Ref.Kind {
	case Branch:
		return t.home() + join(append([]string{"src", "branch"}, t.Ref.Tail...)...)
	case Tag:
		return t.home() + join(append([]string{"src", "tag"}, t.Ref.Tail...)...)
	case Commit:
		return t.home() + join("commit", t.Ref.Tail[0])
	default:
		return t.home() + join(append([]string{"tree"}, t.Ref.Tail...)...)
	}
}
