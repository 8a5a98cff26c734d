package codehost_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
)

func signInNeeded(t *testing.T, err error) *codehost.SignInNeeded {
	t.Helper()
	needed, ok := errors.AsType[*codehost.SignInNeeded](err)
	if !ok {
		t.Fatalf("the error is %v", err)
	}
	return needed
}

// Every question about a runner has the same gates, in the same order.
func TestGates(t *testing.T) {
	type call func(w *world, c access.Caller, r id.Runner, host string) error
	calls := map[string]call{
		"ParseContext": func(w *world, c access.Caller, r id.Runner, host string) error {
			_, err := w.service.ParseContext(t.Context(), c, r, "https://"+host+"/acme/app")
			return err
		},
		"CheckRepository": func(w *world, c access.Caller, r id.Runner, host string) error {
			_, err := w.service.CheckRepository(t.Context(), c, r, "https://"+host+"/acme/app")
			return err
		},
		"SearchRepositories": func(w *world, c access.Caller, r id.Runner, host string) error {
			_, _, err := w.service.SearchRepositories(t.Context(), c, r, codehost.SearchQuery{Host: host})
			return err
		},
		"ListOrganizations": func(w *world, c access.Caller, r id.Runner, host string) error {
			_, _, err := w.service.ListOrganizations(t.Context(), c, r, host, "", page.Request{})
			return err
		},
		"CheckAuthentication": func(w *world, c access.Caller, r id.Runner, host string) error {
			_, err := w.service.CheckAuthentication(t.Context(), c, r, host)
			return err
		},
	}
	const signIn = "precondition/sign-in-required scm=github begin=https://muster.example/begin/a/i-github runners=[]"
	for _, c := range []struct {
		name    string
		arrange func(w *world)
		caller  access.Caller
		runner  id.Runner
		host    string
		want    string
		// but has the calls that answer something else.
		but map[string]string
	}{
		{name: "a runner that is not there", runner: "x", want: "missing/not-found"},
		{name: "a runner that the caller does not see", caller: person("eve"), want: "missing/not-found"},
		{name: "a runner that the caller only sees", caller: person("eve", readers), want: "denied/not-allowed"},
		{name: "a host without an integration", host: "gitlab.com", want: "precondition/host-not-configured scm= begin= runners=[]"},
		{
			name: "a runner that can do little", arrange: func(w *world) { w.change("a", func(r *fleet.Runner) { r.Report.Capabilities = nil }) },
			want: "ok", but: map[string]string{
				"CheckRepository": "precondition/runner-lacks-capability", "ListOrganizations": "precondition/runner-lacks-capability",
			},
		},
		{name: "a runner that is away", arrange: func(w *world) { w.connected["a"] = false }, want: "unavailable/runner-offline later"},
		{
			name: "a runner that never connected, so said nothing of what it can do", want: "unavailable/runner-offline later",
			arrange: func(w *world) {
				w.connected["a"] = false
				w.change("a", func(r *fleet.Runner) { r.Report = fleet.Report{} })
			},
		},
		{
			name: "nobody signed in", arrange: func(w *world) { w.credentials = nil },
			want: signIn, but: map[string]string{"CheckRepository": "ok", "CheckAuthentication": "ok"},
		},
		{
			name: "a credential that the host refuses",
			arrange: func(w *world) {
				w.answer.err = fault.New(fault.FailedPrecondition, fault.SignInRequired, "The host does not accept it.")
			},
			want: signIn,
		},
		{
			name:    "a host that does not answer",
			arrange: func(w *world) { w.answer.err = fault.New(fault.DeadlineExceeded, fault.HostUnavailable, "It is late.") },
			want:    "late/host-unavailable",
		},
		{name: "all is well", want: "ok"},
	} {
		for name, call := range calls {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				w := newWorld(t)
				w.runner("a", gitHub)
				w.signIn("ann", "a", gitHub)
				if c.arrange != nil {
					c.arrange(w)
				}
				caller, runner, at, want := person("ann", members), id.Runner("a"), "github.com", c.want
				if c.caller.ID != "" {
					caller = c.caller
				}
				if c.runner != "" {
					runner = c.runner
				}
				if c.host != "" {
					at = c.host
				}
				if other, ok := c.but[name]; ok {
					want = other
				}
				if got := told(call(w, caller, runner, at)); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			})
		}
	}
}

