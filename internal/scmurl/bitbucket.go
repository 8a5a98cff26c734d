package scmurl

import (
	"slices"
	"strings"
)

// bitbucket is Bitbucket Cloud.
var bitbucket = kind{
	name:  "Bitbucket Cloud",
	read:  readBitbucket,
	path:  pathOfBitbucket,
	clone: cloneOfHome,
	pat: func(Integration) PAT {
		return PAT{
			CreateURL: "https://id.atlassian.com/manage-profile/security/api-tokens",
			DocsURL:   "https://support.atlassian.com/bitbucket-cloud/docs/api-tokens/",
			Example:   "you@example.com:ATATT3xxxxxxxxxxxxxxxxxxxx",
			Scopes:    []string{"read:repository:bitbucket", "read:pullrequest:bitbucket", "read:user:bitbucket", "read:workspace:bitbucket"},
		}
	},
	oauth: func(i Integration) OAuth {
		return OAuth{
			AuthorizeURL: i.Base() + "/site/oauth2/authorize",
			TokenURL:     i.Base() + "/site/oauth2/access_token",
			DocsURL:      "https://support.atlassian.com/bitbucket-cloud/docs/use-oauth-on-bitbucket-cloud/",
			BasicAuth:    true,
		}
	},
}

// notOwnersOfBitbucket are pages of the site where a workspace could be.
var notOwnersOfBitbucket = []string{"account", "api", "blog", "dashboard", "gateway", "product", "repo", "site", "snippets", "socialauth", "support", "xhr"}

func readBitbucket(p page) ([]Target, error) {
	if len(p.path) < 2 || slices.Contains(notOwnersOfBitbucket, p.path[0]) {
		return nil, problemRepository
	}
	t, err := repository(p.path[:1], p.path[1])
	switch {
	case err != nil:
		return nil, err
	case t.Repo == "workspace": // under which are the pages of the workspace itself
		return nil, problemRepository
	}
	name, rest := first(p.path[2:])
	switch name {
	case "src", "raw", "annotate":
		if at := p.query.Get("at"); at != "" { // then the path has its commit
			return t.at(whole(AnyRef, at))
		}
		return t.at(tail(AnyRef, rest))
	case "branch":
		return t.at(whole(Branch, rest...))
	case "branches":
		if what, sides := first(rest); what == "compare" {
			source, _, _ := strings.Cut(strings.Join(sides, "/"), "\r")
			return t.fork(source, "/")
		}
	case "commits":
		switch what, ref := first(rest); what {
		case "":
		case "tag":
			return t.at(whole(Tag, ref...))
		case "branch":
			return t.at(whole(Branch, ref...))
		default:
			return t.commit(what)
		}
	case "pull-requests":
		return t.numbered(ChangePage, rest)
	}
	return []Target{t}, nil
}

func pathOfBitbucket(t Target) string {
	switch {
	case t.Page == ChangePage:
		return t.home() + join("pull-requests", t.Number)
	case t.Page == RepositoryPage:
		return t.home()
	case t.Fork != "":
		return t.home() + join("branches", "compare", t.Fork+":"+t.Ref.Tail[0])
	case t.Ref.Kind == Commit:
		return t.home() + join("commits", t.Ref.Tail[0])
	case t.Ref.Kind == Tag:
		return t.home() + join("commits", "tag", t.Ref.Tail[0])
	case t.Ref.Kind == Branch:
		return t.home() + join("branch", t.Ref.Tail[0])
	}
	return t.home() + join(append([]string{"src"}, t.Ref.Tail...)...)
}
