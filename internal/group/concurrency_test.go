package group_test

import (
	"sync"
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

// atOnce calls fn n times at the same time and returns how many calls succeeded;
// all others must have failed with one of some codes.
func (f *fixture) atOnce(n int, fn func(i int) error, codes ...fault.Code) int {
	f.t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	done := 0
	for _, err := range errs {
		expected := err == nil
		for _, code := range codes {
			expected = expected || fault.Is(err, code)
		}
		if !expected {
			f.t.Error(err)
		}
		if err == nil {
			done++
		}
	}
	return done
}

// Of many that do the same at once, one does it, and the others are told so.
func TestDuplicatesAtOnce(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	ann := f.person("Ann", resource.RoleOrgMember)
	g, r := f.group("builders"), f.runner(f.admin.Subject)
	if n := f.atOnce(20, func(int) error {
		_, err := f.Create(ctx, f.admin, f.org, "testers", "")
		return err
	}, fault.AlreadyExists); n != 1 {
		t.Errorf("%d made the group", n)
	}
	if n := f.atOnce(20, func(int) error {
		_, err := f.AddMember(ctx, f.admin, g.ID, ann.Subject)
		return err
	}, fault.AlreadyExists); n != 1 {
		t.Errorf("%d added the member", n)
	}
	if n := f.atOnce(20, func(i int) error {
		_, err := f.CreatePolicy(ctx, f.admin, r.ID, g.ID, []resource.Role{resource.RoleRunnerAdmin, resource.RoleRunnerUser}[i%2])
		return err
	}, fault.AlreadyExists); n != 1 {
		t.Errorf("%d made the policy", n)
	}
}

// Shares that come and go at once leave a group for them exactly if one is left.
func TestSharesAtOnce(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	ann := f.person("Ann", resource.RoleOrgMember)
	r, s := f.runner(f.admin.Subject), f.runner(f.admin.Subject)
	for range 10 {
		f.atOnce(12, func(i int) error {
			on := r.ID
			if i%2 == 0 {
				on = s.ID
			}
			if i%3 == 0 {
				return f.Unshare(ctx, f.admin, ann.Subject, resource.Runner, string(on))
			}
			return f.Share(ctx, f.admin, ann.Subject, group.Assignment{Type: resource.Runner, Resource: string(on), Role: resource.RoleRunnerUser})
		}, fault.NotFound, fault.Aborted)
		groups, _, err := f.List(ctx, f.admin, group.Query{}, page.Request{})
		f.must(err)
		shared := f.assignments(f.admin, group.AssignmentFilter{})
		if len(groups) > 1 || (len(groups) == 1) != (len(shared) > 0) || len(groups) == 1 && groups[0].Members != 1 {
			t.Fatalf("%d groups, %d shares", len(groups), len(shared))
		}
	}
}

// A role that is granted while its group is deleted is either refused or gone,
// with an event for each that was there.
func TestGrantsWhileTheGroupIsDeleted(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	r := f.runner(f.admin.Subject)
	for range 10 {
		g := f.group("builders")
		f.takeEvents()
		f.atOnce(6, func(i int) error {
			if i == 3 {
				return f.Delete(ctx, f.admin, g.ID)
			}
			roles := []resource.Role{resource.RoleRunnerUser, resource.RoleRunnerLocalAdmin, resource.RoleRunnerManagedAdmin, 0, resource.RoleRunnerConfigurationReader, resource.RoleRunnerAdmin}
			_, err := f.Assign(ctx, f.admin, group.Assignment{Group: g.ID, Type: resource.Runner, Resource: string(r.ID), Role: roles[i]})
			return err
		}, fault.NotFound, fault.AlreadyExists)
		made, gone := 0, 0
		f.mu.Lock()
		for _, e := range f.events {
			if e.Object.Type == resource.RoleAssignment && e.Operation == 1 {
				made++
			}
			if e.Object.Type == resource.RoleAssignment && e.Operation == 3 {
				gone++
			}
		}
		f.mu.Unlock()
		if got := f.read(r); made != gone || len(got.Grants) != 0 || access.May(f.now(f.person("P", resource.RoleOrgMember)), access.RunnerRead, got.Object()) {
			t.Fatalf("%d roles were made, %d are gone, and the runner has %v", made, gone, got.Grants)
		}
	}
}
