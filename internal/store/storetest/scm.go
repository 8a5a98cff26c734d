package storetest

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/scm"
)

func scmTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"An integration comes back as it was stored": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			full, bare := scmIntegration(r, "GitHub.com", 1), scmIntegration(r, "gitlab.com", 2)
			bare.PAT, bare.OAuthClientID, bare.OAuthClientSecret, bare.IssuerURL, bare.VirtualDirectory = false, "", nil, "", ""
			w.addSCM(t, full, bare)
			for _, want := range []scm.Integration{full, bare} {
				got, ok, err := w.store.SCM().SCMIntegration(t.Context(), want.ID)
				if diff := cmp.Diff(want, found(t, got, ok, err)); diff != "" {
					t.Error(diff)
				}
			}
			got, ok, err := w.store.SCM().SCMIntegration(t.Context(), id.New())
			missing(t, got, ok, err)
		},
		"A host is found without regard to case, on its runner": func(t *testing.T, w *world) {
			r, other := w.runner(1), w.runner(2)
			w.addRunners(t, r, other)
			want := scmIntegration(r, "GitHub.com", 1)
			w.addSCM(t, want)
			w.writeSCM(t, func(tx scm.Tx) error {
				got, ok, err := tx.SCMIntegrationOf(t.Context(), r.ID, "gitHUB.com")
				if diff := cmp.Diff(want, found(t, got, ok, err)); diff != "" {
					t.Error(diff)
				}
				got, ok, err = tx.SCMIntegrationOf(t.Context(), other.ID, "github.com")
				missing(t, got, ok, err)
				return nil
			})
		},
		"A change needs the revision that it was made from, and leaves kind, host and runner": func(t *testing.T, w *world) {
			r, other := w.runner(1), w.runner(2)
			w.addRunners(t, r, other)
			i := scmIntegration(r, "github.com", 1)
			w.addSCM(t, i)
			changed := i
			changed.PAT, changed.OAuthClientID, changed.OAuthClientSecret, changed.IssuerURL = false, "other", []byte{1, 7}, ""
			changed.VirtualDirectory, changed.UpdatedAt = "", at(9)
			stored := changed
			stored.Revision = 2
			changed.SCMID, changed.Host, changed.Runner, changed.CreatedAt = "gitlab", "gitlab.com", other.ID, at(8)
			for n, want := range []bool{true, false} {
				w.writeSCM(t, func(tx scm.Tx) error {
					if ok, err := tx.UpdateSCMIntegration(t.Context(), changed); ok != want || err != nil {
						t.Errorf("change %d: %v, %v", n, ok, err)
					}
					return nil
				})
			}
			got, ok, err := w.store.SCM().SCMIntegration(t.Context(), i.ID)
			if diff := cmp.Diff(stored, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
		},
		"An integration is deleted once, and goes with its runner": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			a, b := scmIntegration(r, "a", 1), scmIntegration(r, "b", 2)
			w.addSCM(t, a, b)
			for n, want := range []bool{true, false} {
				w.writeSCM(t, func(tx scm.Tx) error {
					if ok, err := tx.DeleteSCMIntegration(t.Context(), a.ID); ok != want || err != nil {
						t.Errorf("deletion %d: %v, %v", n, ok, err)
					}
					return nil
				})
			}
			w.writeFleet(t, func(tx fleet.Tx) error {
				_, err := tx.DeleteRunner(t.Context(), r.ID)
				return err
			})
			got, ok, err := w.store.SCM().SCMIntegration(t.Context(), b.ID)
			missing(t, got, ok, err)
		},
		"Of many that add the same host at once, one does": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			var won atomic.Int32
			atOnce(20, func(n int) {
				i := scmIntegration(r, []string{"github.com", "GitHub.com"}[n%2], n)
				err := w.store.SCM().Write(t.Context(), func(tx scm.Tx) error { return tx.InsertSCMIntegration(t.Context(), i) })
				switch {
				case err == nil:
					won.Add(1)
				case !fault.HasReason(err, fault.Conflict):
					t.Error(err)
				}
			})
			if n := won.Load(); n != 1 {
				t.Errorf("%d added it", n)
			}
		},
		"Credentials for a host go by their source": func(t *testing.T, w *world) {
			for _, c := range []struct {
				sources departure.Sources
				want    []int // of the credentials below
			}{{departure.OAuth, []int{1}}, {departure.Others, []int{0, 2}}, {departure.OAuth | departure.Others, []int{0, 1, 2}}, {0, nil}} {
				r, other := w.runner(1), w.runner(2)
				w.addRunners(t, r, other)
				tokens := []hosttoken.Token{
					hostToken(r, "GitHub.com", 0), hostToken(r, "github.com", 1), hostToken(r, "github.COM", 2), // the sources
					hostToken(r, "gitlab.com", 1), hostToken(other, "github.com", 2),
				}
				w.addHostTokens(t, tokens...)
				w.writeSCM(t, func(tx scm.Tx) error {
					_, err := departure.Host(t.Context(), tx, access.System, r.Object(), "gitHub.com", c.sources)
					return err
				})
				for n, token := range tokens {
					_, ok, err := w.store.HostTokens().HostToken(t.Context(), token.ID)
					if must(t, err); ok == slices.Contains(c.want, n) {
						t.Errorf("sources %v: credential %d is there: %v", c.sources, n, ok)
					}
				}
			}
		},
		"No integration is visible to nobody": func(t *testing.T, w *world) {
			r := w.runner(1)
			r.Creator.ID = ""
			w.addRunners(t, r)
			w.addSCM(t, scmIntegration(r, "github.com", 1))
			for _, runners := range [][]id.Runner{nil, {r.ID}} {
				got, err := w.store.SCM().SCMIntegrations(t.Context(), scm.Query{Organization: w.org, Runners: runners, Page: page(t, 10)})
				if err != nil || len(got) != 0 {
					t.Errorf("of %v: listed %d, %v; want none", runners, len(got), err)
				}
			}
		},
		"Pages of any list are the integrations that a plain filter finds": func(t *testing.T, w *world) {
			rapid.Check(t, func(rt *rapid.T) {
				s := w.drawShared(t, rt)
				all := make([]scm.Integration, rapid.IntRange(0, 12).Draw(rt, "integrations"))
				for n := range all {
					all[n] = scmIntegration(rapid.SampledFrom(s.runners).Draw(rt, "runner"), id.New(), rapid.IntRange(0, 3).Draw(rt, "created"))
				}
				w.addSCM(t, shuffled(all)...)
				q := scm.Query{Organization: s.org, Runners: rapid.SliceOfN(rapid.SampledFrom(s.ids()), 0, 3).Draw(rt, "of runners")}
				switch rapid.IntRange(0, 3).Draw(rt, "visibility") {
				case 0:
					q.Reach.Creator = rapid.SampledFrom(append(s.creators, "")).Draw(rt, "by creator")
					q.Reach.Groups = rapid.SliceOfNDistinct(rapid.SampledFrom(s.groups), 0, 2, rapid.ID).Draw(rt, "in groups")
				case 1:
					q.Reach.Self = rapid.SampledFrom(s.ids()).Draw(rt, "self")
				case 2:
					q.Organization = id.Organization(id.New())
					q.Reach.All = true
				default:
					q.Reach.All = true
				}
				var want []scm.Integration
				for _, i := range all {
					if i.Organization == q.Organization && s.reaches(q.Reach, i.Runner) && (len(q.Runners) == 0 || slices.Contains(q.Runners, i.Runner)) {
						want = append(want, i)
					}
				}
				position := func(i scm.Integration) cursor { return cursor{Key: timeKey(i.CreatedAt), ID: i.ID} }
				slices.SortFunc(want, func(a, b scm.Integration) int { return compareCursors(position(a), position(b)) })
				got := pages(t, rt, func(p pageQuery) ([]scm.Integration, error) {
					q.Page = p
					return w.store.SCM().SCMIntegrations(t.Context(), q)
				}, position)
				if diff := cmp.Diff(want, got); diff != "" {
					rt.Fatalf("query %+v: %s", q, diff)
				}
			})
		},
	}
}

