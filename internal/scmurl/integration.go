package scmurl

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
)

// site is where an integration's host is.
type site struct {
	host
	// path is below which everything is. On Azure DevOps Services it is the
	// organization, and so a part of the owner of repositories.
	path []string
}

func (i Integration) site() (site, bool) {
	name, path, _ := strings.Cut(i.Host, "/")
	h, err := parseHost(name)
	if err != nil {
		return site{}, false
	}
	segments := slices.DeleteFunc(strings.Split(path+"/"+i.VirtualDirectory, "/"), func(s string) bool { return s == "" })
	s := site{host: h}
	if name, s.path = canonical(h.String(), segments); name != h.String() {
		s.host = host{name: name}
	}
	return s, true
}

// origin is the URL of the host alone.
func (s site) origin(plain bool) string {
	scheme, usual := "https", "443"
	if plain {
		scheme, usual = "http", "80"
	}
	if s.port == "" || s.port == usual {
		return scheme + "://" + s.name
	}
	return scheme + "://" + s.name + ":" + s.port
}

// Base is the URL of the host without a slash at the end:
// "https://gitlab.example.com:8443/git", "https://dev.azure.com/acme". It is empty
// when the host is none.
func (i Integration) Base() string {
	s, ok := i.site()
	if !ok {
		return ""
	}
	return s.origin(i.Plain) + join(s.path...)
}

// root is Base without what is a part of the owners of repositories.
func (i Integration) root() string {
	if s, ok := i.site(); ok && i.SCMID == AzureDevOpsEntra {
		return s.origin(i.Plain)
	}
	return i.Base()
}

// APIHosts are the hosts beside that of Base which the integration's own API and
// its OAuth need: "api.github.com". The host of an issuer is among them; whether a
// runner trusts that issuer is not decided here.
func (i Integration) APIHosts() []string {
	s, ok := i.site()
	if !ok {
		return nil
	}
	var hosts []string
	switch {
	case i.SCMID == GitHub && (s.String() == "github.com" || strings.HasSuffix(s.String(), ".ghe.com")):
		hosts = append(hosts, "api."+s.String())
	case i.SCMID == Bitbucket && s.String() == "bitbucket.org":
		hosts = append(hosts, "api.bitbucket.org")
	case i.SCMID == AzureDevOpsEntra && s.String() == azure:
		hosts = append(hosts, "app.vssps.visualstudio.com")
	}
	if i.SCMID != AzureDevOpsEntra || CheckIssuer(i.SCMID, i.IssuerURL) != nil {
		return hosts
	}
	if u, err := url.Parse(i.IssuerURL); err == nil {
		hosts = append(hosts, strings.ToLower(u.Host))
	}
	return hosts
}

// below returns what of the path of a location is below the integration, and how
// well they match: a longer path matches better, then the very port.
func (i Integration) below(l Location) (rest []string, rank int, ok bool) {
	s, ok := i.site()
	if !ok {
		return nil, 0, false
	}
	switch {
	case s.String() == l.Host:
		rank = 1
	case !l.SSH || s.name != l.Host: // an ssh URL does not say the port of https
		return nil, 0, false
	}
	if l.SSH && slices.Contains([]string{GitLab, BitbucketServer, Gitea}, i.SCMID) {
		return l.Path, rank, true // the path of a web server means nothing over ssh
	}
	same := func(a, b string) bool { return a == b }
	if i.SCMID == AzureDevOpsEntra || i.SCMID == AzureDevOpsServer {
		same = strings.EqualFold
	}
	n := len(s.path)
	if n > len(l.Path) || !slices.EqualFunc(s.path, l.Path[:n], same) {
		return nil, 0, false
	}
	return l.Path[n:], rank + 2*n, true
}

// Match returns the integration that a location belongs to: of those on its host,
// the one with the longest path that the location is below. An ssh URL belongs to
// a host whatever the port of its https.
func Match(l Location, is []Integration) (Integration, bool) {
	best, found := -1, Integration{}
	for _, i := range is {
		if _, rank, ok := i.below(l); ok && rank > best {
			best, found = rank, i
		}
	}
	return found, best >= 0
}

// SameHost tells whether two hosts, as they are configured, are the same one with
// the same path.
func SameHost(a, b string) bool {
	x, okX := Integration{Host: a}.site()
	y, okY := Integration{Host: b}.site()
	if !okX || !okY || x.String() != y.String() {
		return false
	}
	if x.name == azure {
		return slices.EqualFunc(x.path, y.path, strings.EqualFold)
	}
	return slices.Equal(x.path, y.path)
}

// Names returns, in lower case, how hosts may be configured that have the
// location, those with long paths first. Paths have at most as many segments as
// CheckHost allows. It is for finding candidates for Match in a database. It is not complete for ssh URLs, which say neither the port of https
// nor the path below which a host is: look at all hosts for them.
func (l Location) Names() []string {
	type named struct {
		host string
		path []string
	}
	known := []named{{l.Host, l.Path}}
	for name, host := range aliases {
		if host == l.Host {
			known = append(known, named{host: name})
		}
	}
	if l.Host == azure && len(l.Path) > 0 {
		known = append(known, named{l.Path[0] + visualStudio, []string{defaultCollection}})
	}
	var names []string
	for _, k := range known {
		ports := []string{""}
		if h, err := parseHost(k.host); err == nil && h.port == "" {
			ports = []string{"", ":443", ":80"}
		}
		for n := range min(len(k.path), maxSegments) + 1 {
			path := strings.Join(k.path[:n], "/")
			if n > 0 && (strings.Contains(k.path[n-1], "/") || !plainPath(path)) {
				break // no host is configured with such a path
			}
			for _, port := range ports {
				names = append(names, strings.ToLower(strings.TrimSuffix(k.host+port+"/"+path, "/")))
			}
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(strings.Count(b, "/")-strings.Count(a, "/"), strings.Compare(a, b))
	})
	return slices.Compact(names)
}
