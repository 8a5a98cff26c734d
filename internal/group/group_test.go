package group_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

func TestGroupsOfAnOrganization(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	g := f.group("builders")
	f.wantEvents("+group")
	if got, err := f.Get(ctx, f.admin, g.ID); err != nil || got.Name != "builders" || got.Members != 0 || got.Direct.ID != "" {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := f.GetByName(ctx, f.admin, "builders"); err != nil || got.ID != g.ID {
		t.Errorf("by name: %+v, %v", got, err)
	}
	_, err := f.GetByName(ctx, f.admin, "Builders")
	f.refuses(err, fault.NotFound)
	_, err = f.Create(ctx, f.admin, f.org, "builders", "")
	f.refuses(err, fault.AlreadyExists)
	_, err = f.Create(ctx, f.admin, f.organization(), "others", "")
	f.refuses(err, fault.NotFound)
	_, err = f.Create(ctx, f.admin, f.org, "direct-share-x", "")
	f.refuses(err, fault.InvalidArgument)

	other := f.group("testers")
	_, err = f.Update(ctx, f.admin, other.ID, "builders", "")
	f.refuses(err, fault.AlreadyExists)
	f.takeEvents()
	changed, err := f.Update(ctx, f.admin, other.ID, "testers", "They test.")
	if err != nil || changed.Description != "They test." || changed.Revision != 2 || !changed.UpdatedAt.After(other.UpdatedAt) {
		t.Errorf("updated to %+v, %v", changed, err)
	}
	f.wantEvents("~group")
	if changed, err = f.Update(ctx, f.admin, other.ID, "testers", ""); err != nil || changed.Description != "" {
		t.Errorf("the description is %q, %v", changed.Description, err)
	}

	member := f.person("Mel", resource.RoleOrgMember)
	if _, err := f.Get(ctx, member, g.ID); err != nil {
		t.Errorf("a member cannot read a group: %v", err)
	}
	_, err = f.Create(ctx, member, f.org, "mine", "")
	f.refuses(err, fault.PermissionDenied)
	_, err = f.Update(ctx, member, g.ID, "mine", "")
	f.refuses(err, fault.PermissionDenied)
	f.refuses(f.Delete(ctx, member, g.ID), fault.PermissionDenied)
	foreign := f.personIn(f.organization(), "Fo", resource.RoleOrgAdmin)
	_, err = f.Get(ctx, foreign, g.ID)
	f.refuses(err, fault.NotFound)
	f.refuses(f.Delete(ctx, foreign, g.ID), fault.NotFound)
	f.must(f.Delete(ctx, f.admin, g.ID))
	f.refuses(f.Delete(ctx, f.admin, g.ID), fault.NotFound)
}

func TestListGroups(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	r := f.runner(f.admin.Subject)
	var all []group.Group
	for _, name := range []string{"Alpha", "beta", "ALPHABET", "100%"} {
		all = append(all, f.group(name))
	}
	f.assign(all[1].ID, resource.Runner, string(r.ID), resource.RoleRunnerUser)
	f.must(f.Share(ctx, f.admin, f.person("Sue", resource.RoleOrgMember).Subject, group.Assignment{Type: resource.Runner, Resource: string(r.ID), Role: resource.RoleRunnerUser}))
	yes, no := true, false
	for _, tt := range []struct {
		name string
		q    group.Query
		want string
	}{
		{"all", group.Query{}, "Alpha beta ALPHABET 100% direct"},
		{"a search", group.Query{Search: "aLPHa"}, "Alpha ALPHABET"},
		{"a search for what is special in a pattern", group.Query{Search: "%"}, "100%"},
		{"by id", group.Query{IDs: []id.Group{all[3].ID, all[0].ID, id.Group(id.New())}}, "Alpha 100%"},
		{"direct shares", group.Query{Direct: &yes}, "direct"},
		{"no direct shares", group.Query{Direct: &no}, "Alpha beta ALPHABET 100%"},
		{"system managed", group.Query{SystemManaged: true}, ""},
		{"without a role on the runner", group.Query{WithoutType: resource.Runner, WithoutResource: string(r.ID)}, "Alpha ALPHABET 100%"},
		{"without a role on another resource", group.Query{WithoutType: resource.Group, WithoutResource: string(r.ID)}, "Alpha beta ALPHABET 100% direct"},
		{"all filters", group.Query{Search: "a", IDs: []id.Group{all[0].ID, all[1].ID}, Direct: &no, WithoutType: resource.Runner, WithoutResource: string(r.ID)}, "Alpha"},
	} {
		for _, size := range []int32{1, 2, 100} {
			var got []string
			for next := ""; ; {
				rows, token, err := f.List(ctx, f.admin, tt.q, page.Request{Size: size, Token: next})
				f.must(err)
				if len(rows) == 0 && token != "" {
					t.Errorf("%s: an empty page with a next one", tt.name)
				}
				for _, g := range rows {
					name := g.Name
					if g.Direct.ID != "" {
						name = "direct"
					}
					got = append(got, name)
				}
				if next = token; next == "" {
					break
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%s, in pages of %d: %v, want %s", tt.name, size, got, tt.want)
			}
		}
	}
	_, next, err := f.List(ctx, f.admin, group.Query{}, page.Request{Size: 1})
	f.must(err)
	_, _, err = f.List(ctx, f.admin, group.Query{Search: "a"}, page.Request{Token: next})
	f.refuses(err, fault.InvalidArgument, fault.InvalidPageToken)
	_, _, err = f.List(ctx, f.admin, group.Query{SystemManaged: true}, page.Request{Token: "nonsense"})
	f.refuses(err, fault.InvalidArgument, fault.InvalidPageToken)
}

func TestMembers(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	ann, bob := f.person("Ann", resource.RoleOrgMember), f.person("Bob", resource.RoleOrgMember)
	robot := f.account("Robot")
	g := f.group("builders")
	f.takeEvents()
	m, err := f.AddMember(ctx, f.admin, g.ID, ann.Subject)
	if err != nil || m.Name != "Ann" || m.Subject != ann.Subject || m.Group != g.ID {
		t.Fatalf("added %+v, %v", m, err)
	}
	f.wantEvents("~group_membership_changed")
	f.wantChanged(ann.ID)
	if !f.now(ann).In(g.ID) {
		t.Error("Ann is not in the group")
	}
	_, err = f.AddMember(ctx, f.admin, g.ID, ann.Subject)
	f.refuses(err, fault.AlreadyExists)
	if _, err := f.AddMember(ctx, f.admin, g.ID, robot); err != nil {
		t.Errorf("a service account: %v", err)
	}
	foreign := f.personIn(f.organization(), "Fo", resource.RoleOrgMember)
	runner := f.runner(f.admin.Subject)
	for _, tt := range []struct {
		name    string
		subject access.Subject
		want    fault.Code
	}{
		{"nobody", access.Subject{}, fault.InvalidArgument},
		{"no principal", access.Subject{ID: bob.ID}, fault.InvalidArgument},
		{"no id", access.Subject{Principal: access.PrincipalUser}, fault.InvalidArgument},
		{"a runner", access.Subject{Principal: access.PrincipalRunner, ID: string(runner.ID)}, fault.InvalidArgument},
		{"an unknown user", access.Subject{Principal: access.PrincipalUser, ID: id.New()}, fault.NotFound},
		{"a user as a service account", access.Subject{Principal: access.PrincipalServiceAccount, ID: bob.ID}, fault.NotFound},
		{"a user of another organization", foreign.Subject, fault.NotFound},
	} {
		if _, err := f.AddMember(ctx, f.admin, g.ID, tt.subject); !fault.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	_, err = f.AddMember(ctx, f.admin, id.Group(id.New()), bob.Subject)
	f.refuses(err, fault.NotFound)
	_, err = f.AddMember(ctx, ann, g.ID, bob.Subject)
	f.refuses(err, fault.PermissionDenied)

	rows, _, err := f.Members(ctx, bob, group.MemberQuery{Group: g.ID}, page.Request{})
	if err != nil || len(rows) != 2 || rows[0].Name != "Ann" || rows[1].Name != "Robot" {
		t.Errorf("members %+v, %v", rows, err)
	}
	rows, _, err = f.Members(ctx, bob, group.MemberQuery{Group: g.ID, Search: "OBO"}, page.Request{})
	if err != nil || len(rows) != 1 || rows[0].Subject != robot {
		t.Errorf("found %+v, %v", rows, err)
	}
	_, _, err = f.Members(ctx, foreign, group.MemberQuery{Group: g.ID}, page.Request{})
	f.refuses(err, fault.NotFound)
	if got, err := f.Get(ctx, bob, g.ID); err != nil || got.Members != 2 {
		t.Errorf("%d members, %v", got.Members, err)
	}
	if got, found, err := f.Membership(ctx, bob, g.ID, ann.Subject); err != nil || !found || !cmp.Equal(got, m) {
		t.Errorf("the membership of Ann: %+v, %v, %v", got, found, err)
	}
	if _, found, err := f.Membership(ctx, bob, g.ID, bob.Subject); err != nil || found {
		t.Errorf("the membership of Bob: %v, %v", found, err)
	}
	_, _, err = f.Membership(ctx, bob, id.Group(id.New()), ann.Subject)
	f.refuses(err, fault.NotFound)
	_, _, err = f.Membership(ctx, bob, g.ID, access.Subject{ID: ann.ID})
	f.refuses(err, fault.InvalidArgument)

	f.refuses(f.RemoveMember(ctx, ann, m.ID), fault.PermissionDenied)
	f.refuses(f.RemoveMember(ctx, foreign, m.ID), fault.NotFound)
	f.takeEvents()
	f.takeChanged()
	f.must(f.RemoveMember(ctx, f.admin, m.ID))
	f.wantEvents("~group_membership_changed")
	f.wantChanged(ann.ID)
	f.refuses(f.RemoveMember(ctx, f.admin, m.ID), fault.NotFound)
	if f.now(ann).In(g.ID) {
		t.Error("Ann is still in the group")
	}
}

// A group admin manages the group that it is an admin of, and no other.
func TestAdminsOfOneGroup(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	ann, bob := f.person("Ann", resource.RoleOrgMember), f.person("Bob", resource.RoleOrgMember)
	leads, builders, testers := f.group("leads", ann.Subject), f.group("builders"), f.group("testers")
	f.assign(leads.ID, resource.Group, string(builders.ID), resource.RoleGroupAdmin)
	ann = f.now(ann)
	if _, err := f.AddMember(ctx, ann, builders.ID, bob.Subject); err != nil {
		t.Error(err)
	}
	_, err := f.AddMember(ctx, ann, testers.ID, bob.Subject)
	f.refuses(err, fault.PermissionDenied)
	if _, err := f.Assign(ctx, ann, group.Assignment{Group: testers.ID, Type: resource.Group, Resource: string(builders.ID), Role: resource.RoleGroupViewer}); err != nil {
		t.Errorf("sharing the group: %v", err)
	}
	_, err = f.Assign(ctx, ann, group.Assignment{Group: leads.ID, Type: resource.Group, Resource: string(testers.ID), Role: resource.RoleGroupAdmin})
	f.refuses(err, fault.PermissionDenied)
	f.must(f.Delete(ctx, ann, builders.ID))
}

// Nobody comes to a role on the organization by way of a group.
func TestNoEscalationThroughAGroup(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	ann := f.person("Ann", resource.RoleOrgMember)
	gia := f.person("Gia", resource.RoleOrgMember)
	keepers := f.group("keepers", gia.Subject)
	f.assign(keepers.ID, resource.Organization, string(f.org), resource.RoleOrgGroupsAdmin)
	gia = f.now(gia)
	admins := f.group("admins")
	m, err := f.AddMember(ctx, gia, admins.ID, ann.Subject)
	f.must(err)
	f.takeChanged()
	a := f.assign(admins.ID, resource.Organization, string(f.org), resource.RoleOrgAdmin)
	f.wantChanged(string(admins.ID))
	if !access.May(f.now(ann), access.OrganizationUpdate, access.OrganizationObject(f.org)) {
		t.Error("Ann is no admin")
	}
	_, err = f.AddMember(ctx, gia, admins.ID, gia.Subject)
	f.refuses(err, fault.PermissionDenied)
	_, err = f.AddMember(ctx, gia, keepers.ID, ann.Subject)
	f.refuses(err, fault.PermissionDenied)
	f.refuses(f.RemoveMember(ctx, gia, m.ID), fault.PermissionDenied)
	f.refuses(f.Delete(ctx, gia, admins.ID), fault.PermissionDenied)
	_, err = f.Assign(ctx, gia, group.Assignment{Group: keepers.ID, Type: resource.Organization, Resource: string(f.org), Role: resource.RoleOrgAdmin})
	f.refuses(err, fault.PermissionDenied)
	f.refuses(f.Share(ctx, gia, gia.Subject, group.Assignment{Type: resource.Organization, Resource: string(f.org), Role: resource.RoleOrgAdmin}), fault.PermissionDenied)
	f.refuses(f.Unassign(ctx, gia, a.ID), fault.PermissionDenied)
	_, err = f.Update(ctx, gia, admins.ID, "builders", "") // a trap for who gives builders a role, or a member
	f.refuses(err, fault.PermissionDenied)
	f.takeChanged()
	f.must(f.Unassign(ctx, f.admin, a.ID))
	f.wantChanged(string(admins.ID))
	f.must(f.RemoveMember(ctx, gia, m.ID))
	f.must(f.Delete(ctx, gia, admins.ID))
}

// What hangs on a group goes with it, and everybody concerned hears of it.
func TestDeletedGroupLeavesNothing(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	ann := f.person("Ann", resource.RoleOrgMember)
	g, leads := f.group("builders", ann.Subject), f.group("leads")
	one, two := f.runner(f.admin.Subject), f.runner(f.admin.Subject)
	f.assign(g.ID, resource.Runner, string(one.ID), resource.RoleRunnerUser)
	f.assign(g.ID, resource.Runner, string(two.ID), resource.RoleRunnerAdmin)
	f.assign(g.ID, resource.Group, string(g.ID), resource.RoleGroupAdmin)
	f.assign(leads.ID, resource.Group, string(g.ID), resource.RoleGroupAdmin)
	f.read(one) // into the cache
	ann = f.now(ann)
	f.takeEvents()
	f.takeChanged()
	f.must(f.Delete(ctx, f.admin, g.ID))
	if got := f.seen(ann, resource.RoleAssignmentChanged); !slices.Contains(got, string(one.ID)) || !slices.Contains(got, string(two.ID)) {
		t.Errorf("Ann, who loses two runners, is told of %v", got)
	}
	f.wantEvents("-group -role_assignment -role_assignment -role_assignment -role_assignment ~group_membership_changed" +
		" ~role_assignment_changed ~role_assignment_changed ~role_assignment_changed ~role_assignment_changed")
	f.wantChanged(string(g.ID))
	if got := f.read(one); len(got.Grants) != 0 {
		t.Errorf("the runner still has %v", got.Grants)
	}
	if f.now(ann).In(g.ID) {
		t.Error("Ann is still in the group")
	}
	if got := f.assignments(f.admin, group.AssignmentFilter{}); len(got) != 0 {
		t.Errorf("%d assignments are left", len(got))
	}
}
