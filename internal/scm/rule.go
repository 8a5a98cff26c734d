package scm

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/runnerschema"
)

// The kinds of source code host that have rules of their own. Runners may know
// others.
const (
	GitHub            = "github"
	Bitbucket         = "bitbucket"
	AzureDevOpsEntra  = "azuredevops_entra"
	AzureDevOpsServer = "azuredevops_server"
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
	e.Host = i.hostProblem()
	if e.Host == "" {
		e.Host = i.directoryProblem()
	}
	e.OAuth = i.oauthProblem(kind)
	switch {
	case i.PAT && !kind.PAT:
		e.PAT = fmt.Sprintf("this runner does not support personal access tokens for %q", i.SCMID)
	case !i.PAT && i.SCMID == AzureDevOpsServer:
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
	case i.SCMID == AzureDevOpsServer:
		return "an Azure DevOps Server has no OAuth; use personal access tokens"
	case !kind.OAuth:
		return fmt.Sprintf("this runner does not support OAuth for %q", i.SCMID)
	case i.OAuthClientID == "":
		return "a client id is missing: OAuth needs both the id and the secret of the application"
	case !i.OAuthSecret:
		return "a client secret is missing: OAuth needs both the id and the secret of the application"
	case i.ForeignSecret:
		return "the encrypted secret was sealed to another key than this runner's; enter the secret again"
	case i.SCMID == AzureDevOpsEntra:
		return issuerProblem(i.IssuerURL)
	case i.IssuerURL != "":
		return fmt.Sprintf("an issuer URL is for %q only; leave it out", AzureDevOpsEntra)
	}
	return ""
}

func issuerProblem(issuer string) string {
	const example = "such as https://login.microsoftonline.com/TENANT/v2.0"
	if issuer == "" {
		return "an issuer URL is required for Azure DevOps with Entra, " + example
	}
	u, err := url.Parse(issuer)
	switch {
	case len(issuer) > 2048 || err != nil || u.Scheme != "https" || nameProblem(u.Host) != "":
		return "the issuer URL must be an absolute https URL, " + example
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(issuer, "#"):
		return "the issuer URL must have neither credentials nor a query nor a fragment, " + example
	}
	return ""
}

// directoryProblem checks the virtual directory, which says where on its host an
// Azure DevOps Server is.
func (i Settings) directoryProblem() string {
	d := i.VirtualDirectory
	switch {
	case i.SCMID != AzureDevOpsServer && d != "":
		return fmt.Sprintf("a virtual directory is for %q only; leave it out", AzureDevOpsServer)
	case i.SCMID != AzureDevOpsServer || d == "/":
		return ""
	case d == "":
		return "an Azure DevOps Server needs a virtual directory: the path under which it runs, such as \"/tfs\", or \"/\""
	case len(d) > 255 || !strings.HasPrefix(d, "/") || !plainPath(strings.TrimSuffix(d[1:], "/")):
		return "the virtual directory must be a path such as \"/tfs\""
	}
	return ""
}

// hostProblem checks the host: a name or an address, maybe a port. Hosts that
// may run below a path, such as a GitLab with a relative URL root or an
// organization on dev.azure.com, may have one.
func (i Settings) hostProblem() string {
	name, path, hasPath := strings.Cut(i.Host, "/")
	switch {
	case i.Host == "":
		return "is required, such as \"github.com\""
	case strings.Contains(i.Host, "://"):
		return "must be a host name such as \"github.com\", not a URL; leave out what is before and with \"://\""
	case strings.Contains(i.Host, "@"):
		return "must hold no user name and no password"
	case hasPath && slices.Contains([]string{GitHub, Bitbucket}, i.SCMID):
		return "must be a host name such as \"github.com\", without a path"
	case hasPath && i.SCMID == AzureDevOpsServer:
		return "must be a host name without a path; set the path as the virtual directory"
	case hasPath && !plainPath(path):
		return "has a path that cannot be; write it as in \"dev.azure.com/acme\""
	}
	return nameProblem(name)
}

// nameProblem checks a host name or an IP address with or without a port.
func nameProblem(host string) string {
	const want = "must be a host name such as \"github.com\", with a port when it is not the usual one"
	name := host
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 {
			return want
		}
		if a, err := netip.ParseAddr(host[1:end]); err != nil || !a.Is6() || a.Zone() != "" {
			return want
		}
		if end == len(host)-1 {
			return ""
		}
		if host[end+1] != ':' {
			return want
		}
		return portProblem(host[end+2:])
	}
	if n := strings.LastIndexByte(host, ':'); n >= 0 {
		if p := portProblem(host[n+1:]); p != "" {
			return p
		}
		name = host[:n]
	}
	if len(name) > 253 {
		return "must have at most 253 bytes"
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return want
		}
		for _, c := range label {
			switch {
			case c > 0x7e:
				return "must be written in its ASCII form (\"xn--…\")"
			case !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'):
				return want
			}
		}
	}
	return ""
}

func portProblem(port string) string {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return "has a port that is no number from 1 to 65535"
	}
	return ""
}

// plainPath tells whether p is one or more segments that mean themselves.
func plainPath(p string) bool {
	if len(p) > 255 {
		return false
	}
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
		for _, c := range segment {
			if c <= ' ' || c > 0x7e || strings.ContainsRune(`?#\@:%"<>|`, c) {
				return false
			}
		}
	}
	return true
}
