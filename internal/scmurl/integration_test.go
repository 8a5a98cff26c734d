package scmurl_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/scmurl"
)

func TestMatch(t *testing.T) {
	on := func(host string) scmurl.Integration { return scmurl.Integration{SCMID: scmurl.GitLab, Host: host} }
	books := on("xn--bcher-kva.example")
	broken := scmurl.Integration{SCMID: scmurl.GitHub, Host: "-"}
	for _, c := range []struct {
		url  string
		of   []scmurl.Integration
		want string
	}{
		{"https://github.com/o/r", all, "github.com"},
		{"http://GitHub.com:80/o/r", all, "github.com"},
		{"https://www.github.com/o/r", all, "github.com"},
		{"https://github.com/o/r", []scmurl.Integration{on("GitHub.com:443")}, "GitHub.com:443"},
		{"https://github.com/o/r", []scmurl.Integration{on("www.github.com")}, "www.github.com"},
		{"https://github.com.evil.example/o/r", all, ""},
		{"https://github.com@evil.example/o/r", all, ""},
		{"https://evil.example/github.com/o/r", all, ""},
		{"https://agithub.com/o/r", all, ""},
		{"https://github.com:8443/o/r", all, ""},
		{"http://169.254.169.254/latest/meta-data", all, ""},
		{"https://[fd00:ec2::254]/o/r", all, ""},
		{"https://127.0.0.1/o/r", all, ""},
		{"https://127.0.0.1:3000/git/o/r", all, "127.0.0.1:3000/git"},
		{"https://127.0.0.1:3000/gitea/o/r", all, ""},
		{"https://[::1]:3000/o/r", []scmurl.Integration{on("[0:0::1]:3000")}, "[0:0::1]:3000"},
		{"https://xn--bcher-kva.example/o/r", []scmurl.Integration{books}, books.Host},
		{"https://b%C3%BCcher.example/o/r", []scmurl.Integration{books}, books.Host},
		{"https://tfs:8080/tfs/c/p", all, "tfs:8080"},
		{"https://tfs:8080/c/p", all, ""},
		{"https://github.com/o/r", []scmurl.Integration{broken}, ""},
		{"https://github.com/o/r", nil, ""},
		// The longest path counts, to the ends of its segments.
		{"https://dev.azure.com/other/p/_git/r", []scmurl.Integration{acme}, ""},
		{"https://dev.azure.com/acme/p/_git/r", all, "dev.azure.com/acme"},
		{"https://dev.azure.com/ACME/p/_git/r", all, "dev.azure.com/acme"},
		{"https://acme.visualstudio.com/p/_git/r", all, "dev.azure.com/acme"},
		{"https://dev.azure.com/acme2/p/_git/r", all, "dev.azure.com"},
		{"https://dev.azure.com/other/p/_git/r", all, "dev.azure.com"},
		{"https://dev.azure.com/acme/p/_git/r", []scmurl.Integration{{SCMID: scmurl.AzureDevOpsEntra, Host: "acme.visualstudio.com"}}, "acme.visualstudio.com"},
		{"https://h.example/a/b/c", []scmurl.Integration{on("h.example"), on("h.example/a/b"), on("h.example/a")}, "h.example/a/b"},
		{"https://h.example/a/bc/d", []scmurl.Integration{on("h.example"), on("h.example/a/b"), on("h.example/a")}, "h.example/a"},
		{"https://h.example/A/b", []scmurl.Integration{on("h.example/a")}, ""},
		{"https://h.example/a%2Fb/c", []scmurl.Integration{on("h.example/a/b")}, ""},
		// An ssh URL says neither port nor path.
		{"ssh://git@gitlab.example.com:2222/g/p", []scmurl.Integration{portLab}, portLab.Host},
		{"ssh://git@gitlab.example.com:2222/g/p", []scmurl.Integration{portLab, ownLab}, ownLab.Host},
		{"ssh://git@tools.example.com/g/p", all, belowLab.Host},
		{"ssh://git@ssh.dev.azure.com/v3/other/p/r", []scmurl.Integration{acme}, ""},
		{"ssh://git@evil.example/o/r", all, ""},
	} {
		l, err := scmurl.Parse(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
		}
		got, ok := scmurl.Match(l, c.of)
		if got.Host != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q, %v, want %q", c.url, got.Host, ok, c.want)
		}
		// A database that knows the names finds the same.
		lower := slices.DeleteFunc(slices.Clone(c.of), func(i scmurl.Integration) bool { return !slices.Contains(l.Names(), lowerASCII(i.Host)) })
		if again, _ := scmurl.Match(l, lower); !l.SSH && c.url != "https://[::1]:3000/o/r" && again.Host != c.want {
			t.Errorf("%s: by its names %q, want %q", c.url, again.Host, c.want)
		}
	}
}

