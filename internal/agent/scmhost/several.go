package scmhost

import (
	"context"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/musterhq/muster/internal/fault"
)

// Some hosts search only inside of one owner: a workspace, an organization, a
// collection. A search asks a few of them, each once, and what they answer is one
// list. Text that begins with an owner and a slash ("acme/api") reaches any one of
// them.

// narrowTo picks the owners that a search asks: the one that the text begins with,
// and then words is the rest of the text, or else the first most of them. All says
// that none was left out.
func narrowTo(owners []string, text string, most int) (asked []string, words string, all bool) {
	if name, rest, ok := strings.Cut(strings.TrimSpace(text), "/"); ok {
		for _, owner := range owners {
			if strings.EqualFold(owner, name) {
				return []string{owner}, rest, true
			}
		}
	}
	return owners[:min(most, len(owners))], text, len(owners) <= most
}

// askEach asks the owners at once and returns what they answer, in the order of the
// owners. One that refuses, or is gone, does not spoil the rest, unless all do. All
// says that none did.
func askEach[T any](ctx context.Context, owners []string, ask func(context.Context, string) (T, error)) (answers []T, all bool, err error) {
	each, refusals := make([]T, len(owners)), make([]error, len(owners))
	group, ctx := errgroup.WithContext(ctx)
	for i, owner := range owners {
		group.Go(func() (err error) {
			each[i], err = ask(ctx, owner)
			if fault.Is(err, fault.PermissionDenied) || fault.Is(err, fault.NotFound) {
				refusals[i], err = err, nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, false, err
	}
	for i := range owners {
		if refusals[i] == nil {
			answers = append(answers, each[i])
		}
	}
	if len(answers) == 0 && len(owners) > 0 {
		return nil, false, refusals[0]
	}
	return answers, len(answers) == len(owners), nil
}

// of is the page of rows that q asks for. All says that the rows are all there
// are; otherwise they are not counted.
func (q Query) of(rows []FoundRepository, all bool) Repositories {
	from, to := len(rows), len(rows)
	if q.Page <= pages(len(rows), q.Size) {
		from, to = (q.Page-1)*q.Size, min(q.Page*q.Size, len(rows))
	}
	found := Repositories{Rows: rows[from:to], More: to < len(rows), Pages: -1, Total: -1}
	if all {
		found.Pages, found.Total = pages(len(rows), q.Size), len(rows)
	}
	return found
}
