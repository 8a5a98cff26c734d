package group_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

func TestAssign(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	member := f.person("Mel", resource.RoleOrgMember)
	creator := f.person("Cre", resource.RoleOrgMember)
	operators := f.person("Rud", resource.RoleOrgMember)
	f.assign(f.group("operators", operators.Subject).ID, resource.Organization, string(f.org), resource.RoleOrgRunnersAdmin)
	operators = f.now(operators)
	g := f.group("builders")
	r := f.runner(creator.Subject)
	foreign := f.runnerIn(f.organization(), creator.Subject)
	robot := f.account("Robot")
	project := id.New()
	const yes = fault.Code(255)
	on := func(t resource.Type, on string, role resource.Role) group.Assignment {
		return group.Assignment{Group: g.ID, Type: t, Resource: on, Role: role}
	}
	for _, tt := range []struct {
		name string
		c    access.Caller
		a    group.Assignment
		want fault.Code
	}{
		{"a role of another type", f.admin, on(resource.Runner, string(r.ID), resource.RoleGroupAdmin), fault.InvalidArgument},
		{"no role", f.admin, on(resource.Runner, string(r.ID), 0), fault.InvalidArgument},
		{"a role that there is not", f.admin, on(resource.Runner, string(r.ID), 34), fault.InvalidArgument},
		{"an identity", f.admin, on(resource.Runner, string(r.ID), resource.RoleRunnerIdentity), fault.InvalidArgument},
		{"the operator", f.admin, on(resource.Unspecified, string(r.ID), resource.RoleOperator), fault.InvalidArgument},
		{"a team's", f.admin, on(resource.Unspecified, string(r.ID), resource.RoleTeamAdmin), fault.InvalidArgument},
		{"no type", f.admin, on(resource.Unspecified, string(r.ID), resource.RoleRunnerUser), fault.InvalidArgument},
		{"an unknown runner", f.admin, on(resource.Runner, id.New(), resource.RoleRunnerUser), fault.NotFound},
		{"a runner of another organization", f.admin, on(resource.Runner, string(foreign.ID), resource.RoleRunnerUser), fault.NotFound},
		{"a runner that the caller does not see", member, on(resource.Runner, string(r.ID), resource.RoleRunnerUser), fault.NotFound},
		{"a runner that the caller only uses", creator, on(resource.Runner, string(r.ID), resource.RoleRunnerUser), fault.PermissionDenied},
		{"another organization", f.admin, on(resource.Organization, string(f.organization()), resource.RoleOrgAdmin), fault.NotFound},
		{"the organization, by a member", member, on(resource.Organization, string(f.org), resource.RoleOrgAdmin), fault.PermissionDenied},
		{"a user, by a member", member, on(resource.User, creator.ID, resource.RoleUserViewer), fault.PermissionDenied},
		{"an unknown user", f.admin, on(resource.User, id.New(), resource.RoleUserViewer), fault.NotFound},
		{"a user that is a service account", f.admin, on(resource.User, robot.ID, resource.RoleUserViewer), fault.NotFound},
		{"a credential for a host", f.admin, on(resource.HostAuthenticationToken, id.New(), resource.RoleHostAuthenticationTokenAdmin), fault.InvalidArgument},
		{"a project, by a member", member, on(resource.Project, project, resource.RoleProjectUser), fault.PermissionDenied},
		{"an unknown group", f.admin, group.Assignment{Group: id.Group(id.New()), Type: resource.Runner, Resource: string(r.ID), Role: resource.RoleRunnerUser}, fault.NotFound},

		{"a runner, by a runners admin", operators, on(resource.Runner, string(r.ID), resource.RoleRunnerUser), yes},
		{"the same again", f.admin, on(resource.Runner, string(r.ID), resource.RoleRunnerUser), fault.AlreadyExists},
		{"the other policy role", f.admin, on(resource.Runner, string(r.ID), resource.RoleRunnerAdmin), fault.AlreadyExists},
		{"a role that is no policy", f.admin, on(resource.Runner, string(r.ID), resource.RoleRunnerConfigurationReader), yes},
		{"a service account", f.admin, on(resource.ServiceAccount, robot.ID, resource.RoleServiceAccountAdmin), yes},
		{"a user", f.admin, on(resource.User, creator.ID, resource.RoleUserViewer), yes},
		{"the organization", f.admin, on(resource.Organization, string(f.org), resource.RoleOrgAuditLogReader), yes},
		{"what this control plane does not keep", f.admin, on(resource.Project, project, resource.RoleProjectUser), yes},
	} {
		got, err := f.Assign(ctx, tt.c, tt.a)
		if tt.want == yes && err != nil || tt.want != yes && !fault.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.want != yes {
			continue
		}
		if listed := f.assignments(f.admin, group.AssignmentFilter{Group: g.ID, Resource: tt.a.Resource, Roles: []resource.Role{tt.a.Role}}); !cmp.Equal(listed, []group.Assignment{got}) {
			t.Errorf("%s: made %+v, listed %+v", tt.name, got, listed)
		}
	}
}

