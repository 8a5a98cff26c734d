package scmhost

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxRefName bounds the name of a branch or a tag, in bytes.
const maxRefName = 1000

// isRefName tells whether a branch or a tag can have a name, with the rules of git
// check-ref-format. None begins with "-", which programs would take for an option.
func isRefName(name string) bool {
	if name == "" || name == "@" || name[0] == '-' || len(name) > maxRefName || !utf8.ValidString(name) ||
		strings.HasSuffix(name, ".") || strings.Contains(name, "..") || strings.Contains(name, "@{") ||
		strings.ContainsFunc(name, func(r rune) bool { return r == ' ' || unicode.IsControl(r) || strings.ContainsRune(`~^:?*[\`, r) }) {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return true
}

// refName is the name of a branch as a host tells it; empty when it cannot be one.
func refName(told string) string {
	if !isRefName(told) {
		return ""
	}
	return told
}
