package codehost_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
)

const someRepo = "https://github.com/acme/app"

// Which runner answers when the caller names none, or why none does.
func TestChoosingARunner(t *testing.T) {
	gitLab := host("i-gitlab", scmurl.GitLab, "gitlab.example.com")
	below := host("i-below", scmurl.GitLab, "gitlab.example.com/git")
	for _, c := range []struct {
		name    string
		arrange func(w *world)
		caller  access.Caller
		url     string
		// answers is the runner that is asked, and with which credential; or want is
		// why none is.
		answers id.Runner
		with    string
		want    string
	}{
		{
			name:    "the one with a credential, not the first",
			arrange: func(w *world) { w.runner("a", gitHub); w.runner("b", gitHub); w.signIn("ann", "b", gitHub) },
			answers: "b", with: "ann on b for github.com",
		},
		{
			name: "of several with a credential the one that is connected",
			arrange: func(w *world) {
				w.runner("a", gitHub)
				w.runner("b", gitHub)
				w.signIn("ann", "a", gitHub)
				w.signIn("ann", "b", gitHub)
				w.connected["a"] = false
			},
			answers: "b", with: "ann on b for github.com",
		},
		{
			name: "of several that are connected the one with the oldest credential",
			arrange: func(w *world) {
				w.runner("a", gitHub)
				w.runner("b", gitHub)
				w.signIn("ann", "b", gitHub)
				w.signIn("ann", "a", gitHub)
			},
			answers: "b", with: "ann on b for github.com",
		},
		{
			name: "a credential without an integration counts by its host, whatever its case",
			arrange: func(w *world) {
				w.runner("a", gitHub)
				k := w.signIn("ann", "a", gitHub)
				k.Host, k.Integration = "GitHub.com", ""
			},
			answers: "a", with: "ann on a for github.com",
		},
		{
			name: "the longest path wins on the runner that is chosen",
			arrange: func(w *world) {
				w.runner("a", gitLab, below)
				w.signIn("ann", "a", gitLab)
				w.signIn("ann", "a", below)
			},
			url: "https://gitlab.example.com/git/group/app", answers: "a", with: "ann on a for gitlab.example.com/git",
		},
		{
			name: "an ssh URL tells no port",
			arrange: func(w *world) {
				h := host("i", scmurl.Gitea, "git.example.com:8443")
				w.runner("a", gitHub)
				w.runner("b", h)
				w.signIn("ann", "a", gitHub)
				w.signIn("ann", "b", h)
			},
			url: "ssh://git@git.example.com:2222/acme/app.git", answers: "b", with: "ann on b for git.example.com:8443",
		},
		{
			name:    "an ssh URL before signing in",
			arrange: func(w *world) { w.runner("a", gitHub) },
			url:     "ssh://git@github.com/acme/app.git",
			want:    "precondition/sign-in-required scm=github begin=https://muster.example/begin/a/i-github runners=[a]",
		},
		{
			name: "an expired credential that can be renewed is one",
			arrange: func(w *world) {
				w.runner("a", gitHub)
				k := w.signIn("ann", "a", gitHub)
				k.ExpiresAt, k.RefreshToken = time.Now().Add(-time.Hour), seal.Digest{1}
			},
			answers: "a", with: "ann on a for github.com",
		},
		{
			name: "an expired credential is none",
			arrange: func(w *world) {
				w.runner("a", gitHub)
				w.signIn("ann", "a", gitHub).ExpiresAt = time.Now().Add(-time.Hour)
			},
			want: "precondition/sign-in-required scm=github begin=https://muster.example/begin/a/i-github runners=[a]",
		},
		{
			name: "signed in, and the runner is away: signing in on another is not asked for",
			arrange: func(w *world) {
				w.runner("a", gitHub)
				w.runner("b", gitHub)
				w.signIn("ann", "a", gitHub)
				w.connected["a"] = false
			},
			want: "unavailable/runner-offline later",
		},
		{
			name: "signed in nowhere: the connected runners are named",
			arrange: func(w *world) {
				for _, r := range []id.Runner{"a", "b", "c"} {
					w.runner(r, gitHub)
				}
				w.connected["a"] = false
			},
			want: "precondition/sign-in-required scm=github begin=https://muster.example/begin/b/i-github runners=[b c]",
		},
		{
			name:    "signed in to another host",
			arrange: func(w *world) { w.runner("a", gitHub, gitLab); w.signIn("ann", "a", gitLab) },
			want:    "precondition/sign-in-required scm=github begin=https://muster.example/begin/a/i-github runners=[a]",
		},
		{
			name:    "somebody else is signed in",
			arrange: func(w *world) { w.runner("a", gitHub); w.signIn("bob", "a", gitHub) },
			want:    "precondition/sign-in-required scm=github begin=https://muster.example/begin/a/i-github runners=[a]",
		},
		{
			name: "without OAuth there is no page to begin at",
			arrange: func(w *world) {
				h := gitHub
				h.OAuth = false
				w.runner("a", h)
			},
			want: "precondition/sign-in-required scm=github begin= runners=[a]",
		},
		{
			name:    "none of those with the host is connected",
			arrange: func(w *world) { w.runner("a", gitHub); w.connected["a"] = false; w.runner("b", gitLab) },
			want:    "unavailable/runner-offline later",
		},
		{
			name:    "none has the host",
			arrange: func(w *world) { w.runner("a", gitLab) },
			want:    "precondition/host-not-configured scm= begin= runners=[]",
		},
		{
			name: "a host that only begins alike is another",
			arrange: func(w *world) {
				w.runner("a", host("i", scmurl.GitLab, "github.co"), host("j", scmurl.GitLab, "github.com/acm"))
			},
			want: "precondition/host-not-configured scm= begin= runners=[]",
		},
		{
			name:    "what the caller may not use does not count",
			arrange: func(w *world) { w.runner("a", gitHub); w.signIn("eve", "a", gitHub) },
			caller:  person("eve"),
			want:    "precondition/host-not-configured scm= begin= runners=[]",
		},
		{
			name:    "nor what it may only read",
			arrange: func(w *world) { w.runner("a", gitHub); w.signIn("eve", "a", gitHub) },
			caller:  person("eve", readers),
			want:    "precondition/host-not-configured scm= begin= runners=[]",
		},
		{
			name:    "what it made it may use",
			arrange: func(w *world) { w.runner("a", gitHub); w.signIn("creator", "a", gitHub) },
			caller:  person("creator"),
			answers: "a", with: "creator on a for github.com",
		},
		{
			name:    "the URL of no repository",
			arrange: func(w *world) { w.runner("a", gitHub); w.signIn("ann", "a", gitHub) },
			url:     "https://github.com/acme", want: "invalid/invalid-field",
		},
		{
			name:    "the URL of no repository, before signing in",
			arrange: func(w *world) { w.runner("a", gitHub) },
			url:     "https://github.com/acme", want: "invalid/invalid-field",
		},
		{
			name:    "the URL of no repository, while nobody is there",
			arrange: func(w *world) { w.runner("a", gitHub); w.connected["a"] = false },
			url:     "https://github.com/acme", want: "invalid/invalid-field",
		},
		{name: "no URL", arrange: func(*world) {}, url: "file:///etc/passwd", want: "invalid/invalid-field"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.arrange(w)
			if c.caller.ID == "" {
				c.caller = person("ann", members)
			}
			if c.url == "" {
				c.url = someRepo
			}
			_, err := w.service.ParseContext(t.Context(), c.caller, "", c.url)
			if c.answers == "" {
				if got := told(err); got != c.want || len(w.asked) > 0 {
					t.Errorf("got %s, want %s; %d runners were asked", got, c.want, len(w.asked))
				}
				return
			}
			if err != nil || len(w.asked) != 1 {
				t.Fatalf("%d runners were asked: %v", len(w.asked), err)
			}
			if q := w.asked[0]; q.runner != c.answers || q.as[0].Credential == nil || q.as[0].Credential.ID != c.with {
				t.Errorf("%s was asked with %+v", q.runner, q.as[0].Credential)
			}
		})
	}
}

