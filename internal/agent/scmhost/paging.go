package scmhost

import (
	"strconv"
	"strings"

	"github.com/musterhq/muster/internal/fault"
)

// maxPage is the size of the largest page that a query or a host has.
const maxPage = 100

// lister reads one page of a host's list of repositories; pages count from 1.
type lister func(page, size int) (Repositories, error)

// ownFirst reads one page of a list that begins with what own lists, at most its
// first hundred, and goes on with all, which has the own ones too, anywhere: they
// are left out there, so that a page may be short. Without words to look for, the
// list is own.
func ownFirst(q Query, own, all lister) (Repositories, error) {
	if strings.TrimSpace(q.Text) == "" {
		return own(q.Page, q.Size)
	}
	mine, err := own(1, maxPage)
	if err != nil {
		return Repositories{}, err
	}
	seen := make(map[string]bool, len(mine.Rows))
	for _, row := range mine.Rows {
		seen[row.Name] = true
	}
	n := len(mine.Rows)
	from, to := (q.Page-1)*q.Size, q.Page*q.Size
	found := Repositories{Rows: append([]FoundRepository(nil), mine.Rows[min(from, n):min(to, n)]...)}
	// What is missing is from these places of all, which lie on at most two of its
	// pages. One is read in any case, for the total.
	first, last := max(from-n, 0), max(to-n, 0)
	for page := first/q.Size + 1; ; page++ {
		rest, err := all(page, q.Size)
		if err != nil {
			return Repositories{}, err
		}
		place := (page - 1) * q.Size
		for _, row := range rest.Rows {
			if first <= place && place < last && !seen[row.Name] {
				found.Rows = append(found.Rows, row)
			}
			place++
		}
		found.More, found.Total = rest.More || place > last, rest.Total
		if !rest.More || place >= last {
			break
		}
	}
	places := n + found.Total
	switch {
	case found.Total < 0:
		found.Pages = -1
		return found, nil
	case found.Total == n && !mine.More: // all are own
		places, found.More = n, to < n
	}
	found.Pages = pages(places, q.Size)
	return found, nil
}

// pages is how many pages of a size hold so many rows.
func pages(rows, size int) int { return (rows + size - 1) / size }

// pageCursor is a cursor for a host that numbers its pages; zero is the end.
func pageCursor(next int) string {
	if next <= 0 {
		return ""
	}
	return strconv.Itoa(next)
}

// pageNumber is what pageCursor was called with; 1 for the beginning.
func pageNumber(cursor string) (int, error) {
	if cursor == "" {
		return 1, nil
	}
	n, err := strconv.Atoi(cursor)
	if err != nil || n < 1 {
		return 0, fault.New(fault.InvalidArgument, fault.InvalidPageToken, "This page token is not one that was given out. Begin with the first page.")
	}
	return n, nil
}
