// Package scmhost answers questions about source code hosts with somebody's own
// credential: what a URL points at, which repositories and organizations there
// are, whether a repository can be read, whether somebody is signed in.
//
// Every kind of host is one Provider in one file. What is the same for all of
// them is here once: the way to the network (network.go) and what may be called on
// it (guard.go), the refs of a repository
// by one request of git's own protocol (lsrefs.go), what a URL resolves to
// (resolve.go), what is remembered and for how long (cache.go), and signing in
// with OAuth (oauth.go).
//
// It knows nothing of the control plane and nothing of the link. Tokens never
// appear in its URLs, errors or logs.
package scmhost

import (
	"context"
	"net/http"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// Credential is what somebody signs in with.
type Credential struct {
	// Token is in the clear; the zero Credential is that of somebody who is not
	// signed in.
	Token string
	// OAuth says that the token was obtained with OAuth; otherwise it is a personal
	// access token.
	OAuth bool
}

// String keeps the token out of messages.
func (c Credential) String() string { return "[credential]" }

// GoString does the same for %#v.
func (c Credential) GoString() string { return c.String() }

// Site is a host together with somebody's credential.
type Site struct {
	scmurl.Integration
	Credential Credential
	// HTTP is guarded: it reaches this integration's hosts and no others, and
	// counts calls. Providers add the credential themselves.
	HTTP *http.Client
}

// Provider is one kind of source code host. Its methods make as few calls as
// PROVIDER allows; their errors are faults, made with the functions of errors.go.
//
// "Not found" and "may not see" are one error, because hosts do not tell them
// apart: a fault with the code NotFound.
type Provider interface {
	// GitAuth is the value of the Authorization header for git over https; empty
	// without a credential.
	GitAuth() string
	// Viewer is who the credential belongs to.
	Viewer(ctx context.Context) (Viewer, error)
	// Repository looks a repository up; the names come back as the host spells
	// them.
	Repository(ctx context.Context, owner, repo string) (Repository, error)
	// Commit expands an abbreviated commit id of 4 to 40 hexadecimal digits (64 for
	// SHA-256).
	Commit(ctx context.Context, owner, repo, id string) (full string, err error)
	// Change looks a pull request up. A number that is that of an issue is NotFound.
	Change(ctx context.Context, owner, repo, number string) (Change, error)
	// Issue looks an issue up. When the number is that of a change, the error is
	// ErrIsChange. On hosts without issues it is NotFound.
	Issue(ctx context.Context, owner, repo, number string) (Issue, error)
	// Search looks for repositories that the credential may read.
	Search(ctx context.Context, q Query) (Repositories, error)
	// Organizations lists what repositories can belong to, of which the owner of
	// the credential is a member.
	Organizations(ctx context.Context, q OrganizationQuery) (Organizations, error)
}

// ErrIsChange says that a number is that of a pull request.
var ErrIsChange = fault.New(fault.NotFound, fault.ReasonNotFound, "This number is that of a pull request, not of an issue.")

// Viewer is the account that a credential belongs to.
type Viewer struct {
	Login string
	// Scopes are what the host says that the credential may do; nil when it does
	// not say.
	Scopes []string
}

// Repository is a repository as its host describes it.
type Repository struct {
	Owner, Repo string
	// CloneURL has neither a user name nor a password.
	CloneURL string
	// DefaultBranch is empty for a repository without commits.
	DefaultBranch string
	// UpstreamURL is the clone URL of what this is a fork of; empty when it is none.
	UpstreamURL string
}

// Issue is an issue or a work item.
type Issue struct {
	Number, Title string
}

// Query is a search for repositories.
type Query struct {
	Text string
	// Native passes Text in the host's own query language; otherwise it is words,
	// whatever characters they have.
	Native bool
	// Page counts from 1; Size is at most 100.
	Page, Size int
}

// Repositories is one page of what was found.
type Repositories struct {
	Rows []FoundRepository
	// More says that there is another page.
	More bool
	// Pages and Total count all there are; -1 when that is not known.
	Pages, Total int
}

// FoundRepository is one repository that was found.
type FoundRepository struct {
	// Name is "owner/repo"; URL is that of its page, without a user name.
	Name, URL string
}

// OrganizationQuery selects organizations.
type OrganizationQuery struct {
	// Text is part of a name; a host that cannot search refuses one that is not
	// empty with InvalidArgument.
	Text string
	// Cursor is what the page before returned; empty for the first.
	Cursor string
	// Size is at most 100.
	Size int
}

// Organizations is one page of organizations.
type Organizations struct {
	Rows []Organization
	// Cursor leads to the next page; empty at the end.
	Cursor string
}

// Organization is one of them.
type Organization struct {
	Name, URL string
	// Admin is set where the host says so without a further call.
	Admin bool
}

// Deadlines and bounds of what one question may cost.
const (
	// Patience is how long a question may take in all.
	Patience = 10 * time.Second
	// callPatience bounds one call to a host, and dialPatience its connection.
	callPatience = 5 * time.Second
	dialPatience = 3 * time.Second
	// maxCalls is how many calls to hosts one question may make.
	maxCalls = 6
	// maxBody bounds an answer, in bytes, after decompression.
	maxBody = 4 << 20
)
