// Package signin lets people sign in to source code hosts with OAuth, in a
// browser, so that a runner can act for them.
//
// It is the authorization-code flow with PKCE, in four steps, of which the control
// plane keeps no state:
//
//   - A caller gets a link (BeginURL), which says for whom, on which runner and for
//     which integration. It is encrypted under the secret-key file.
//   - The person opens it and is told what they are about to allow, and for whom
//     (Describe), so that a link from somebody else does not sign them in by
//     surprise. When they go on (Begin), the runner makes a PKCE verifier and says
//     where the host's own page is. The state that goes there is encrypted too, and
//     bound to the browser by a cookie.
//   - The host sends the browser back with a code (Finish). The runner, which alone
//     has the client secret and the verifier, exchanges it, once, and seals what
//     comes to its own key.
//   - The control plane stores the sealed values as a host token.
//
// Links and states work for ten minutes, and the rights of the person are looked at
// again in every step. The package knows nothing of HTTP; see rpc/oauth.
package signin

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/pace"
	"github.com/musterhq/muster/internal/seal"
)

// Life is how long a link works, and how long a person has for the host's page.
const Life = 10 * time.Minute

// Each sign-in that has begun takes a place in the memory of a runner, so that one
// person begins few: beginAtOnce, and then one in every beginEvery.
const (
	beginEvery  = 10 * time.Second
	beginAtOnce = 20
)

// Where people's browsers go, below the public URL.
const (
	BeginPath    = "/oauth/begin"
	CallbackPath = "/oauth/callback"
	// LinkParameter of BeginPath has the link.
	LinkParameter = "link"
)

// Runners asks connected runners; the hub of the links is one.
type Runners interface {
	// BeginSignIn returns where a person signs in to a host.
	BeginSignIn(ctx context.Context, r id.Runner, h codehost.Host, state, redirectURL string, life time.Duration) (authorizeURL string, err error)
	// FinishSignIn exchanges the code of that sign-in for values of a host token.
	FinishSignIn(ctx context.Context, r id.Runner, h codehost.Host, state, redirectURL, code, token string) (hosttoken.Values, error)
}

// Tokens stores host tokens; see package hosttoken.
type Tokens interface {
	TokenID(ctx context.Context, c access.Caller, r id.Runner, host string) (token string, there bool, err error)
	Keep(ctx context.Context, c access.Caller, in hosttoken.SignIn) error
}

// Store is what this package needs of a database.
type Store interface {
	Runner(ctx context.Context, r id.Runner) (fleet.Runner, bool, error)
	// Host returns the host of an integration of a runner.
	Host(ctx context.Context, r id.Runner, integration string) (codehost.Host, bool, error)
}

// Person is somebody who signs in, as they are now.
type Person struct {
	// Caller has their rights, as if they had just proven who they are.
	Caller access.Caller
	// Name is for people; it tells those of one organization apart.
	Name string
	// Organization is the name of theirs.
	Organization string
}

// People tells who somebody is now.
type People interface {
	// PersonNow returns the user or the service account of that id. The error is a
	// fault when there is none whose own tokens would be accepted now.
	PersonNow(ctx context.Context, o id.Organization, subject string) (Person, error)
}

// Config has what a Service needs; all of it is required.
type Config struct {
	Store   Store
	Runners Runners
	Tokens  Tokens
	People  People
	// Key encrypts links and states.
	Key *seal.Key
	// PublicURL is that of the control plane, without a slash at the end.
	PublicURL string
}

// Service is the domain of signing in to source code hosts.
type Service struct {
	Config
	// begun bounds how many sign-ins a person begins.
	begun *pace.Limiter[string]
}

// New makes the service.
func New(c Config) *Service { return &Service{c, pace.Every[string](beginEvery, beginAtOnce)} }

// BeginURL is where a browser begins to sign the caller in to the host of an
// integration. It is empty for callers who can have no credential of their own:
// those that are no users or service accounts, and those that may only read.
func (s *Service) BeginURL(c access.Caller, r id.Runner, integration string) string {
	if c.ReadOnly || c.Principal != access.PrincipalUser && c.Principal != access.PrincipalServiceAccount {
		return ""
	}
	g := grant{Organization: c.Organization, Subject: c.ID, Runner: r, Integration: integration, Until: time.Now().Add(Life).Unix()}
	return s.PublicURL + BeginPath + "?" + LinkParameter + "=" + s.seal(linkPurpose, g)
}
