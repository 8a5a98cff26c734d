// Package scm is the domain of SCM integrations: how a runner talks to source
// code hosts, and how people sign in to them.
//
// It knows nothing of the wire and nothing of SQL, and never talks to a host:
// what is stored here is for the runner, which alone can open the secret of it.
package scm

import (
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
)

// Integration connects a runner to a source code host. A runner has one for each
// host, without regard to case.
type Integration struct {
	ID           string
	Organization id.Organization
	Runner       id.Runner
	// SCMID is the kind of host, such as "github".
	SCMID string
	// Host is as it was given at creation.
	Host string
	// PAT lets people sign in with personal access tokens of the host.
	PAT bool
	// OAuthClientID is the id of the OAuth application; empty without OAuth.
	OAuthClientID string
	// OAuthClientSecret is sealed to the runner; none without OAuth.
	OAuthClientSecret seal.Secret
	// IssuerURL is where people sign in with OAuth, when that is not the host
	// itself; empty otherwise.
	IssuerURL string
	// VirtualDirectory is the path under which an Azure DevOps Server runs; empty
	// otherwise.
	VirtualDirectory string
	CreatedAt        time.Time
	UpdatedAt        time.Time
	// Revision guards against lost updates.
	Revision int64
}

// OAuth tells whether people may sign in with OAuth.
func (i *Integration) OAuth() bool { return i.OAuthClientID != "" }

// Stale tells whether the client secret is sealed to another key than that one,
// so that the runner cannot open it and it must be set again.
func (i *Integration) Stale(publicKey []byte) bool {
	return len(i.OAuthClientSecret) > 0 && !i.OAuthClientSecret.SealedTo(publicKey)
}

// secretName is what the client secret is called; see seal.Name.
func secretName(integration string) string {
	return seal.Name("scm_integration", integration, "client_secret")
}

// object is the integration as permissions see it.
func (i *Integration) object(r *fleet.Runner) access.Object {
	o := r.Object().Of(resource.RunnerSCMIntegration, i.ID)
	o.Name = i.Host
	return o
}
