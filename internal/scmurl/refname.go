package scmurl

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// IsRefName tells whether a branch or a tag can have a name, with the rules of git
// check-ref-format --branch. None begins with "-", which programs would take for
// an option. How long a name may be is for the caller to say.
func IsRefName(name string) bool {
	if name == "" || name == "@" || name[0] == '-' || !utf8.ValidString(name) ||
		strings.HasSuffix(name, ".") || strings.Contains(name, "..") || strings.Contains(name, "@{") ||
		strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune(` ~^:?*[\`, r) }) {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return true
}
