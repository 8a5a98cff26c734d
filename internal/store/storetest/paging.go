package storetest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	paging "github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/token"
)

type (
	pageQuery = paging.Query
	cursor    = paging.Cursor
)

// page is the first page of a list.
func page(t testing.TB, size int32) pageQuery {
	t.Helper()
	q, err := paging.Parse(paging.Request{Size: size}, "")
	must(t, err)
	return q
}

// timeKey is how a time is written in a page token.
func timeKey(t time.Time) string { return fmt.Sprintf("%016x", t.UnixMicro()) }

func compareCursors(a, b cursor) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.ID, b.ID))
}

// pages reads a list to its end, in pages of changing size.
func pages[R any](t testing.TB, rt *rapid.T, list func(pageQuery) ([]R, error), position func(R) cursor) []R {
	t.Helper()
	var all []R
	for next := ""; ; {
		q, err := paging.Parse(paging.Request{Size: rapid.Int32Range(1, 5).Draw(rt, "page size"), Token: next}, "")
		must(t, err)
		rows, err := list(q)
		must(t, err)
		if len(rows) > q.Limit+1 {
			t.Fatalf("a page of %d has %d rows", q.Limit, len(rows))
		}
		rows, next = paging.Cut(q, rows, position)
		all = append(all, rows...)
		if next == "" {
			return all
		}
	}
}

func pagingTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"Rows that stay are listed once while others come and go": func(t *testing.T, w *world) {
			rapid.Check(t, func(rt *rapid.T) { checkStablePages(t, rt, w) })
		},
		"A key that is no time is refused": func(t *testing.T, w *world) {
			q := page(t, 1)
			q.After = &cursor{Key: "yesterday", ID: id.New()}
			_, runners := w.store.Fleet().Runners(t.Context(), fleet.Query{Organization: w.org, Reach: access.Reach{All: true}, Page: q})
			_, users := w.store.Identity().Users(t.Context(), identity.UserQuery{Organization: w.org, Page: q})
			_, named := w.store.Identity().Users(t.Context(), identity.UserQuery{Organization: w.org, IDs: []string{id.New()}, Page: q})
			_, tokens := w.store.Identity().PersonalTokens(t.Context(), identity.TokenQuery{Organization: w.org, Page: q})
			for list, err := range map[string]error{"runners": runners, "users": users, "named users": named, "tokens": tokens} {
				if !fault.HasReason(err, fault.InvalidPageToken) {
					t.Errorf("%s: %v", list, err)
				}
			}
		},
		"A list of tokens is the newest first, of the users asked for": func(t *testing.T, w *world) {
			rapid.Check(t, func(rt *rapid.T) { checkTokenPages(t, rt, w) })
		},
	}
}

// checkStablePages reads a list of runners while runners are added and deleted
// between its pages.
func checkStablePages(t *testing.T, rt *rapid.T, w *world) {
	creators := []string{id.New(), id.New(), id.New()}
	org := w.organization(t)
	draw := func() fleet.Runner {
		r := w.runner(rapid.IntRange(0, 4).Draw(rt, "created"))
		r.Organization = org
		r.Creator.ID = rapid.SampledFrom(creators).Draw(rt, "creator")
		return r
	}
	first := make([]fleet.Runner, rapid.IntRange(0, 12).Draw(rt, "runners"))
	for i := range first {
		first[i] = draw()
	}
	w.addRunners(t, first...)

	stay := map[id.Runner]bool{}
	for _, r := range first {
		stay[r.ID] = true
	}
	q := fleet.Query{Organization: org, Reach: access.Reach{All: true}}
	if rapid.Bool().Draw(rt, "by creator") {
		q.Creators = creators
	}
	seen := map[id.Runner]int{}
	var last cursor
	position := func(r fleet.Runner) cursor { return cursor{Key: timeKey(r.CreatedAt), ID: string(r.ID)} }
	pages(t, rt, func(p pageQuery) ([]fleet.Runner, error) {
		if rapid.Bool().Draw(rt, "one comes") {
			w.addRunners(t, draw())
		}
		if len(stay) > 0 && rapid.Bool().Draw(rt, "one goes") {
			gone := slices.Min(slices.Collect(maps.Keys(stay)))
			delete(stay, gone)
			w.writeFleet(t, func(tx fleet.Tx) error {
				_, err := tx.DeleteRunner(t.Context(), gone)
				return err
			})
		}
		q.Page = p
		rows, err := w.store.Fleet().Runners(t.Context(), q)
		for _, r := range rows[:min(len(rows), p.Limit)] {
			seen[r.ID]++
			if compareCursors(last, position(r)) >= 0 {
				rt.Fatalf("%v comes after %v", position(r), last)
			}
			last = position(r)
		}
		return rows, err
	}, position)
	for r := range stay {
		if seen[r] != 1 {
			rt.Fatalf("runner %s stayed and was listed %d times", r, seen[r])
		}
	}
}

func checkTokenPages(t *testing.T, rt *rapid.T, w *world) {
	users := []identity.User{w.user(0), w.user(1), w.user(2)}
	org := w.organization(t)
	for i := range users {
		users[i].Organization = org
	}
	w.addUsers(t, users...)
	tokens := make([]token.Record, rapid.IntRange(0, 12).Draw(rt, "tokens"))
	for i := range tokens {
		tokens[i] = w.token(token.Personal, userSubject(rapid.SampledFrom(users).Draw(rt, "user")), rapid.IntRange(0, 3).Draw(rt, "created"))
		tokens[i].Organization = org
	}
	w.addTokens(t, tokens...)
	q := identity.TokenQuery{Organization: org}
	for _, u := range users {
		if rapid.Bool().Draw(rt, "wanted") {
			q.Users = append(q.Users, string(u.ID))
		}
	}
	position := func(r token.Record) cursor { return cursor{Key: timeKey(r.CreatedAt), ID: string(r.ID)} }
	want := slices.DeleteFunc(slices.Clone(tokens), func(r token.Record) bool {
		return len(q.Users) > 0 && !slices.Contains(q.Users, r.Subject.ID)
	})
	slices.SortFunc(want, func(a, b token.Record) int { return -compareCursors(position(a), position(b)) })
	got := pages(t, rt, func(p pageQuery) ([]token.Record, error) {
		q.Page = p
		return w.store.Identity().PersonalTokens(t.Context(), q)
	}, position)
	if !slices.EqualFunc(got, want, func(a, b token.Record) bool { return a.ID == b.ID }) {
		rt.Fatalf("got %d tokens, want %d in order", len(got), len(want))
	}
}
