package access

import (
	"slices"
	"strings"

	"github.com/musterhq/muster/internal/resource"
)

// Giving returns the roles on a type of resource that allow something and that a
// group can be given, sorted. Roles that are others by another name are left out.
func Giving(t resource.Type, p Permission) []resource.Role {
	return slices.DeleteFunc(RolesAllowing(t, p), func(r resource.Role) bool {
		return !HasEffect(r) || r == resource.RoleRunnerLocalAdmin || r == resource.RoleRunnerManagedAdmin
	})
}

// Action is a permission with who has it, for documentation.
type Action struct {
	Permission Permission
	// On are the types of resource that it is asked for on, the organization last.
	On []resource.Type
	// Roles are those that a group can be given and that allow it, those on a
	// single resource first.
	Roles []resource.Role
	// Others have it without such a role, in words such as "its owner".
	Others []string
}

// Actions returns all permissions, sorted.
func Actions() []Action {
	all := make([]Action, 0, len(Permissions()))
	for _, p := range Permissions() {
		a := Action{Permission: p, On: p.On()}
		for _, t := range []resource.Type{resource.Runner, resource.Group, resource.Organization} {
			a.Roles = append(a.Roles, Giving(t, p)...)
		}
		for _, o := range others {
			if Allows(o.role, p) {
				a.Others = append(a.Others, o.words)
			}
		}
		if slices.Contains(runnerMay, p) {
			a.Others = append(a.Others, "every runner")
		}
		all = append(all, a)
	}
	return all
}

// others are the roles that are not given, in words.
var others = []struct {
	role  resource.Role
	words string
}{
	{resource.RoleOperator, "the operator"},
	{resource.RoleOrgMember, "every member and service account"},
	{resource.RoleRunnerUser, "the runner's creator"},
	{resource.RoleRunnerIdentity, "the runner itself"},
	{resource.RoleUserIdentity, "the user itself"},
	{resource.RoleServiceAccountIdentity, "the service account itself"},
	{resource.RoleHostAuthenticationTokenAdmin, "its owner"},
	{resource.RoleGroupMember, "members of the group whose role it is"},
}

// wayTo says who has a permission that a caller has on nothing, and how the
// caller can come to it.
func wayTo(c Caller, p Permission) string {
	roles := Giving(resource.Organization, p)
	switch {
	case c.Principal == PrincipalRunner:
		return "Runners cannot be given it: use the token of a person or of a service account."
	case strings.HasPrefix(string(p), "pat."):
		return "Only people have personal access tokens; a service account has tokens of its own, which \"muster service-account token\" makes and lists."
	case Allows(resource.RoleOperator, p):
		return "The operator, an admin of the first organization, has it, and nobody else can be given it."
	case len(roles) == 0:
		return "No role that can be given has it."
	default:
		return "It takes the role " + list(roles) + " on the organization: an organization admin can make you one, or give such a role to a group that you are in."
	}
}

// missing says which roles would allow something to an object that nothing
// allows now.
func missing(c Caller, p Permission, o Object) string {
	on := Giving(resource.Organization, p)
	var single []resource.Role
	what := "runner"
	switch {
	case o.Type == resource.Group:
		single, what = Giving(resource.Group, p), "group"
	case o.Type == resource.Runner || o.Runner != "":
		single = Giving(resource.Runner, p)
	}
	switch {
	case c.Principal == PrincipalRunner:
		return "Missing: nothing that can be given. A runner has no roles but its own."
	case Allows(resource.RoleOperator, p):
		return "Missing: to be an admin of the first organization."
	case len(on)+len(single) == 0:
		return "Missing: nothing that can be given. It is for the one whose it is."
	case len(single) == 0:
		return "Missing: the role " + list(on) + " on the organization."
	case len(on) == 0:
		return "Missing: the role " + list(single) + " on the " + what + "."
	default:
		return "Missing: the role " + list(single) + " on the " + what + ", or " + list(on) + " on the organization."
	}
}

// list writes "a, b or c".
func list(roles []resource.Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = r.Words()
	}
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " or " + names[n-1]
	}
	return strings.Join(names, "")
}
