package scmhost

import (
	"context"
	"net/url"
	"strconv"
)

// bitbucketServerPage is a page of a list. The next one begins at NextStart, which
// counts rows that the user may not see too.
type bitbucketServerPage[T any] struct {
	Values    []T  `json:"values"`
	Last      bool `json:"isLastPage"`
	NextStart int  `json:"nextPageStart"`
}

// more tells whether there is another page, without which a list would never end
// if a host forgot to say where it begins.
func (p bitbucketServerPage[T]) more(start int) bool { return !p.Last && p.NextStart > start }

// bitbucketServerRows is how many rows an answer of the host has at most, unless
// its administrator lowers that.
const bitbucketServerRows = 1000

// bitbucketServerPages is how many answers a search reads; one more call is left
// for trying again.
const bitbucketServerPages = maxCalls - 1

// Search implements Provider. There is no query language: any text is a part of a
// name. Where a page begins is not known before those that come before it are
// read, so that a list ends with what five answers hold, which is five thousand
// repositories.
func (b bitbucketServer) Search(ctx context.Context, q Query) (Repositories, error) {
	var rows []FoundRepository
	want, start := min(q.Page, bitbucketServerRows*bitbucketServerPages)*q.Size, 0
	for range bitbucketServerPages {
		v := url.Values{
			"permission": {"REPO_READ"}, "start": {strconv.Itoa(start)}, "limit": {strconv.Itoa(min(want-len(rows), bitbucketServerRows))},
		}
		if q.Text != "" {
			v.Set("name", q.Text)
		}
		var page bitbucketServerPage[bitbucketServerRepository]
		if _, err := b.get(ctx, "list of repositories", &page, v, "repos"); err != nil {
			return Repositories{}, err
		}
		for _, r := range page.Values {
			rows = append(rows, b.found(r.owner(), r.Slug))
		}
		if !page.more(start) {
			return q.of(rows, true), nil
		}
		if len(rows) >= want {
			found := q.of(rows, false)
			found.More = true
			return found, nil
		}
		start = page.NextStart
	}
	return q.of(rows, false), nil
}

// Organizations implements Provider. They are projects; the cursor is where the
// next page begins.
func (b bitbucketServer) Organizations(ctx context.Context, q OrganizationQuery) (Organizations, error) {
	start, err := offset(q.Cursor)
	if err != nil {
		return Organizations{}, err
	}
	v := url.Values{"permission": {"PROJECT_READ"}, "start": {strconv.Itoa(start)}, "limit": {strconv.Itoa(q.Size)}}
	if q.Text != "" {
		v.Set("name", q.Text)
	}
	var page bitbucketServerPage[struct {
		Key string `json:"key"`
	}]
	if _, err := b.get(ctx, "list of projects", &page, v, "projects"); err != nil {
		return Organizations{}, err
	}
	var found Organizations
	for _, p := range page.Values {
		found.Rows = append(found.Rows, Organization{Name: p.Key, URL: b.Base() + "/projects/" + url.PathEscape(p.Key)})
	}
	if page.more(start) {
		found.Cursor = pageCursor(page.NextStart)
	}
	return found, nil
}
