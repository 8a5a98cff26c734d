package access

import "github.com/musterhq/muster/internal/resource"

// SameSight tells whether a caller that changed sees what it saw before: of all
// that has no facts of its own in the organization, and of the given objects and
// what belongs to them. The facts of an object are those that both are asked for.
func SameSight(before, after Caller, objects []Object) bool {
	same := func(o Object) bool { return Sees(before, o) == Sees(after, o) }
	anyRunner := Object{Type: resource.RoleAssignment, Organization: before.Organization, Runner: "any"}
	if !same(anyRunner) {
		return false
	}
	for t := range readOf {
		if !same(Object{Type: t, Organization: before.Organization}) {
			return false
		}
		for _, o := range objects {
			if !same(o) || o.Type == resource.Runner && !same(o.Of(t, "")) {
				return false
			}
		}
	}
	return true
}