func TestAMissingCapabilityIsCalledOne(t *testing.T) {
	w := newWorld(t)
	w.runner("a", gitHub)
	w.change("a", func(r *fleet.Runner) { r.Report.Capabilities = nil })
	_, _, err := w.service.ListOrganizations(t.Context(), person("ann", members), "a", "github.com", "", page.Request{})
	if err == nil || !strings.Contains(fault.From(err).Message, "capability") {
		t.Error(err)
	}
}

func TestParseContext(t *testing.T) {
	w := newWorld(t)
	w.runner("a", gitHub)
	k := *w.signIn("ann", "a", gitHub)
	for range 120 {
		w.classes["a"] = append(w.classes["a"], id.New())
	}
	w.answer.context = codehost.Context{Git: codehost.Git{CloneURL: "https://github.com/acme/app.git"}, SCMID: "a lie", OriginalURL: "a lie", Classes: []string{"a lie"}}
	got, err := w.service.ParseContext(t.Context(), person("ann", members), "a", "https://ann:secret@github.com/acme/app?tab=readme")
	if err != nil {
		t.Fatal(err)
	}
	const clean = "https://github.com/acme/app?tab=readme"
	want := codehost.Context{Git: w.answer.context.Git, SCMID: scmurl.GitHub, OriginalURL: clean, Classes: w.classes["a"][:100]}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	asked := question{runner: "a", as: []codehost.Access{{Host: gitHub, Credential: &k}}, url: clean}
	if diff := cmp.Diff([]question{asked}, w.asked, cmp.AllowUnexported(question{})); diff != "" {
		t.Error(diff)
	}
}

// Whoever has no credential asks as nobody.
func TestCheckRepositoryAsNobody(t *testing.T) {
	w := newWorld(t)
	w.runner("a", gitHub)
	w.answer.readable = codehost.Readable{Why: "It is not public."}
	got, err := w.service.CheckRepository(t.Context(), person("ann", members), "a", someRepo)
	if err != nil || got != w.answer.readable || w.asked[0].as[0].Credential != nil {
		t.Errorf("got %+v, %v; asked with %v", got, err, w.asked[0].as[0].Credential)
	}
}