// A role on a runner takes effect with the next call, and those who get it or
// lose it are told.
func TestRolesOnARunnerTakeEffectAtOnce(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	ann := f.person("Ann", resource.RoleOrgMember)
	g := f.group("builders", ann.Subject)
	r := f.runner(f.admin.Subject)
	ann = f.now(ann)
	may := func(p access.Permission) bool { got := f.read(r); return access.May(ann, p, got.Object()) }
	if may(access.RunnerRead) {
		t.Error("Ann sees the runner")
	}
	f.takeEvents()
	policy, err := f.CreatePolicy(ctx, f.admin, r.ID, g.ID, resource.RoleRunnerUser)
	f.must(err)
	if got := f.seen(ann, resource.RoleAssignmentChanged); !slices.Equal(got, []string{string(r.ID)}) {
		t.Errorf("Ann is told of %v", got)
	}
	if got := f.seen(ann, resource.RoleAssignment); !slices.Equal(got, []string{policy.ID}) {
		t.Errorf("Ann is told of the assignments %v", got)
	}
	f.wantEvents("+role_assignment ~role_assignment_changed")
	if !may(access.RunnerUse) || may(access.RunnerShare) {
		t.Error("Ann is no user of the runner")
	}
	changed, err := f.UpdatePolicy(ctx, f.admin, r.ID, g.ID, resource.RoleRunnerAdmin)
	if err != nil || changed.ID != policy.ID || changed.Role != resource.RoleRunnerAdmin || changed.Revision != 2 {
		t.Errorf("changed to %+v, %v", changed, err)
	}
	f.wantEvents("~role_assignment ~role_assignment_changed")
	if !may(access.RunnerShare) {
		t.Error("Ann is no admin of the runner")
	}
	f.must(f.DeletePolicy(ctx, ann, r.ID, g.ID))
	if got := f.seen(ann, resource.RoleAssignmentChanged); !slices.Equal(got, []string{string(r.ID)}) {
		t.Errorf("Ann, who loses the runner, is told of %v", got)
	}
	f.wantEvents("-role_assignment ~role_assignment_changed")
	if may(access.RunnerRead) {
		t.Error("Ann still sees the runner")
	}
	if changed := f.takeChanged(); len(changed) != 1 { // of joining the group
		t.Errorf("identity was told of %v", changed)
	}
}

func TestRunnerPolicies(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	ann := f.person("Ann", resource.RoleOrgMember)
	g, other := f.group("builders", ann.Subject), f.group("testers")
	r, hidden := f.runner(f.admin.Subject), f.runner(f.admin.Subject)
	for _, role := range []resource.Role{0, resource.RoleRunnerConfigurationReader, resource.RoleGroupAdmin} {
		_, err := f.CreatePolicy(ctx, f.admin, r.ID, g.ID, role)
		f.refuses(err, fault.InvalidArgument)
		_, err = f.UpdatePolicy(ctx, f.admin, r.ID, g.ID, role)
		f.refuses(err, fault.InvalidArgument)
	}
	_, err := f.UpdatePolicy(ctx, f.admin, r.ID, g.ID, resource.RoleRunnerUser)
	f.refuses(err, fault.NotFound)
	f.refuses(f.DeletePolicy(ctx, f.admin, r.ID, g.ID), fault.NotFound)
	_, err = f.CreatePolicy(ctx, f.admin, r.ID, g.ID, resource.RoleRunnerUser)
	f.must(err)
	_, err = f.CreatePolicy(ctx, f.admin, r.ID, g.ID, resource.RoleRunnerAdmin)
	f.refuses(err, fault.AlreadyExists, fault.AlreadyThere)
	_, err = f.CreatePolicy(ctx, f.admin, r.ID, other.ID, resource.RoleRunnerAdmin)
	f.must(err)
	f.assign(other.ID, resource.Runner, string(r.ID), resource.RoleRunnerConfigurationReader) // no policy

	ann = f.now(ann)
	rows, next, err := f.Policies(ctx, ann, r.ID, page.Request{Size: 1})
	if err != nil || len(rows) != 1 || rows[0].Group != g.ID || rows[0].Role != resource.RoleRunnerUser {
		t.Fatalf("policies %+v, %v", rows, err)
	}
	rows, next, err = f.Policies(ctx, ann, r.ID, page.Request{Size: 1, Token: next})
	if err != nil || len(rows) != 1 || rows[0].Group != other.ID || next != "" {
		t.Errorf("the next page: %+v, %q, %v", rows, next, err)
	}
	_, _, err = f.Policies(ctx, ann, hidden.ID, page.Request{})
	f.refuses(err, fault.NotFound)
	_, err = f.UpdatePolicy(ctx, ann, r.ID, g.ID, resource.RoleRunnerAdmin)
	f.refuses(err, fault.PermissionDenied)
	f.refuses(f.DeletePolicy(ctx, ann, r.ID, other.ID), fault.PermissionDenied)
	f.refuses(f.DeletePolicy(ctx, ann, hidden.ID, other.ID), fault.NotFound)
}

