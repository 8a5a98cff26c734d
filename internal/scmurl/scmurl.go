// Package scmurl knows what can be known of source code hosts without asking
// them: what their URLs mean, which integration a URL belongs to, how people sign
// in, and what an integration must look like.
//
// It is pure: no network, no clock, no secrets. The runner, the control plane and
// the command line all use it, so that a URL means the same everywhere.
//
// A pasted text becomes a URL with Normalise, a URL becomes a Location with
// Parse, a Location finds its integration with Match, and Read says what the
// integration's kind of host makes of it. Nothing of a user name or password in a
// URL ever comes out again.
package scmurl

import "net/url"

// The kinds of source code host. GitHub stands for github.com, GitHub Enterprise
// Server and ghe.com; Gitea for Forgejo too.
const (
	GitHub            = "github"
	GitLab            = "gitlab"
	Bitbucket         = "bitbucket"
	BitbucketServer   = "bitbucket_server"
	AzureDevOpsEntra  = "azuredevops_entra"
	AzureDevOpsServer = "azuredevops_server"
	Gitea             = "gitea"
)

// Integration is a source code host as a runner is connected to it.
type Integration struct {
	// ID is that of the SCM integration; empty for one that is not stored.
	ID string
	// SCMID is the kind of host, such as GitHub.
	SCMID string
	// Host is as it was configured: "gitlab.example.com:8443/git",
	// "dev.azure.com/acme".
	Host string
	// VirtualDirectory is the path under which an Azure DevOps Server runs
	// ("/tfs", "/"); empty for others.
	VirtualDirectory string
	// IssuerURL is where people sign in with OAuth on Azure DevOps; empty for
	// others.
	IssuerURL string
	// OAuth and PAT are the ways to sign in.
	OAuth, PAT bool
	// Plain says that the host is reached with http instead of https, which only
	// the operator of a runner can decide.
	Plain bool
}

// Location is where a URL points, before it is known which kind of host that is.
type Location struct {
	// Host is the host in lower-case ASCII, with its port unless that is 80 or 443:
	// the scheme of a URL does not say how its host is reached. Names that stand for
	// another host are replaced: "www.github.com", "ssh.dev.azure.com",
	// "fabrikam.visualstudio.com". Of ssh URLs the port is dropped.
	Host string
	// Path has the segments of the path, each decoded once, so that one may hold a
	// slash; none is empty.
	Path []string
	// Query is decoded.
	Query url.Values
	// SSH is set for URLs that git uses over ssh.
	SSH bool
}

// Page is what kind of page a URL shows.
type Page uint8

// The pages. Any page of a repository that is not one of the others is
// RepositoryPage.
const (
	RepositoryPage Page = iota
	RefPage
	ChangePage // a pull request or a merge request
	IssuePage
)

// RefKind says what a ref is, as far as the URL tells.
type RefKind uint8

// The kinds of ref.
const (
	AnyRef RefKind = iota
	Branch
	Tag
	Commit
)

// Ref is what a URL says of a ref.
type Ref struct {
	Kind RefKind
	// Tail begins with the ref, which may be several segments long, and goes on
	// with the path of a file or folder unless Whole is set. A segment may hold
	// slashes, and then is one piece of the ref or of the path.
	Tail []string
	// Whole says that nothing follows the ref.
	Whole bool
}

// Target is one way to read a URL.
type Target struct {
	// Owner is what a repository belongs to: a user, an organization, a group with
	// its parents ("group/subgroup"), "organization/project" on Azure DevOps, a
	// project key or "~user" on Bitbucket Data Center.
	Owner string
	Repo  string
	Page  Page
	// Ref is set for RefPage.
	Ref Ref
	// Fork is the owner of the fork that has the ref, when it is not Owner.
	Fork string
	// Number is that of the change or the issue, in decimal.
	Number string
}

// Problem is why a text is no URL of a repository, as the end of a sentence whose
// subject is the text: "must name a repository". It never quotes user names,
// passwords or queries.
type Problem string

// Error implements error.
func (p Problem) Error() string { return string(p) }

// SignIn is how people sign in to a host.
type SignIn struct {
	// Name is that of the kind of host: "GitHub".
	Name string
	// PAT is nil when personal access tokens are not allowed.
	PAT *PAT
	// OAuth is nil without OAuth.
	OAuth *OAuth
}

// PAT says how to get a personal access token.
type PAT struct {
	// CreateURL is the page where one is made, filled in as far as the host allows.
	CreateURL string
	DocsURL   string
	// Example has the form of a token.
	Example string
	// Scopes are what the token must allow, in the words of the host.
	Scopes []string
}

// OAuth says where the authorization-code flow happens.
type OAuth struct {
	AuthorizeURL string
	TokenURL     string
	// Scopes are asked for; empty leaves them to the application.
	Scopes  []string
	DocsURL string
	// BasicAuth says that the client id and secret are sent as HTTP Basic
	// authentication instead of in the body.
	BasicAuth bool
}
