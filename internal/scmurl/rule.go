package scmurl

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Bounds, in bytes.
const (
	maxName   = 253
	maxPath   = 255
	maxIssuer = 2048
	// maxSegments is how many segments the path of a host may have.
	maxSegments = 5
)

// CheckHost checks the host of an integration or of a credential: a name or an
// address, maybe a port. Hosts that may run below a path, such as a GitLab with a
// relative URL root or an organization on dev.azure.com, may have one of at most
// five segments. Azure DevOps with Entra is at dev.azure.com only. scmID is empty
// when the kind of host is not known. The error is a Problem.
func CheckHost(scmID, host string) error {
	name, path, hasPath := strings.Cut(host, "/")
	switch {
	case host == "":
		return Problem("is required, such as \"github.com\"")
	case strings.Contains(host, "://"):
		return Problem("must be a host name such as \"github.com\", not a URL; leave out what is before and with \"://\"")
	case strings.Contains(host, "@"):
		return Problem("must hold no user name and no password")
	case hasPath && slices.Contains([]string{GitHub, Bitbucket}, scmID):
		return Problem("must be a host name such as \"github.com\", without a path")
	case hasPath && scmID == AzureDevOpsServer:
		return Problem("must be a host name without a path; set the path as the virtual directory")
	case hasPath && !plainPath(path):
		return Problem("has a path that cannot be; write it as in \"dev.azure.com/acme\"")
	case strings.Count(path, "/") >= maxSegments:
		return Problem(fmt.Sprintf("has a path with more than %d segments", maxSegments))
	case nameProblem(name) != "":
		return nameProblem(name)
	case scmID == AzureDevOpsEntra && !isAzure(host):
		return Problem("must be \"dev.azure.com\", maybe with an organization as in \"dev.azure.com/acme\"; for a server of your own choose \"azuredevops_server\"")
	}
	return nil
}

// isAzure tells whether a host is Azure DevOps Services or an organization there,
// under its new or its old name. What people sign in with there is good for all of
// it, and so for nobody else.
func isAzure(host string) bool {
	name, _, _ := strings.Cut(host, "/")
	s, ok := Integration{Host: host}.site()
	return ok && s.String() == azure && len(s.path) <= 1 && !slices.Contains(azureSSH, strings.ToLower(name))
}

// CheckVirtualDirectory checks the path under which an Azure DevOps Server runs;
// other kinds of host have none. The error is a Problem.
func CheckVirtualDirectory(scmID, directory string) error {
	switch {
	case scmID != AzureDevOpsServer && directory != "":
		return Problem(fmt.Sprintf("a virtual directory is for %q only; leave it out", AzureDevOpsServer))
	case scmID != AzureDevOpsServer || directory == "/":
		return nil
	case directory == "":
		return Problem("an Azure DevOps Server needs a virtual directory: the path under which it runs, such as \"/tfs\", or \"/\"")
	case len(directory) > maxPath || !strings.HasPrefix(directory, "/") || !plainPath(strings.TrimSuffix(directory[1:], "/")):
		return Problem("the virtual directory must be a path such as \"/tfs\"")
	}
	return nil
}

// CheckIssuer checks where people sign in with OAuth on Azure DevOps; other kinds
// of host have no issuer. The error is a Problem.
func CheckIssuer(scmID, issuer string) error {
	const example = "such as https://login.microsoftonline.com/TENANT/v2.0"
	if scmID != AzureDevOpsEntra {
		if issuer != "" {
			return Problem(fmt.Sprintf("an issuer URL is for %q only; leave it out", AzureDevOpsEntra))
		}
		return nil
	}
	if issuer == "" {
		return Problem("an issuer URL is required for Azure DevOps with Entra, " + example)
	}
	u, err := url.Parse(issuer)
	switch {
	case len(issuer) > maxIssuer || err != nil || u.Scheme != "https" || nameProblem(u.Host) != "":
		return Problem("the issuer URL must be an absolute https URL, " + example)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(issuer, "#"):
		return Problem("the issuer URL must have neither credentials nor a query nor a fragment, " + example)
	}
	return nil
}

// nameProblem checks a host name or an IP address with or without a port.
func nameProblem(host string) Problem {
	const want = "must be a host name such as \"github.com\", with a port when it is not the usual one"
	name, port, hasPort := cutHost(host)
	switch {
	case strings.Contains(port, ":"):
		return want // an IPv6 address without brackets
	case hasPort && portProblem(port) != "":
		return portProblem(port)
	}
	if address, ok := strings.CutPrefix(name, "["); ok {
		address, closed := strings.CutSuffix(address, "]")
		if a, err := netip.ParseAddr(address); err != nil || !closed || !a.Is6() || a.Zone() != "" {
			return want
		}
		return ""
	}
	if len(name) > maxName {
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

func portProblem(port string) Problem {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return "has a port that is no number from 1 to 65535"
	}
	return ""
}

// plainPath tells whether p is one or more segments that mean themselves.
func plainPath(p string) bool {
	if len(p) > maxPath {
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
