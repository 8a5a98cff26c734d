package group

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

// Assignment is a role that a group has on a resource.
type Assignment struct {
	ID           string
	Organization id.Organization
	Group        id.Group
	// Type and Resource name the resource. An organization's id is that of the
	// organization as a whole.
	Type      resource.Type
	Resource  string
	Role      resource.Role
	CreatedAt time.Time
	// Revision guards against lost updates of the role.
	Revision int64
}

// Slot is what a group has at most one assignment for on a resource: the role,
// except that administering a runner and using it share one.
func (a *Assignment) Slot() resource.Role {
	if a.Role == resource.RoleRunnerUser {
		return resource.RoleRunnerAdmin
	}
	return a.Role
}

// Object is the assignment as permissions see it; on is its resource.
func (a *Assignment) Object(on access.Object) access.Object {
	o := access.Object{Type: resource.RoleAssignment, ID: a.ID, Organization: a.Organization, Group: a.Group}
	if on.Type == resource.Runner {
		o.Runner, o.Grants = on.Runner, on.Grants
	}
	return o
}

// check refuses a role that a group cannot have on that type of resource.
func (a *Assignment) check() error {
	switch {
	case a.Role.String() == "" || a.Role == resource.RoleUnspecified:
		return fault.Invalid("resource_role", "must be a role")
	case a.Role.On() == resource.HostAuthenticationToken:
		return fault.Invalid("resource_role", "the credential is its owner's alone, so nobody else can be given the role %s", a.Role.Words())
	case !a.Role.Assignable():
		return fault.Invalid("resource_role", "nobody can be given the role %s", a.Role.Words())
	case a.Role.On() != a.Type:
		return fault.Invalid("resource_role", "%s is a role on a resource of type %s, not %s", a.Role.Words(), a.Role.On(), a.Type)
	default:
		return nil
	}
}

// Assign gives a group a role on a resource. ID, organization and times of a are
// ignored.
func (s *Service) Assign(ctx context.Context, c access.Caller, a Assignment) (Assignment, error) {
	if err := a.check(); err != nil {
		return Assignment{}, err
	}
	var made Assignment
	var changed regrant
	err := s.store.Write(ctx, func(tx Tx) error {
		on, err := shareable(ctx, tx, c, a.Type, a.Resource, a.Group)
		if err != nil {
			return err
		}
		g, err := locked(ctx, tx, c, a.Group)
		if err != nil {
			return err
		}
		if other, taken, err := tx.AssignmentInSlot(ctx, a); err != nil {
			return err
		} else if taken {
			return already(&g, other)
		}
		changed = s.regrant(a.Group, on, with(on, a))
		made, err = grant(ctx, tx, c, a, on)
		return err
	})
	if !fault.MayHaveHappened(err) {
		return Assignment{}, fault.Wrap(err, "granting the role")
	}
	s.announce(ctx, err, changed)
	return made, err
}

func already(g *Group, other Assignment) error {
	hint := ""
	if _, ok := policyRoles[other.Role]; ok {
		hint = " A group is either an admin or a user of a runner; \"muster policy set\" changes which."
	}
	return fault.New(fault.AlreadyExists, fault.AlreadyThere, "The group %q has the role %s on this %s already (%s).%s", g.Name, other.Role.Words(), other.Type.Words(), other.ID, hint)
}

// shareable locks and returns a resource whose roles the caller may give and
// take, and locks the groups that it is about. Of a resource that this control
// plane does not keep, the id is all that there is.
func shareable(ctx context.Context, tx Tx, c access.Caller, t resource.Type, resourceID string, groups ...id.Group) (access.Object, error) {
	if err := lockResource(ctx, tx, c.Organization, t, resourceID, groups...); err != nil {
		return access.Object{}, err
	}
	on, found, err := tx.Object(ctx, c.Organization, t, resourceID)
	switch {
	case err != nil:
		return access.Object{}, err
	case access.Kept(t) && (!found || !access.Sees(c, on)):
		return access.Object{}, fault.Missing(t.Words(), resourceID)
	case !found:
		on = access.Object{Type: t, ID: resourceID, Organization: c.Organization}
	}
	if err := checkShare(c, on); err != nil {
		return on, err
	}
	if t == resource.Group && strings.HasPrefix(on.Name, directPrefix) {
		return on, fault.New(fault.FailedPrecondition, fault.SystemManaged,
			"The group %q exists to share something with one subject, and the control plane keeps it: nobody has roles on it.", on.Name)
	}
	return on, nil
}

