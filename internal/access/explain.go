package access

import (
	"fmt"
	"slices"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// Reason is a node of the tree that explains a yes or a no.
type Reason struct {
	// Text is a sentence for people.
	Text string
	// Allowed tells whether this, or something below it, is a reason for a yes.
	Allowed bool
	Because []Reason
}

// Names turns ids into names for people.
type Names interface {
	Group(g id.Group) string
}

// Explain tells whether a caller may do something to an object, and why. It
// follows the same sources as Check, to their end.
func Explain(c Caller, p Permission, o Object, names Names) Reason {
	tree := Reason{}
	leaf := func(allowed bool, format string, args ...any) {
		tree.Because = append(tree.Because, Reason{Text: fmt.Sprintf(format, args...), Allowed: allowed})
		tree.Allowed = tree.Allowed || allowed
	}
	if c.Organization != o.Organization {
		leaf(false, "It belongs to another organization, and nothing reaches across organizations.")
		return tree
	}
	if c.Principal == PrincipalRunner {
		leaf(slices.Contains(runnerMay, p), "Every runner may do a few things in its organization: %s.", verdict(slices.Contains(runnerMay, p), p))
	}
	sources(c, o, func(s source) bool {
		ok := s.allows(p, o)
		leaf(ok, "%s: %s.", s.describe(o, names), verdict(ok, p))
		return true
	})
	if len(tree.Because) == 0 {
		leaf(false, "No role reaches it: none on the organization, none of a group, and it is not the subject's own.")
	}
	if !tree.Allowed {
		leaf(false, "%s", missing(c, p, o))
	}
	return tree
}

func verdict(ok bool, p Permission) string {
	if ok {
		return fmt.Sprintf("which allows %q", p)
	}
	return fmt.Sprintf("which does not allow %q", p)
}

func (s source) describe(o Object, names Names) string {
	switch {
	case s.why == whyOrganization && s.role == resource.RoleOperator:
		return "An admin of the first organization operates the installation"
	case s.why == whyOrganization && s.group == "":
		return fmt.Sprintf("The subject has the role %s in its organization", s.role.Words())
	case s.why == whyOrganization:
		return fmt.Sprintf("The group %q has the role %s on the organization", names.Group(s.group), s.role.Words())
	case s.why == whyGroup && o.Runner != "" && o.Type != resource.Runner:
		return fmt.Sprintf("The group %q has the role %s on the runner that it belongs to", names.Group(s.group), s.role.Words())
	case s.why == whyGroup:
		return fmt.Sprintf("The group %q has the role %s on it", names.Group(s.group), s.role.Words())
	case s.why == whyMember:
		return fmt.Sprintf("The subject is in the group %q, whose role it is", names.Group(s.group))
	case s.why == whyItself:
		return fmt.Sprintf("The subject is it, or the runner that it belongs to (%s)", s.role.Words())
	case s.why == whyOwner:
		return fmt.Sprintf("It is the subject's own (%s)", s.role.Words())
	default:
		return fmt.Sprintf("The subject created the runner (%s)", s.role.Words())
	}
}
