package gitpodv1

import (
	"slices"
	"strings"

	"github.com/musterhq/muster/internal/page"
)

// pageInMemory pages a list that comes from the configuration, by unique names.
func pageInMemory[T any](r page.Request, binding string, all []T, name func(T) string) ([]T, string, error) {
	q, err := page.Parse(r, binding)
	if err != nil {
		return nil, "", err
	}
	rows := slices.SortedFunc(slices.Values(all), func(a, b T) int { return strings.Compare(name(a), name(b)) })
	if q.After != nil {
		rows = slices.DeleteFunc(rows, func(t T) bool { return name(t) <= q.After.ID })
	}
	rows, next := page.Cut(q, rows, func(t T) page.Cursor { return page.Cursor{ID: name(t)} })
	return rows, next, nil
}
