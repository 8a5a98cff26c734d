package scm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/runnerschema"
	"github.com/musterhq/muster/internal/scmurl"
)

// Settings are those of an integration, new or changed, as the rules see them.
type Settings struct {
	SCMID string
	Host  string
	// OAuthClientID is empty without OAuth.
	OAuthClientID string
	// OAuthSecret tells that there is a secret for it: a new one or a stored one.
	OAuthSecret bool
	// ForeignSecret tells that the secret is sealed, to another key than the
	// runner's.
	ForeignSecret    bool
	PAT              bool
	IssuerURL        string
	VirtualDirectory string
	// Kinds are those of the runner's schema. When it names none, any kind will
	// do, in all its ways to sign in.
	Kinds []runnerschema.SCM
}

// Errors says what is wrong with an integration, in sentences without their
// subject; what is fine is empty. What is wrong with the virtual directory is
// said of the host, what is wrong with the issuer of OAuth.
type Errors struct {
	SCMID string
	Host  string
	OAuth string
	PAT   string
}

// Err returns the first of the errors as a fault; nil when nothing is wrong.
func (e Errors) Err() error {
	for _, f := range []struct{ field, problem string }{
		{"scm_id", e.SCMID}, {"host", e.Host}, {"oauth_client_id", e.OAuth}, {"pat", e.PAT},
	} {
		if f.problem != "" {
			return fault.Invalid(f.field, "%s", f.problem)
		}
	}
	return nil
}

// Check returns all that can be said against an integration without asking the
// host.
func Check(i Settings) Errors {
	var e Errors
	var kind runnerschema.SCM
	kind, e.SCMID = i.kind()
	e.Host = problem(scmurl.CheckHost(i.SCMID, i.Host))
	if e.Host == "" {
		e.Host = problem(scmurl.CheckVirtualDirectory(i.SCMID, i.VirtualDirectory))
	}
	e.OAuth = i.oauthProblem(kind)
	switch {
	case i.PAT && !kind.PAT:
		e.PAT = fmt.Sprintf("this runner does not support personal access tokens for %q", i.SCMID)
	case !i.PAT && i.SCMID == scmurl.AzureDevOpsServer:
		e.PAT = "is required: an Azure DevOps Server has no other way to sign in"
	case !i.PAT && !i.oauth():
		e.PAT = "there is no way to sign in: allow personal access tokens, or set up OAuth with a client id and a secret"
	}
	return e
}

// oauth tells whether anything about OAuth is set.
func (i Settings) oauth() bool { return i.OAuthClientID != "" || i.OAuthSecret }

// kind is what the runner can do with such a host; all when nobody knows.
func (i Settings) kind() (kind runnerschema.SCM, problem string) {
	kind = runnerschema.SCM{ID: i.SCMID, OAuth: true, PAT: true}
	if i.SCMID == "" {
		return kind, "is required: the kind of host, such as \"github\""
	}
	if len(i.Kinds) == 0 {
		if len(i.SCMID) > 64 {
			problem = "must have at most 64 bytes"
		}
		return kind, problem
	}
	if n := slices.IndexFunc(i.Kinds, func(k runnerschema.SCM) bool { return k.ID == i.SCMID }); n >= 0 {
		return i.Kinds[n], ""
	}
	names := make([]string, len(i.Kinds))
	for n, k := range i.Kinds {
		names[n] = k.ID
	}
	return kind, "must be a kind of host that this runner knows: " + strings.Join(names, ", ")
}

func (i Settings) oauthProblem(kind runnerschema.SCM) string {
	switch {
	case !i.oauth() && i.IssuerURL != "":
		return "an issuer URL is for OAuth, which is not set up: set a client id and a secret too, or leave it out"
	case !i.oauth():
		return ""
	case i.SCMID == scmurl.AzureDevOpsServer:
		return "an Azure DevOps Server has no OAuth; use personal access tokens"
	case !kind.OAuth:
		return fmt.Sprintf("this runner does not support OAuth for %q", i.SCMID)
	case i.OAuthClientID == "":
		return "a client id is missing: OAuth needs both the id and the secret of the application"
	case !i.OAuthSecret:
		return "a client secret is missing: OAuth needs both the id and the secret of the application"
	case i.ForeignSecret:
		return "the encrypted secret was sealed to another key than this runner's; enter the secret again"
	}
	return problem(scmurl.CheckIssuer(i.SCMID, i.IssuerURL))
}

// problem is what a rule says; empty when nothing is wrong.
func problem(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
