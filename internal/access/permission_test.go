package access_test

import (
	"slices"
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

func TestPermissionsNameWhatTheyAreFor(t *testing.T) {
	all := access.Permissions()
	if !slices.IsSorted(all) || !slices.Contains(all, access.RunnerUpdate) || slices.Contains(all, access.Public) {
		t.Errorf("permissions %v", all)
	}
	for p, want := range map[access.Permission][]resource.Type{
		access.RunnerCreate:      {resource.Organization},
		access.AuditRead:         {resource.Organization},
		access.RunnerUpdate:      {resource.Runner, resource.Organization},
		access.ConfigurationRead: {resource.Runner, resource.EnvironmentClass, resource.RunnerSCMIntegration, resource.RunnerLLMIntegration, resource.Organization},
	} {
		if got := p.On(); !slices.Equal(got, want) {
			t.Errorf("%s is for %v, want %v", p, got, want)
		}
	}
	if got, want := access.RolesAllowing(resource.Runner, access.RunnerShare), []resource.Role{14, 15, 16}; !slices.Equal(got, want) {
		t.Errorf("a runner is shared by %v, want %v", got, want)
	}
}

// Who has roles is seen by those who give them and by those who have them; news
// of it goes to those who see the resource.
func TestWhoSeesRoleAssignments(t *testing.T) {
	in := func(c access.Caller, groups ...id.Group) access.Caller { c.Groups = groups; return c }
	member := resource.RoleOrgMember
	onRunner := access.Object{
		Type: resource.RoleAssignment, ID: "a", Organization: org, Group: "has", Runner: "r",
		Grants: []access.Grant{{Group: "admins", Role: resource.RoleRunnerAdmin}, {Group: "has", Role: resource.RoleRunnerUser}, {Group: "users", Role: resource.RoleRunnerUser}},
	}
	onOrganization := access.Object{Type: resource.RoleAssignment, ID: "b", Organization: org, Group: "has"}
	changed := func(on resource.Type) access.Object {
		return access.Object{Type: resource.RoleAssignmentChanged, ID: "x", On: on, Organization: org, Runner: "r", Grants: onRunner.Grants}
	}
	callers := map[string]access.Caller{
		"admin":         person("u", resource.RoleOrgAdmin),
		"groups admin":  person("u", member, resource.RoleOrgGroupsAdmin),
		"runners admin": person("u", member, resource.RoleOrgRunnersAdmin),
		"member":        person("u", member),
		"of the group":  in(person("u", member), "has"),
		"of the admins": in(person("u", member), "admins"),
		"of the users":  in(person("u", member), "users"),
		"the runner":    runner("r"),
	}
	for _, tt := range []struct {
		name string
		o    access.Object
		by   []string
	}{
		{"a role on a runner", onRunner, []string{"admin", "groups admin", "runners admin", "of the group", "of the admins"}},
		{"a role on the organization", onOrganization, []string{"admin", "groups admin", "of the group"}},
		{"news of a runner", changed(resource.Runner), []string{"admin", "runners admin", "of the group", "of the admins", "of the users", "the runner"}},
		{"news of a group", changed(resource.Group), []string{"admin", "groups admin", "runners admin", "member", "of the group", "of the admins", "of the users"}},
		{"news of a project", changed(resource.Project), []string{"admin", "groups admin"}},
	} {
		for name, c := range callers {
			if got := access.Sees(c, tt.o); got != slices.Contains(tt.by, name) {
				t.Errorf("%s sees %s: %v", name, tt.name, got)
			}
			why := access.Explain(c, access.RoleAssignmentRead, tt.o, names{})
			if tt.o.Type == resource.RoleAssignment && why.Allowed != slices.Contains(tt.by, name) {
				t.Errorf("%s and %s: the explanation is %+v", name, tt.name, why)
			}
		}
	}
}