// shared is an organization with runners, and groups with roles on them.
type shared struct {
	org      id.Organization
	creators []string
	groups   []id.Group
	runners  []fleet.Runner
	roles    map[id.Runner]map[id.Group][]resource.Role
}

func (w *world) drawShared(t *testing.T, rt *rapid.T) *shared {
	t.Helper()
	s := &shared{
		org: w.organization(t), creators: []string{id.New(), id.New()}, groups: []id.Group{id.Group(id.New()), id.Group(id.New())},
		runners: make([]fleet.Runner, rapid.IntRange(1, 4).Draw(rt, "runners")), roles: map[id.Runner]map[id.Group][]resource.Role{},
	}
	for n := range s.runners {
		s.runners[n] = w.runner(n)
		s.runners[n].Organization = s.org
		s.runners[n].Creator.ID = rapid.SampledFrom(append(s.creators, "")).Draw(rt, "creator")
	}
	w.addRunners(t, s.runners...)
	must(t, w.store.Groups().Write(t.Context(), func(tx group.Tx) error {
		for _, g := range s.groups {
			must(t, tx.InsertGroup(t.Context(), group.Group{ID: g, Organization: s.org, Name: string(g), Revision: 1}))
		}
		for _, r := range s.runners {
			s.roles[r.ID] = map[id.Group][]resource.Role{}
			for _, g := range s.groups {
				role := rapid.SampledFrom([]resource.Role{0, resource.RoleRunnerAdmin, resource.RoleRunnerUser, resource.RoleRunnerConfigurationReader}).Draw(rt, "role")
				if role == 0 {
					continue
				}
				s.roles[r.ID][g] = append(s.roles[r.ID][g], role)
				must(t, tx.InsertAssignment(t.Context(), group.Assignment{
					ID: id.New(), Organization: s.org, Group: g, Type: resource.Runner, Resource: string(r.ID), Role: role, CreatedAt: at(1), Revision: 1,
				}))
			}
		}
		return nil
	}))
	return s
}

