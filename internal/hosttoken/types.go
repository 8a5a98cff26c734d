// Package hosttoken is the domain of host authentication tokens: the credentials
// with which a runner acts for somebody on a source code host.
//
// It knows nothing of the wire and nothing of SQL. The values are sealed to the
// runner on arrival and handed to nobody else.
package hosttoken

import (
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
)

// Source is how a credential was obtained. The numbers are those of the wire; a
// test of the transport holds them to it.
type Source int32

// The sources. One that is not said counts as anything but OAuth.
const (
	SourceUnspecified Source = 0
	SourceOAuth       Source = 1
	SourcePAT         Source = 2
)

// Token is a credential of one user or service account for one host on one
// runner, which have one such credential at most; the case of the host makes no
// difference.
type Token struct {
	ID           string
	Organization id.Organization
	Runner       id.Runner
	// Host is as it was given at creation.
	Host string
	// Subject is whose credential it is.
	Subject access.Subject
	Source  Source
	// Value is sealed to the runner.
	Value seal.Secret
	// RefreshToken, with which the runner renews the value, is sealed to it; none
	// when there is none.
	RefreshToken seal.Secret
	// Integration is the SCM integration that it belongs to; empty for none.
	Integration string
	// Scopes are what the credential may do on its host, as they were sent.
	Scopes []string
	// ExpiresAt is when the host stops accepting it, to the microsecond; zero when
	// that is not known or never.
	ExpiresAt time.Time
	CreatedAt time.Time
	UpdatedAt time.Time
	// Revision guards against lost updates.
	Revision int64
}

// Stale tells whether a value is sealed to another key than that one, so that
// the runner cannot open it and it must be set again.
func (t *Token) Stale(publicKey []byte) bool {
	return !t.Value.SealedTo(publicKey) || len(t.RefreshToken) > 0 && !t.RefreshToken.SealedTo(publicKey)
}

const secretKind = "host_authentication_token"

// The names of the secrets of a credential; see seal.Name.
func valueName(token string) string   { return seal.Name(secretKind, token, "token") }
func refreshName(token string) string { return seal.Name(secretKind, token, "refresh_token") }

// object is the credential as permissions see it.
func (t *Token) object(r *fleet.Runner) access.Object {
	o := r.Object().Of(resource.HostAuthenticationToken, t.ID)
	o.Name, o.Owner = t.Host, t.Subject
	return o
}
