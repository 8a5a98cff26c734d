package hosts

import (
	"net/http"
	"regexp"
	"testing"
)

// likeness holds answers of one kind against recorded ones.
type likeness struct {
	path       string // matches the escaped paths of this kind
	recordings []recording
}

// compare returns what sees the answers of a fake, and what must be called in the
// end: every answer must be of a kind, and every kind must have been seen.
func compare(t *testing.T, kinds map[string]likeness) (see func(*http.Request, *http.Response, []byte), done func()) {
	t.Helper()
	seen := map[string]bool{}
	recorded := map[string][]any{}
	for kind, l := range kinds {
		for _, r := range l.recordings {
			recorded[kind] = append(recorded[kind], decode[any](t, r.read(t)))
		}
	}
	see = func(r *http.Request, resp *http.Response, body []byte) {
		if resp.StatusCode != http.StatusOK {
			return
		}
		known := false
		for kind, l := range kinds {
			if !regexp.MustCompile("^" + l.path + "$").MatchString(r.URL.EscapedPath()) {
				continue
			}
			known, seen[kind] = true, true
			for _, p := range unlike(decode[any](t, body), recorded[kind], kind) {
				t.Errorf("%s: %s", r.URL, p)
			}
		}
		if !known {
			t.Errorf("%s is of no kind", r.URL)
		}
	}
	return see, func() {
		for kind := range kinds {
			if !seen[kind] {
				t.Errorf("the fake was not asked for: %s", kind)
			}
		}
	}
}
