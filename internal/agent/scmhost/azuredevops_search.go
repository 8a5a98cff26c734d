package scmhost

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/musterhq/muster/internal/fault"
)

// azureAccounts is where Azure DevOps Services know people and their
// organizations.
const azureAccounts = "https://app.vssps.visualstudio.com"

// azureOrganizations is how many organizations a search asks; up to two more calls
// are needed to list them, and one is left for trying again.
const azureOrganizations = maxCalls - 3

// Search implements Provider. Azure DevOps cannot search: the repositories of an
// organization are listed, and those are found whose full name contains all words.
// Of several organizations or collections, the first three are asked; what is left
// out can be reached with a text that begins with the organization, and is not
// counted.
func (a azureDevOps) Search(ctx context.Context, q Query) (Repositories, error) {
	if q.Native {
		return Repositories{}, fault.New(fault.Unimplemented, fault.ReasonUnimplemented, "Azure DevOps has no query language for repositories. Search for words instead.")
	}
	organizations := []string{a.organization}
	complete := true
	if a.organization == "" {
		var err error
		if organizations, complete, err = a.organizations(ctx); err != nil {
			return Repositories{}, err
		}
	}
	asked, text, all := narrowTo(organizations, q.Text, azureOrganizations)
	words := strings.Fields(strings.ToLower(text))
	found, allAnswered, err := askEach(ctx, asked, func(ctx context.Context, organization string) ([]FoundRepository, error) {
		return a.search(ctx, organization, words)
	})
	if err != nil {
		return Repositories{}, err
	}
	return q.of(slices.Concat(found...), complete && all && allAnswered), nil
}

// search lists an organization, which is one answer however many repositories it
// has, and picks what matches.
func (a azureDevOps) search(ctx context.Context, organization string, words []string) ([]FoundRepository, error) {
	var list struct {
		Value []azureRepository `json:"value"`
	}
	if err := a.get(ctx, "organization", &list, nil, organization, "_apis", "git", "repositories"); err != nil {
		return nil, err
	}
	var found []FoundRepository
	for _, r := range list.Value {
		row := a.found(a.owner(organization, r), r.Name)
		name := strings.ToLower(row.Name)
		if !r.Disabled && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(name, word) }) {
			found = append(found, row)
		}
	}
	return found, nil
}

// Organizations implements Provider. They are the projects of the integration's
// organization; without one, the organizations of the user, or the collections of
// a Server. The cursor counts rows.
func (a azureDevOps) Organizations(ctx context.Context, q OrganizationQuery) (Organizations, error) {
	if q.Text != "" {
		return Organizations{}, fault.Invalid("query", "Azure DevOps lists organizations and cannot search them. Leave it empty.")
	}
	start, err := offset(q.Cursor)
	if err != nil {
		return Organizations{}, err
	}
	var names []string
	switch {
	case a.organization != "":
		if names, err = a.list(ctx, start, q.Size+1, a.organization, "_apis", "projects"); err != nil {
			return Organizations{}, err
		}
		for i := range names {
			names[i] = a.organization + "/" + names[i]
		}
	case a.server:
		if names, err = a.list(ctx, start, q.Size+1, "_apis", "projectCollections"); err != nil {
			return Organizations{}, err
		}
	default:
		if names, _, err = a.organizations(ctx); err != nil {
			return Organizations{}, err
		}
		names = names[min(start, len(names)):]
	}
	var found Organizations
	if len(names) > q.Size { // one more than wanted tells that there are more
		names, found.Cursor = names[:q.Size], pageCursor(start+q.Size)
	}
	for _, name := range names {
		found.Rows = append(found.Rows, Organization{Name: name, URL: a.root + (&url.URL{Path: "/" + name}).EscapedPath()})
	}
	return found, nil
}

// organizations lists those of the user, or the first collections of a Server. All
// says that there are no more.
func (a azureDevOps) organizations(ctx context.Context) (names []string, all bool, err error) {
	if a.server {
		names, err = a.list(ctx, 0, maxPage, "_apis", "projectCollections")
		return names, len(names) < maxPage, err
	}
	me, err := a.profile(ctx)
	if err != nil {
		return nil, false, err
	}
	var list struct {
		Value []struct {
			Name string `json:"accountName"`
		} `json:"value"`
	}
	if err := a.getAt(ctx, azureAccounts, "list of organizations", &list, url.Values{"memberId": {me.ID}}, "_apis", "accounts"); err != nil {
		return nil, false, err
	}
	for _, account := range list.Value {
		names = append(names, account.Name)
	}
	return names, true, nil
}

// list reads the names of a page of projects or collections.
func (a azureDevOps) list(ctx context.Context, skip, top int, path ...string) ([]string, error) {
	var list struct {
		Value []struct {
			Name string `json:"name"`
		} `json:"value"`
	}
	query := url.Values{"$skip": {strconv.Itoa(skip)}, "$top": {strconv.Itoa(top)}}
	if err := a.get(ctx, "list of organizations", &list, query, path...); err != nil {
		return nil, err
	}
	var names []string
	for _, row := range list.Value {
		names = append(names, row.Name)
	}
	return names, nil
}

type azureProfile struct {
	ID    string `json:"id"`
	Email string `json:"emailAddress"`
}

// profile is who the credential belongs to. A personal access token is good for
// one organization, and cannot ask what lies outside of it.
func (a azureDevOps) profile(ctx context.Context) (azureProfile, error) {
	var me azureProfile
	if !a.Credential.OAuth {
		return me, fault.New(fault.FailedPrecondition, fault.HostNotConfigured,
			"A personal access token of Azure DevOps is good for one organization, and the integration does not say which. An administrator can connect the host as %s/ORGANIZATION.", a.Host)
	}
	if err := a.getAt(ctx, azureAccounts, "profile", &me, nil, "_apis", "profile", "profiles", "me"); err != nil {
		return me, err
	}
	if me.ID == "" {
		return me, a.garbled()
	}
	return me, nil
}
