package storetest

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/envclass"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/runnerschema"
)

func classTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"A class comes back as it was stored": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			full, bare := class(r, 1), class(r, 2)
			bare.Configuration, bare.Enabled = nil, false
			w.addClasses(t, full, bare)
			for _, want := range []envclass.Class{full, bare} {
				got, ok, err := w.store.EnvClass().EnvironmentClass(t.Context(), want.ID)
				if diff := cmp.Diff(want, found(t, got, ok, err)); diff != "" {
					t.Error(diff)
				}
			}
			got, ok, err := w.store.EnvClass().EnvironmentClass(t.Context(), id.New())
			missing(t, got, ok, err)
		},
		"A change needs the revision that it was made from, and leaves the settings": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			c := class(r, 1)
			w.addClasses(t, c)
			changed := c
			changed.DisplayName, changed.Description, changed.Enabled, changed.UpdatedAt = "new", "newer", false, at(9)
			changed.Configuration = nil
			for n, want := range []bool{true, false} {
				w.writeClasses(t, func(tx envclass.Tx) error {
					if ok, err := tx.UpdateEnvironmentClass(t.Context(), changed); ok != want || err != nil {
						t.Errorf("change %d: %v, %v", n, ok, err)
					}
					return nil
				})
			}
			changed.Revision, changed.Configuration = 2, c.Configuration
			got, ok, err := w.store.EnvClass().EnvironmentClass(t.Context(), c.ID)
			if diff := cmp.Diff(changed, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
		},
		"A class goes with its runner": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			c := class(r, 1)
			w.addClasses(t, c)
			w.writeFleet(t, func(tx fleet.Tx) error {
				_, err := tx.DeleteRunner(t.Context(), r.ID)
				return err
			})
			got, ok, err := w.store.EnvClass().EnvironmentClass(t.Context(), c.ID)
			missing(t, got, ok, err)
		},
		"No class is visible to nobody": func(t *testing.T, w *world) {
			r := w.runner(1)
			r.Creator.ID = ""
			w.addRunners(t, r)
			w.addClasses(t, class(r, 1))
			for _, runners := range [][]id.Runner{nil, {r.ID}} {
				got, err := w.store.EnvClass().EnvironmentClasses(t.Context(), envclass.Query{Organization: w.org, Runners: runners, Page: page(t, 10)})
				if err != nil || len(got) != 0 {
					t.Errorf("of %v: listed %d, %v; want none", runners, len(got), err)
				}
			}
		},
		"Who sees many runners lists the classes of all, and of no other": func(t *testing.T, w *world) {
			me, g := id.New(), group.Group{ID: id.Group(id.New()), Organization: w.org, Name: "everybody", Revision: 1}
			must(t, w.store.Groups().Write(t.Context(), func(tx group.Tx) error { return tx.InsertGroup(t.Context(), g) }))
			var runners []fleet.Runner
			var assignments []group.Assignment
			var classes, want []envclass.Class
			for n := range 400 {
				r := w.runner(n)
				c := class(r, n)
				switch n % 3 {
				case 0:
					r.Creator.ID = me
				case 1:
					assignments = append(assignments, group.Assignment{
						ID: id.New(), Organization: w.org, Group: g.ID, Type: resource.Runner, Resource: string(r.ID), Role: resource.RoleRunnerUser, CreatedAt: at(n), Revision: 1,
					})
				}
				runners, classes = append(runners, r), append(classes, c)
				if n%3 < 2 && len(want) < 101 {
					want = append(want, c)
				}
			}
			w.addRunners(t, runners...)
			w.addClasses(t, classes...)
			must(t, w.store.Groups().Write(t.Context(), func(tx group.Tx) error {
				for _, a := range assignments {
					if err := tx.InsertAssignment(t.Context(), a); err != nil {
						return err
					}
				}
				return nil
			}))
			got, err := w.store.EnvClass().EnvironmentClasses(t.Context(), envclass.Query{
				Organization: w.org, Reach: access.Reach{Creator: me, Groups: []id.Group{id.Group(id.New()), g.ID}}, Page: page(t, 100),
			})
			must(t, err)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		},
		"Pages of any list are the classes that a plain filter finds": func(t *testing.T, w *world) {
			rapid.Check(t, func(rt *rapid.T) {
				l := w.drawClasses(t, rt)
				q := l.drawQuery(rt)
				want := l.choose(q)
				got := pages(t, rt, func(p pageQuery) ([]envclass.Class, error) {
					q.Page = p
					return w.store.EnvClass().EnvironmentClasses(t.Context(), q)
				}, classPosition)
				if diff := cmp.Diff(want, got); diff != "" {
					rt.Fatalf("query %+v: %s", q, diff)
				}
			})
		},
	}
}

