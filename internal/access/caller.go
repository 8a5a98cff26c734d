// Package access decides who may do what.
//
// There is one table (table.go): every procedure of the API has a row with the
// permission that it needs. A caller holds permissions by what it is and by
// its role; some permissions hold for its own objects only, which the nouns
// narrow down by the visibility of their queries.
package access

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/id"
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

// Subject is somebody who acts or owns.
type Subject struct {
	Principal Principal
	// ID is a UUID; which noun it names depends on Principal.
	ID string
}

// System is the actor of what the control plane does by itself.
var System = Subject{}

// Role is a person's role in their organization. The numbers are those of the
// wire's OrganizationRole.
type Role int32

// The roles of people.
const (
	RoleNone   Role = 0
	RoleAdmin  Role = 1
	RoleMember Role = 2
)

// Caller is the authenticated sender of a request. The zero Caller is anonymous.
type Caller struct {
	Subject
	Organization id.Organization
	// Role is set for users.
	Role Role
	// Token is the bearer token that the caller came with.
	Token id.Token
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

// CallerOf returns the caller of a request; the zero Caller when nobody
// authenticated.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
