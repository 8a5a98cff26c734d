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
			if !sameOf(before, after, o, o, t) {
				return false
			}
		}
	}
	return true
}

// SameSightOf tells whether a caller sees of an object, and of what belongs to
// it, what it saw before the roles on that object changed. When the caller has
// changed since, too, it is both that count.
func SameSightOf(before, after Caller, was, is Object) bool {
	for t := range readOf {
		if !sameOf(before, after, was, is, t) {
			return false
		}
	}
	return true
}

// sameOf compares the sight of an object, and of what belongs to it of one type.
func sameOf(before, after Caller, was, is Object, t resource.Type) bool {
	return Sees(before, was) == Sees(after, is) &&
		(was.Type != resource.Runner || Sees(before, was.Of(t, "")) == Sees(after, is.Of(t, "")))
}
