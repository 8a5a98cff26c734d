package scmhost

import (
	"context"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// Bounds of what one answer may bring, in bytes of a text and numbers of rows.
const (
	maxName   = 1024
	maxURL    = 2048
	maxTitle  = 1024
	maxToken  = 16 << 10
	maxScopes = 20
	// maxRefName is that of a branch or a tag.
	maxRefName = 1000
	// maxRows are those of the largest page.
	maxRows = maxPage
)

func isRefName(name string) bool { return len(name) <= maxRefName && scmurl.IsRefName(name) }

// refName is the name of a branch as a host tells it; empty when it cannot be one.
func refName(told string) string {
	if !isRefName(told) {
		return ""
	}
	return told
}

// checked is a Provider whose answers can be remembered and sent on, whatever the
// host says: texts are short, and branches and ids are such. Titles are cut, and a
// branch or a commit that cannot be is left out; other answers that are too long
// are a fault of the host.
type checked struct {
	Provider
	site Site
}

func (c checked) Viewer(ctx context.Context) (Viewer, error) {
	v, err := c.Provider.Viewer(ctx)
	if err == nil {
		err = c.site.fits(maxName, v.Login)
	}
	return v, err
}

func (c checked) Repository(ctx context.Context, owner, repo string) (Repository, error) {
	r, err := c.Provider.Repository(ctx, owner, repo)
	if err == nil {
		err = c.repository(&r)
	}
	return r, err
}

func (c checked) repository(r *Repository) error {
	r.DefaultBranch = refName(r.DefaultBranch)
	if err := c.site.fits(maxName, r.Owner, r.Repo); err != nil {
		return err
	}
	return c.site.fits(maxURL, r.CloneURL, r.UpstreamURL)
}

func (c checked) Commit(ctx context.Context, owner, repo, id string) (string, error) {
	full, err := c.Provider.Commit(ctx, owner, repo, id)
	if err == nil && !isID(full) {
		return "", c.site.garbled()
	}
	return full, err
}

func (c checked) Change(ctx context.Context, owner, repo, number string) (Change, error) {
	change, err := c.Provider.Change(ctx, owner, repo, number)
	if err != nil {
		return Change{}, err
	}
	change.Title = title(change.Title)
	change.FromBranch, change.ToBranch = refName(change.FromBranch), refName(change.ToBranch)
	if !isID(change.Commit) {
		change.Commit = ""
	}
	if change.Head != nil {
		head := *change.Head
		if err := c.repository(&head); err != nil {
			return Change{}, err
		}
		change.Head = &head
	}
	if err := c.repository(&change.Base); err != nil {
		return Change{}, err
	}
	if err := c.site.fits(maxURL, change.URL); err != nil {
		return Change{}, err
	}
	return change, c.site.fits(maxName, change.Number, change.Author)
}

func (c checked) Issue(ctx context.Context, owner, repo, number string) (Issue, error) {
	issue, err := c.Provider.Issue(ctx, owner, repo, number)
	if err == nil {
		err = c.site.fits(maxName, issue.Number)
	}
	issue.Title = title(issue.Title)
	return issue, err
}

func (c checked) Search(ctx context.Context, q Query) (Repositories, error) {
	found, err := c.Provider.Search(ctx, q)
	if err != nil {
		return Repositories{}, err
	}
	found.Pages, found.Total = min(found.Pages, math.MaxInt32), min(found.Total, math.MaxInt32)
	if len(found.Rows) > maxRows {
		return Repositories{}, c.site.tooLong()
	}
	for _, r := range found.Rows {
		if err := c.row(r.Name, r.URL); err != nil {
			return Repositories{}, err
		}
	}
	return found, nil
}

func (c checked) Organizations(ctx context.Context, q OrganizationQuery) (Organizations, error) {
	found, err := c.Provider.Organizations(ctx, q)
	if err != nil {
		return Organizations{}, err
	}
	if len(found.Rows) > maxRows {
		return Organizations{}, c.site.tooLong()
	}
	for _, o := range found.Rows {
		if err := c.row(o.Name, o.URL); err != nil {
			return Organizations{}, err
		}
	}
	return found, c.site.fits(maxName, found.Cursor)
}

func (c checked) row(name, url string) error {
	if err := c.site.fits(maxName, name); err != nil {
		return err
	}
	return c.site.fits(maxURL, url)
}

// fits is the fault of texts of which one is too long, or is none.
func (s Site) fits(most int, texts ...string) error {
	for _, text := range texts {
		switch {
		case len(text) > most:
			return s.tooLong()
		case !utf8.ValidString(text):
			return s.garbled()
		}
	}
	return nil
}

func (s Site) tooLong() error {
	return fault.New(fault.Unavailable, fault.HostUnavailable, "%s answered with a text that is too long, or with too many of them.", s.Host)
}

// title cuts a title.
func title(text string) string {
	return strings.Clone(strings.ToValidUTF8(text[:min(len(text), maxTitle)], ""))
}
