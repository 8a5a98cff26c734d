// Package codehost answers questions about source code hosts: what a URL points
// at, which repositories and organizations somebody can reach, whether they are
// signed in, whether an integration works.
//
// The control plane asks no host itself, and holds no credential in the clear.
// This package decides who may ask, which runner answers, and with which of the
// caller's credentials; the runner does the rest. It knows nothing of the wire,
// of the link, and of SQL.
package codehost

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
)

// Host is a host that a runner is connected to.
type Host struct {
	scmurl.Integration
	// OAuthClientID is empty without OAuth.
	OAuthClientID string
}

// Credential is a host token of somebody, without its values.
type Credential struct {
	ID     string
	Runner id.Runner
	// Host is as it was given when it was stored.
	Host string
	// Integration is the SCM integration that it was stored for; empty for none.
	Integration string
	OAuth       bool
	// ExpiresAt is zero when that is not known or never.
	ExpiresAt time.Time
	// RefreshToken tells which refresh token there is; zero for none.
	RefreshToken seal.Digest
	// Revision grows with every change.
	Revision int64
}

// Access is a host, and the caller's credential for it.
type Access struct {
	Host Host
	// Credential is nil when the caller has none.
	Credential *Credential
}

// Place is a host on one of several runners.
type Place struct {
	Runner id.Runner
	Host   Host
}

// Context is what a URL points at.
type Context struct {
	SCMID string
	Git   Git
	// Change and Issue are nil when the URL is not that of one.
	Change *Change
	Issue  *Issue
	// Classes are the environment classes that the caller may use on the runner
	// that answered, oldest first.
	Classes []string
	// OriginalURL is the URL as it came, without user name and password.
	OriginalURL string
}

// Git is a repository at a ref.
type Git struct {
	CloneURL, Host, Owner, Repo string
	Branch, Tag, Commit         string
	// UpstreamURL is the clone URL of what this is a fork of, or of what a change
	// goes to; empty when there is none.
	UpstreamURL string
}

// Change is a pull request or a merge request. What the host does not say is
// empty.
type Change struct {
	ID, Title, FromBranch, ToBranch string
	// URL is that of its page.
	URL, Author string
	Draft       bool
	State       ChangeState
	// HeadCommit is the newest on FromBranch.
	HeadCommit string
	// Base is the repository to merge into.
	Base Git
}

// ChangeState is what became of a change. The numbers are those of the wire.
type ChangeState int32

// Issue is an issue or a work item.
type Issue struct{ ID, Title string }

// Search is a search for repositories.
type Search struct {
	Text   string
	Native bool
	// Page counts from 1; Size is that of the page of each host, from 1 to 100.
	Page, Size int
}

// Repositories is one page of what was found.
type Repositories struct {
	Rows []Repository
	More bool
	// Pages and Total are -1 when they are not known.
	Pages, Total int
}

// Repository is one that was found.
type Repository struct{ Name, URL string }

// OrganizationQuery selects organizations.
type OrganizationQuery struct {
	// Text is part of a name.
	Text string
	// Cursor is the host's own; empty for the first page.
	Cursor string
	// Size is from 1 to 100.
	Size int
}

// Organizations is one page of organizations.
type Organizations struct {
	Rows   []Organization
	Cursor string
}

// Organization is one of them.
type Organization struct {
	Name, URL string
	Admin     bool
}

// Authentication is whether the caller is signed in to a host, and how to.
type Authentication struct {
	Authenticated bool
	SCMID, Name   string
	// OAuth and PAT are nil when the host does not allow them.
	OAuth *OAuth
	PAT   *scmurl.PAT
}

// OAuth is how to sign in with OAuth.
type OAuth struct {
	// BeginURL is where a person's browser begins; empty for a caller who may not
	// sign in.
	BeginURL, DocsURL string
}

// Readable is whether a repository can be read.
type Readable struct {
	Yes bool
	// Why says why not, for people.
	Why string
}

// Probe is an integration to try.
type Probe struct {
	Host Host
	// ClientSecret is sealed to the runner for Purpose.
	ClientSecret seal.Secret
	Purpose      string
}

// Probed says what is wrong, in sentences without their subject; what is fine is
// empty.
type Probed struct{ Host, OAuth string }

// Runners asks connected runners; the hub of the links is one. The errors are
// those of link.Hub.Ask, and what the runner says.
type Runners interface {
	// Connected tells whether a runner has a live link now.
	Connected(r id.Runner) bool
	ParseContext(ctx context.Context, r id.Runner, a Access, url string) (Context, error)
	SearchRepositories(ctx context.Context, r id.Runner, as []Access, s Search) (Repositories, error)
	ListOrganizations(ctx context.Context, r id.Runner, a Access, q OrganizationQuery) (Organizations, error)
	CheckAuthentication(ctx context.Context, r id.Runner, a Access) (Authentication, error)
	CheckRepository(ctx context.Context, r id.Runner, a Access, url string) (Readable, error)
	ProbeIntegration(ctx context.Context, r id.Runner, p Probe) (Probed, error)
}

// Links makes the URLs at which people begin to sign in; see package signin. An
// empty one says that this caller cannot.
type Links interface {
	BeginURL(c access.Caller, r id.Runner, integration string) string
}

// Use says which runners somebody may use: all of the organization, or those
// that Creator made and those on which one of the groups has one of the roles.
type Use struct {
	All     bool
	Creator string
	Groups  []id.Group
	Roles   []resource.Role
}

// PlaceQuery selects hosts on runners of one organization, oldest first.
type PlaceQuery struct {
	Organization id.Organization
	Use          Use
	// Names are spellings of the host, in lower case.
	Names []string
	// Live leaves out the runners whose newest session has ended.
	Live bool
	// Limit is how many are wanted at most.
	Limit int
}

// Store is what this package needs of a database.
type Store interface {
	Runner(ctx context.Context, r id.Runner) (fleet.Runner, bool, error)
	// HostsOf returns the hosts of a runner, oldest first, at most limit.
	HostsOf(ctx context.Context, o id.Organization, r id.Runner, limit int) ([]Host, error)
	// Places may return other hosts too, with names that look alike.
	Places(ctx context.Context, q PlaceQuery) ([]Place, error)
	// CredentialsOf returns the credentials of a subject on a runner, or on all
	// when that is empty, oldest first, at most limit.
	CredentialsOf(ctx context.Context, o id.Organization, s access.Subject, r id.Runner, limit int) ([]Credential, error)
	// EnabledClasses returns the ids of the enabled environment classes of a
	// runner, oldest first, at most limit.
	EnabledClasses(ctx context.Context, o id.Organization, r id.Runner, limit int) ([]string, error)
}
