package scmurl

import (
	"slices"
	"strings"
)

// azureDevOpsEntra is Azure DevOps Services, where people sign in with Entra ID.
var azureDevOpsEntra = kind{
	name:  "Azure DevOps",
	read:  readAzureDevOps,
	path:  pathOfAzureDevOps,
	clone: cloneOfAzureDevOps,
	pat: func(i Integration) PAT {
		if i.Base() == i.root() { // the page is that of an organization
			return azurePAT(i.Base())
		}
		return azurePAT(i.Base() + "/_usersSettings/tokens")
	},
	oauth: func(i Integration) OAuth {
		issuer := strings.TrimSuffix(i.IssuerURL, "/")
		issuer = strings.TrimSuffix(strings.TrimSuffix(issuer, "/v2.0"), "/oauth2")
		return OAuth{
			AuthorizeURL: issuer + "/oauth2/v2.0/authorize",
			TokenURL:     issuer + "/oauth2/v2.0/token",
			// The first is all that the application may do on Azure DevOps, whose id it
			// has; without the second there is no refresh token.
			Scopes:  []string{"499b84ac-1321-427f-aa17-267ca6975798/.default", "offline_access"},
			DocsURL: "https://learn.microsoft.com/azure/devops/integrate/get-started/authentication/entra-oauth",
		}
	},
}

// azureDevOpsServer is Azure DevOps Server, once called Team Foundation Server.
// People sign in there with personal access tokens only.
var azureDevOpsServer = kind{
	name:  "Azure DevOps Server",
	read:  readAzureDevOps,
	path:  pathOfAzureDevOps,
	clone: cloneOfAzureDevOps,
	pat: func(i Integration) PAT {
		return azurePAT(i.Base() + "/" + defaultCollection + "/_usersSettings/tokens")
	},
}

func azurePAT(createURL string) PAT {
	return PAT{
		CreateURL: createURL,
		DocsURL:   "https://learn.microsoft.com/azure/devops/organizations/accounts/use-personal-access-tokens-to-authenticate",
		Example:   strings.Repeat("x", 52),
		Scopes:    []string{"Code (read & write)", "Project and Team (read)", "User Profile (read)", "Work Items (read)"},
	}
}

// readAzureDevOps reads "organization/project/_git/repository" and what may be
// left out of it. Owners are "organization/project", or "collection/project" on
// Azure DevOps Server. A repository may have the name of its project, which then
// need not be there twice.
func readAzureDevOps(p page) ([]Target, error) {
	if len(p.path) < 2 {
		return nil, problemRepository
	}
	organization, rest := p.path[0], p.path[1:]
	n := slices.IndexFunc(rest, func(s string) bool { return s == "_git" || s == "_ssh" })
	if n > 2 { // a project, and maybe a team
		n = -1
	}
	project, repo := rest[0], rest[0]
	switch {
	case n == 0 && len(rest) == 1, n < 0 && strings.HasPrefix(project, "_"):
		return nil, problemRepository
	case n < 0:
		t, err := exactRepository([]string{organization, project}, project)
		switch {
		case err != nil:
			return nil, err
		case len(rest) > 2 && rest[1] == "_workitems" && rest[2] == "edit":
			return t.numbered(IssuePage, rest[3:])
		}
		return []Target{t}, nil
	case n == 0:
		project, repo = "", rest[1]
	case len(rest) > n+1:
		repo = rest[n+1]
	}
	names := []string{repo}
	if short, ok := strings.CutSuffix(repo, ".git"); ok && short != "" {
		names = append(names, short) // Azure DevOps never adds ".git", but people do
	}
	var found []Target
	for _, name := range names {
		owner := []string{organization, project}
		if project == "" {
			owner[1] = name
		}
		t, err := exactRepository(owner, name)
		if err != nil {
			return nil, err
		}
		ts, err := readAzureDevOpsPage(t, rest[min(n+2, len(rest)):], p)
		if err != nil {
			return nil, err
		}
		found = append(found, ts...)
	}
	return found, nil
}

func readAzureDevOpsPage(t Target, rest []string, p page) ([]Target, error) {
	name, rest := first(rest)
	switch strings.ToLower(name) {
	case "commit":
		id, _ := first(rest)
		return t.commit(id)
	case "pullrequest":
		return t.numbered(ChangePage, rest)
	case "pullrequestcreate":
		return t.at(whole(Branch, full(p.query.Get("sourceRef")).Tail...))
	}
	for _, key := range []string{"version", "itemVersion", "targetVersion"} {
		v := p.query.Get(key)
		switch v[:min(2, len(v))] {
		case "GB":
			return t.at(whole(Branch, v[2:]))
		case "GT":
			return t.at(whole(Tag, v[2:]))
		case "GC":
			return t.commit(v[2:])
		}
	}
	return []Target{t}, nil
}

func pathOfAzureDevOps(t Target) string {
	if t.Page == IssuePage {
		return join(append(strings.Split(t.Owner, "/"), "_workitems", "edit", t.Number)...)
	}
	home := cloneOfAzureDevOps(t)
	switch {
	case t.Page == ChangePage:
		return home + join("pullrequest", t.Number)
	case t.Page == RepositoryPage:
		return home
	case t.Ref.Kind == Commit:
		return home + join("commit", t.Ref.Tail[0])
	case t.Ref.Kind == Tag:
		return home + query("version", "GT"+t.Ref.Tail[0])
	}
	return home + query("version", "GB"+t.Ref.Tail[0])
}

func cloneOfAzureDevOps(t Target) string {
	return join(append(strings.Split(t.Owner, "/"), "_git", t.Repo)...)
}
