package storetest

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// reachTests hold the lists to what callers may see by way of groups.
func reachTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"Runners of groups are those that a plain filter finds": func(t *testing.T, w *world) {
			rapid.Check(t, func(rt *rapid.T) {
				s := w.draw(t, rt)
				q := fleet.Query{Organization: s.org, Reach: access.Reach{Groups: s.someGroups(rt)}}
				if rapid.Bool().Draw(rt, "and a creator's") {
					q.Reach.Creator = rapid.SampledFrom(s.creators).Draw(rt, "creator")
				}
				if rapid.Bool().Draw(rt, "of creators") {
					q.Creators = rapid.SliceOfN(rapid.SampledFrom(s.creators), 0, 2).Draw(rt, "creators")
				}
				want := s.runnersFor(q)
				got := pages(t, rt, func(p pageQuery) ([]fleet.Runner, error) {
					q.Page = p
					return w.store.Fleet().Runners(t.Context(), q)
				}, runnerPosition)
				if diff := cmp.Diff(runnerIDs(want), runnerIDs(got)); diff != "" {
					rt.Fatalf("query %+v: %s", q, diff)
				}
			})
		},
		"Role assignments are those that a plain filter finds": func(t *testing.T, w *world) {
			rapid.Check(t, func(rt *rapid.T) {
				s := w.draw(t, rt)
				q := s.assignmentQuery(rt)
				want := s.assignmentsFor(q)
				got := pages(t, rt, func(p pageQuery) ([]group.Assignment, error) {
					q.Page = p
					return w.store.Groups().Assignments(t.Context(), q)
				}, assignmentPosition)
				if diff := cmp.Diff(want, got); diff != "" {
					rt.Fatalf("query %+v: %s", q, diff)
				}
			})
		},
	}
}

// shares is an organization whose groups have roles.
type shares struct {
	org         id.Organization
	creators    []string
	groups      []group.Group
	runners     []fleet.Runner
	assignments []group.Assignment
}

func (w *world) draw(t *testing.T, rt *rapid.T) *shares {
	s := &shares{org: w.organization(t), creators: []string{id.New(), id.New()}}
	for range rapid.IntRange(1, 3).Draw(rt, "groups") {
		g := w.group(1)
		g.Organization = s.org
		s.groups = append(s.groups, g)
	}
	for range rapid.IntRange(1, 5).Draw(rt, "runners") {
		r := w.runner(rapid.IntRange(0, 2).Draw(rt, "created"))
		r.Organization, r.Creator.ID = s.org, rapid.SampledFrom(s.creators).Draw(rt, "creator")
		s.runners = append(s.runners, r)
	}
	w.addGroups(t, s.groups...)
	w.addRunners(t, s.runners...)
	slots := map[group.Assignment]bool{}
	for range rapid.IntRange(0, 10).Draw(rt, "roles") {
		a := w.onRunner(
			rapid.SampledFrom(s.groups).Draw(rt, "group"), rapid.SampledFrom(s.runners).Draw(rt, "runner"),
			rapid.SampledFrom([]resource.Role{resource.RoleRunnerAdmin, resource.RoleRunnerUser, resource.RoleRunnerManagedAdmin, resource.RoleRunnerConfigurationReader}).Draw(rt, "role"),
			rapid.IntRange(0, 2).Draw(rt, "granted"),
		)
		if rapid.IntRange(0, 3).Draw(rt, "other") == 0 {
			a.Type, a.Resource, a.Role = resource.SecurityPolicy, string(s.org), resource.RoleSecurityPolicyAdmin
		}
		slot := group.Assignment{Group: a.Group, Resource: a.Resource, Role: a.Slot()}
		if !slots[slot] {
			slots[slot] = true
			s.assignments = append(s.assignments, a)
		}
	}
	w.addAssignments(t, s.assignments...)
	return s
}

func (s *shares) someGroups(rt *rapid.T) []id.Group {
	var groups []id.Group
	for _, g := range s.groups {
		if rapid.Bool().Draw(rt, "in") {
			groups = append(groups, g.ID)
		}
	}
	return groups
}

func (s *shares) has(groups []id.Group, runner string, roles ...resource.Role) bool {
	return slices.ContainsFunc(s.assignments, func(a group.Assignment) bool {
		return slices.Contains(groups, a.Group) && a.Resource == runner && (len(roles) == 0 || slices.Contains(roles, a.Role))
	})
}

// runnersFor is the list, as plainly as it can be said.
func (s *shares) runnersFor(q fleet.Query) []fleet.Runner {
	var out []fleet.Runner
	for _, r := range s.runners {
		if (r.Creator.ID == q.Reach.Creator || s.has(q.Reach.Groups, string(r.ID))) && (len(q.Creators) == 0 || slices.Contains(q.Creators, r.Creator.ID)) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b fleet.Runner) int { return compareCursors(runnerPosition(a), runnerPosition(b)) })
	return out
}

func runnerIDs(runners []fleet.Runner) []id.Runner {
	ids := make([]id.Runner, len(runners))
	for i, r := range runners {
		ids[i] = r.ID
	}
	return ids
}

func (s *shares) assignmentQuery(rt *rapid.T) group.AssignmentQuery {
	q := group.AssignmentQuery{Organization: s.org, Reach: access.AssignmentReach{Sharing: []resource.Role{resource.RoleRunnerAdmin, resource.RoleRunnerManagedAdmin}}}
	switch rapid.IntRange(0, 3).Draw(rt, "reach") {
	case 0:
		q.Reach.All = true
	case 1:
		q.Reach.Runners = true
		fallthrough
	default:
		q.Reach.Groups = s.someGroups(rt)
	}
	if rapid.Bool().Draw(rt, "of groups") {
		q.Groups = s.someGroups(rt)
	}
	if rapid.Bool().Draw(rt, "of roles") {
		q.Roles = rapid.SliceOfN(rapid.SampledFrom([]resource.Role{resource.RoleRunnerAdmin, resource.RoleRunnerUser, resource.RoleSecurityPolicyAdmin}), 0, 2).Draw(rt, "roles wanted")
	}
	if rapid.Bool().Draw(rt, "on resources") {
		for _, r := range rapid.SliceOfN(rapid.SampledFrom(s.runners), 0, 2).Draw(rt, "resources") {
			q.Resources = append(q.Resources, string(r.ID))
		}
	}
	return q
}

// assignmentsFor is the list, as plainly as it can be said.
func (s *shares) assignmentsFor(q group.AssignmentQuery) []group.Assignment {
	var out []group.Assignment
	for _, a := range s.assignments {
		sees := q.Reach.All || slices.Contains(q.Reach.Groups, a.Group) || a.Type == resource.Runner && (q.Reach.Runners || s.has(q.Reach.Groups, a.Resource, q.Reach.Sharing...))
		if sees && (len(q.Groups) == 0 || slices.Contains(q.Groups, a.Group)) &&
			(len(q.Roles) == 0 || slices.Contains(q.Roles, a.Role)) &&
			(len(q.Resources) == 0 || slices.Contains(q.Resources, a.Resource)) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b group.Assignment) int { return compareCursors(assignmentPosition(a), assignmentPosition(b)) })
	return out
}

func assignmentPosition(a group.Assignment) cursor {
	return cursor{Key: timeKey(a.CreatedAt), ID: a.ID}
}
