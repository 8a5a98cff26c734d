package group_test

import (
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/resource"
)

// Who may change a group that has a role: only who may give that role.
func TestNobodyGivesMoreThanTheyHave(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	member := func(name string, in ...group.Group) access.Caller {
		p := f.person(name, resource.RoleOrgMember)
		for _, g := range in {
			_, err := f.AddMember(ctx, f.admin, g.ID, p.Subject)
			f.must(err)
		}
		return f.now(p)
	}
	on := func(role resource.Role, what any, to ...group.Group) {
		for _, g := range to {
			switch what := what.(type) {
			case group.Group:
				f.assign(g.ID, resource.Group, string(what.ID), role)
			case string:
				f.assign(g.ID, resource.Runner, what, role)
			default:
				f.assign(g.ID, resource.Organization, string(f.org), role)
			}
		}
	}
	r, s := string(f.runner(f.admin.Subject).ID), string(f.runner(f.admin.Subject).ID)
	keepers, operators, leads, other := f.group("keepers"), f.group("operators"), f.group("leads"), f.group("other")
	on(resource.RoleOrgGroupsAdmin, nil, keepers)
	on(resource.RoleOrgRunnersAdmin, nil, operators)

	users, adminsOfR, adminsOfBoth, nested := f.group("users"), f.group("admins of r"), f.group("admins of both"), f.group("nested")
	on(resource.RoleRunnerUser, r, users)
	on(resource.RoleRunnerConfigurationReader, s, users)
	on(resource.RoleRunnerAdmin, r, adminsOfR, adminsOfBoth, other)
	on(resource.RoleRunnerLocalAdmin, s, adminsOfBoth)
	on(resource.RoleGroupAdmin, other, nested)
	on(resource.RoleGroupAdmin, users, leads)
	on(resource.RoleGroupAdmin, adminsOfR, leads)
	on(resource.RoleGroupAdmin, adminsOfBoth, leads)
	on(resource.RoleGroupAdmin, nested, leads)
	groups := []group.Group{users, adminsOfR, adminsOfBoth, nested}

	for name, tt := range map[string]struct {
		c   access.Caller
		may [4]bool
	}{
		"an admin of all groups":                           {member("Gia", keepers), [4]bool{true, false, false, true}},
		"an admin of these groups":                         {member("Lea", leads), [4]bool{true, false, false, false}},
		"an admin of these groups and of one runner":       {member("Ron", leads, other), [4]bool{true, true, false, false}},
		"an admin of these groups in one of them":          {member("Bo", leads, adminsOfBoth), [4]bool{true, true, true, false}},
		"an admin of these groups and in the nested one":   {member("Nea", leads, nested), [4]bool{true, false, false, true}},
		"an admin of these groups and of all runners":      {member("Ora", leads, operators), [4]bool{true, true, true, false}},
		"an admin of all groups and of all runners":        {member("Oga", keepers, operators), [4]bool{true, true, true, true}},
		"an admin of the organization":                     {f.admin, [4]bool{true, true, true, true}},
		"an admin of all runners, and of no group":         {member("Rex", operators), [4]bool{}},
		"a member of all of them, who is an admin of none": {member("Moe", users, adminsOfR, adminsOfBoth, nested), [4]bool{}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, g := range groups {
				newcomer := f.person("New", resource.RoleOrgMember)
				fails := func(what string, err error) {
					t.Helper()
					if tt.may[i] != (err == nil) || err != nil && !fault.Is(err, fault.PermissionDenied) {
						t.Errorf("%s %q: %v", what, g.Name, err)
					}
				}
				m, err := f.AddMember(ctx, tt.c, g.ID, newcomer.Subject)
				fails("adds somebody to", err)
				if err != nil {
					m, err = f.AddMember(ctx, f.admin, g.ID, newcomer.Subject)
					f.must(err)
				}
				fails("removes somebody from", f.RemoveMember(ctx, tt.c, m.ID))
				_, err = f.Update(ctx, tt.c, g.ID, g.Name, "changed")
				fails("updates", err)
				if !tt.may[i] {
					fails("deletes", f.Delete(ctx, tt.c, g.ID))
				}
			}
		})
	}
	gia := member("Gina", keepers)
	f.must(f.Delete(ctx, gia, users.ID))
	f.refuses(f.Delete(ctx, gia, adminsOfR.ID), fault.PermissionDenied)
}