func lowerASCII(s string) string {
	b := []byte(s)
	for n, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[n] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func TestNames(t *testing.T) {
	for url, want := range map[string][]string{
		"https://Git.example:8443/Ab/c%2Fd/e": {"git.example:8443/ab", "git.example:8443"},
		"https://h.example/%7Euser/r": {
			"h.example/~user/r", "h.example:443/~user/r", "h.example:80/~user/r", "h.example/~user", "h.example:443/~user", "h.example:80/~user",
			"h.example", "h.example:443", "h.example:80",
		},
		"https://h.example:1" + strings.Repeat("/a", 100): {
			"h.example:1/a/a/a/a/a", "h.example:1/a/a/a/a", "h.example:1/a/a/a", "h.example:1/a/a", "h.example:1/a", "h.example:1",
		},
	} {
		l, err := scmurl.Parse(url)
		if d := cmp.Diff(want, l.Names()); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", url, err, d)
		}
	}
}

func TestSameHost(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"github.com", "GitHub.com", true},
		{"github.com", "github.com:443", true},
		{"github.com", "www.github.com", true},
		{"github.com", "github.com:8443", false},
		{"github.com", "gitlab.com", false},
		{"h.example/a", "h.example/a", true},
		{"h.example/a", "h.example/A", false},
		{"h.example/a", "h.example", false},
		{"h.example/a", "h.example/ab", false},
		{"dev.azure.com/acme", "dev.azure.com/Acme", true},
		{"dev.azure.com/acme", "Acme.visualstudio.com", true},
		{"dev.azure.com/acme", "dev.azure.com", false},
		{"[::1]:3000", "[0:0::1]:3000", true},
		{"", "", false},
		{"-", "-", false},
	} {
		if got, back := scmurl.SameHost(c.a, c.b), scmurl.SameHost(c.b, c.a); got != c.same || back != c.same {
			t.Errorf("%q and %q: %v, %v, want %v", c.a, c.b, got, back, c.same)
		}
	}
}

