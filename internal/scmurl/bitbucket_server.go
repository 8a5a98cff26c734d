package scmurl

import "strings"

// bitbucketServer is Bitbucket Data Center.
var bitbucketServer = kind{
	name:  "Bitbucket Data Center",
	read:  readBitbucketServer,
	path:  pathOfBitbucketServer,
	clone: cloneOfBitbucketServer,
	pat: func(i Integration) PAT {
		return PAT{
			CreateURL: i.Base() + "/plugins/servlet/access-tokens/manage",
			DocsURL:   "https://confluence.atlassian.com/bitbucketserver/http-access-tokens-939515499.html",
			Example:   "MDM0MjM5NDc2MDxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
			Scopes:    []string{"PROJECT_READ", "REPO_READ"},
		}
	},
	oauth: func(i Integration) OAuth {
		return OAuth{
			AuthorizeURL: i.Base() + "/rest/oauth2/latest/authorize",
			TokenURL:     i.Base() + "/rest/oauth2/latest/token",
			Scopes:       []string{"PUBLIC_REPOS", "REPO_READ", "REPO_WRITE"},
			DocsURL:      "https://confluence.atlassian.com/bitbucketserver/bitbucket-oauth-2-0-provider-api-1108483661.html",
		}
	},
}

// readBitbucketServer returns owners as the host writes them: the key of a project
// in capitals, and "~user" for what belongs to a user.
func readBitbucketServer(p page) ([]Target, error) {
	var owner, repo string
	var rest []string
	switch what := p.path; {
	case p.ssh && len(what) == 2:
		owner, repo = what[0], what[1]
	case len(what) == 3 && what[0] == "scm":
		owner, repo = what[1], what[2]
	case len(what) >= 4 && what[0] == "projects" && what[2] == "repos":
		owner, repo, rest = what[1], what[3], what[4:]
	case len(what) >= 4 && what[0] == "users" && what[2] == "repos":
		owner, repo, rest = "~"+strings.TrimPrefix(what[1], "~"), what[3], what[4:]
	default:
		return nil, problemRepository
	}
	if !strings.HasPrefix(owner, "~") {
		owner = strings.ToUpper(owner)
	}
	t, err := repository([]string{owner}, repo)
	if err != nil {
		return nil, err
	}
	name, rest := first(rest)
	switch name {
	case "commits":
		if id, _ := first(rest); id != "" {
			return t.commit(id)
		}
		return t.at(full(p.query.Get("until")))
	case "compare":
		return t.at(full(p.query.Get("sourceBranch")))
	case "pull-requests":
		if len(rest) > 0 {
			return t.numbered(ChangePage, rest)
		}
		return t.at(full(p.query.Get("sourceBranch"))) // a new one
	}
	return t.at(full(p.query.Get("at")))
}

func pathOfBitbucketServer(t Target) string {
	home := join("projects", t.Owner, "repos", t.Repo)
	if user, ok := strings.CutPrefix(t.Owner, "~"); ok {
		home = join("users", user, "repos", t.Repo)
	}
	switch {
	case t.Page == ChangePage:
		return home + join("pull-requests", t.Number)
	case t.Page == RepositoryPage:
		return home
	case t.Ref.Kind == Commit:
		return home + join("commits", t.Ref.Tail[0])
	case t.Ref.Kind == Tag:
		return home + "/browse" + query("at", "refs/tags/"+t.Ref.Tail[0])
	case t.Ref.Kind == Branch:
		return home + "/browse" + query("at", "refs/heads/"+t.Ref.Tail[0])
	}
	return home + "/browse" + query("at", t.Ref.Tail[0])
}

func cloneOfBitbucketServer(t Target) string {
	owner := t.Owner
	if !strings.HasPrefix(owner, "~") {
		owner = strings.ToLower(owner)
	}
	return join("scm", owner, t.Repo) + ".git"
}
