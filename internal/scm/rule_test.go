package scm_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/runnerschema"
	"github.com/musterhq/muster/internal/scm"
	"github.com/musterhq/muster/internal/scmurl"
)

const issuer = "https://login.microsoftonline.com/tenant/v2.0"

func github() scm.Settings { return scm.Settings{SCMID: "github", Host: "github.com", PAT: true} }

func TestRules(t *testing.T) {
	kinds := []runnerschema.SCM{{ID: "github", OAuth: true, PAT: true}, {ID: "pats", PAT: true}, {ID: "oauths", OAuth: true}}
	for name, c := range map[string]struct {
		change func(*scm.Settings)
		// want are parts of the errors; an empty one means that there is none.
		want scm.Errors
	}{
		"personal access tokens":  {func(*scm.Settings) {}, scm.Errors{}},
		"OAuth":                   {func(s *scm.Settings) { s.PAT, s.OAuthClientID, s.OAuthSecret = false, "id", true }, scm.Errors{}},
		"no kind":                 {func(s *scm.Settings) { s.SCMID = "" }, scm.Errors{SCMID: "is required"}},
		"any kind without schema": {func(s *scm.Settings) { s.SCMID, s.Host = "sourcehut", "git.sr.ht" }, scm.Errors{}},
		"a kind of the schema":    {func(s *scm.Settings) { s.Kinds = kinds }, scm.Errors{}},
		"a kind of no schema":     {func(s *scm.Settings) { s.Kinds, s.SCMID = kinds, "gitlab" }, scm.Errors{SCMID: "github, pats, oauths"}},
		"no tokens there":         {func(s *scm.Settings) { s.Kinds, s.SCMID = kinds, "oauths" }, scm.Errors{PAT: "does not support"}},
		"no OAuth there":          {func(s *scm.Settings) { s.Kinds, s.SCMID, s.OAuthClientID, s.OAuthSecret = kinds, "pats", "id", true }, scm.Errors{OAuth: "does not support"}},
		"no way in":               {func(s *scm.Settings) { s.PAT = false }, scm.Errors{PAT: "no way to sign in"}},
		"half of OAuth":           {func(s *scm.Settings) { s.OAuthClientID = "id" }, scm.Errors{OAuth: "secret is missing"}},
		"other half":              {func(s *scm.Settings) { s.OAuthSecret = true }, scm.Errors{OAuth: "id is missing"}},
		"a secret for others":     {func(s *scm.Settings) { s.OAuthClientID, s.OAuthSecret, s.ForeignSecret = "id", true, true }, scm.Errors{OAuth: "another key"}},
		"issuer without OAuth":    {func(s *scm.Settings) { s.IssuerURL = issuer }, scm.Errors{OAuth: "for OAuth"}},
		"issuer of GitHub":        {func(s *scm.Settings) { s.OAuthClientID, s.OAuthSecret, s.IssuerURL = "id", true, issuer }, scm.Errors{OAuth: "azuredevops_entra"}},
		"directory of GitHub":     {func(s *scm.Settings) { s.VirtualDirectory = "/tfs" }, scm.Errors{Host: "azuredevops_server"}},
		"all at once":             {func(s *scm.Settings) { *s = scm.Settings{Kinds: kinds, Host: "a b", OAuthClientID: "x"} }, scm.Errors{SCMID: "required", Host: "host name", OAuth: "secret"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := github()
			c.change(&s)
			compare(t, scm.Check(s), c.want)
		})
	}
}

