package scm_test

import (
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/musterhq/muster/test/gitea"
	"github.com/musterhq/muster/test/muster"
)

// forge is a lab with a Gitea to which its runner is connected.
type forge struct {
	*lab
	server *gitea.Server
	tap    *tap
	// host is the server's name in an integration.
	host         string
	runner       *runner
	clientID     string
	clientSecret string
}

// newForge starts all that is needed and connects nothing yet.
func newForge(t *testing.T, o muster.ServerOptions, g gitea.Options) *forge {
	t.Helper()
	f := &forge{lab: newLab(t, o)}
	f.server, f.tap = f.gitea(t, g)
	f.host = strings.TrimPrefix(f.server.URL, "http://")
	return f
}

// connect connects the runner to the Gitea, as docs/source-code-hosts.md says.
func (f *forge) connect(t *testing.T) result {
	t.Helper()
	schema := f.admin.muster(t, "runner", "schema", f.runner.name).ok(t).stdout
	callback := f.plane.URL + "/oauth/callback"
	if !strings.Contains(schema, callback) {
		t.Errorf("the schema of the runner does not say %s:\n%s", callback, schema)
	}
	f.clientID, f.clientSecret = f.server.Application(t, callback)
	f.plant("the client secret", f.clientSecret)
	file := filepath.Join(t.TempDir(), "secret.txt")
	write(t, file, f.clientSecret+"\n")
	return f.admin.muster(t, "scm", "create", "--runner", f.runner.name, "--kind", "gitea", "--host", f.host, "--pat",
		"--oauth-client-id", f.clientID, "--oauth-client-secret-file", file).
		says(t, `^Runner "lab" is connected to `+regexp.QuoteMeta(f.host)+`\.$`)
}

var linkForm = `(http://\S+/oauth/begin\?link=\S+)`

