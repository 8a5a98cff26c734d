package scmurl

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxURL bounds a URL, in bytes.
const maxURL = 4096

// schemes are those of URLs of repositories. Which of them a URL has says nothing
// about how its host is reached, which the integration decides.
var schemes = []string{"https", "http", "ssh"}

const (
	problemScheme = Problem("must begin with https://, http:// or ssh://")
	problemURL    = Problem("is not a URL")
	problemLength = Problem("must have at most 4096 bytes")
)

// referrer is what links from editors put before a URL.
var referrer = regexp.MustCompile(`^/?referrer:[\w.-]*(:[\w.-]*)?/`)

// Parse reads a URL as the API takes it: https, http or ssh, maybe after
// "referrer:name/". The error is a Problem.
func Parse(raw string) (Location, error) {
	if len(raw) > maxURL {
		return Location{}, problemLength
	}
	u, err := url.Parse(raw[len(referrer.FindString(raw)):])
	switch {
	case err != nil:
		return Location{}, problemURL
	case u.Opaque != "" || !slices.Contains(schemes, u.Scheme):
		return Location{}, problemScheme
	}
	l := Location{Query: u.Query(), SSH: u.Scheme == "ssh"}
	host, err := parseHost(u.Host)
	if err != nil {
		return Location{}, err
	}
	if l.SSH {
		host.port = ""
	}
	for segment := range strings.SplitSeq(u.EscapedPath(), "/") {
		s, err := url.PathUnescape(segment)
		switch {
		case err != nil || !utf8.ValidString(s):
			return Location{}, problemURL
		case s == "." || s == "..":
			return Location{}, Problem("must have neither . nor .. in its path")
		case s != "":
			l.Path = append(l.Path, s)
		}
	}
	if l.SSH && slices.Contains(azureSSH, host.name) {
		if len(l.Path) != 4 || l.Path[0] != "v3" {
			return Location{}, Problem("must have the form git@ssh.dev.azure.com:v3/organization/project/repository")
		}
		l.Path = []string{l.Path[1], l.Path[2], "_git", l.Path[3]}
	}
	l.Host, l.Path = canonical(host.String(), l.Path)
	return l, nil
}

// Clean returns a URL without user name and password; what is before it for
// Parse stays. It is empty for what Parse does not take.
func Clean(rawURL string) string {
	if _, err := Parse(rawURL); err != nil {
		return ""
	}
	prefix := referrer.FindString(rawURL)
	u, err := url.Parse(rawURL[len(prefix):])
	if err != nil {
		return ""
	}
	u.User = nil
	return prefix + u.String()
}
