package scmurl

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	// settings are environment variables before a URL: "FOO=bar,X=y/". They are
	// dropped: a link must not set what programs read.
	settings = regexp.MustCompile(`^[\w-]*=[^/]*/`)
	// command is what people copy from a page of a repository.
	command = regexp.MustCompile(`^\$?\s*git\s+clone\s+`)
	scheme  = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]*)://`)
	digits  = regexp.MustCompile(`^[0-9]+$`)
)

// insteadOf are schemes that stand for others: git's own protocol has neither
// encryption nor credentials.
var insteadOf = map[string]string{"git": "https", "git+https": "https", "git+http": "http", "git+ssh": "ssh", "ssh+git": "ssh"}

// Normalise makes a URL that Parse takes of what people paste: also
// "git@github.com:o/r.git", "github.com/o/r", "git clone URL", "<URL>", a URL with
// the punctuation of the sentence around it, with spaces or with letters that are
// not ASCII, and one after "NAME=value/". User name, password and fragment are
// gone. The error is a Problem.
func Normalise(pasted string) (string, error) {
	s := strings.TrimSpace(pasted)
	switch {
	case len(s) > maxURL:
		return "", problemLength
	case s == "":
		return "", Problem("is empty")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return "", problemURL
	}
	if of := command.FindString(s); of != "" {
		s, _, _ = strings.Cut(s[len(of):], " ") // a folder may follow
	}
	s = strings.TrimLeft(s, opening)
	for n := -1; n != len(s); {
		n = len(s)
		s = s[len(referrer.FindString(s)):]
		s = s[len(settings.FindString(s)):]
	}
	s, err := split(s)
	if err != nil {
		return "", err
	}
	if _, err := Parse(s); err != nil {
		return "", err
	}
	return s, nil
}

// split takes apart what is pasted and puts a URL together.
func split(s string) (string, error) {
	m := scheme.FindStringSubmatch(s)
	if m == nil {
		return splitBare(strings.TrimPrefix(s, "//"))
	}
	with := strings.ToLower(m[1])
	if to := insteadOf[with]; to != "" {
		with = to
	}
	if !slices.Contains(schemes, with) {
		return "", problemScheme
	}
	authority, rest := cutAuthority(s[len(m[0]):])
	return build(with, authority[strings.LastIndexByte(authority, '@')+1:], rest)
}

// splitBare does the same without a scheme: with a host, or with
// "user@host:path", the form of scp.
func splitBare(s string) (string, error) {
	authority, rest := cutAuthority(s)
	user, after, found := strings.Cut(authority, "@")
	if strings.Contains(user, ":") {
		found = false // it is in the path behind "host:"
	}
	if found {
		authority = after
	}
	name, path, colon := cutHost(authority)
	port := colon && digits.MatchString(path)
	dotted := strings.Contains(name, ".")
	switch {
	case colon && (found || dotted && !port): // with a user name, also a number is a path
		return build("ssh", name, "/"+path+rest)
	case port, !colon && (dotted || name == "localhost" || strings.HasPrefix(name, "[")):
		return build("https", authority, rest)
	}
	return "", problemScheme
}

// cutAuthority cuts behind the host and what goes with it.
func cutAuthority(s string) (authority, rest string) {
	if n := strings.IndexAny(s, `/?#\`); n >= 0 {
		return s[:n], s[n:]
	}
	return s, ""
}

// build makes a URL of its parts, without the fragment.
func build(scheme, authority, rest string) (string, error) {
	if strings.HasPrefix(rest, `\`) {
		return "", problemURL // browsers take it for a slash, others do not
	}
	rest, _, _ = strings.Cut(rest, "#")
	if rest = trimEnd(rest); rest == "" {
		authority = trimEnd(authority)
	}
	host, err := parseHost(authority)
	if err != nil {
		return "", err
	}
	path, query, hasQuery := strings.Cut(rest, "?")
	out := scheme + "://" + host.String() + escape(path)
	if hasQuery {
		out += "?" + escape(query)
	}
	return out, nil
}

// opening is what stands before a URL in a text.
const opening = "<(\"'`"

// trimEnd cuts what stands behind a URL in a text. A parenthesis that was opened
// in the URL, and dots that are one of its segments or of a range, are its own.
func trimEnd(s string) string {
	for s != "" {
		last := s[len(s)-1]
		shorter := s[:len(s)-1]
		switch {
		case strings.IndexByte(" ,>\"'`", last) >= 0,
			last == ')' && strings.Count(s, ")") > strings.Count(s, "("),
			last == '.' && !strings.HasSuffix(shorter, ".") && !strings.HasSuffix(shorter, "/"):
			s = shorter
		default:
			return s
		}
	}
	return s
}

// cutHost cuts at the colon after a host, which may be an IPv6 address in
// brackets.
func cutHost(s string) (host, after string, colon bool) {
	from := 0
	if strings.HasPrefix(s, "[") {
		if from = strings.IndexByte(s, ']'); from < 0 {
			return s, "", false
		}
	}
	if n := strings.IndexByte(s[from:], ':'); n >= 0 {
		return s[:from+n], s[from+n+1:], true
	}
	return s, "", false
}

// escape escapes what may not be in a path or a query; what is escaped already
// stays.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for n := range len(s) {
		c := s[n]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~!$&'()*+,;=:@/?", c) >= 0,
			c == '%' && n+2 < len(s) && isHex(s[n+1:n+3]):
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