// docs/source-code-hosts.md, from its beginning to its end, with a Gitea that
// listens at the loopback address.
func TestGiteaAsTheGuideSays(t *testing.T) {
	t.Parallel()
	f := newForge(t, muster.ServerOptions{}, gitea.Options{})
	defer f.search(t)
	f.runner = f.join(t, "lab")
	grace := f.member(t, "Grace", f.runner)
	heidi := f.member(t, "Heidi", f.runner)
	repo := f.server.URL + "/acme/widgets"
	step := func(name string, do func(t *testing.T)) {
		t.Helper()
		if !t.Run(name, do) {
			t.FailNow() // each builds on those before
		}
	}

	step("nobody is connected", func(t *testing.T) {
		grace.muster(t, "scm", "open", repo).fails(t, "no runner that you can see is connected to")
		grace.muster(t, "host", "login", f.host).fails(t, "no runner that you can see is connected to")
	})
	connected := f.connect(t)
	step("an administrator sees it", func(t *testing.T) {
		if !strings.HasPrefix(connected.stderr, "Warning: the integration is stored, and does not work as it is: "+f.host+": is at a private address") {
			t.Errorf("nobody warns of what does not work: %s", connected.stderr)
		}
		f.admin.muster(t, "scm", "list").says(t, regexp.QuoteMeta(f.host)+` .* gitea +lab +OAuth, PAT`)
		f.admin.muster(t, "scm", "probe", f.host).fails(t, `--private-host `+regexp.QuoteMeta(f.host))
		f.admin.muster(t, "scm", "get", f.host).says(t, `^OAuth client id: +`+f.clientID, `^OAuth secret: +set$`)
	})

	step("a private host is refused until the operator allows it", func(t *testing.T) {
		heidi.musterWith(t, f.server.Tokens[gitea.Bob]+"\n", "host", "login", f.host, "--runner", "lab", "--token-stdin").
			fails(t, `The token is stored`, "reason host-address-not-allowed")
		heidi.muster(t, "scm", "open", f.server.URL+"/alice/pub").fails(t, "reason host-address-not-allowed", `--private-host 127\.0\.0\.1`)
		heidi.muster(t, "host", "logout", f.host).ok(t)
		f.runner.Stop(t)
		f.again(t, f.runner, "MUSTER_PRIVATE_HOSTS="+f.host)
		f.admin.muster(t, "scm", "probe", f.host).fails(t, `speaks http instead of https\..*--private-host http://`)
		f.runner.Stop(t)
		f.again(t, f.runner, private(f.host))
		f.admin.muster(t, "scm", "probe", f.host).says(t, `^Runner "lab" finds nothing wrong with `)
	})

	step("the pages of Gitea that the guide names", func(t *testing.T) {
		page := f.server.Browser(t, gitea.Alice).Open(t, f.server.URL+"/user/settings/applications").HTML
		for _, name := range []string{"Create a new OAuth2 Application", "Confidential Client", "Redirect URI", "Generate New Token"} {
			if !strings.Contains(page, name) {
				t.Errorf("there is no %q", name)
			}
		}
	})
	step("signing in with OAuth", func(t *testing.T) {
		login := grace.start(t, "", "host", "login", f.host)
		link := login.Await(t, linkForm)
		b := f.browser(t)
		page := b.visit(t, "GET", link)
		for _, want := range []string{"Grace (grace@example.com)", "lab", f.host, "Gitea"} {
			if !strings.Contains(string(page.body), want) {
				t.Errorf("the page does not name %q: %s", want, page.body)
			}
		}
		authorize := b.begin(t, link)
		u, err := url.Parse(authorize)
		if err != nil || !strings.HasPrefix(authorize, f.server.URL+"/login/oauth/authorize?") || u.Query().Get("code_challenge_method") != "S256" {
			t.Errorf("the host's page is %s, %v", authorize, err)
		}
		last := b.visit(t, "GET", b.allow(t, f.server.Browser(t, gitea.Alice), authorize))
		if last.status != 200 || !strings.Contains(string(last.body), "You are signed in to "+f.host) {
			t.Errorf("the last page is %d %s", last.status, last.body)
		}
		grace.end(t, login, []string{"host", "login"}).says(t, `^You are signed in to \S+ on runner "lab"\.$`)
		grace.muster(t, "host", "login", f.host).says(t, `^You are signed in to \S+ on runner "lab" already\.$`)
	})

	step("signing in with a personal access token", func(t *testing.T) {
		login := func(token string) result {
			return heidi.musterWith(t, token+"\n", "host", "login", f.host, "--runner", "lab", "--token-stdin")
		}
		f.plant("a wrong token", "0123456789012345678901234567890123456789")
		login("0123456789012345678901234567890123456789").
			fails(t, `^muster: the token is stored, and `+regexp.QuoteMeta(f.host)+` does not accept it`,
				`It must allow: +read:user, read:organization, read:repository, read:issue$`, `Make one at: +`+regexp.QuoteMeta(f.server.URL)+`/user/settings/applications`)
		login(f.server.NarrowToken).ok(t) // which may only say whose it is
		heidi.muster(t, "scm", "open", repo).fails(t, "reason host-refused")
		login(f.server.Tokens[gitea.Bob]).says(t, `^You are signed in to \S+ on runner "lab"\.$`)
	})

	step("an administrator sees who is signed in", func(t *testing.T) {
		f.admin.muster(t, "host-token", "list").says(t, regexp.QuoteMeta(f.host)+` .* OAUTH `, regexp.QuoteMeta(f.host)+` .* PAT `)
		grace.muster(t, "host-token", "list", "--mine").says(t, ` OAUTH +in `)
	})

	step("asking", func(t *testing.T) {
		grace.muster(t, "scm", "open", repo+"/src/branch/feature/login-form").says(t,
			`^Repository: +acme/widgets$`, `^Branch: +feature/login-form$`, `^Commit: +`+f.server.Commits["acme/widgets/feature/login-form"]+`$`,
			`^Host: +`+regexp.QuoteMeta(f.host)+` \(gitea\)$`, `^Clone URL: +`+regexp.QuoteMeta(repo)+`\.git$`, `^Runner: +lab, because no other is connected to `)
		grace.muster(t, "scm", "search", "widg").says(t, `^acme/widgets +`+regexp.QuoteMeta(repo)+`$`)
		grace.muster(t, "scm", "orgs", f.host).says(t, `^acme +`+regexp.QuoteMeta(f.server.URL)+`/acme$`)
		grace.muster(t, "scm", "check", repo).says(t, `^You can read it through runner "lab"\.$`)
		heidi.muster(t, "scm", "search", "widg").says(t, `^Runner "lab" finds no repository like this that you can read\.$`)
		heidi.muster(t, "scm", "orgs", f.host).says(t, `^Your account on \S+ is in no organization like this\.$`)
		if got := heidi.muster(t, "scm", "check", repo).fails(t, `^muster: you cannot read it through runner "lab": `); got.code != 1 {
			t.Errorf("the exit status is %d", got.code)
		}
	})

	step("every URL", func(t *testing.T) { openEveryURL(t, f, grace, heidi) })
	step("every field", func(t *testing.T) { everyField(t, f, grace) })
	step("trying an integration", func(t *testing.T) { tryIntegrations(t, f) })
	step("sign-ins that are refused", func(t *testing.T) { refusedSignIns(t, f) })

	step("signing out", func(t *testing.T) {
		for _, p := range []person{grace, heidi} {
			p.muster(t, "host", "logout", f.host).says(t, `^Runner "lab" has forgotten your credential for `)
			p.muster(t, "scm", "open", repo).fails(t, "reason sign-in-required", `^Sign in: muster host login `)
		}
	})
}