// The direct groups that had nothing but a role on a group go with it.
func TestADeletedGroupTakesItsSharesAlong(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	ann, bob := f.person("Ann", resource.RoleOrgMember), f.person("Bob", resource.RoleOrgMember)
	g, r := f.group("builders"), f.runner(f.admin.Subject)
	for _, p := range []access.Caller{ann, bob} {
		for _, role := range []resource.Role{resource.RoleGroupAdmin, resource.RoleGroupViewer} {
			f.must(f.Share(ctx, f.admin, p.Subject, group.Assignment{Type: resource.Group, Resource: string(g.ID), Role: role}))
		}
	}
	f.must(f.Share(ctx, f.admin, bob.Subject, group.Assignment{Type: resource.Runner, Resource: string(r.ID), Role: resource.RoleRunnerUser}))
	directs := f.now(ann).Groups
	if len(directs) != 1 {
		t.Fatalf("Ann is in %v", directs)
	}
	_, err := f.Assign(ctx, f.admin, group.Assignment{Group: g.ID, Type: resource.Group, Resource: string(directs[0]), Role: resource.RoleGroupViewer})
	f.refuses(err, fault.FailedPrecondition, fault.SystemManaged)
	f.takeEvents()
	f.takeChanged()
	f.must(f.Delete(ctx, f.now(ann), g.ID))
	f.wantEvents("-group -group -role_assignment -role_assignment -role_assignment -role_assignment ~group_membership_changed" +
		" ~role_assignment_changed ~role_assignment_changed ~role_assignment_changed ~role_assignment_changed")
	f.wantChanged(string(g.ID), ann.ID)
	_, err = f.Get(ctx, f.admin, directs[0])
	f.refuses(err, fault.NotFound)
	if got := f.now(bob).Groups; len(got) != 1 {
		t.Errorf("Bob, with whom a runner is shared, is in %v", got)
	}
}

// HasEffect is about roles as they are read: whoever has one comes to something
// exactly when it says so.
func TestWhichRolesHaveAnEffect(t *testing.T) {
	f := setup(t)
	ann, robot := f.person("Ann", resource.RoleOrgMember), f.account("Robot")
	r, other := f.runner(f.admin.Subject), f.group("other")
	things := map[resource.Type]string{
		resource.Organization: string(f.org), resource.User: f.admin.ID, resource.ServiceAccount: robot.ID,
		resource.Group: string(other.ID), resource.Runner: string(r.ID),
	}
	for on, thing := range things {
		for _, role := range resource.RolesOn(on) {
			if !role.Assignable() {
				continue
			}
			g := f.group(role.String(), ann.Subject)
			a := f.assign(g.ID, on, thing, role)
			who := f.now(ann)
			who.Grants = who.Grants[1:] // not what every member has
			o, found, err := f.store.Groups().Object(t.Context(), f.org, on, thing)
			if err != nil || !found {
				t.Fatal(found, err)
			}
			effect := false
			for _, p := range access.Permissions() {
				effect = effect || access.May(who, p, o)
			}
			if effect != access.HasEffect(role) {
				t.Errorf("%s has effect: %v", role, effect)
			}
			f.must(f.Unassign(t.Context(), f.admin, a.ID))
		}
	}
	for _, role := range []resource.Role{resource.RoleRunnerIdentity, resource.RoleUserIdentity, resource.RoleOperator, resource.RoleProjectAdmin, 0} {
		if access.HasEffect(role) {
			t.Errorf("%s has effect", role)
		}
	}
}
