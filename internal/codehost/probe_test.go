package codehost_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
)

func idOf(r string) id.Runner { return id.Runner(r) }

// admin may store integrations.
func admin() access.Caller {
	return access.Caller{Subject: person("ada").Subject, Organization: org, Standing: access.OfRole(resource.RoleOrgAdmin)}
}

func TestWhoMayMakeARunnerTry(t *testing.T) {
	readOnly := admin()
	readOnly.ReadOnly = true
	for _, c := range []struct {
		name    string
		caller  access.Caller
		arrange func(*world)
		tried   bool
		want    string
		found   codehost.Probed
	}{
		{name: "an admin", caller: admin(), tried: true, want: "ok", found: codehost.Probed{Host: "is no such host"}},
		{name: "whoever uses it", caller: person("ann", members), want: "ok"},
		{name: "whoever reads its configuration", caller: person("ann", readers), want: "ok"},
		{name: "whoever may only read", caller: readOnly, want: "ok"},
		{name: "a stranger", caller: person("eve"), want: "missing/not-found"},
		{name: "an admin, and it is away", caller: admin(), arrange: func(w *world) { w.connected["a"] = false }, want: "ok"},
		{
			name: "an admin, and it goes away", caller: admin(), tried: true,
			arrange: func(w *world) { w.answer.err = fault.New(fault.Unavailable, fault.RunnerOffline, "Gone.") }, want: "ok",
		},
		{
			name: "an admin, and it says nothing", caller: admin(), tried: true,
			arrange: func(w *world) { w.answer.err = fault.New(fault.DeadlineExceeded, fault.ReasonDeadline, "Late.") }, want: "late/deadline-exceeded",
		},
	} {
		w := newWorld(t)
		w.runner("a")
		w.answer.probed = codehost.Probed{Host: "is no such host"}
		if c.arrange != nil {
			c.arrange(w)
		}
		found, err := w.service.ProbeIntegration(t.Context(), c.caller, "a", codehost.Draft{Host: gitHub})
		if got := told(err); got != c.want || len(w.asked) > 0 != c.tried || c.tried && err == nil && found != c.found || !c.tried && found != (codehost.Probed{}) {
			t.Errorf("%s: %s, asked %d times, found %+v", c.name, got, len(w.asked), found)
		}
	}
}

// A stored secret goes to its own host and nowhere else, so that nobody learns
// it by pointing the runner at a host of their own.
func TestWhichSecretIsTried(t *testing.T) {
	public, private, err := seal.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	stored := host("i-1", scmurl.AzureDevOpsEntra, "dev.azure.com/acme")
	stored.IssuerURL = "https://login.microsoftonline.com/acme/v2.0"
	sealed, err := seal.To(public[:], "scm_integration/i-1/client_secret", []byte("the stored secret"))
	if err != nil {
		t.Fatal(err)
	}
	with := func(fn func(*codehost.Draft)) codehost.Draft {
		d := codehost.Draft{Host: stored, SealedSecret: sealed}
		d.OAuthClientID = "another client"
		fn(&d)
		return d
	}
	for _, c := range []struct {
		name  string
		draft codehost.Draft
		want  string // the secret that the runner opens
	}{
		{"a plain one", with(func(d *codehost.Draft) {
			d.SealedSecret, d.ClientSecret, d.ID, d.Host.Host = nil, "typed in", "", "dev.azure.com/other"
		}), "typed in"},
		{"the stored one", with(func(*codehost.Draft) {}), "the stored secret"},
		{"the stored one, elsewhere", with(func(d *codehost.Draft) { d.Host.Host = "dev.azure.com/evil" }), ""},
		{"the stored one, with another issuer", with(func(d *codehost.Draft) { d.IssuerURL = "https://evil.example/v2.0" }), ""},
		{"the stored one, for another kind", with(func(d *codehost.Draft) { d.SCMID = scmurl.Gitea }), ""},
		{"the stored one, of an integration that is not there", with(func(d *codehost.Draft) { d.ID = "i-2" }), ""},
		{"no OAuth", with(func(d *codehost.Draft) { d.OAuthClientID = "" }), ""},
	} {
		w := newWorld(t)
		w.runner("a", stored)
		w.change("a", func(r *fleet.Runner) { r.PublicKey = public[:] })
		if _, err := w.service.ProbeIntegration(t.Context(), admin(), "a", c.draft); err != nil {
			t.Fatal(err)
		}
		p := w.asked[0].probe
		got := ""
		if len(p.ClientSecret) > 0 {
			plain, err := seal.Open(p.ClientSecret, public, private, p.Purpose)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			got = string(plain)
		}
		want := c.draft.Host
		want.ID, want.OAuth = "", c.want != ""
		if !want.OAuth {
			want.OAuthClientID = ""
		}
		if diff := cmp.Diff(want, p.Host); got != c.want || diff != "" {
			t.Errorf("%s: the secret %q, the host %s", c.name, got, diff)
		}
	}
}
