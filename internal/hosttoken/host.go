package hosttoken

import (
	"strings"
	"unicode"

	"github.com/musterhq/muster/internal/fault"
)

// Bounds of the parts of a host, in bytes.
const (
	maxHostName = 253
	maxHostPath = 255
)

// checkHost refuses what is no host: a name or an address, maybe with a port,
// maybe with a path, as a GitLab below a path has one. What kind of host it is
// decides the rest, and the integration knows that.
func checkHost(host string) error {
	name, path, hasPath := strings.Cut(host, "/")
	var problem string
	switch {
	case host == "":
		problem = "is required, such as \"github.com\""
	case strings.Contains(host, "://"), strings.ContainsFunc(host, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		problem = "must be a host name such as \"github.com\", not a URL"
	case strings.Contains(host, "@"):
		problem = "must hold no user name and no password"
	case len(withoutPort(name)) > maxHostName:
		problem = "must have at most 253 bytes, without port and path"
	case withoutPort(name) == "", strings.ContainsFunc(name, notOfName):
		problem = "must be a host name such as \"github.com\", in its ASCII form, with a port when it is not the usual one"
	case hasPath && !plainPath(path):
		problem = "has a path that cannot be; write it as in \"dev.azure.com/acme\""
	default:
		return nil
	}
	return fault.Invalid("host", "%s", problem)
}

// nameCharacters are those of names, addresses and ports.
const nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:[]"

func notOfName(r rune) bool { return !strings.ContainsRune(nameCharacters, r) }

func withoutPort(name string) string {
	if n := strings.LastIndexByte(name, ':'); n >= 0 && !strings.HasSuffix(name, "]") && len(name)-n <= len(":65535") {
		return name[:n]
	}
	return name
}

// plainPath tells whether a path is one or more segments that mean themselves.
func plainPath(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
	}
	return len(path) <= maxHostPath && !strings.ContainsFunc(path, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`?#\:%"<>|`, r)
	})
}