// checkShare returns nil when the caller may give and take roles on a resource.
func checkShare(c access.Caller, on access.Object) error {
	switch on.Type {
	case resource.Runner:
		return access.Check(c, access.RunnerShare, on)
	case resource.Group:
		return access.Check(c, access.GroupShare, on)
	default:
		return access.Check(c, access.OrganizationShare, access.OrganizationObject(c.Organization))
	}
}

// grant adds an assignment; the resource and the group are locked.
func grant(ctx context.Context, tx Tx, c access.Caller, a Assignment, on access.Object) (Assignment, error) {
	a.ID, a.Organization, a.CreatedAt, a.Revision = id.New(), c.Organization, time.Now().Truncate(time.Microsecond), 1
	if err := tx.InsertAssignment(ctx, a); err != nil {
		return Assignment{}, err
	}
	return a, record(ctx, tx, c, a, with(on, a), "role_assignment.create", event.Created)
}

// with is a resource with one role more on it: those who have just got it are
// told, too.
func with(on access.Object, a Assignment) access.Object {
	on.Grants = append(slices.Clip(on.Grants), access.Grant{Group: a.Group, Role: a.Role})
	return on
}

// without is a resource with one role, or several, less on it.
func without(on access.Object, assignments ...Assignment) access.Object {
	on.Grants = slices.DeleteFunc(slices.Clone(on.Grants), func(g access.Grant) bool {
		return slices.ContainsFunc(assignments, func(a Assignment) bool { return g.Group == a.Group && g.Role == a.Role })
	})
	return on
}

// record writes down what was done to an assignment, and lets those who see the
// resource know.
func record(ctx context.Context, tx Tx, c access.Caller, a Assignment, on access.Object, action string, op event.Operation) error {
	r := change.Record{Actor: c.Subject, Action: action, Object: a.Object(on), Event: op}
	if op == event.Created {
		r.Creator = c.Subject
	}
	return change.WriteRole(ctx, tx, r, on)
}

// regrant is a change of the roles that a group has on a resource, which was one
// thing and is another.
type regrant struct {
	group   id.Group
	was, is access.Object
	done    func(was, is access.Object)
}

// regrant begins a change of roles in its transaction; announce ends it.
func (s *Service) regrant(g id.Group, was, is access.Object) regrant {
	return regrant{g, was, is, s.identities.Regranting(g)}
}

// announce makes a change of roles take effect at once for what is open. One on
// the organization changes what the members of the group are. Other roles are
// read with their resource, and change what is seen of it.
func (s *Service) announce(ctx context.Context, err error, r regrant) {
	if err != nil || r.was.Type == resource.Organization {
		s.changed(ctx, err, access.Subject{}, r.group, nil)
		return
	}
	r.done(r.was, r.is)
}

// Unassign takes a role away. Those who may not see the assignment do not learn
// that there is one.
func (s *Service) Unassign(ctx context.Context, c access.Caller, assignment string) error {
	var gone *departed
	var changed regrant
	err := s.store.Write(ctx, func(tx Tx) error {
		a, found, err := tx.Assignment(ctx, c.Organization, assignment)
		if err != nil {
			return err
		}
		if !found {
			return fault.Missing("role assignment", assignment)
		}
		on, err := resourceOf(ctx, tx, a)
		if err != nil {
			return err
		}
		if err := checkShare(c, on); err != nil {
			if !access.Sees(c, a.Object(on)) {
				return fault.Missing("role assignment", assignment)
			}
			return err
		}
		gone, changed, err = s.take(ctx, tx, c, on, a)
		return err
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "taking the role away")
	}
	s.announce(ctx, err, changed)
	s.dissolved(ctx, err, gone)
	return err
}

// resourceOf returns the resource of an assignment. One that is gone, or that
// this control plane does not keep, has no facts.
func resourceOf(ctx context.Context, from roles, a Assignment) (access.Object, error) {
	on, found, err := from.Object(ctx, a.Organization, a.Type, a.Resource)
	if err == nil && !found {
		on = access.Object{Type: a.Type, ID: a.Resource, Organization: a.Organization}
	}
	return on, err
}

