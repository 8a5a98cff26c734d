package group_test

import (
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

func TestShare(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	ann := f.person("Ann", resource.RoleOrgMember)
	r, s := f.runner(f.admin.Subject), f.runner(f.admin.Subject)
	role := func(on id.Runner, role resource.Role) group.Assignment {
		return group.Assignment{Type: resource.Runner, Resource: string(on), Role: role}
	}
	f.must(f.Share(ctx, f.admin, ann.Subject, role(r.ID, resource.RoleRunnerUser)))
	f.wantEvents("+group +role_assignment ~group_membership_changed ~role_assignment_changed")
	f.wantChanged(ann.ID)
	may := func(p access.Permission) bool { got := f.read(r); return access.May(f.now(ann), p, got.Object()) }
	if !may(access.RunnerUse) {
		t.Error("Ann cannot use the runner")
	}
	groups, _, err := f.List(ctx, ann, group.Query{}, page.Request{})
	if err != nil || len(groups) != 1 || groups[0].Direct != ann.Subject || groups[0].Members != 1 || groups[0].Name != "direct-share-"+ann.ID {
		t.Fatalf("groups %+v, %v", groups, err)
	}
	g := groups[0].ID

	// Again, and with the other role.
	f.must(f.Share(ctx, f.admin, ann.Subject, role(r.ID, resource.RoleRunnerUser)))
	f.wantEvents("")
	f.must(f.Share(ctx, f.admin, ann.Subject, role(r.ID, resource.RoleRunnerAdmin)))
	f.wantEvents("~role_assignment ~role_assignment_changed")
	f.must(f.Share(ctx, f.now(ann), ann.Subject, role(r.ID, resource.RoleRunnerConfigurationReader)))
	f.must(f.Share(ctx, f.admin, ann.Subject, role(s.ID, resource.RoleRunnerUser)))
	f.wantChanged()
	if got := f.assignments(f.admin, group.AssignmentFilter{Group: g}); len(got) != 3 {
		t.Errorf("Ann has %+v", got)
	}

	// The group is the control plane's.
	_, err = f.AddMember(ctx, f.admin, g, f.admin.Subject)
	f.refuses(err, fault.FailedPrecondition, fault.SystemManaged)
	m, found, err := f.Membership(ctx, f.admin, g, ann.Subject)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	f.refuses(f.RemoveMember(ctx, f.admin, m.ID), fault.FailedPrecondition, fault.SystemManaged)
	_, err = f.Update(ctx, f.admin, g, "mine", "")
	f.refuses(err, fault.FailedPrecondition, fault.SystemManaged)
	f.refuses(f.Delete(ctx, f.admin, g), fault.FailedPrecondition, fault.SystemManaged)

	// Taking back, up to the last.
	f.takeEvents()
	f.must(f.Unshare(ctx, f.admin, ann.Subject, resource.Runner, string(r.ID)))
	f.wantEvents("-role_assignment -role_assignment ~role_assignment_changed ~role_assignment_changed")
	f.wantChanged()
	if may(access.RunnerRead) {
		t.Error("Ann still sees the runner")
	}
	f.refuses(f.Unshare(ctx, f.admin, ann.Subject, resource.Runner, string(r.ID)), fault.NotFound)
	f.must(f.Unshare(ctx, f.admin, ann.Subject, resource.Runner, string(s.ID)))
	f.wantEvents("-group -role_assignment ~group_membership_changed ~role_assignment_changed")
	f.wantChanged(ann.ID)
	_, err = f.Get(ctx, f.admin, g)
	f.refuses(err, fault.NotFound)
	f.refuses(f.Unshare(ctx, f.admin, ann.Subject, resource.Runner, string(s.ID)), fault.NotFound)
}

// The last role of such a group may also be taken by the ways that groups have.
func TestTheLastRoleTakesADirectGroupAlong(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	robot := f.account("Robot")
	r := f.runner(f.admin.Subject)
	for name, take := range map[string]func(group.Assignment) error{
		"DeleteRoleAssignment": func(a group.Assignment) error { return f.Unassign(ctx, f.admin, a.ID) },
		"DeleteRunnerPolicy":   func(a group.Assignment) error { return f.DeletePolicy(ctx, f.admin, r.ID, a.Group) },
	} {
		f.must(f.Share(ctx, f.admin, robot, group.Assignment{Type: resource.Runner, Resource: string(r.ID), Role: resource.RoleRunnerUser}))
		shared := f.assignments(f.admin, group.AssignmentFilter{Resource: string(r.ID)})
		if len(shared) != 1 {
			t.Fatalf("%s: shared %+v", name, shared)
		}
		f.must(take(shared[0]))
		_, err := f.Get(ctx, f.admin, shared[0].Group)
		f.refuses(err, fault.NotFound)
	}
}

func TestSharingIsRefused(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	ann, bob := f.person("Ann", resource.RoleOrgMember), f.person("Bob", resource.RoleOrgMember)
	r := f.runner(f.admin.Subject)
	use := group.Assignment{Type: resource.Runner, Resource: string(r.ID), Role: resource.RoleRunnerUser}
	other := use
	other.Role = resource.RoleGroupAdmin
	f.refuses(f.Share(ctx, f.admin, ann.Subject, other), fault.InvalidArgument)
	f.refuses(f.Share(ctx, f.admin, access.Subject{Principal: access.PrincipalUser, ID: id.New()}, use), fault.NotFound)
	f.refuses(f.Share(ctx, f.admin, access.Subject{Principal: access.PrincipalRunner, ID: string(r.ID)}, use), fault.InvalidArgument)
	f.refuses(f.Share(ctx, bob, ann.Subject, use), fault.NotFound)
	f.must(f.Share(ctx, f.admin, bob.Subject, use))
	f.refuses(f.Share(ctx, f.now(bob), ann.Subject, use), fault.PermissionDenied)
	f.refuses(f.Unshare(ctx, f.now(bob), bob.Subject, resource.Runner, string(r.ID)), fault.PermissionDenied)
	groups, _, err := f.List(ctx, f.admin, group.Query{}, page.Request{})
	if err != nil || len(groups) != 1 {
		t.Errorf("groups %+v, %v", groups, err)
	}
}

// A group for sharing goes with what it shares, and with whom it shares that.
func TestSharesGoWithTheirEnds(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	ann, bob := f.person("Ann", resource.RoleOrgMember), f.person("Bob", resource.RoleOrgMember)
	r, s := f.runner(f.admin.Subject), f.runner(f.admin.Subject)
	g := f.group("builders", ann.Subject)
	f.assign(g.ID, resource.Runner, string(r.ID), resource.RoleRunnerUser)
	for _, p := range []access.Caller{ann, bob} {
		f.must(f.Share(ctx, f.admin, p.Subject, group.Assignment{Type: resource.Runner, Resource: string(r.ID), Role: resource.RoleRunnerUser}))
	}
	f.must(f.Share(ctx, f.admin, bob.Subject, group.Assignment{Type: resource.Runner, Resource: string(s.ID), Role: resource.RoleRunnerUser}))
	direct := true
	want := func(n int) {
		t.Helper()
		if groups, _, err := f.List(ctx, f.admin, group.Query{Direct: &direct}, page.Request{}); err != nil || len(groups) != n {
			t.Errorf("groups %+v, %v; want %d", groups, err, n)
		}
	}
	want(2)
	f.must(f.store.Fleet().Write(ctx, func(tx fleet.Tx) error {
		_, err := departure.Runner(ctx, tx, f.admin.Subject, r.Object())
		return err
	}))
	want(1) // Bob's, for the other runner
	f.takeEvents()
	f.must(f.identities.RemoveMember(ctx, f.admin, id.User(bob.ID)))
	f.wantEvents("-group -role_assignment ~user")
	want(0)
	if got := f.read(s).Grants; len(got) != 0 {
		t.Errorf("the runner still has %v", got)
	}
	f.refuses(f.Share(ctx, f.admin, bob.Subject, group.Assignment{Type: resource.Runner, Resource: string(s.ID), Role: resource.RoleRunnerUser}), fault.NotFound)
	_, err := f.AddMember(ctx, f.admin, g.ID, bob.Subject)
	f.refuses(err, fault.NotFound)
}
