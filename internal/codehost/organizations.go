package codehost

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
)

// maxCursor bounds what a host says of its next page, in bytes.
const maxCursor = 512

// ListOrganizations lists the organizations of a host that the caller belongs
// to. text is part of a name. The token leads to the next page; it is empty on
// the last.
func (s *Service) ListOrganizations(ctx context.Context, c access.Caller, want id.Runner, host, text string, p page.Request) ([]Organization, string, error) {
	v, err := s.view(ctx, c, want)
	if err != nil {
		return nil, "", fault.Wrap(err, "reading the runner")
	}
	a, err := v.named("scm_host", host)
	if err != nil {
		return nil, "", err
	}
	// The host's own cursor is what a token of ours holds.
	paging, err := page.Parse(p, fmt.Sprintf("scm organizations\x00%s\x00%s\x00%s\x00%s\x00%s", c.Organization, c.ID, want, a.Host.ID, text))
	if err != nil {
		return nil, "", err
	}
	q := OrganizationQuery{Text: text, Size: paging.Limit}
	if paging.After != nil {
		// Whoever knows how can make a token, and the runner gets what is in it.
		if q.Cursor = paging.After.ID; !goodCursor(q.Cursor) {
			return nil, "", badToken()
		}
	}
	if err := s.reachable(v); err != nil {
		return nil, "", err
	}
	if err := v.can(listOrganizations, "list organizations"); err != nil {
		return nil, "", err
	}
	if err := s.signedIn(v, a); err != nil {
		return nil, "", err
	}
	found, err := s.runners.ListOrganizations(ctx, want, a, q)
	if err != nil {
		return nil, "", s.explained(v, a.Host, err)
	}
	if found.Cursor == "" || len(found.Rows) == 0 {
		return found.Rows, "", nil
	}
	return found.Rows, paging.Token(page.Cursor{ID: found.Cursor}), nil
}

func goodCursor(cursor string) bool {
	return cursor != "" && len(cursor) <= maxCursor && utf8.ValidString(cursor) && !strings.ContainsFunc(cursor, unicode.IsControl)
}