func TestAzureRules(t *testing.T) {
	entra := scm.Settings{SCMID: scmurl.AzureDevOpsEntra, Host: "dev.azure.com/acme", OAuthClientID: "id", OAuthSecret: true, IssuerURL: issuer}
	server := scm.Settings{SCMID: scmurl.AzureDevOpsServer, Host: "ado.example.com:8080", PAT: true, VirtualDirectory: "/tfs"}
	with := func(s scm.Settings, change func(*scm.Settings)) scm.Settings { change(&s); return s }
	for name, c := range map[string]struct {
		settings scm.Settings
		want     scm.Errors
	}{
		"Entra":                    {entra, scm.Errors{}},
		"Entra, tokens only":       {scm.Settings{SCMID: scmurl.AzureDevOpsEntra, Host: "dev.azure.com", PAT: true}, scm.Errors{}},
		"Entra without issuer":     {with(entra, func(s *scm.Settings) { s.IssuerURL = "" }), scm.Errors{OAuth: "issuer URL is required"}},
		"issuer not encrypted":     {with(entra, func(s *scm.Settings) { s.IssuerURL = "http://login.example.com" }), scm.Errors{OAuth: "https"}},
		"issuer that is no URL":    {with(entra, func(s *scm.Settings) { s.IssuerURL = "login.example.com" }), scm.Errors{OAuth: "https"}},
		"issuer with credentials":  {with(entra, func(s *scm.Settings) { s.IssuerURL = "https://me:pw@login.example.com" }), scm.Errors{OAuth: "credentials"}},
		"issuer with a query":      {with(entra, func(s *scm.Settings) { s.IssuerURL += "?x=y" }), scm.Errors{OAuth: "query"}},
		"issuer with a fragment":   {with(entra, func(s *scm.Settings) { s.IssuerURL += "#" }), scm.Errors{OAuth: "fragment"}},
		"Entra with a directory":   {with(entra, func(s *scm.Settings) { s.VirtualDirectory = "/tfs" }), scm.Errors{Host: "azuredevops_server"}},
		"server":                   {server, scm.Errors{}},
		"server at its root":       {with(server, func(s *scm.Settings) { s.VirtualDirectory = "/" }), scm.Errors{}},
		"server without tokens":    {with(server, func(s *scm.Settings) { s.PAT = false }), scm.Errors{PAT: "is required"}},
		"server without directory": {with(server, func(s *scm.Settings) { s.VirtualDirectory = "" }), scm.Errors{Host: "needs a virtual directory"}},
		"server with OAuth":        {with(server, func(s *scm.Settings) { s.OAuthClientID, s.OAuthSecret = "id", true }), scm.Errors{OAuth: "no OAuth"}},
		"server with an issuer":    {with(server, func(s *scm.Settings) { s.IssuerURL = issuer }), scm.Errors{OAuth: "for OAuth"}},
		"directory without slash":  {with(server, func(s *scm.Settings) { s.VirtualDirectory = "tfs" }), scm.Errors{Host: "path such as"}},
		"directory that climbs":    {with(server, func(s *scm.Settings) { s.VirtualDirectory = "/tfs/../x" }), scm.Errors{Host: "path such as"}},
		"server with a path":       {with(server, func(s *scm.Settings) { s.Host += "/tfs" }), scm.Errors{Host: "virtual directory"}},
	} {
		t.Run(name, func(t *testing.T) { compare(t, scm.Check(c.settings), c.want) })
	}
}

func TestHosts(t *testing.T) {
	for host, want := range map[string]string{
		"github.com": "", "GitHub.com": "", "localhost": "", "localhost:3000": "", "10.0.0.1": "", "[::1]": "", "[fd00::1]:8443": "", "git_lab.internal": "",
		"xn--bcher-kva.example": "", "gitlab.example.com/git": "", "gitlab.example.com/a/b": "",
		"": "is required", "https://github.com": "not a URL", "me@github.com": "user name", "https://me:pw@github.com": "not a URL",
		"github.com:": "port", "github.com:0": "port", "github.com:65536": "port", "github.com:080": "port", "github.com:x": "port",
		"github com": "host name", " github.com": "host name", "github.com.": "host name", ".com": "host name", "a..b": "host name", "-a.com": "host name", "a-.com": "host name",
		"bücher.example": "ASCII", "a.com/": "path", "a.com//b": "path", "a.com/../b": "path", "a.com/b?c": "path", "a.com?b": "host name", "a.com#b": "host name",
		"::1": "host name", "[::1": "host name", "[::1]x": "host name", "[fe80::1%eth0]": "host name", "[1.2.3.4]": "host name", "a\x00b": "host name",
		strings.Repeat("a", 64) + ".com": "host name", strings.Repeat("a.", 127) + "com": "253",
	} {
		s := scm.Settings{SCMID: "gitlab", Host: host, PAT: true}
		compare(t, scm.Check(s), scm.Errors{Host: want})
	}
	s := github()
	s.Host = "github.com/acme"
	compare(t, scm.Check(s), scm.Errors{Host: "without a path"})
}

func TestErr(t *testing.T) {
	if err := (scm.Errors{}).Err(); err != nil {
		t.Errorf("no errors: %v", err)
	}
	err := scm.Errors{Host: "is required", PAT: "is required"}.Err()
	if f := fault.From(err); f.Code != fault.InvalidArgument || f.Field != "host" || f.Message != "host: is required" {
		t.Errorf("%+v", f)
	}
}

// No host makes the rules panic, and one that passes cannot leave its place in a
// URL.
func TestAnyHost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := scm.Settings{SCMID: rapid.SampledFrom([]string{"github", "gitlab", scmurl.AzureDevOpsServer}).Draw(t, "kind"), PAT: true, VirtualDirectory: "/"}
		s.Host = rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-zA-Z0-9@:/?#.\[\]\\ _-]{0,20}`)).Draw(t, "host")
		if s.SCMID != scmurl.AzureDevOpsServer {
			s.VirtualDirectory = ""
		}
		if scm.Check(s).Host == "" && strings.ContainsAny(s.Host, "@?#\\ \r\n\t") {
			t.Fatalf("%q passed", s.Host)
		}
	})
}

// compare checks that there are errors where parts of them are wanted, and there
// only.
func compare(t *testing.T, got, want scm.Errors) {
	t.Helper()
	for _, f := range []struct{ name, got, want string }{
		{"scm_id", got.SCMID, want.SCMID}, {"host", got.Host, want.Host}, {"oauth", got.OAuth, want.OAuth}, {"pat", got.PAT, want.PAT},
	} {
		if (f.got == "") != (f.want == "") || !strings.Contains(f.got, f.want) {
			t.Errorf("%s: %q, want %q", f.name, f.got, f.want)
		}
	}
}