// classList is an organization with runners, their classes, and groups with
// roles on the runners.
type classList struct {
	org      id.Organization
	creators []string
	groups   []id.Group
	runners  map[id.Runner]fleet.Runner
	roles    map[id.Runner]map[id.Group][]resource.Role
	members  map[string][]id.Group
	classes  []envclass.Class
}

func (w *world) drawClasses(t *testing.T, rt *rapid.T) *classList {
	t.Helper()
	l := &classList{
		org: w.organization(t), creators: []string{id.New(), id.New()}, groups: []id.Group{id.Group(id.New()), id.Group(id.New())},
		runners: map[id.Runner]fleet.Runner{}, roles: map[id.Runner]map[id.Group][]resource.Role{},
		members: map[string][]id.Group{},
	}
	var memberships []group.Membership
	for _, subject := range l.creators {
		l.members[subject] = rapid.SliceOfNDistinct(rapid.SampledFrom(l.groups), 0, 2, rapid.ID).Draw(rt, "member of")
		for _, g := range l.members[subject] {
			memberships = append(memberships, group.Membership{
				ID: id.New(), Organization: l.org, Group: g, Subject: access.Subject{Principal: access.PrincipalUser, ID: subject}, CreatedAt: at(1),
			})
		}
	}
	var all []fleet.Runner
	var assignments []group.Assignment
	for n := range rapid.IntRange(1, 4).Draw(rt, "runners") {
		r := w.runner(n)
		r.Organization = l.org
		r.Creator.ID = rapid.SampledFrom(append(l.creators, "")).Draw(rt, "creator")
		r.Kind = fleet.Kind(rapid.IntRange(1, 3).Draw(rt, "kind"))
		r.Provider = fleet.Provider(rapid.IntRange(1, 6).Draw(rt, "provider"))
		if rapid.Bool().Draw(rt, "deleting") {
			r.DeletingAt = at(20)
		}
		l.runners[r.ID], l.roles[r.ID] = r, map[id.Group][]resource.Role{}
		all = append(all, r)
		for _, g := range l.groups {
			for _, role := range rapid.SliceOfNDistinct(rapid.SampledFrom([]resource.Role{14, 18}), 0, 2, rapid.ID).Draw(rt, "roles") {
				l.roles[r.ID][g] = append(l.roles[r.ID][g], role)
				assignments = append(assignments, group.Assignment{
					ID: id.New(), Organization: l.org, Group: g, Type: resource.Runner, Resource: string(r.ID), Role: role, CreatedAt: at(n), Revision: 1,
				})
			}
		}
	}
	w.addRunners(t, all...)
	must(t, w.store.Groups().Write(t.Context(), func(tx group.Tx) error {
		for _, g := range l.groups {
			if err := tx.InsertGroup(t.Context(), group.Group{ID: g, Organization: l.org, Name: string(g), Revision: 1}); err != nil {
				return err
			}
		}
		for _, m := range memberships {
			if err := tx.InsertMembership(t.Context(), m); err != nil {
				return err
			}
		}
		for _, a := range assignments {
			if err := tx.InsertAssignment(t.Context(), a); err != nil {
				return err
			}
		}
		return nil
	}))
	l.classes = make([]envclass.Class, rapid.IntRange(0, 12).Draw(rt, "classes"))
	for n := range l.classes {
		l.classes[n] = class(rapid.SampledFrom(all).Draw(rt, "runner"), rapid.IntRange(0, 3).Draw(rt, "created"))
		l.classes[n].Enabled = rapid.Bool().Draw(rt, "enabled")
	}
	w.addClasses(t, shuffled(l.classes)...)
	return l
}

