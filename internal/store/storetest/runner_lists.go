package storetest

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
)

func runnerListTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"Rows come with their sessions": func(t *testing.T, w *world) {
			bare, connected := w.runner(1), w.runner(2)
			w.addRunners(t, bare, connected)
			s := w.openSession(t, connected, "replica")
			connected.Epoch, connected.Session = s.Epoch, &s
			got, err := w.store.Fleet().Runners(t.Context(), fleet.Query{Organization: w.org, Reach: access.Reach{All: true}, Page: page(t, 10)})
			must(t, err)
			if diff := cmp.Diff([]fleet.Runner{bare, connected}, got); diff != "" {
				t.Error(diff)
			}
		},
		"Nothing is visible to nobody": func(t *testing.T, w *world) {
			r := w.runner(1)
			r.Creator.ID = ""
			w.addRunners(t, r)
			got, err := w.store.Fleet().Runners(t.Context(), fleet.Query{Organization: w.org, Page: page(t, 10)})
			if err != nil || len(got) != 0 {
				t.Errorf("listed %d, %v; want none", len(got), err)
			}
		},
		"Pages of any list are the rows that a plain filter finds": func(t *testing.T, w *world) {
			rapid.Check(t, func(rt *rapid.T) {
				org, creators := w.organization(t), []string{id.New(), id.New(), id.New()}
				all := make([]fleet.Runner, rapid.IntRange(0, 12).Draw(rt, "runners"))
				for i := range all {
					all[i] = w.runner(rapid.IntRange(0, 3).Draw(rt, "created"))
					all[i].Organization = org
					all[i].Creator.ID = rapid.SampledFrom(creators).Draw(rt, "creator")
					all[i].Kind = fleet.Kind(rapid.IntRange(1, 3).Draw(rt, "kind"))
					all[i].Provider = fleet.Provider(rapid.IntRange(1, 6).Draw(rt, "provider"))
				}
				w.addRunners(t, shuffled(all)...)
				q := drawRunnerQuery(rt, org, creators, all)
				want := selectRunners(q, all)
				got := pages(t, rt, func(p pageQuery) ([]fleet.Runner, error) {
					q.Page = p
					return w.store.Fleet().Runners(t.Context(), q)
				}, runnerPosition)
				if diff := cmp.Diff(want, got); diff != "" {
					rt.Fatalf("query %+v: %s", q, diff)
				}
			})
		},
	}
}

func drawRunnerQuery(rt *rapid.T, org id.Organization, creators []string, all []fleet.Runner) fleet.Query {
	q := fleet.Query{
		Organization: org,
		Creators:     rapid.SliceOfN(rapid.SampledFrom(creators), 0, 3).Draw(rt, "creators"),
		Kinds:        rapid.SliceOfN(rapid.SampledFrom([]fleet.Kind{1, 2, 3, 99}), 0, 3).Draw(rt, "kinds"),
		Providers:    rapid.SliceOfN(rapid.SampledFrom([]fleet.Provider{1, 2, 3, 4, 5, 6}), 0, 4).Draw(rt, "providers"),
	}
	switch rapid.IntRange(0, 3).Draw(rt, "visibility") {
	case 0:
		q.Reach.Creator = creators[0]
	case 1:
		q.Reach.Self = id.Runner(id.New())
		if len(all) > 0 {
			q.Reach.Self = rapid.SampledFrom(all).Draw(rt, "self").ID
		}
	default:
		q.Reach.All = true
	}
	return q
}

// selectRunners is the list, as plainly as it can be said.
func selectRunners(q fleet.Query, all []fleet.Runner) []fleet.Runner {
	var out []fleet.Runner
	for _, r := range all {
		v := q.Reach
		if (v.All || v.Creator == r.Creator.ID || v.Self == r.ID) &&
			(len(q.Creators) == 0 || slices.Contains(q.Creators, r.Creator.ID)) &&
			(len(q.Kinds) == 0 || slices.Contains(q.Kinds, r.Kind)) &&
			(len(q.Providers) == 0 || slices.Contains(q.Providers, r.Provider)) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b fleet.Runner) int { return compareCursors(runnerPosition(a), runnerPosition(b)) })
	return out
}

func runnerPosition(r fleet.Runner) cursor {
	return cursor{Key: timeKey(r.CreatedAt), ID: string(r.ID)}
}
