// Package access decides who may do what.
//
// There are two tables: every procedure of the API has a row with the permission
// that it needs (table.go), and every role has the permissions that it gives
// (role.go). Check asks for a permission on an object, and goes through the
// roles that the caller has on it (object.go); Explain does the same to the end
// and says why. The nouns say what their objects are and who has which role on
// them; they decide nothing.
package access

import (
	"context"
	"slices"
	"time"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// Principal is the kind of a subject. The numbers are those of the wire's
// Principal.
type Principal int32

// The principals that can authenticate.
const (
	PrincipalNone           Principal = 0
	PrincipalUser           Principal = 2
	PrincipalRunner         Principal = 3
	PrincipalServiceAccount Principal = 5
)

// String is the name that people read.
func (p Principal) String() string {
	switch p {
	case PrincipalUser:
		return "user"
	case PrincipalRunner:
		return "runner"
	case PrincipalServiceAccount:
		return "service account"
	default:
		return "nobody"
	}
}

// Type is the type of resource that such a subject is.
func (p Principal) Type() resource.Type {
	switch p {
	case PrincipalUser:
		return resource.User
	case PrincipalRunner:
		return resource.Runner
	case PrincipalServiceAccount:
		return resource.ServiceAccount
	default:
		return resource.Unspecified
	}
}

// identity is the role that such a subject has on itself.
func (p Principal) identity() resource.Role {
	switch p {
	case PrincipalUser:
		return resource.RoleUserIdentity
	case PrincipalRunner:
		return resource.RoleRunnerIdentity
	case PrincipalServiceAccount:
		return resource.RoleServiceAccountIdentity
	default:
		return resource.RoleUnspecified
	}
}

// Subject is somebody who acts or owns.
type Subject struct {
	Principal Principal
	// ID is a UUID; which noun it names depends on Principal.
	ID string
}

// System is the actor of what the control plane does by itself.
var System = Subject{}

// Grant is a role that a group gives to its members. A grant without a group is
// the subject's own, such as the role that a member has in the organization.
type Grant struct {
	Group id.Group
	Role  resource.Role
}

// Standing is what a subject is in its organization: the facts that all its
// permissions follow from.
type Standing struct {
	// Groups are those that the subject is in, sorted.
	Groups []id.Group
	// Grants are the roles on the organization as a whole: the subject's own, and
	// those of its groups.
	Grants []Grant
}

// OfRole is the standing of a subject that has one role on the organization, of
// its own, and is in no group.
func OfRole(r resource.Role) Standing { return Standing{Grants: []Grant{{Role: r}}} }

// Has tells whether the subject has a role on the organization, from anywhere.
func (s Standing) Has(r resource.Role) bool {
	return slices.ContainsFunc(s.Grants, func(g Grant) bool { return g.Role == r })
}

// In tells whether the subject is in a group.
func (s Standing) In(g id.Group) bool {
	_, ok := slices.BinarySearch(s.Groups, g)
	return ok
}

// Caller is the authenticated sender of a request. The zero Caller is anonymous.
type Caller struct {
	Subject
	Organization id.Organization
	Standing

	// Token is the bearer token that the caller came with.
	Token id.Token
	// Maker is who made the token for the caller, with whom it ends; zero when
	// nobody did.
	Maker Subject
	// ReadOnly limits the caller to procedures that change nothing.
	ReadOnly bool
	// Expires is when the token ends; zero for never.
	Expires time.Time
	// Checked tells which revocations the check of the token has seen; see
	// identity.Service.Hold.
	Checked uint64
}

// Anonymous tells whether nobody authenticated.
func (c Caller) Anonymous() bool { return c.Principal == PrincipalNone }

type callerKey struct{}

// WithCaller puts the caller into a request's context.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

type callersKey struct{}

// WithCallers puts what a caller is at any time into the context of a stream,
// which outlives what it was when the stream was opened.
func WithCallers(ctx context.Context, now func() Caller) context.Context {
	return context.WithValue(ctx, callersKey{}, now)
}

// CallersOf returns what tells who the caller of a stream is at any time.
func CallersOf(ctx context.Context) func() Caller {
	if now, ok := ctx.Value(callersKey{}).(func() Caller); ok {
		return now
	}
	c := CallerOf(ctx)
	return func() Caller { return c }
}

// CallerOf returns the caller of a request; the zero Caller when nobody
// authenticated.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
