package scmhost

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/musterhq/muster/internal/fault"
)

// bitbucketWorkspaces is how many workspaces a search asks; one more call is
// needed to list them, and one is left for trying again.
const bitbucketWorkspaces = maxCalls - 2

// Search implements Provider. Bitbucket searches inside of one workspace only. Of
// several workspaces, the first four are asked, and each shows the hundred matches
// that were updated last; the newest come first. What is left out can be reached
// with a text that begins with the workspace, and is not counted. Repositories of
// others cannot be found at all.
//
// A native query is in Bitbucket's own language, and each workspace gets the whole
// of it.
func (b bitbucket) Search(ctx context.Context, q Query) (Repositories, error) {
	rows, more, err := b.workspaces(ctx, 1, maxPage)
	if err != nil {
		return Repositories{}, err
	}
	var workspaces []string
	for _, row := range rows {
		workspaces = append(workspaces, row.Workspace.Slug)
	}
	var asked []string
	var all bool
	query := q.Text
	if q.Native {
		asked, _, all = narrowTo(workspaces, "", bitbucketWorkspaces)
	} else {
		asked, query, all = narrowTo(workspaces, q.Text, bitbucketWorkspaces)
		query = bitbucketQuery(query)
	}
	if len(asked) == 1 {
		list, err := b.repositories(ctx, asked[0], query, q.Page, q.Size)
		if err != nil {
			return Repositories{}, err
		}
		found := Repositories{Rows: b.rows(list.Values), More: list.Next != "", Pages: -1, Total: -1}
		if list.Size != nil {
			found.Pages, found.Total = pages(*list.Size, q.Size), *list.Size
		}
		return found, nil
	}
	lists, allAnswered, err := askEach(ctx, asked, func(ctx context.Context, workspace string) (bitbucketList, error) {
		return b.repositories(ctx, workspace, query, 1, maxPage)
	})
	if err != nil {
		return Repositories{}, err
	}
	all = all && allAnswered && !more
	var merged []bitbucketRow
	for _, list := range lists {
		merged = append(merged, list.Values...)
		all = all && list.Next == ""
	}
	slices.SortStableFunc(merged, func(a, b bitbucketRow) int { return strings.Compare(b.UpdatedOn, a.UpdatedOn) })
	return q.of(b.rows(merged), all), nil
}

type bitbucketRow struct {
	FullName string `json:"full_name"`
	// UpdatedOn is in UTC, so that it can be compared as text.
	UpdatedOn string `json:"updated_on"`
}

// bitbucketList is a page of the repositories of a workspace.
type bitbucketList struct {
	Values []bitbucketRow `json:"values"`
	// Next is empty at the end.
	Next string `json:"next"`
	// Size counts all that match; nil when the host does not say.
	Size *int `json:"size"`
}

func (b bitbucket) rows(list []bitbucketRow) []FoundRepository {
	var rows []FoundRepository
	for _, r := range list {
		owner, repo, _ := strings.Cut(r.FullName, "/")
		rows = append(rows, b.found(owner, repo))
	}
	return rows
}

// repositories reads a page of those of a workspace that match a query, newest
// first.
func (b bitbucket) repositories(ctx context.Context, workspace, query string, page, size int) (bitbucketList, error) {
	v := url.Values{
		"page": {strconv.Itoa(page)}, "pagelen": {strconv.Itoa(size)}, "sort": {"-updated_on"},
		"fields": {"values.full_name,values.updated_on,next,size"},
	}
	if query != "" {
		v.Set("q", query)
	}
	var list bitbucketList
	_, err := b.get(ctx, "workspace", &list, v, "repositories", workspace)
	if hasStatus(err, http.StatusBadRequest) {
		return bitbucketList{}, fault.New(fault.InvalidArgument, fault.InvalidField, "%s does not understand this query.", b.Host)
	}
	return list, err
}

// bitbucketQuery matches names that contain all words. A word stays inside of its
// quotes, whatever characters it has.
func bitbucketQuery(words string) string {
	var parts []string
	for _, word := range strings.Fields(words) {
		parts = append(parts, `name ~ "`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word)+`"`)
	}
	return strings.Join(parts, " AND ")
}

// Organizations implements Provider. They are workspaces; the cursor is the number
// of a page.
func (b bitbucket) Organizations(ctx context.Context, q OrganizationQuery) (Organizations, error) {
	if q.Text != "" {
		return Organizations{}, fault.Invalid("query", "Bitbucket lists workspaces and cannot search them. Leave it empty.")
	}
	page, err := pageNumber(q.Cursor)
	if err != nil {
		return Organizations{}, err
	}
	rows, more, err := b.workspaces(ctx, page, q.Size)
	if err != nil {
		return Organizations{}, err
	}
	var found Organizations
	for _, row := range rows {
		found.Rows = append(found.Rows, Organization{
			Name: row.Workspace.Slug, URL: b.Base() + "/" + url.PathEscape(row.Workspace.Slug),
			Admin: row.Administrator || row.Permission == "owner",
		})
	}
	if more {
		found.Cursor = pageCursor(page + 1)
	}
	return found, nil
}

// bitbucketMembership is a workspace, and the user's role in it in one of the two
// ways in which Bitbucket tells it.
type bitbucketMembership struct {
	Administrator bool   `json:"administrator"`
	Permission    string `json:"permission"`
	Workspace     struct {
		Slug string `json:"slug"`
	} `json:"workspace"`
}

func (b bitbucket) workspaces(ctx context.Context, page, size int) (rows []bitbucketMembership, more bool, err error) {
	var answer struct {
		Values []bitbucketMembership `json:"values"`
		Next   string                `json:"next"`
	}
	v := url.Values{"page": {strconv.Itoa(page)}, "pagelen": {strconv.Itoa(size)}}
	if _, err := b.get(ctx, "list of workspaces", &answer, v, "user", "workspaces"); err != nil {
		return nil, false, err
	}
	return answer.Values, answer.Next != "", nil
}
