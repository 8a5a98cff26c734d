package group_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

// In any organization, a list has exactly what a check of each row lets the
// caller see, in pages of any size and whatever the filter.
func TestListsAgreeWithChecks(t *testing.T) {
	f := setup(t)
	rapid.Check(t, func(rt *rapid.T) {
		w := draw(f, rt)
		for _, c := range w.callers {
			w.checkRunners(rt, c)
			w.checkAssignments(rt, c)
		}
	})
}

// drawn is a random organization.
type drawn struct {
	*fixture
	runners []id.Runner
	groups  []id.Group
	people  []access.Caller
	callers []access.Caller
}

func draw(f *fixture, rt *rapid.T) *drawn {
	w := &drawn{fixture: f}
	f.org = f.organization()
	f.admin = f.personIn(f.org, "Admin", resource.RoleOrgAdmin)
	for range rapid.IntRange(1, 4).Draw(rt, "people") {
		w.people = append(w.people, f.person("P", resource.RoleOrgMember))
	}
	for range rapid.IntRange(0, 4).Draw(rt, "groups") {
		g := f.group("group " + id.New())
		w.groups = append(w.groups, g.ID)
		for _, p := range w.people {
			if rapid.Bool().Draw(rt, "member") {
				_, err := f.AddMember(f.t.Context(), f.admin, g.ID, p.Subject)
				f.must(err)
			}
		}
	}
	for range rapid.IntRange(0, 5).Draw(rt, "runners") {
		w.runners = append(w.runners, f.runner(rapid.SampledFrom(w.people).Draw(rt, "creator").Subject).ID)
	}
	for range rapid.IntRange(0, 10).Draw(rt, "roles") {
		w.grant(rt)
	}
	for _, p := range append(w.people, f.admin) {
		w.callers = append(w.callers, f.now(p))
	}
	for _, r := range w.runners {
		w.callers = append(w.callers, access.Caller{Subject: access.Subject{Principal: access.PrincipalRunner, ID: string(r)}, Organization: f.org})
	}
	return w
}

// grant gives somebody a role on something, if it can.
func (w *drawn) grant(rt *rapid.T) {
	a := group.Assignment{Type: resource.Organization, Resource: string(w.org)}
	switch kind := rapid.IntRange(0, 5).Draw(rt, "kind"); {
	case kind < 3 && len(w.runners) > 0:
		a.Type, a.Resource = resource.Runner, string(rapid.SampledFrom(w.runners).Draw(rt, "runner"))
	case kind == 3 && len(w.groups) > 0:
		a.Type, a.Resource = resource.Group, string(rapid.SampledFrom(w.groups).Draw(rt, "group"))
	case kind == 4:
		a.Type, a.Resource = resource.Project, id.New()
	}
	roles := slices.DeleteFunc(resource.RolesOn(a.Type), func(r resource.Role) bool { return !r.Assignable() || r == resource.RoleOrgAdmin })
	a.Role = rapid.SampledFrom(roles).Draw(rt, "role")
	if len(w.groups) == 0 || rapid.IntRange(0, 4).Draw(rt, "to") == 0 {
		w.must(w.Share(w.t.Context(), w.admin, rapid.SampledFrom(w.people).Draw(rt, "with").Subject, a))
	} else {
		a.Group = rapid.SampledFrom(w.groups).Draw(rt, "to group")
		_, _ = w.Assign(w.t.Context(), w.admin, a) // it may be there
	}
}

// all reads every assignment, past the lists.
func (w *drawn) all() []group.Assignment {
	w.t.Helper()
	groups := slices.Clone(w.groups)
	var all []group.Assignment
	w.must(w.store.Groups().Write(w.t.Context(), func(tx group.Tx) error {
		all = nil
		for _, p := range w.people {
			g, found, err := tx.DirectGroup(w.t.Context(), w.org, p.Subject)
			w.must(err)
			if found {
				groups = append(groups, g.ID)
			}
		}
		for _, g := range groups {
			rows, err := tx.AssignmentsOf(w.t.Context(), g, 1000)
			w.must(err)
			all = append(all, rows...)
		}
		return nil
	}))
	return all
}

