package storetest

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/llm"
	"github.com/musterhq/muster/internal/resource"
)

func llmTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"An integration comes back as it was stored, with its runner's key": func(t *testing.T, w *world) {
			r := w.runner(1)
			r.PublicKey = []byte{9, 0, 8}
			w.addRunners(t, r)
			want, bare := w.llmIntegration(r, 1), w.llmIntegration(r, 2)
			bare.APIKey, bare.Headers = nil, nil
			w.addLLM(t, want, bare)
			for _, want := range []llm.Integration{want, bare} {
				got, ok, err := w.store.LLM().LLMIntegration(t.Context(), want.ID)
				if diff := cmp.Diff(want, found(t, got, ok, err)); diff != "" {
					t.Error(diff)
				}
			}
			got, ok, err := w.store.LLM().LLMIntegration(t.Context(), id.New())
			missing(t, got, ok, err)
		},
		"A change needs the revision that it was made from": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			i := w.llmIntegration(r, 1)
			w.addLLM(t, i)
			changed := i
			changed.Models, changed.Endpoint, changed.APIKey, changed.MaxTokens = []llm.Model{llm.OpenAIAuto}, "", nil, 0
			changed.Enabled, changed.Headers, changed.UpdatedAt = false, nil, at(9)
			for n, want := range []bool{true, false} {
				w.writeLLM(t, func(tx llm.Tx) error {
					if ok, err := tx.UpdateLLMIntegration(t.Context(), changed); ok != want || err != nil {
						t.Errorf("change %d: %v, %v", n, ok, err)
					}
					return nil
				})
			}
			changed.Revision++
			got, ok, err := w.store.LLM().LLMIntegration(t.Context(), i.ID)
			if diff := cmp.Diff(changed, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
		},
		"An integration is deleted once, and goes with its runner": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			a, b := w.llmIntegration(r, 1), w.llmIntegration(r, 2)
			w.addLLM(t, a, b)
			for n, want := range []bool{true, false} {
				w.writeLLM(t, func(tx llm.Tx) error {
					if ok, err := tx.DeleteLLMIntegration(t.Context(), a.ID); ok != want || err != nil {
						t.Errorf("deletion %d: %v, %v", n, ok, err)
					}
					return nil
				})
			}
			w.writeFleet(t, func(tx fleet.Tx) error {
				_, err := tx.DeleteRunner(t.Context(), r.ID)
				return err
			})
			got, ok, err := w.store.LLM().LLMIntegration(t.Context(), b.ID)
			missing(t, got, ok, err)
		},
		"Pages of any list are the integrations that a plain filter finds": func(t *testing.T, w *world) {
			rapid.Check(t, func(rt *rapid.T) {
				org, creators := w.organization(t), []string{id.New(), id.New()}
				runners := make([]fleet.Runner, rapid.IntRange(1, 4).Draw(rt, "runners"))
				for n := range runners {
					runners[n] = w.runner(n)
					runners[n].Organization = org
					runners[n].Creator.ID = rapid.SampledFrom(creators).Draw(rt, "creator")
				}
				w.addRunners(t, runners...)
				shared := w.shareRunners(t, rt, org, runners)
				all := make([]llm.Integration, rapid.IntRange(0, 12).Draw(rt, "integrations"))
				for n := range all {
					all[n] = w.llmIntegration(rapid.SampledFrom(runners).Draw(rt, "runner"), rapid.IntRange(0, 3).Draw(rt, "created"))
				}
				w.addLLM(t, shuffled(all)...)
				q := drawLLMQuery(rt, org, creators, runners, slices.Collect(maps.Keys(shared)))
				want := selectLLM(q, all, runners, shared)
				got := pages(t, rt, func(p pageQuery) ([]llm.Integration, error) {
					q.Page = p
					return w.store.LLM().LLMIntegrations(t.Context(), q)
				}, llmPosition)
				if diff := cmp.Diff(want, got); diff != "" {
					rt.Fatalf("query %+v: %s", q, diff)
				}
			})
		},
	}
}