// ids are the runners, and one that is not there.
func (s *shared) ids() []id.Runner {
	ids := []id.Runner{id.Runner(id.New())}
	for _, r := range s.runners {
		ids = append(ids, r.ID)
	}
	return ids
}

// reaches tells whether a runner is in a caller's reach, as plainly as it can be
// said.
func (s *shared) reaches(v access.Reach, runner id.Runner) bool {
	for _, r := range s.runners {
		if r.ID == runner && v.Creator != "" && r.Creator.ID == v.Creator {
			return true
		}
	}
	return v.All || v.Self == runner || slices.ContainsFunc(v.Groups, func(g id.Group) bool { return len(s.roles[runner][g]) > 0 })
}

// scmIntegration is one with a value in every field.
func scmIntegration(r fleet.Runner, host string, n int) scm.Integration {
	return scm.Integration{
		ID: id.New(), Organization: r.Organization, Runner: r.ID, SCMID: "azuredevops_entra", Host: host, PAT: true,
		OAuthClientID: "client é", OAuthClientSecret: []byte{1, 0, 255}, IssuerURL: "https://login.example.com", VirtualDirectory: "/tfs",
		CreatedAt: at(n), UpdatedAt: at(n + 1), Revision: 1,
	}
}

func (w *world) addSCM(t *testing.T, integrations ...scm.Integration) {
	t.Helper()
	w.writeSCM(t, func(tx scm.Tx) error {
		for _, i := range integrations {
			if err := tx.InsertSCMIntegration(t.Context(), i); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *world) writeSCM(t *testing.T, fn func(scm.Tx) error) {
	t.Helper()
	must(t, w.store.SCM().Write(t.Context(), fn))
}
