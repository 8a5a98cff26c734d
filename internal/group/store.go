package group

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

// Query selects groups of one organization, oldest first. Filters of different
// kinds must all hold.
type Query struct {
	Organization id.Organization
	// Search matches a part of the name, without regard to case.
	Search string
	// IDs holds at most 25 values; empty selects all.
	IDs []id.Group
	// Direct selects the groups that exist to share something with one subject,
	// or all others; nil selects both.
	Direct *bool
	// SystemManaged selects the groups that this control plane needs for itself, of
	// which there are none.
	SystemManaged bool
	// WithoutType and WithoutResource name a resource on which the group must
	// have no role; empty for none.
	WithoutType     resource.Type
	WithoutResource string
	// Page.After.Key is the time of creation as 16 hexadecimal digits of its
	// microseconds; so it is in the queries below.
	Page page.Query
}

// MemberQuery selects members of one group, those that came first first.
type MemberQuery struct {
	Group id.Group
	// Search matches a part of the name, without regard to case.
	Search string
	Page   page.Query
}

// AssignmentQuery selects role assignments of one organization, oldest first.
// Empty filters select all; filters of different kinds must all hold, of the
// values of one any may.
type AssignmentQuery struct {
	Organization id.Organization
	// Reach limits the rows to what the caller may see.
	Reach  access.AssignmentReach
	Groups []id.Group
	Roles  []resource.Role
	// Resources are ids.
	Resources []string
	Page      page.Query
}

// Reads are the look-ups, inside and outside of a transaction. The boolean is
// false when there is no such row.
type Reads interface {
	// Group returns a group with the number of its members and the roles on it.
	Group(ctx context.Context, o id.Organization, g id.Group) (Group, bool, error)
	GroupByName(ctx context.Context, o id.Organization, name string) (Group, bool, error)
	// DirectGroup returns the group that exists to share something with a subject.
	DirectGroup(ctx context.Context, o id.Organization, subject access.Subject) (Group, bool, error)
	// Principal returns a user or a service account of an organization.
	Principal(ctx context.Context, o id.Organization, subject access.Subject) (Principal, bool, error)
	// FindMembership returns the membership of a subject in a group.
	FindMembership(ctx context.Context, g id.Group, subject access.Subject) (Membership, bool, error)
	// Object returns what permissions on a resource rest on. Of a type that this
	// control plane does not keep it finds none.
	Object(ctx context.Context, o id.Organization, t resource.Type, resourceID string) (access.Object, bool, error)
}

// Store is what this package needs of a database.
type Store interface {
	Reads
	// Groups returns up to Page.Limit+1 rows, and so do the lists below.
	Groups(ctx context.Context, q Query) ([]Group, error)
	Memberships(ctx context.Context, q MemberQuery) ([]Membership, error)
	Assignments(ctx context.Context, q AssignmentQuery) ([]Assignment, error)
	// GroupIDsOf returns the groups that a user or a service account is in.
	GroupIDsOf(ctx context.Context, o id.Organization, subject string) ([]id.Group, error)
	// Write runs fn in one transaction; see identity.Store.
	Write(ctx context.Context, fn func(Tx) error) error
}

// Tx is what this package needs of a transaction. Updates and deletions return
// false when there was no such row any more.
type Tx interface {
	departure.Tx
	Reads
	// LockOrganization is that of identity.Tx.
	LockOrganization(ctx context.Context, o id.Organization) error
	// CountGroups counts the groups that people made.
	CountGroups(ctx context.Context, o id.Organization) (int64, error)
	InsertGroup(ctx context.Context, g Group) error
	// UpdateGroup stores name, description and the time of the update when the
	// revision is still g.Revision, and stores g.Revision+1.
	UpdateGroup(ctx context.Context, g Group) (bool, error)
	// LockGroup makes the rest of the transaction wait for, and be waited for by,
	// every other transaction that locks the same group. Whoever adds something to
	// a group or takes something from it locks it first. False means that there is
	// no such group.
	LockGroup(ctx context.Context, o id.Organization, g id.Group) (bool, error)
	// LockRunner is that of fleet.Tx.
	LockRunner(ctx context.Context, r id.Runner) error
	// LockPrincipal keeps a user or a service account from leaving until the
	// transaction ends; false means that there is none, or that it has left.
	LockPrincipal(ctx context.Context, o id.Organization, subject access.Subject) (bool, error)

	InsertMembership(ctx context.Context, m Membership) error
	Membership(ctx context.Context, o id.Organization, membership string) (Membership, bool, error)
	DeleteMembership(ctx context.Context, membership string) (bool, error)

	InsertAssignment(ctx context.Context, a Assignment) error
	Assignment(ctx context.Context, o id.Organization, assignment string) (Assignment, bool, error)
	// AssignmentInSlot returns the assignment of a.Group on the resource of a that
	// has the slot of a.
	AssignmentInSlot(ctx context.Context, a Assignment) (Assignment, bool, error)
	// UpdateAssignment stores the role when the revision is still a.Revision, and
	// stores a.Revision+1.
	UpdateAssignment(ctx context.Context, a Assignment) (bool, error)
	DeleteAssignment(ctx context.Context, a Assignment) (bool, error)
	// AssignmentsOf returns the roles that a group has, the oldest first and so many
	// at most.
	AssignmentsOf(ctx context.Context, g id.Group, most int) ([]Assignment, error)
	// RolesLeft is 0 when a group has no role, not even on what is being removed.
	RolesLeft(ctx context.Context, g id.Group) (int64, error)
	// AssignmentBeyond returns the oldest assignment of a group with one of the
	// roles on a resource on which none of the others has one of them.
	AssignmentBeyond(ctx context.Context, g id.Group, roles []resource.Role, others []id.Group) (Assignment, bool, error)
	// OrganizationRoles counts the roles that a group has on an organization.
	OrganizationRoles(ctx context.Context, g id.Group) (int64, error)
}
