package scmhost

import (
	"slices"
	"strings"

	"github.com/musterhq/muster/internal/scmurl"
)

const tagPrefix = "refs/tags/"

// maxCandidates bounds how many names a path is tried for.
const maxCandidates = 32

// candidates are the full names of the refs that a URL can mean, the likeliest
// first: branches, then tags, and the longer before the shorter.
func candidates(ref scmurl.Ref) []string {
	if ref.Kind == scmurl.Commit {
		return nil
	}
	shortest := 1
	if ref.Whole {
		shortest = len(ref.Tail)
	}
	var names []string
	for _, kind := range []struct {
		prefix string
		other  scmurl.RefKind
	}{{"refs/heads/", scmurl.Tag}, {tagPrefix, scmurl.Branch}} {
		if ref.Kind == kind.other {
			continue
		}
		n := min(len(ref.Tail), maxCandidates)
		// They share the memory of the longest.
		for name := kind.prefix + strings.Join(ref.Tail[:n], "/"); n >= shortest && n > 0; n-- {
			if isRefName(name[len(kind.prefix):]) {
				names = append(names, name)
			}
			name = name[:len(name)-len(ref.Tail[n-1])-1]
		}
	}
	return names
}

// commitOf is the commit that a ref can only be, as far as one can tell: no host
// lets a branch be named like a whole id.
func commitOf(ref scmurl.Ref) (string, bool) {
	if len(ref.Tail) == 0 {
		return "", false
	}
	id := strings.ToLower(ref.Tail[0])
	return id, ref.Kind == scmurl.Commit || ref.Kind == scmurl.AnyRef && isID(id)
}

// isAbbreviation tells whether a text can be the beginning of a commit's id.
func isAbbreviation(s string) bool {
	return len(s) >= 4 && len(s) < 64 && !isID(s) && isLowerHex(s)
}

// settles tells whether it is clear which of the names is meant, with the
// likeliest first: those after one that is there do not matter.
func (r refs) settles(names []string) bool {
	for _, name := range names {
		if slices.Contains(r.open, name) {
			return false
		}
		if _, ok := r.found[name]; ok {
			return true
		}
	}
	return true
}