// shareRunners makes two groups, each with roles on some of the runners.
func (w *world) shareRunners(t *testing.T, rt *rapid.T, org id.Organization, runners []fleet.Runner) map[id.Group][]id.Runner {
	t.Helper()
	shared := map[id.Group][]id.Runner{}
	must(t, w.store.Groups().Write(t.Context(), func(tx group.Tx) error {
		for range 2 {
			g := id.Group(id.New())
			must(t, tx.InsertGroup(t.Context(), group.Group{ID: g, Organization: org, Name: string(g), Revision: 1}))
			shared[g] = nil
			for _, r := range runners {
				for _, role := range rapid.SampledFrom([][]resource.Role{nil, {resource.RoleRunnerUser}, {resource.RoleRunnerUser, resource.RoleRunnerConfigurationReader}}).Draw(rt, "roles") {
					must(t, tx.InsertAssignment(t.Context(), group.Assignment{
						ID: id.New(), Organization: org, Group: g, Type: resource.Runner, Resource: string(r.ID), Role: role, Revision: 1,
					}))
					shared[g] = append(shared[g], r.ID)
				}
			}
		}
		return nil
	}))
	return shared
}

func drawLLMQuery(rt *rapid.T, org id.Organization, creators []string, runners []fleet.Runner, groups []id.Group) llm.Query {
	some := []id.Runner{id.Runner(id.New())}
	for _, r := range runners {
		some = append(some, r.ID)
	}
	q := llm.Query{Organization: org, Runners: rapid.SliceOfN(rapid.SampledFrom(some), 0, 3).Draw(rt, "of runners")}
	switch rapid.IntRange(0, 6).Draw(rt, "visibility") {
	default:
		q.Reach.Creator = rapid.SampledFrom([]string{"", creators[0]}).Draw(rt, "as creator")
		slices.Sort(groups)
		q.Reach.Groups = groups[:rapid.IntRange(0, len(groups)).Draw(rt, "in groups")]
	case 1:
		q.Reach.Self = rapid.SampledFrom(some).Draw(rt, "self")
	case 2:
		q.Organization = id.Organization(id.New())
		q.Reach.All = true
	case 3:
		q.Reach.All = true
	}
	return q
}

// selectLLM is the list, as plainly as it can be said.
func selectLLM(q llm.Query, all []llm.Integration, runners []fleet.Runner, shared map[id.Group][]id.Runner) []llm.Integration {
	creators := map[id.Runner]string{}
	for _, r := range runners {
		creators[r.ID] = r.Creator.ID
	}
	var out []llm.Integration
	for _, i := range all {
		v := q.Reach
		through := slices.ContainsFunc(v.Groups, func(g id.Group) bool { return slices.Contains(shared[g], i.Runner) })
		if i.Organization == q.Organization && (v.All || v.Creator == creators[i.Runner] || v.Self == i.Runner || through) &&
			(len(q.Runners) == 0 || slices.Contains(q.Runners, i.Runner)) {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b llm.Integration) int { return compareCursors(llmPosition(a), llmPosition(b)) })
	return out
}

func llmPosition(i llm.Integration) cursor {
	return cursor{Key: timeKey(i.CreatedAt), ID: i.ID}
}

// llmIntegration is one with a value in every field.
func (w *world) llmIntegration(r fleet.Runner, n int) llm.Integration {
	return llm.Integration{
		ID: id.New(), Organization: r.Organization, Runner: r.ID, Models: []llm.Model{llm.Opus45, llm.Sonnet4, llm.Opus45},
		Endpoint: "https://llm.example.com", APIKey: []byte{1, 0, 255}, MaxTokens: 1<<63 - 1, Enabled: true,
		Headers: []llm.Header{
			{Name: "X-Secret", Type: llm.HeaderLiteral, Value: []byte{1, 0, 254}},
			{Name: "X-Computed", Type: llm.HeaderExpression, Expression: "user.id + \"é\""},
		},
		CreatedAt: at(n), UpdatedAt: at(n + 1), Revision: 1, RunnerKey: r.PublicKey,
	}
}

func (w *world) addLLM(t *testing.T, integrations ...llm.Integration) {
	t.Helper()
	w.writeLLM(t, func(tx llm.Tx) error {
		for _, i := range integrations {
			if err := tx.InsertLLMIntegration(t.Context(), i); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *world) writeLLM(t *testing.T, fn func(llm.Tx) error) {
	t.Helper()
	must(t, w.store.LLM().Write(t.Context(), fn))
}
