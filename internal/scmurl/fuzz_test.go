package scmurl_test

import (
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"buf.build/go/protovalidate"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/scmurl"
)

// seeds are URLs of every shape; the tables have them one by one.
var seeds = []string{
	"https://github.com/o/r/tree/feature%2Flogin/a", "https://github.com/o/r/compare/main...x:y:z", "https://raw.githubusercontent.com/o/r/main/a",
	"https://github.com/o/r/blob/refs/tags/v1/a", "https://github.com/o/r/commit/409ac2d", "https://github.com/o/r/pull/1.diff",
	"https://gitlab.com/g/s/p/-/tree/a?ref_type=heads", "https://gitlab.com/a/b/issues/issues", "https://gitlab.com/a/b/tree.git",
	"https://gitlab.com/g/p/-/merge_requests/new?merge_request%5Bsource_branch%5D=a%2Fb", "https://tools.example.com/git/lab/g/p/-/tags/a%2Fb",
	"https://bitbucket.org/w/r/src/a%2Fb/c?at=d", "https://bitbucket.org/w/r/branches/compare/o/f:a%0Db", "https://bitbucket.org/w/r/commits/tag/a",
	"https://bitbucket.gitpod-dev.com/users/u/repos/r/browse?at=refs%2Fheads%2Fa", "ssh://git@stash.corp:7999/~u/r.git",
	"https://dev.azure.com/acme/p/_git/r.git?version=GBa", "https://acme.visualstudio.com/DefaultCollection/_git/r", `https://acme.visualstudio.com/\`, "ssh://o@ssh.dev.azure.com/v3/o/p/r",
	"https://dev.azure.com/acme/p/_workitems/edit/1", "http://tfs:8080/tfs/c/_git/r/pullRequest/1", "https://ado.example.com/tfs/c/p/_git/r?version=GCabcd",
	"https://gitea.example.com/o/r/src/tag/a/b", "http://127.0.0.1:3000/git/o/r/compare/main...f:b", "ssh://git@gitea.example.com:2222/o/r",
	"referrer:vscode:x/https://me:secret@github.com/o/r", "https://token@gitlab.com/g/p/-/blob/a",
}

// Whatever the URL: nothing panics, nothing of a user name or a password comes out
// again, and the page of a target means the same target.
func FuzzParse(f *testing.F) {
	for _, s := range append(seeds, hostile...) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		raw = plant(raw)
		hides := func(out string) {
			t.Helper()
			checkHidden(t, raw, out)
		}
		hides(scmurl.Clean(raw))
		l, err := scmurl.Parse(raw)
		if err != nil {
			hides(err.Error())
			return
		}
		hides(l.Host + strings.Join(l.Path, "/") + strings.Join(l.Names(), " "))
		if i, ok := scmurl.Match(l, all); ok {
			if _, err := scmurl.Read(l, i); err != nil {
				hides(err.Error())
			}
		}
		for _, i := range all {
			targets, err := scmurl.Read(l, i)
			if (err == nil) != (len(targets) > 0) {
				t.Fatalf("%q: %v and %v", raw, targets, err)
			}
			for _, target := range targets {
				page := target.URL(i)
				hides(page + target.CloneURL(i))
				checkSame(t, page, target, i)
				checkClone(t, target, i)
			}
		}
	})
}

// checkSame checks that a page means a target before anything else.
func checkSame(t *testing.T, page string, target scmurl.Target, i scmurl.Integration) {
	t.Helper()
	l, err := scmurl.Parse(page)
	if err != nil {
		if len(page) > 4096 { // escaped, it may be longer than it was
			return
		}
		t.Fatalf("%q of %+v: %v", page, target, err)
	}
	again, err := scmurl.Read(l, i)
	if err != nil || !reflect.DeepEqual(again[0], target) {
		t.Fatalf("%q: %+v (%v), want %+v", page, again, err, target)
	}
}

// checkClone checks that a clone URL is below the base of its integration, which
// is where credentials go, and that it is of the same repository.
func checkClone(t *testing.T, target scmurl.Target, i scmurl.Integration) {
	t.Helper()
	clone := target.CloneURL(i)
	if u, err := url.Parse(clone); err != nil || u.User != nil || !strings.HasPrefix(clone, i.Base()[:strings.LastIndexByte(i.Base(), '/')+1]) {
		t.Fatalf("%q is cloned from %q: %v", i.Base(), clone, err)
	}
	checkSame(t, clone, scmurl.Target{Owner: target.Owner, Repo: target.Repo}, i)
}

// beginning is what a user name follows in a URL.
var beginning = regexp.MustCompile(`(?i)^(/?referrer:[\w.-]*(:[\w.-]*)?/)?(https?|ssh|git|git\+ssh)://`)

const planted = "planted"

// plant puts a user name and a password into a URL.
func plant(raw string) string {
	n := len(beginning.FindString(raw))
	if n == 0 || strings.Contains(strings.ToLower(raw), planted) {
		return raw
	}
	return raw[:n] + planted + "-user:" + planted + "-password@" + raw[n:]
}

// checkHidden checks that what was planted does not come out again.
func checkHidden(t *testing.T, raw, out string) {
	t.Helper()
	if strings.HasPrefix(raw[len(beginning.FindString(raw)):], planted) && strings.Contains(strings.ToLower(out), planted) {
		t.Fatalf("%q has what was planted in %q", out, raw)
	}
}

// Whatever is pasted: what comes out passes the rules of the API and stays as it
// is, and has no user name and no password.
func FuzzNormalise(f *testing.F) {
	for _, s := range append(seeds, hostile...) {
		f.Add(s)
	}
	for _, s := range []string{
		"git@github.com:o/r.git", "github.com:o/r", "tfs:8080/c", "[::1]:3000/o", "FOO=bar,x=y/github.com/o/r", "https://bücher.example/ä b?c[d]=é#f",
		"//me:secret@h.example/100%/%zz", "me@h.example:o/r",
		"git clone 'https://h.example/o/r(a)).' x", "<git://h.example/o/r>", "git+ssh://git@h.example/o/r.,", "https://a(:b@h.example/o).#)", "h.example.,.", "h.example./r?.",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, pasted string) {
		pasted = plant(pasted)
		got, err := scmurl.Normalise(pasted)
		if err != nil {
			checkHidden(t, pasted, err.Error())
			if got != "" {
				t.Fatalf("%q: %q and %v", pasted, got, err)
			}
			return
		}
		u, err := url.Parse(got)
		if err != nil || u.User != nil || u.Fragment != "" {
			t.Fatalf("%q became %q: %v", pasted, got, err)
		}
		checkHidden(t, pasted, got)
		if again, err := scmurl.Normalise(got); err != nil || again != got {
			t.Fatalf("%q becomes %q: %v", got, again, err)
		}
		if err := protovalidate.Validate(&gitpodv1.ParseContextURLRequest{ContextUrl: got}); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
	})
}