func (l *classList) drawQuery(rt *rapid.T) envclass.Query {
	some := []id.Runner{id.Runner(id.New())}
	for _, c := range l.classes {
		some = append(some, c.Runner)
	}
	maybe := rapid.Ptr(rapid.Bool(), true)
	groups := rapid.SliceOfNDistinct(rapid.SampledFrom(l.groups), 0, 2, rapid.ID)
	q := envclass.Query{
		Organization: l.org, Enabled: maybe.Draw(rt, "enabled only"), Usable: maybe.Draw(rt, "usable only"),
		Runners:   rapid.SliceOfN(rapid.SampledFrom(some), 0, 3).Draw(rt, "of runners"),
		Kinds:     rapid.SliceOfN(rapid.SampledFrom([]fleet.Kind{1, 2, 3, 99}), 0, 2).Draw(rt, "kinds"),
		Providers: rapid.SliceOfN(rapid.SampledFrom([]fleet.Provider{1, 2, 3, 4, 5, 6}), 0, 4).Draw(rt, "providers"),
		Use: envclass.Use{
			All: rapid.Bool().Draw(rt, "uses all"), Subject: rapid.SampledFrom(append(l.creators, "")).Draw(rt, "user"),
			Roles: rapid.SliceOfN(rapid.SampledFrom([]resource.Role{14, 17, 18}), 0, 2).Draw(rt, "using roles"),
		},
	}
	switch rapid.IntRange(0, 3).Draw(rt, "visibility") {
	case 0:
		q.Reach.Creator, q.Reach.Groups = l.creators[0], groups.Draw(rt, "groups")
	case 1:
		q.Reach.Self = rapid.SampledFrom(some).Draw(rt, "self")
	case 2:
		q.Organization = id.Organization(id.New())
		q.Reach.All = true
	default:
		q.Reach.All = true
	}
	return q
}

// choose is the list, as plainly as it can be said.
func (l *classList) choose(q envclass.Query) []envclass.Class {
	var out []envclass.Class
	for _, c := range l.classes {
		r := l.runners[c.Runner]
		visible := q.Reach.All || q.Reach.Self == c.Runner || q.Reach.Creator != "" && q.Reach.Creator == r.Creator.ID
		for _, g := range q.Reach.Groups {
			visible = visible || len(l.roles[c.Runner][g]) > 0
		}
		use := q.Use.All || q.Use.Subject != "" && q.Use.Subject == r.Creator.ID
		for _, g := range l.members[q.Use.Subject] {
			use = use || slices.ContainsFunc(l.roles[c.Runner][g], func(role resource.Role) bool { return slices.Contains(q.Use.Roles, role) })
		}
		if c.Organization == q.Organization && visible &&
			(q.Enabled == nil || *q.Enabled == c.Enabled) &&
			(q.Usable == nil || *q.Usable == (c.Enabled && use && r.DeletingAt.IsZero())) &&
			(len(q.Runners) == 0 || slices.Contains(q.Runners, c.Runner)) &&
			(len(q.Kinds) == 0 || slices.Contains(q.Kinds, r.Kind)) &&
			(len(q.Providers) == 0 || slices.Contains(q.Providers, r.Provider)) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b envclass.Class) int { return compareCursors(classPosition(a), classPosition(b)) })
	return out
}

func classPosition(c envclass.Class) cursor {
	return cursor{Key: timeKey(c.CreatedAt), ID: c.ID}
}

// class is one with a value in every field.
func class(r fleet.Runner, n int) envclass.Class {
	return envclass.Class{
		ID: id.New(), Organization: r.Organization, Runner: r.ID, DisplayName: "Large \u00e9", Description: "Eight \"cores\"",
		Configuration: []runnerschema.Value{{Key: "zone", Value: "a\x00b"}, {Key: "cpu", Value: ""}},
		Enabled:       true, CreatedAt: at(n), UpdatedAt: at(n + 1), Revision: 1,
	}
}

func (w *world) addClasses(t *testing.T, classes ...envclass.Class) {
	t.Helper()
	w.writeClasses(t, func(tx envclass.Tx) error {
		for _, c := range classes {
			if err := tx.InsertEnvironmentClass(t.Context(), c); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *world) writeClasses(t *testing.T, fn func(envclass.Tx) error) {
	t.Helper()
	must(t, w.store.EnvClass().Write(t.Context(), fn))
}
