package scm_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/scm"
	"github.com/musterhq/muster/internal/scmurl"
)

// What an update does to an integration, and to the credentials for its host.
func TestUpdateMerges(t *testing.T) {
	yes, no, none := true, false, ""
	newClient, newSecret, issuer := "another client", "another-planted-secret", "https://login.microsoftonline.com/t/v2.0"
	gitHub := func(n *scm.NewIntegration) {}
	patOnly := func(n *scm.NewIntegration) { n.OAuthClientID, n.OAuthClientSecret = "", "" }
	oauthOnly := func(n *scm.NewIntegration) { n.PAT = false }
	entra := func(n *scm.NewIntegration) {
		n.SCMID, n.Host, n.IssuerURL = scmurl.AzureDevOpsEntra, "dev.azure.com", "https://login.microsoftonline.com/old/v2.0"
	}
	server := func(n *scm.NewIntegration) {
		patOnly(n)
		n.SCMID, n.Host, n.VirtualDirectory = scmurl.AzureDevOpsServer, "tfs.example.com", "/tfs"
	}
	type result struct {
		PAT                               bool
		Client, Secret, Issuer, Directory string
	}
	for name, tt := range map[string]struct {
		made   func(*scm.NewIntegration)
		change scm.Change
		want   result
		kept   []hosttoken.Source // of the credentials, if not all
		bad    string             // the field at fault
	}{
		"nothing":                  {made: gitHub, want: result{PAT: true, Client: "client", Secret: secret}},
		"a new secret":             {made: gitHub, change: scm.Change{OAuthClientSecret: &newSecret}, want: result{PAT: true, Client: "client", Secret: newSecret}},
		"an empty secret":          {made: gitHub, change: scm.Change{OAuthClientSecret: &none}, want: result{PAT: true, Client: "client", Secret: secret}},
		"a new client alone":       {made: gitHub, change: scm.Change{OAuthClientID: &newClient}, want: result{PAT: true, Client: newClient, Secret: secret}},
		"a new client and secret":  {made: gitHub, change: scm.Change{OAuthClientID: &newClient, OAuthClientSecret: &newSecret}, want: result{PAT: true, Client: newClient, Secret: newSecret}},
		"OAuth goes":               {made: gitHub, change: scm.Change{OAuthClientID: &none}, want: result{PAT: true}, kept: []hosttoken.Source{0, hosttoken.SourcePAT}},
		"OAuth goes, as Terraform": {made: oauthOnly, change: scm.Change{OAuthClientID: &none, PAT: &yes, IssuerURL: &none, VirtualDirectory: &none}, want: result{PAT: true}, kept: []hosttoken.Source{0, hosttoken.SourcePAT}},
		"no OAuth stays none":      {made: patOnly, change: scm.Change{OAuthClientID: &none, PAT: &yes}, want: result{PAT: true}},
		"OAuth comes":              {made: patOnly, change: scm.Change{OAuthClientID: &newClient, OAuthClientSecret: &newSecret}, want: result{PAT: true, Client: newClient, Secret: newSecret}},
		"OAuth comes without secret": {
			made: patOnly, change: scm.Change{OAuthClientID: &newClient}, want: result{PAT: true}, bad: "oauth_client_id",
		},
		"a secret for no OAuth": {
			made: patOnly, change: scm.Change{OAuthClientSecret: &newSecret}, want: result{PAT: true}, bad: "oauth_client_id",
		},
		"a secret while OAuth goes": {
			made: gitHub, change: scm.Change{OAuthClientID: &none, OAuthClientSecret: &newSecret}, want: result{PAT: true, Client: "client", Secret: secret}, bad: "oauth_client_id",
		},
		"PAT goes":  {made: gitHub, change: scm.Change{PAT: &no}, want: result{Client: "client", Secret: secret}, kept: []hosttoken.Source{hosttoken.SourceOAuth}},
		"PAT comes": {made: oauthOnly, change: scm.Change{PAT: &yes}, want: result{PAT: true, Client: "client", Secret: secret}},
		"both go":   {made: gitHub, change: scm.Change{PAT: &no, OAuthClientID: &none}, want: result{PAT: true, Client: "client", Secret: secret}, bad: "pat"},
		"a new issuer": {
			made: entra, change: scm.Change{IssuerURL: &issuer}, want: result{PAT: true, Client: "client", Secret: secret, Issuer: issuer},
		},
		"no issuer for Entra": {
			made: entra, change: scm.Change{IssuerURL: &none}, bad: "oauth_client_id",
			want: result{PAT: true, Client: "client", Secret: secret, Issuer: "https://login.microsoftonline.com/old/v2.0"},
		},
		"OAuth takes the issuer along": {made: entra, change: scm.Change{OAuthClientID: &none}, want: result{PAT: true}, kept: []hosttoken.Source{0, hosttoken.SourcePAT}},
		"an issuer without OAuth":      {made: patOnly, change: scm.Change{IssuerURL: &issuer}, want: result{PAT: true}, bad: "oauth_client_id"},
		"another directory":            {made: server, change: scm.Change{VirtualDirectory: new("/")}, want: result{PAT: true, Directory: "/"}},
		"a directory on GitHub":        {made: patOnly, change: scm.Change{VirtualDirectory: new("/tfs")}, want: result{PAT: true}, bad: "host"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			n := f.gitHub()
			tt.made(&n)
			made := f.create(n)
			tokens := map[hosttoken.Source]string{}
			for _, source := range []hosttoken.Source{hosttoken.SourceUnspecified, hosttoken.SourceOAuth, hosttoken.SourcePAT} {
				tokens[source] = f.hostToken(f.runner, n.Host, source)
			}
			f.take()
			err := f.Update(t.Context(), f.admin, made.ID, tt.change)
			if tt.bad == "" && err != nil || tt.bad != "" && (!fault.Is(err, fault.InvalidArgument) || fault.From(err).Field != tt.bad) {
				t.Fatalf("Update: %v", err)
			}
			i := f.get(made.ID)
			got := result{PAT: i.PAT, Client: i.OAuthClientID, Issuer: i.IssuerURL, Directory: i.VirtualDirectory}
			if len(i.OAuthClientSecret) > 0 {
				got.Secret = f.open(i)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if i.SCMID != n.SCMID || i.Host != n.Host || i.Runner != n.Runner || i.ID != made.ID {
				t.Errorf("what never changes did: %+v", i)
			}
			there := f.hostTokens()
			for source, token := range tokens {
				if want := tt.kept == nil || slices.Contains(tt.kept, source); there[token] != want {
					t.Errorf("the credential with source %d: there %v, want %v", source, there[token], want)
				}
			}
			f.wantNews(t, tt.bad == "", made, i, 3-len(there))
		})
	}
}

// wantNews checks who was told of an update.
func (f *fixture) wantNews(t *testing.T, changed bool, before, after scm.Integration, credentials int) {
	t.Helper()
	events, told := f.take()
	var wantEvents []string
	for range credentials {
		wantEvents = append(wantEvents, "host_authentication_token deleted")
	}
	wantTold := credentials // of all the secrets of one at once
	if changed {
		wantEvents = append(wantEvents, "runner_scm_integration updated")
	}
	if string(before.OAuthClientSecret) != string(after.OAuthClientSecret) {
		wantTold++
	}
	if d := cmp.Diff(wantEvents, events); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
	if len(told) != wantTold {
		t.Errorf("told of %v, want %d secrets", told, wantTold)
	}
}
