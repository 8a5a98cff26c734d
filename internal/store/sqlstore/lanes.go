package sqlstore

import (
	"slices"
)

// lanes answers a list whose filter has several values of an indexed column: it
// asks for each value by itself, which the index serves in order, and merges
// the answers. Asking for all at once would make the database sort everything
// that any of the values has.
func lanes[V ~string | ~int32, R any](values []V, limit int32, compare func(a, b R) int, list func(V) ([]R, error)) ([]R, error) {
	values = slices.Clone(values)
	slices.Sort(values)
	var all []R
	for _, v := range slices.Compact(values) {
		rows, err := list(v)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return merged(all, limit, compare), nil
}

// merged sorts the rows of several answers, which may share some, and returns
// the first of them.
func merged[R any](rows []R, limit int32, compare func(a, b R) int) []R {
	slices.SortFunc(rows, compare)
	rows = slices.CompactFunc(rows, func(a, b R) bool { return compare(a, b) == 0 })
	return rows[:min(len(rows), int(limit))]
}