// Who may not see an assignment does not learn that there is one.
func TestUnassign(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	ann, bob := f.person("Ann", resource.RoleOrgMember), f.person("Bob", resource.RoleOrgMember)
	g := f.group("builders", ann.Subject)
	r := f.runner(f.admin.Subject)
	a := f.assign(g.ID, resource.Runner, string(r.ID), resource.RoleRunnerUser)
	f.refuses(f.Unassign(ctx, bob, a.ID), fault.NotFound)
	f.refuses(f.Unassign(ctx, f.now(ann), a.ID), fault.PermissionDenied)
	f.refuses(f.Unassign(ctx, f.personIn(f.organization(), "Fo", resource.RoleOrgAdmin), a.ID), fault.NotFound)
	rud := f.person("Rud", resource.RoleOrgMember)
	f.assign(f.group("operators", rud.Subject).ID, resource.Organization, string(f.org), resource.RoleOrgRunnersAdmin)
	f.must(f.Unassign(ctx, f.now(rud), a.ID))
	f.refuses(f.Unassign(ctx, f.admin, a.ID), fault.NotFound)
}

func TestFiltersOfRoleAssignments(t *testing.T) {
	f := setup(t)
	ann := f.person("Ann", resource.RoleOrgMember)
	g, other := f.group("builders", ann.Subject), f.group("testers")
	r, s := f.runner(f.admin.Subject), f.runner(f.admin.Subject)
	use := f.assign(g.ID, resource.Runner, string(r.ID), resource.RoleRunnerUser)
	administer := f.assign(other.ID, resource.Runner, string(s.ID), resource.RoleRunnerAdmin)
	audit := f.assign(other.ID, resource.Organization, string(f.org), resource.RoleOrgAuditLogReader)
	lead := f.assign(g.ID, resource.Group, string(other.ID), resource.RoleGroupAdmin)
	secure := f.assign(other.ID, resource.SecurityPolicy, id.New(), resource.RoleSecurityPolicyAdmin)
	for _, tt := range []struct {
		name   string
		filter group.AssignmentFilter
		want   []group.Assignment
	}{
		{"none", group.AssignmentFilter{}, []group.Assignment{use, administer, audit, lead, secure}},
		{"a type", group.AssignmentFilter{Types: []resource.Type{resource.Runner}}, []group.Assignment{use, administer}},
		{"types", group.AssignmentFilter{Types: []resource.Type{resource.Group, resource.Organization}}, []group.Assignment{audit, lead}},
		{"a role", group.AssignmentFilter{Roles: []resource.Role{resource.RoleRunnerAdmin}}, []group.Assignment{administer}},
		{"a high role", group.AssignmentFilter{Roles: []resource.Role{resource.RoleSecurityPolicyAdmin, resource.RoleOrgAuditLogReader}}, []group.Assignment{audit, secure}},
		{"a type and a role of another", group.AssignmentFilter{Types: []resource.Type{resource.Group}, Roles: []resource.Role{resource.RoleRunnerAdmin}}, nil},
		{"a group", group.AssignmentFilter{Group: g.ID}, []group.Assignment{use, lead}},
		{"a group and a role", group.AssignmentFilter{Group: g.ID, Roles: []resource.Role{resource.RoleGroupAdmin}}, []group.Assignment{lead}},
		{"a user", group.AssignmentFilter{User: id.User(ann.ID)}, []group.Assignment{use, lead}},
		{"a user without groups", group.AssignmentFilter{User: id.User(f.admin.ID)}, nil},
		{"a user and a group that it is not in", group.AssignmentFilter{User: id.User(ann.ID), Group: other.ID}, nil},
		{"a resource", group.AssignmentFilter{Resource: string(s.ID)}, []group.Assignment{administer}},
		{"resources", group.AssignmentFilter{Resources: []string{string(s.ID), string(r.ID), id.New()}}, []group.Assignment{use, administer}},
		{"a resource that is not among the resources", group.AssignmentFilter{Resource: string(s.ID), Resources: []string{string(r.ID)}}, nil},
		{"what Terraform asks", group.AssignmentFilter{Group: g.ID, Types: []resource.Type{resource.Runner}, Resource: string(r.ID)}, []group.Assignment{use}},
		{"what it asks before it grants", group.AssignmentFilter{Group: g.ID, Types: []resource.Type{resource.Runner}, Resource: string(s.ID)}, nil},
	} {
		if got := f.assignments(f.admin, tt.filter); !cmp.Equal(got, tt.want, cmpopts.EquateEmpty()) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// The cache of runners does not hide that a role was given.
func TestRunnerCacheSeesGrants(t *testing.T) {
	f := setup(t)
	g := f.group("builders")
	runners := []fleet.Runner{f.runner(f.admin.Subject), f.runner(f.admin.Subject)}
	for _, r := range runners {
		f.read(r)
		f.assign(g.ID, resource.Runner, string(r.ID), resource.RoleRunnerUser)
		if got := f.read(r).Grants; len(got) != 1 || got[0] != (access.Grant{Group: g.ID, Role: resource.RoleRunnerUser}) {
			t.Errorf("grants %v", got)
		}
	}
}