func (w *drawn) object(t resource.Type, resourceID string) access.Object {
	w.t.Helper()
	o, _, err := w.store.Groups().Object(w.t.Context(), w.org, t, resourceID)
	w.must(err)
	return o
}

func (w *drawn) checkRunners(rt *rapid.T, c access.Caller) {
	var want, got []string
	for _, r := range w.runners {
		if access.Check(c, access.RunnerRead, w.object(resource.Runner, string(r))) == nil {
			want = append(want, string(r))
		}
	}
	rows, err := w.store.Fleet().Runners(w.t.Context(), fleet.Query{Organization: w.org, Reach: access.ReachOf(c), Page: wholePage(w)})
	w.must(err)
	for _, r := range rows {
		got = append(got, string(r.ID))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		rt.Fatalf("%s %s lists the runners %v and may see %v", c.Principal, c.ID, got, want)
	}
}

func wholePage(w *drawn) page.Query {
	w.t.Helper()
	q, err := page.Parse(page.Request{Size: 100}, "")
	w.must(err)
	return q
}

func (w *drawn) checkAssignments(rt *rapid.T, c access.Caller) {
	filter := w.filter(rt)
	var want []string
	for _, a := range w.all() {
		o := w.object(resource.RoleAssignment, a.ID)
		if sees := access.Sees(c, o); sees != (access.Check(c, access.RoleAssignmentRead, o) == nil) {
			rt.Fatalf("Sees and Check differ for %+v", o)
		} else if sees && w.selects(filter, a) {
			want = append(want, a.ID)
		}
	}
	var got []string
	size := rapid.Int32Range(1, 6).Draw(rt, "page size")
	for next := ""; ; {
		rows, token, err := w.Assignments(w.t.Context(), c, filter, page.Request{Size: size, Token: next})
		w.must(err)
		if len(rows) == 0 && token != "" {
			rt.Fatal("an empty page with a next one")
		}
		for _, a := range rows {
			got = append(got, a.ID)
		}
		if next = token; next == "" {
			break
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		rt.Fatalf("%s %s, who is %+v, lists with %+v the assignments %v and may see %v", c.Principal, c.ID, c.Standing, filter, got, want)
	}
}

// filter draws a filter, of which many select something.
func (w *drawn) filter(rt *rapid.T) group.AssignmentFilter {
	var filter group.AssignmentFilter
	all := w.all()
	if len(all) == 0 || rapid.Bool().Draw(rt, "no filter") {
		return filter
	}
	one := func() group.Assignment { return rapid.SampledFrom(all).Draw(rt, "like") }
	for range rapid.IntRange(0, 2).Draw(rt, "filters") {
		switch rapid.IntRange(0, 5).Draw(rt, "filter") {
		case 0:
			filter.Types = append(filter.Types, one().Type)
		case 1:
			filter.Roles = append(filter.Roles, one().Role)
		case 2:
			filter.Group = one().Group
		case 3:
			filter.User = id.User(rapid.SampledFrom(w.people).Draw(rt, "user").ID)
		case 4:
			filter.Resource = one().Resource
		case 5:
			filter.Resources = append(filter.Resources, one().Resource, one().Resource)
		}
	}
	return filter
}

// selects is the filter, as plainly as it can be said.
func (w *drawn) selects(f group.AssignmentFilter, a group.Assignment) bool {
	if f.User != "" {
		user := w.now(access.Caller{Subject: access.Subject{Principal: access.PrincipalUser, ID: string(f.User)}, Organization: w.org})
		if !user.In(a.Group) {
			return false
		}
	}
	return (len(f.Types) == 0 || slices.Contains(f.Types, a.Type)) &&
		(len(f.Roles) == 0 || slices.Contains(f.Roles, a.Role)) &&
		(f.Group == "" || f.Group == a.Group) &&
		(f.Resource == "" || f.Resource == a.Resource) &&
		(len(f.Resources) == 0 || slices.Contains(f.Resources, a.Resource))
}
