package gitpodv1

import (
	"strings"
	"testing"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/resource"
)

// Types and roles have the numbers and the names of the wire, all of them.
func TestResourceNamesAreThoseOfTheWire(t *testing.T) {
	for n, name := range gitpodv1.ResourceType_name {
		if got := strings.ToUpper(resource.Type(n).String()); "RESOURCE_TYPE_"+got != name {
			t.Errorf("type %d is %s on the wire and %s here", n, name, got)
		}
	}
	roles := map[resource.Role]bool{}
	for n, name := range gitpodv1.ResourceRole_name {
		r := resource.Role(n)
		if n != 0 && "RESOURCE_ROLE_"+r.String() != name {
			t.Errorf("role %d is %s on the wire and %s here", n, name, r)
		}
		roles[r] = true
	}
	for n := range gitpodv1.ResourceType_name {
		for _, r := range resource.RolesOn(resource.Type(n)) {
			if !roles[r] {
				t.Errorf("the wire has no role %s", r)
			}
		}
	}
}

func TestRunnerRoles(t *testing.T) {
	for wire, role := range map[gitpodv1.RunnerRole]resource.Role{
		gitpodv1.RunnerRole_RUNNER_ROLE_ADMIN:       resource.RoleRunnerAdmin,
		gitpodv1.RunnerRole_RUNNER_ROLE_USER:        resource.RoleRunnerUser,
		gitpodv1.RunnerRole_RUNNER_ROLE_UNSPECIFIED: resource.RoleUnspecified,
		99: resource.RoleUnspecified,
	} {
		if got := policyRole(wire); got != role {
			t.Errorf("%s is %s", wire, got)
		}
	}
}
