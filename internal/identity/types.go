// Package identity holds organizations, their people, and personal access
// tokens, and turns a bearer token into a caller.
package identity

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/token"
)

// Organization is a tenant.
type Organization struct {
	ID   id.Organization
	Name string
	// Operates tells whether the admins operate the installation. It is so for the
	// organization of the first start alone, and never changes.
	Operates  bool
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Status is a person's standing. The numbers are those of the wire's UserStatus.
type Status int32

// The standings of a person.
const (
	StatusActive    Status = 1
	StatusSuspended Status = 2
	StatusLeft      Status = 3
)

// User is a person in one organization.
type User struct {
	ID           id.User
	Organization id.Organization
	Name         string
	// Email is unique, without regard to case, among those who have not left.
	Email     string
	Role      resource.Role
	Status    Status
	CreatedAt time.Time
	UpdatedAt time.Time
	// Revision grows with every change and guards against lost updates.
	Revision int64
}

// Subject is the user as somebody who acts.
func (u *User) Subject() access.Subject {
	return access.Subject{Principal: access.PrincipalUser, ID: string(u.ID)}
}

// Object is the user as permissions see it.
func (u *User) Object() access.Object {
	return access.Object{Type: resource.User, ID: string(u.ID), Organization: u.Organization, Name: u.Name}
}

// Credential is a stored token together with the state of its subject.
type Credential struct {
	token.Record
	// Role and Status are those of the user; zero for other subjects.
	Role   resource.Role
	Status Status
	// Suspended and ValidUntil are those of the service account; zero for others.
	Suspended  bool
	ValidUntil time.Time
	// CreatorStatus is that of the user who made the token, and CreatorSuspended
	// that of the service account; zero for others.
	CreatorStatus    Status
	CreatorSuspended bool
}

// Groups are what a subject gets from the groups that it is in.
type Groups struct {
	// IDs are sorted.
	IDs []id.Group
	// Grants are the roles that they have on the organization.
	Grants []access.Grant
}

// UserSort is the order of a member list.
type UserSort int

// The orders of a member list. Ties are broken by id, in the same direction.
const (
	ByJoined UserSort = iota // oldest first
	ByJoinedDescending
	ByName // without regard to case
	ByNameDescending
)

// UserQuery selects users of one organization. Empty filters select all;
// filters of different kinds must all hold, of the values of one any may.
type UserQuery struct {
	Organization id.Organization
	// Search matches a part of name or email, without regard to case.
	Search   string
	Statuses []Status
	Roles    []resource.Role
	// IDs holds at most 25 values.
	IDs []string
	// NotIn leaves out who is in one of these groups; at most 25.
	NotIn []string
	Sort  UserSort
	// Page.After.Key is the lower-cased name, or the time of joining as
	// 16 hexadecimal digits of its microseconds, as Sort says.
	Page page.Query
}

// TokenQuery selects personal access tokens of one organization, newest first.
type TokenQuery struct {
	Organization id.Organization
	// Users holds at most 25 values; empty selects all.
	Users []string
	// Page.After.Key is the time of creation as 16 hexadecimal digits of its
	// microseconds.
	Page page.Query
}

// Store is what this package needs of a database. The boolean of a look-up is
// false when there is no such row.
type Store interface {
	Credential(ctx context.Context, hash []byte) (Credential, bool, error)
	// GroupsOf returns the groups of a user or a service account.
	GroupsOf(ctx context.Context, o id.Organization, subject string) (Groups, error)
	// Reached returns what a group has roles on, and those roles; false when that
	// is more than a few.
	Reached(ctx context.Context, g id.Group) ([]access.Object, bool, error)
	Organization(ctx context.Context, o id.Organization) (Organization, bool, error)
	// OperatingOrganization returns the organization whose admins operate the
	// installation.
	OperatingOrganization(ctx context.Context) (Organization, bool, error)
	// Organizations returns up to Limit+1 rows, oldest first. After.Key is the time
	// of creation as 16 hexadecimal digits of its microseconds.
	Organizations(ctx context.Context, q page.Query) ([]Organization, error)
	User(ctx context.Context, o id.Organization, u id.User) (User, bool, error)
	// Users returns up to Page.Limit+1 rows.
	Users(ctx context.Context, q UserQuery) ([]User, error)
	// CountUsers ignores paging and order.
	CountUsers(ctx context.Context, q UserQuery) (int64, error)
	PersonalToken(ctx context.Context, o id.Organization, t id.Token) (token.Record, bool, error)
	// PersonalTokens returns up to Page.Limit+1 rows.
	PersonalTokens(ctx context.Context, q TokenQuery) ([]token.Record, error)
	// Write runs fn in one transaction; see Tx. It runs fn again when a
	// compare-and-swap inside was lost (fn returns ErrLost of package fault), up
	// to 8 times. fn must not block on anything but the transaction.
	Write(ctx context.Context, fn func(Tx) error) error
}

// Tx is what this package needs of a transaction.
type Tx interface {
	departure.Tx
	// GroupsOf is that of Store.
	GroupsOf(ctx context.Context, o id.Organization, subject string) (Groups, error)
	Organization(ctx context.Context, o id.Organization) (Organization, bool, error)
	OperatingOrganization(ctx context.Context) (Organization, bool, error)
	User(ctx context.Context, o id.Organization, u id.User) (User, bool, error)
	// UserByEmail finds a member that has not left, without regard to case.
	UserByEmail(ctx context.Context, o id.Organization, email string) (User, bool, error)
	// Users returns up to Page.Limit+1 rows.
	Users(ctx context.Context, q UserQuery) ([]User, error)
	// CountUsers ignores paging and order.
	CountUsers(ctx context.Context, q UserQuery) (int64, error)
	InsertOrganization(ctx context.Context, o Organization) error
	// UpdateOrganization stores name and updated_at.
	UpdateOrganization(ctx context.Context, o Organization) error
	// LockOrganization makes the rest of the transaction wait for, and be waited
	// for by, every other transaction that locks the same organization. It guards
	// rules over several rows, such as the last admin's.
	LockOrganization(ctx context.Context, o id.Organization) error
	InsertUser(ctx context.Context, u User) error
	// LockLeaving locks a user that is about to leave, and before it, as everybody
	// locks groups before users, the group that exists to share something with it.
	LockLeaving(ctx context.Context, o id.Organization, s access.Subject) error
	// UpdateUser replaces the row of u when its revision is still u.Revision, and
	// stores u.Revision+1; false means that somebody else was faster.
	UpdateUser(ctx context.Context, u User) (bool, error)
	// LockPrincipal keeps a user from leaving until the transaction ends, and makes
	// it wait for all others that lock the same; false means that it has left.
	LockPrincipal(ctx context.Context, o id.Organization, s access.Subject) (bool, error)
	// CountLiveTokens counts the personal access tokens of a user that work.
	CountLiveTokens(ctx context.Context, s access.Subject, now time.Time) (int64, error)
	InsertToken(ctx context.Context, t token.Record) error
	PersonalToken(ctx context.Context, o id.Organization, t id.Token) (token.Record, bool, error)
	// DeleteToken returns false when there was no such token any more.
	DeleteToken(ctx context.Context, t id.Token) (bool, error)
	// TouchToken moves the last use of a token forward, never back.
	TouchToken(ctx context.Context, t id.Token, at time.Time) error
}