// Choosing looks at few things, though the caller is signed in to many hosts on
// many runners.
func TestChoosingIsCheap(t *testing.T) {
	w := newWorld(t)
	for n := range 100 {
		r := id.Runner(fmt.Sprintf("r%d", n))
		h := host("i-"+string(r), scmurl.GitLab, string(r)+".example.com:8443/git")
		w.runner(r, h)
		w.signIn("ann", r, h)
	}
	const last = "r99"
	for _, url := range []string{"https://" + last + ".example.com:8443/git/group/app", "ssh://git@" + last + ".example.com:2222/group/app.git"} {
		w.lookups = 0
		if _, err := w.service.ParseContext(t.Context(), person("ann", members), "", url); err != nil || string(w.asked[len(w.asked)-1].runner) != last {
			t.Errorf("%s: %v", url, err)
		}
		if w.lookups != 4 { // the credentials, one runner, its hosts, its classes
			t.Errorf("%s: %d look-ups", url, w.lookups)
		}
	}
}

// Many runners that the caller could sign in on do not make an endless answer.
func TestTheNamedRunnersAreBounded(t *testing.T) {
	w := newWorld(t)
	for n := range 60 {
		w.runner(id.Runner(strings.Repeat("r", n+1)), gitHub)
	}
	_, err := w.service.ParseContext(t.Context(), person("ann", members), "", someRepo)
	if needed := signInNeeded(t, err); len(needed.Runners) != 25 {
		t.Errorf("%d runners are named", len(needed.Runners))
	}
}

// An admin uses all runners, also those that nobody shared.
func TestAnAdminUsesAllRunners(t *testing.T) {
	w := newWorld(t)
	w.runner("a", gitHub)
	w.change("a", func(r *fleet.Runner) { r.Grants = nil })
	w.signIn("ada", "a", gitHub)
	admin := access.Caller{Subject: person("ada").Subject, Organization: org, Standing: access.OfRole(resource.RoleOrgAdmin)}
	if _, err := w.service.ParseContext(t.Context(), admin, "", someRepo); err != nil {
		t.Error(err)
	}
	w.credentials = nil
	_, err := w.service.ParseContext(t.Context(), admin, "", someRepo)
	if needed := signInNeeded(t, err); len(needed.Runners) != 1 {
		t.Errorf("named: %v", needed.Runners)
	}
}