// take deletes assignments of one group on one resource, and the group with the
// last one when it exists for sharing alone. It returns that group, or nil, and
// the change of roles.
func (s *Service) take(ctx context.Context, tx Tx, c access.Caller, on access.Object, assignments ...Assignment) (*departed, regrant, error) {
	g, err := lockedAgain(ctx, tx, c, assignments[0].Group)
	if err != nil {
		return nil, regrant{}, err
	}
	changed := s.regrant(g.ID, on, without(on, assignments...))
	for _, a := range assignments {
		if err := revoke(ctx, tx, c, a, on); err != nil {
			return nil, changed, err
		}
	}
	if !g.isDirect() {
		return nil, changed, nil
	}
	left, err := tx.RolesLeft(ctx, g.ID)
	if err != nil || left > 0 {
		return nil, changed, err
	}
	gone := &departed{subject: g.Direct, group: g.ID}
	for _, a := range assignments {
		gone.reached = append(gone.reached, on, a.Object(on))
	}
	_, err = remove(ctx, tx, c, &g)
	return gone, changed, err
}

// revoke deletes one assignment and tells of it; on is its resource as it was
// before.
func revoke(ctx context.Context, tx Tx, c access.Caller, a Assignment, on access.Object) error {
	ok, err := tx.DeleteAssignment(ctx, a)
	if err != nil {
		return err
	}
	if !ok {
		return fault.ErrLost
	}
	return record(ctx, tx, c, a, on, "role_assignment.delete", event.Deleted)
}

// dissolved tells that a group which existed to share something is gone.
func (s *Service) dissolved(ctx context.Context, err error, gone *departed) {
	if gone != nil {
		s.left(ctx, err, *gone)
	}
}

// AssignmentFilter selects role assignments. Empty filters select all; filters
// of different kinds must all hold, of the values of one any may.
type AssignmentFilter struct {
	Types []resource.Type
	Roles []resource.Role
	Group id.Group
	// User is somebody whose groups' assignments are wanted.
	User id.User
	// Resource and Resources are ids.
	Resource  string
	Resources []string
}

// Assignments lists the role assignments that the caller may see, oldest first.
func (s *Service) Assignments(ctx context.Context, c access.Caller, f AssignmentFilter, r page.Request) ([]Assignment, string, error) {
	slices.Sort(f.Types)
	slices.Sort(f.Roles)
	slices.Sort(f.Resources)
	binding := fmt.Sprintf("role assignments\x00%s\x00%s\x00%v\x00%v\x00%s\x00%s\x00%s\x00%v", c.Organization, c.ID, f.Types, f.Roles, f.Group, f.User, f.Resource, f.Resources)
	parsed, err := page.Parse(r, binding)
	if err != nil {
		return nil, "", err
	}
	q, some, err := s.query(ctx, c, f)
	if err != nil {
		return nil, "", fault.Wrap(err, "reading the groups of a user")
	}
	if !some {
		return nil, "", nil
	}
	q.Page = parsed
	rows, err := s.store.Assignments(ctx, q)
	if err != nil {
		return nil, "", fault.Wrap(err, "listing role assignments")
	}
	rows, next := page.Cut(q.Page, rows, func(a Assignment) page.Cursor {
		return page.Cursor{Key: page.TimeKey(a.CreatedAt), ID: a.ID}
	})
	return rows, next, nil
}

// query puts a filter into the form of the store; false means that nothing can
// pass it. A type stands for all its roles, since each role is for one type.
func (s *Service) query(ctx context.Context, c access.Caller, f AssignmentFilter) (q AssignmentQuery, some bool, err error) {
	q = AssignmentQuery{Organization: c.Organization, Reach: access.AssignmentReachOf(c), Roles: f.Roles, Resources: f.Resources}
	if len(f.Types) > 0 {
		var roles []resource.Role
		for _, t := range f.Types {
			roles = append(roles, resource.RolesOn(t)...)
		}
		if q.Roles, some = narrowed(f.Roles, roles); !some {
			return q, false, nil
		}
	}
	if f.Resource != "" {
		if q.Resources, some = narrowed(f.Resources, []string{f.Resource}); !some {
			return q, false, nil
		}
	}
	if f.User != "" {
		if q.Groups, err = s.store.GroupIDsOf(ctx, c.Organization, string(f.User)); err != nil || len(q.Groups) == 0 {
			return q, false, err
		}
	}
	if f.Group != "" {
		if q.Groups, some = narrowed(q.Groups, []id.Group{f.Group}); !some {
			return q, false, nil
		}
	}
	return q, true, nil
}

// narrowed returns the values that pass both filters, of which the first is for
// all when it is empty; false means that none does.
func narrowed[T comparable](first, second []T) ([]T, bool) {
	if len(first) == 0 {
		return second, len(second) > 0
	}
	both := slices.DeleteFunc(slices.Clone(second), func(v T) bool { return !slices.Contains(first, v) })
	return both, len(both) > 0
}
