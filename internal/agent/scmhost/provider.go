package scmhost

import (
	"encoding/base64"
	"regexp"
	"strings"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// NewProvider returns what knows a kind of host.
func NewProvider(s Site) (Provider, error) {
	switch s.SCMID {
	case scmurl.GitHub:
		return newGitHub(s)
	case scmurl.GitLab:
		return newGitLab(s)
	case scmurl.Bitbucket:
		return newBitbucket(s)
	case scmurl.BitbucketServer:
		return newBitbucketServer(s)
	case scmurl.AzureDevOpsEntra, scmurl.AzureDevOpsServer:
		return newAzureDevOps(s)
	case scmurl.Gitea:
		return newGitea(s)
	default:
		return nil, fault.New(fault.FailedPrecondition, fault.RunnerIncapable, "This runner does not know the kind of host %q.", s.SCMID)
	}
}

// basicAuth is the value of an Authorization header for a user and a password.
func basicAuth(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// expanded checks the full id of a commit of which id is an abbreviation. Hosts
// look ids up among the names of branches too, so that it may be another commit.
func (s Site) expanded(id, full string) (string, error) {
	switch {
	case !commitID.MatchString(full):
		return "", s.garbled()
	case !strings.HasPrefix(full, strings.ToLower(id)):
		return "", s.missing("commit")
	}
	return full, nil
}

// commitID matches a whole commit id, of SHA-1 or SHA-256.
var commitID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// narrow is the fault of a credential whose scopes the host calls too few.
func (s Site) narrow() error {
	return fault.New(fault.PermissionDenied, fault.HostRefused, "Your credential for %s has too few scopes for this. Sign in again with all that are asked for.", s.Host)
}
