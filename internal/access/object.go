package access

import (
	"slices"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// Object is what a permission is asked for, with the facts that decide.
type Object struct {
	Type         resource.Type
	ID           string
	Organization id.Organization
	// Name is for people; empty when there is none.
	Name string
	// Creator made the runner that this is or belongs to, and may use it. It is
	// zero for other types.
	Creator Subject
	// Owner is whose a token or a credential is.
	Owner Subject
	// Runner is the runner that this belongs to; empty for other types.
	Runner id.Runner
	// Grants are the roles that groups have on this, or on the runner that it
	// belongs to.
	Grants []Grant
	// Group is the group whose role this role assignment is; empty for other
	// types.
	Group id.Group
	// On is the type of the resource that ID names when Type says that the roles
	// on it changed; zero for other types.
	On resource.Type
}

// OrganizationObject is an organization, or anything in it that has no facts of
// its own.
func OrganizationObject(o id.Organization) Object {
	return Object{Type: resource.Organization, ID: string(o), Organization: o}
}

// Of returns another object with the facts of the same runner: what belongs to
// it.
func (o Object) Of(t resource.Type, objectID string) Object {
	r := o
	r.Type, r.ID, r.Name, r.Runner = t, objectID, "", id.Runner(o.ID)
	return r
}

// source is one role that a caller has on an object, and where it comes from.
type source struct {
	role resource.Role
	// why is how the role came to the caller.
	why   why
	group id.Group
}

type why int

const (
	whyOrganization why = iota // a role on the organization, own or through a group
	whyGroup                   // a role on the object, through a group
	whyItself                  // the caller is the object, or the runner that it belongs to
	whyOwner                   // the object is the caller's own
	whyCreator                 // the caller created the runner
	whyMember                  // it is a role of a group that the caller is in
)

// sources calls yield with every role that the caller has on an object until
// that returns false. It is the one place where roles come from.
func sources(c Caller, o Object, yield func(source) bool) {
	if c.Anonymous() || c.Organization != o.Organization {
		return
	}
	for _, g := range c.Grants {
		if !yield(source{g.Role, whyOrganization, g.Group}) {
			return
		}
	}
	for _, g := range o.Grants {
		if c.In(g.Group) && !yield(source{g.Role, whyGroup, g.Group}) {
			return
		}
	}
	if c.Principal == PrincipalRunner && string(o.Runner) == c.ID || o.Type == c.Principal.Type() && o.ID == c.ID {
		if !yield(source{role: c.Principal.identity(), why: whyItself}) {
			return
		}
	}
	if o.Owner == c.Subject {
		role := c.Principal.identity()
		if o.Type == resource.HostAuthenticationToken {
			role = resource.RoleHostAuthenticationTokenAdmin
		}
		if !yield(source{role: role, why: whyOwner}) {
			return
		}
	}
	if o.Creator == c.Subject && !yield(source{role: resource.RoleRunnerUser, why: whyCreator}) {
		return
	}
	if o.Group != "" && c.In(o.Group) {
		yield(source{role: resource.RoleGroupMember, why: whyMember, group: o.Group})
	}
}

// May tells whether a caller may do something to an object.
func May(c Caller, p Permission, o Object) bool {
	if c.Principal == PrincipalRunner && c.Organization == o.Organization && slices.Contains(runnerMay, p) {
		return true
	}
	found := false
	sources(c, o, func(s source) bool {
		found = s.allows(p, o)
		return !found
	})
	return found
}

// allows tells whether the role allows something to the object. Whoever may
// share a runner may read who has roles on it.
func (s source) allows(p Permission, o Object) bool {
	return Allows(s.role, p) ||
		p == RoleAssignmentRead && o.Type == resource.RoleAssignment && o.Runner != "" && Allows(s.role, RunnerShare)
}

// Sees tells whether a caller may know that an object exists. News of the roles
// on a resource goes to those who see the resource.
func Sees(c Caller, o Object) bool {
	t := o.Type
	if t == resource.RoleAssignmentChanged && Kept(o.On) {
		t = o.On
	}
	read, ok := readOf[t]
	return ok && May(c, read, o)
}

// Check returns nil when the caller may do something to an object. An object
// that the caller may not see is missing; one that it may see and not touch is
// refused.
func Check(c Caller, p Permission, o Object) error {
	switch {
	case May(c, p, o):
		return nil
	case !Sees(c, o):
		return fault.Missing(o.Type.Words(), o.ID)
	default:
		return denied(c, p, o)
	}
}

func denied(c Caller, p Permission, o Object) error {
	what := o.Type.Words()
	if o.Name != "" {
		what += " \"" + o.Name + "\""
	}
	return fault.New(fault.PermissionDenied, fault.NotAllowed,
		"This call needs the permission %q on the %s, which no role of this %s gives. \"muster access explain %s/%s %s %s/%s\" tells an organization admin why.",
		p, what, c.Principal, c.Principal.Type(), c.ID, p, o.Type, o.ID)
}

// Reach says which runners a caller may see, for lists: all of its
// organization, or itself, or those that it created or that one of its groups
// has a role on.
type Reach struct {
	All     bool
	Self    id.Runner
	Creator string
	Groups  []id.Group
}

// ReachOf returns the runners that a caller may see. It agrees with Check for
// RunnerRead, and for what a reader of a runner may read of it.
func ReachOf(c Caller) Reach {
	switch {
	case c.Principal == PrincipalRunner:
		return Reach{Self: id.Runner(c.ID)}
	case slices.ContainsFunc(c.Grants, func(g Grant) bool { return Allows(g.Role, RunnerRead) }):
		return Reach{All: true}
	default:
		return Reach{Creator: c.ID, Groups: c.Groups}
	}
}

// AssignmentReach says which role assignments a caller may see, for lists: all
// of its organization, or all on runners, or those of its groups and those on
// runners that its groups may share.
type AssignmentReach struct {
	All     bool
	Runners bool
	Groups  []id.Group
	// Sharing are the roles with which a group may share a runner.
	Sharing []resource.Role
}

// AssignmentReachOf returns the role assignments that a caller may see. It
// agrees with Sees.
func AssignmentReachOf(c Caller) AssignmentReach {
	has := func(p Permission) bool {
		return slices.ContainsFunc(c.Grants, func(g Grant) bool { return Allows(g.Role, p) })
	}
	if has(RoleAssignmentRead) {
		return AssignmentReach{All: true}
	}
	return AssignmentReach{Runners: has(RunnerShare), Groups: c.Groups, Sharing: RolesAllowing(resource.Runner, RunnerShare)}
}
