package scmurl

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind is what is special about a kind of host.
type kind struct {
	name string
	// read says what a path, below that of the host, and a query mean.
	read func(p page) ([]Target, error)
	// path is where the page of a target is, below the host, with its query.
	path func(t Target) string
	// clone is the same for git.
	clone func(t Target) string
	// pat says how to get a personal access token.
	pat func(i Integration) PAT
	// oauth says where OAuth happens; it is nil for hosts without.
	oauth func(i Integration) OAuth
}

// page is a URL of a host, without what says which host.
type page struct {
	path  []string
	query url.Values
	ssh   bool
}

// kinds are those of the product.
var kinds = map[string]kind{
	GitHub:            github,
	GitLab:            gitlab,
	Bitbucket:         bitbucket,
	BitbucketServer:   bitbucketServer,
	AzureDevOpsEntra:  azureDevOpsEntra,
	AzureDevOpsServer: azureDevOpsServer,
	Gitea:             gitea,
}

const (
	problemRepository = Problem("must name a repository")
	problemName       = Problem("has a name in its path that no repository has")
	problemRef        = Problem("names a branch, a tag or a commit that cannot be")
)

// Read says what a location is on the host of an integration: one target, or
// several, the likeliest first, where the text alone cannot tell which. The error
// is a Problem.
func Read(l Location, i Integration) ([]Target, error) {
	k, ok := kinds[i.SCMID]
	if !ok {
		return nil, Problem("is of a host of an unknown kind")
	}
	rest, _, ok := i.below(l)
	if !ok {
		return nil, Problem("is of another host")
	}
	if s, _ := i.site(); i.SCMID == AzureDevOpsEntra {
		// The path of the host is the organization, which the URL may spell with other
		// capitals.
		rest = append(slices.Clone(s.path), rest...)
	}
	return k.read(page{path: rest, query: l.Query, ssh: l.SSH})
}

// URL returns the page of a target that Read found on the host of the
// integration. Read makes the same target of it.
func (t Target) URL(i Integration) string {
	k, ok := kinds[i.SCMID]
	if !ok {
		return ""
	}
	return i.root() + k.path(t)
}

// CloneURL returns what git clones the repository of a target from.
func (t Target) CloneURL(i Integration) string {
	k, ok := kinds[i.SCMID]
	if !ok {
		return ""
	}
	return i.root() + k.clone(t)
}

// repository is a page of a repository. Its owner may be several segments, and
// the name may end with ".git".
func repository(owner []string, repo string) (Target, error) {
	repo = strings.TrimSuffix(repo, ".git")
	if strings.HasSuffix(repo, ".git") {
		return Target{}, problemName
	}
	return exactRepository(owner, repo)
}

// exactRepository is the same where ".git" may be a part of the name.
func exactRepository(owner []string, repo string) (Target, error) {
	for _, s := range append(slices.Clone(owner), repo) {
		if !plain(s) || strings.ContainsAny(s, `/\`) || len(s) > 255 {
			return Target{}, problemName
		}
	}
	return Target{Owner: strings.Join(owner, "/"), Repo: repo}, nil
}

// plain tells whether a name or a piece of a ref is one that a host can have.
func plain(s string) bool {
	return s != "" && s != "." && s != ".." && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// at is the target at a ref; without a ref it stays as it is.
func (t Target) at(r Ref) ([]Target, error) {
	if len(r.Tail) == 0 {
		return []Target{t}, nil
	}
	if slices.ContainsFunc(r.Tail, func(s string) bool { return !plain(s) }) || r.Tail[0][0] == '-' {
		return nil, problemRef
	}
	t.Page, t.Ref = RefPage, r
	return []Target{t}, nil
}

// commit is the target at a commit, of which at least 4 digits are known.
func (t Target) commit(id string) ([]Target, error) {
	if len(id) < 4 || len(id) > 64 || !isHex(id) {
		return nil, Problem("must name a commit by 4 to 64 hexadecimal digits")
	}
	return t.at(whole(Commit, strings.ToLower(id)))
}

// numbered is the change or the issue of that number. Anything else there is one
// more page of the repository.
func (t Target) numbered(p Page, segments []string) ([]Target, error) {
	if len(segments) > 0 && isNumber(segments[0]) {
		t.Page, t.Number = p, segments[0]
	}
	return []Target{t}, nil
}

// tail is a ref that a path may follow.
func tail(kind RefKind, segments []string) Ref {
	return Ref{Kind: kind, Tail: segments, Whole: len(segments) == 1}
}

// qualified is the same for a ref that may be written out as refs/heads/….
func qualified(kind RefKind, segments []string) Ref {
	for len(segments) > 2 && segments[0] == "refs" && (segments[1] == "heads" || segments[1] == "tags") {
		if kind == AnyRef {
			kind = Branch
			if segments[1] == "tags" {
				kind = Tag
			}
		}
		segments = segments[2:]
	}
	return tail(kind, segments)
}

// whole is a ref that nothing follows.
func whole(kind RefKind, segments ...string) Ref {
	if name := strings.Join(segments, "/"); name != "" {
		return Ref{Kind: kind, Tail: []string{name}, Whole: true}
	}
	return Ref{}
}

// full is a whole ref that may be written out.
func full(name string) Ref {
	r := qualified(AnyRef, strings.Split(name, "/"))
	return whole(r.Kind, r.Tail...)
}

// compared is the newer side of a comparison, "older...newer", which is what
// somebody works on.
func compared(segments []string) string {
	s := strings.Join(segments, "/")
	if n := strings.LastIndex(s, ".."); n >= 0 {
		return s[n+2:]
	}
	return s
}

// join makes a path of segments, each of which may hold slashes.
func join(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}

// home is where a repository is on most hosts.
func (t Target) home() string { return join(append(strings.Split(t.Owner, "/"), t.Repo)...) }

// cloneOfHome is where git finds it there.
func cloneOfHome(t Target) string { return t.home() + ".git" }

// first returns the first segment and those behind it.
func first(segments []string) (string, []string) {
	if len(segments) == 0 {
		return "", nil
	}
	return segments[0], segments[1:]
}

func isHex(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F')
	})
}

// isNumber tells whether s is a positive number as people write it.
func isNumber(s string) bool {
	return s != "" && len(s) <= 18 && s[0] != '0' && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// query is a query of one parameter.
func query(name, value string) string { return "?" + url.Values{name: {value}}.Encode() }