func TestWhichCredentialIsUsed(t *testing.T) {
	past, future := time.Now().Add(-time.Minute), time.Now().Add(time.Minute)
	both := host("i-other", scmurl.Gitea, "git.example.com:8443")
	onlyOAuth, onlyPAT := both, both
	onlyOAuth.PAT, onlyPAT.OAuth = false, false
	// A credential for the integration, or for no integration with the host in some
	// spelling.
	its := codehost.Credential{Host: both.Host, Integration: both.ID}
	nones := codehost.Credential{Host: both.Host}
	with := func(c codehost.Credential, change func(*codehost.Credential)) codehost.Credential {
		change(&c)
		return c
	}
	oauth := func(c *codehost.Credential) { c.OAuth = true }
	expired := func(c *codehost.Credential) { c.ExpiresAt = past }
	for _, c := range []struct {
		name        string
		host        codehost.Host
		credentials []codehost.Credential // oldest first
		want        int                   // from 1; 0 for none
	}{
		{"of the integration", both, []codehost.Credential{with(its, func(c *codehost.Credential) { c.Integration = "i-x" }), its}, 2},
		{"of the host", both, []codehost.Credential{{Host: "git.example.com"}, {Host: "GIT.example.com:8443"}}, 2},
		{"that of the integration, though it is older", both, []codehost.Credential{its, nones}, 1},
		{"that of the integration, though it is newer", both, []codehost.Credential{nones, its}, 2},
		{"the newest of the host", both, []codehost.Credential{{Host: "GIT.example.com:8443"}, nones}, 2},
		{"the host's when the integration's has expired", both, []codehost.Credential{with(its, expired), nones}, 2},
		{"one that still works", both, []codehost.Credential{with(nones, func(c *codehost.Credential) { c.ExpiresAt = future }), with(nones, expired)}, 1},
		{"one that can be renewed", both, []codehost.Credential{with(nones, func(c *codehost.Credential) { c.ExpiresAt, c.RefreshToken = past, seal.Digest{1} })}, 1},
		{"none", both, []codehost.Credential{with(nones, expired)}, 0},
		{"no token where only OAuth is allowed", onlyOAuth, []codehost.Credential{its, nones}, 0},
		{"an OAuth token where only that is allowed", onlyOAuth, []codehost.Credential{with(nones, oauth), nones}, 1},
		{"no OAuth token where only others are allowed", onlyPAT, []codehost.Credential{with(its, oauth)}, 0},
		{"a token where only tokens are allowed", onlyPAT, []codehost.Credential{with(its, oauth), nones}, 2},
	} {
		w := newWorld(t)
		w.runner("a", c.host)
		for n, k := range c.credentials {
			k.ID, k.Runner = fmt.Sprint(n+1), "a"
			w.credentials = append(w.credentials, kept{"ann", k})
		}
		if _, err := w.service.CheckAuthentication(t.Context(), person("ann", members), "a", c.host.Host); err != nil {
			t.Fatal(err)
		}
		used := "0"
		if k := w.asked[0].as[0].Credential; k != nil {
			used = k.ID
		}
		if used != fmt.Sprint(c.want) {
			t.Errorf("%s: %s was used, want %d", c.name, used, c.want)
		}
	}
}

func TestCheckAuthentication(t *testing.T) {
	w := newWorld(t)
	bare := host("i-bare", scmurl.Gitea, "git.example.com/forge")
	bare.OAuth = false
	w.runner("a", gitHub, bare)
	w.answer.authentication = codehost.Authentication{Authenticated: true, SCMID: "a lie", Name: "GitHub", OAuth: &codehost.OAuth{DocsURL: "https://docs"}}
	got, err := w.service.CheckAuthentication(t.Context(), person("ann", members), "a", "github.com")
	if err != nil {
		t.Fatal(err)
	}
	// Nobody is signed in without a credential, whatever the runner says.
	want := codehost.Authentication{SCMID: scmurl.GitHub, Name: "GitHub", OAuth: &codehost.OAuth{BeginURL: "https://muster.example/begin/a/i-github", DocsURL: "https://docs"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	w.signIn("ann", "a", gitHub)
	if got, err = w.service.CheckAuthentication(t.Context(), person("ann", members), "a", "GitHub.com"); err != nil || !got.Authenticated {
		t.Errorf("signed in: %+v, %v", got, err)
	}
	for name, want := range map[string]string{
		"git.example.com/forge": "ok", "git.example.com/forge/acme": "ok", "": "invalid/invalid-field", "not a host": "invalid/invalid-field",
		"git.example.com": "precondition/host-not-configured scm= begin= runners=[]", "user:secret@": "invalid/invalid-field",
	} {
		_, err := w.service.CheckAuthentication(t.Context(), person("ann", members), "a", name)
		if got := told(err); got != want || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %s (%v), want %s", name, got, err, want)
		}
	}
}

// Rights end with the role: an admin of another organization is a stranger.
func TestAnotherOrganization(t *testing.T) {
	w := newWorld(t)
	w.runner("a", gitHub)
	stranger := access.Caller{Subject: person("ada").Subject, Organization: "other", Standing: access.OfRole(resource.RoleOrgAdmin)}
	_, err := w.service.CheckAuthentication(t.Context(), stranger, "a", "github.com")
	if got := told(err); got != "missing/not-found" {
		t.Error(got)
	}
}