func TestBase(t *testing.T) {
	for want, i := range map[string]scmurl.Integration{
		"https://github.com":                gitHub,
		"https://ghe.example.com:8443":      ghes,
		"https://tools.example.com/git/lab": belowLab,
		"http://stash.corp:7990/bitbucket":  dataHTTP,
		"https://dev.azure.com":             entra,
		"https://dev.azure.com/acme":        acme,
		"https://dev.azure.com/fabrikam":    {SCMID: scmurl.AzureDevOpsEntra, Host: "Fabrikam.visualstudio.com/DefaultCollection"},
		"https://ado.example.com/tfs":       server,
		"https://ado.example.com/tfs/":      {}, // never with a slash at the end
		"https://tfs.example.com":           rootTFS,
		"http://git.corp":                   {SCMID: scmurl.Gitea, Host: "Git.corp:80", Plain: true},
		"http://git.corp:443":               {SCMID: scmurl.Gitea, Host: "git.corp:443", Plain: true},
		"https://git.corp:80":               {SCMID: scmurl.Gitea, Host: "git.corp:80"},
		"https://[::1]:3000/a":              {SCMID: scmurl.Gitea, Host: "[::1]:3000/a/"},
		"https://gitlab.com":                {SCMID: scmurl.GitLab, Host: "www.gitlab.com:443"},
	} {
		if i == (scmurl.Integration{}) {
			if got := i.Base(); got != "" {
				t.Errorf("no host has %q", got)
			}
			continue
		}
		if got := i.Base(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAPIHosts(t *testing.T) {
	const issuer = "https://login.microsoftonline.com/tenant/v2.0"
	for _, c := range []struct {
		i    scmurl.Integration
		want []string
	}{
		{gitHub, []string{"api.github.com"}},
		{scmurl.Integration{SCMID: scmurl.GitHub, Host: "OctoCorp.ghe.com"}, []string{"api.octocorp.ghe.com"}},
		{ghes, nil},
		{scmurl.Integration{SCMID: scmurl.GitHub, Host: "github.com:8443"}, nil},
		{scmurl.Integration{SCMID: scmurl.GitHub, Host: "notghe.com"}, nil},
		{scmurl.Integration{SCMID: scmurl.Gitea, Host: "github.com"}, nil},
		{gitLab, nil},
		{cloud, []string{"api.bitbucket.org"}},
		{data, nil},
		{acme, []string{"app.vssps.visualstudio.com"}},
		{
			scmurl.Integration{SCMID: scmurl.AzureDevOpsEntra, Host: "dev.azure.com", OAuth: true, IssuerURL: issuer},
			[]string{"app.vssps.visualstudio.com", "login.microsoftonline.com"},
		},
		{scmurl.Integration{SCMID: scmurl.AzureDevOpsEntra, Host: "dev.azure.com", IssuerURL: "http://10.0.0.1"}, []string{"app.vssps.visualstudio.com"}},
		{scmurl.Integration{SCMID: scmurl.GitHub, Host: "github.com", IssuerURL: issuer}, []string{"api.github.com"}},
		{server, nil},
		{gitea, nil},
		{scmurl.Integration{SCMID: scmurl.GitHub}, nil},
	} {
		if d := cmp.Diff(c.want, c.i.APIHosts()); d != "" {
			t.Errorf("%+v:\n%s", c.i, d)
		}
	}
}

// signIn is where people sign in.
type signIn struct{ name, create, authorize, token string }

func TestSignIn(t *testing.T) {
	entraOAuth := acme
	entraOAuth.IssuerURL = "https://login.microsoftonline.com/tenant/v2.0"
	entraOld := entra
	entraOld.IssuerURL = "https://login.microsoftonline.com/tenant/oauth2/v2.0/"
	const login = "https://login.microsoftonline.com/tenant/oauth2/v2.0"
	for _, c := range []struct {
		i    scmurl.Integration
		want signIn
	}{
		{gitHub, signIn{
			"GitHub", "https://github.com/settings/tokens/new?description=Muster&scopes=repo,read:org,read:user,user:email",
			"https://github.com/login/oauth/authorize", "https://github.com/login/oauth/access_token",
		}},
		{ghes, signIn{
			"GitHub", "https://ghe.example.com:8443/settings/tokens/new?description=Muster&scopes=repo,read:org,read:user,user:email",
			"https://ghe.example.com:8443/login/oauth/authorize", "https://ghe.example.com:8443/login/oauth/access_token",
		}},
		{belowLab, signIn{
			"GitLab", "https://tools.example.com/git/lab/-/user_settings/personal_access_tokens?name=Muster&scopes=api,read_user,read_repository",
			"https://tools.example.com/git/lab/oauth/authorize", "https://tools.example.com/git/lab/oauth/token",
		}},
		{cloud, signIn{
			"Bitbucket Cloud", "https://id.atlassian.com/manage-profile/security/api-tokens",
			"https://bitbucket.org/site/oauth2/authorize", "https://bitbucket.org/site/oauth2/access_token",
		}},
		{dataHTTP, signIn{
			"Bitbucket Data Center", "http://stash.corp:7990/bitbucket/plugins/servlet/access-tokens/manage",
			"http://stash.corp:7990/bitbucket/rest/oauth2/latest/authorize", "http://stash.corp:7990/bitbucket/rest/oauth2/latest/token",
		}},
		{entraOAuth, signIn{"Azure DevOps", "https://dev.azure.com/acme/_usersSettings/tokens", login + "/authorize", login + "/token"}},
		{entraOld, signIn{"Azure DevOps", "https://dev.azure.com", login + "/authorize", login + "/token"}},
		{server, signIn{"Azure DevOps Server", "https://ado.example.com/tfs/DefaultCollection/_usersSettings/tokens", "", ""}},
		{gitea, signIn{
			"Gitea or Forgejo", "https://gitea.example.com/user/settings/applications",
			"https://gitea.example.com/login/oauth/authorize", "https://gitea.example.com/login/oauth/access_token",
		}},
		{scmurl.Integration{SCMID: "sourcehut", Host: "git.sr.ht"}, signIn{}},
	} {
		i := c.i
		i.PAT, i.OAuth = true, true
		s := i.SignIn()
		got := signIn{name: s.Name}
		if s.PAT != nil {
			got.create = s.PAT.CreateURL
			if s.PAT.DocsURL == "" || s.PAT.Example == "" || len(s.PAT.Scopes) == 0 {
				t.Errorf("%s: %+v", s.Name, s.PAT)
			}
		}
		if s.OAuth != nil {
			got.authorize, got.token = s.OAuth.AuthorizeURL, s.OAuth.TokenURL
			if s.OAuth.DocsURL == "" {
				t.Errorf("%s: %+v", s.Name, s.OAuth)
			}
		}
		if got != c.want {
			t.Errorf("%+v, want %+v", got, c.want)
		}
		i.PAT, i.OAuth = false, false
		if s := i.SignIn(); s.PAT != nil || s.OAuth != nil {
			t.Errorf("%s allows none and has %+v", s.Name, s)
		}
	}
	cloud := cloud
	cloud.OAuth = true
	if o := cloud.SignIn().OAuth; !o.BasicAuth || len(o.Scopes) != 0 {
		t.Errorf("Bitbucket Cloud knows the scopes itself and the client by Basic: %+v", o)
	}
	if o := entraOAuth; !slices.Contains((scmurl.Integration{SCMID: o.SCMID, Host: o.Host, IssuerURL: o.IssuerURL, OAuth: true}).SignIn().OAuth.Scopes, "offline_access") {
		t.Error("Entra gives no refresh token")
	}
}

func TestAddress(t *testing.T) {
	for _, row := range []struct {
		host  string
		plain bool
		want  string // empty when there is none
	}{
		{"git.corp", false, "git.corp:443"},
		{"git.corp", true, "git.corp:80"},
		{"GIT.corp.:8443", false, "git.corp:8443"},
		{"bücher.corp:80", false, "xn--bcher-kva.corp:80"},
		{"10.0.0.1:3000", true, "10.0.0.1:3000"},
		{"[::1]", false, "[::1]:443"},
		{"[0:0::1]:3000", true, "[::1]:3000"},
		{"", false, ""},
		{"git.corp/path", false, ""},
		{"ada:secret@git.corp", false, ""},
		{"git.corp:port", false, ""},
		{"[fe80::1%eth0]", false, ""},
	} {
		got, err := scmurl.Address(row.host, row.plain)
		if got != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%q, plain %v: %q, %v", row.host, row.plain, got, err)
		}
	}
}
