package scmurl

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// host is a host name or an IP address, and maybe a port.
type host struct{ name, port string }

// String leaves the ports 80 and 443 out: the scheme of a URL does not say how
// its host is reached, so neither does a port that only goes with it.
func (h host) String() string {
	if h.port == "" || h.port == "80" || h.port == "443" {
		return h.name
	}
	return h.name + ":" + h.port
}

// parseHost reads a host with or without a port, and makes its name comparable:
// lower-case ASCII without a dot at the end. The error is a Problem.
func parseHost(s string) (host, error) {
	name, port, colon := cutHost(s)
	if colon && port != "" {
		if p := portProblem(port); p != "" {
			return host{}, p
		}
	}
	if address, ok := strings.CutPrefix(name, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(address, "]"))
		if err != nil || !a.Is6() || a.Zone() != "" || !strings.HasSuffix(name, "]") {
			return host{}, problemHost
		}
		return host{name: "[" + a.String() + "]", port: port}, nil
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) {
		var err error
		if name, err = domains.ToASCII(name); err != nil {
			return host{}, problemHost
		}
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if nameProblem(name) != "" {
		return host{}, problemHost
	}
	return host{name: name, port: port}, nil
}

// Address is where a host is connected to with https, or when it is plain with
// http: "host:port" in the one spelling that all of the same have. The host is a
// name or an IP address, maybe with a port. The error is a Problem.
func Address(s string, plain bool) (string, error) {
	h, err := parseHost(s)
	switch {
	case err != nil:
		return "", err
	case h.port == "" && plain:
		h.port = "80"
	case h.port == "":
		h.port = "443"
	}
	return h.name + ":" + h.port, nil
}

const problemHost = Problem("must name a host such as github.com")

// domains writes international names in ASCII as browsers do. It lets more
// characters pass than domain names have; nameProblem decides about them.
var domains = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.StrictDomainName(false))

// The host of Azure DevOps Services, and those of its ssh.
const azure = "dev.azure.com"

var azureSSH = []string{"ssh.dev.azure.com", "vs-ssh.visualstudio.com"}

// aliases are names that stand for others.
var aliases = map[string]string{
	"www.github.com":            "github.com",
	"ssh.github.com":            "github.com",
	"raw.githubusercontent.com": "github.com",
	"www.gitlab.com":            "gitlab.com",
	"altssh.gitlab.com":         "gitlab.com",
	"www.bitbucket.org":         "bitbucket.org",
	"altssh.bitbucket.org":      "bitbucket.org",
	"ssh.dev.azure.com":         azure,
	"vs-ssh.visualstudio.com":   azure,
}

// The old names of organizations on Azure DevOps Services, and the collection
// that all of them have.
const (
	visualStudio      = ".visualstudio.com"
	defaultCollection = "DefaultCollection"
)

// canonical replaces a name that stands for another host, and the path with what
// it is there.
func canonical(name string, path []string) (string, []string) {
	if to := aliases[name]; to != "" {
		if name == "raw.githubusercontent.com" && len(path) > 2 {
			path = append([]string{path[0], path[1], "raw"}, path[2:]...)
		}
		return to, path
	}
	if org, ok := strings.CutSuffix(name, visualStudio); ok && !strings.Contains(org, ".") {
		if len(path) > 0 && strings.EqualFold(path[0], defaultCollection) {
			path = path[1:]
		}
		return azure, append([]string{org}, path...)
	}
	return name, path
}
