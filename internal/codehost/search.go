package codehost

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
)

// maxSearched is how many hosts one search goes to.
const maxSearched = 20

// SearchQuery is a search as a caller asks for it.
type SearchQuery struct {
	// Host is searched; empty for all on which the caller is signed in, the oldest
	// 20 of them.
	Host string
	Text string
	// Native says that Text is in the host's own query language.
	Native bool
	// Page.Token is the one of the page before; see nextPage.
	Page page.Request
}

// SearchRepositories looks for repositories that the caller can read. The token
// leads to the next page; it is empty on the last.
func (s *Service) SearchRepositories(ctx context.Context, c access.Caller, want id.Runner, q SearchQuery) (found Repositories, next string, err error) {
	search := Search{Text: q.Text, Native: q.Native}
	size, err := sizeOf(q.Page.Size)
	if err != nil {
		return found, "", err
	}
	if search.Page, err = pageNumber(q.Page.Token); err != nil {
		return found, "", err
	}
	v, err := s.view(ctx, c, want)
	if err != nil {
		return found, "", fault.Wrap(err, "reading the runner")
	}
	as, err := s.searched(v, q.Host)
	if err != nil {
		return found, "", err
	}
	// A page has an equal part of each host, so that a number leads to the next.
	as = as[:min(len(as), size)]
	search.Size = size / len(as)
	if found, err = s.runners.SearchRepositories(ctx, want, as, search); err != nil {
		return Repositories{}, "", s.explained(v, as[0].Host, err)
	}
	return found, nextPage(search.Page, found), nil
}

// searched are the hosts of a search: the named one, or all on which the caller
// is signed in. The caller is signed in to each, and the runner is there.
func (s *Service) searched(v view, host string) ([]Access, error) {
	if host != "" {
		a, err := v.named("scm_host", host)
		if err != nil {
			return nil, err
		}
		if err := s.reachable(v); err != nil {
			return nil, err
		}
		return []Access{a}, s.signedIn(v, a)
	}
	if len(v.hosts) == 0 {
		return nil, v.notConfigured("any host")
	}
	if err := s.reachable(v); err != nil {
		return nil, err
	}
	var as []Access
	for _, h := range v.hosts {
		if a := v.access(h); a.Credential != nil && len(as) < maxSearched {
			as = append(as, a)
		}
	}
	switch {
	case len(as) > 0:
		return as, nil
	case len(v.hosts) == 1:
		return nil, s.signedIn(v, v.access(v.hosts[0]))
	}
	return nil, &SignInNeeded{error: fault.New(fault.FailedPrecondition, fault.SignInRequired,
		"You are signed in to none of the %d hosts of the runner %q. Sign in to one, then try again.", len(v.hosts), v.runner.Name)}
}

// sizeOf is the size of a page of what hosts have.
func sizeOf(asked int32) (int, error) {
	q, err := page.Parse(page.Request{Size: asked}, "")
	return q.Limit, err
}

// nextPage makes the token of a search, whose form clients read:
// NEXT/PAGES/TOTAL, with -1 for what is not known, and empty at the end.
func nextPage(current int, found Repositories) string {
	if !found.More || len(found.Rows) == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d/%d", current+1, found.Pages, found.Total)
}

// pageNumber reads such a token; none is that of the first page.
func pageNumber(token string) (int, error) {
	if token == "" {
		return 1, nil
	}
	parts := strings.Split(token, "/")
	least := []int64{1, -1, -1}
	numbers := make([]int64, len(least))
	ok := len(parts) == len(least)
	for i := 0; ok && i < len(parts); i++ {
		n, err := strconv.ParseInt(parts[i], 10, 32)
		// Only the form in which nextPage writes a number.
		ok = err == nil && n >= least[i] && n < math.MaxInt32 && strconv.FormatInt(n, 10) == parts[i]
		numbers[i] = n
	}
	if !ok {
		return 0, badToken()
	}
	return int(numbers[0]), nil
}

func badToken() error {
	bad := fault.New(fault.InvalidArgument, fault.InvalidPageToken, "pagination.token: this is not a page token of this list. Start again without a token.")
	bad.Field = "pagination.token"
	return bad
}
