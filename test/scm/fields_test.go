package scm_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/test/gitea"
)

// everyField looks at the answers of the six RPCs as JSON, the deprecated fields
// included. Grace is Alice at the host; the admin is not signed in.
func everyField(t *testing.T, f *forge, grace person) {
	t.Helper()
	lab, site := f.runner.id, f.server.URL
	class := f.admin.call(t, "RunnerConfigurationService/CreateEnvironmentClass", object{
		"runnerId": lab, "displayName": "Large", "description": "Eight cores",
	}).text("id")
	git := object{
		"cloneUrl": site + "/acme/widgets.git", "branch": "feature/login-form", "commit": f.server.Commits["acme/widgets/feature/login-form"],
		"host": f.host, "owner": "acme", "repo": "widgets",
	}
	change := object{"id": "1", "title": "WIP: login form", "fromBranch": "feature/login-form", "toBranch": "main"}
	full := object{
		"id": "1", "title": "WIP: login form", "fromBranch": "feature/login-form", "toBranch": "main", "headSha": git["commit"],
		"url": site + "/acme/widgets/pulls/1", "author": "alice", "state": "STATE_OPEN", "draft": true,
		"repository": object{"cloneUrl": site + "/acme/widgets.git", "host": f.host, "owner": "acme", "name": "widgets"},
	}
	pull := site + "/acme/widgets/pulls/1"
	for _, body := range []object{
		{"runnerId": lab, "contextUrl": pull},
		{"contextUrl": pull},
		{"contextUrl": strings.Replace(pull, "http://", "http://me:battery-staple@", 1)},
	} {
		grace.ask(t, "RunnerService/ParseContextURL", body).is(t, object{
			"originalContextUrl": pull, "git": git, "pr": change, "pullRequest": full, "scmId": "gitea",
			"projectIds": []any{}, "recommendedEnvironmentClasses": []any{class},
		})
	}
	grace.ask(t, "RunnerService/ParseContextURL", object{"contextUrl": site + "/acme/widgets/issues/2"}).is(t, object{
		"originalContextUrl": site + "/acme/widgets/issues/2", "scmId": "gitea", "issue": object{"id": "2", "title": "Login is slow"},
		"git":        object{"cloneUrl": site + "/acme/widgets.git", "branch": "main", "host": f.host, "owner": "acme", "repo": "widgets"},
		"projectIds": []any{}, "recommendedEnvironmentClasses": []any{class},
	})

	found := func(next string, last int, names ...string) object {
		rows := []any{}
		for _, name := range names {
			rows = append(rows, object{"name": name, "url": site + "/" + name})
		}
		o := object{"repositories": rows, "pagination": object{}}
		if next != "" {
			o["pagination"] = object{"nextToken": next}
		}
		if last > 0 {
			o["lastPage"] = last
		}
		return o
	}
	search := func(body object) reply {
		body["runnerId"] = lab
		return grace.ask(t, "RunnerService/SearchRepositories", body)
	}
	search(object{"searchString": "pub"}).is(t, found("", 1, "alice/pub", "bob/pub"))
	search(object{"searchString": "pub", "scmHost": f.host, "limit": 1}).is(t, found("2/2/2", 2, "alice/pub"))
	search(object{"searchString": "pub", "pagination": object{"pageSize": 1, "token": "2/2/2"}}).is(t, found("", 2, "bob/pub"))
	search(object{"searchString": "pub", "searchMode": "SEARCH_MODE_NATIVE"}).is(t, found("", 1, "alice/pub", "bob/pub"))
	search(object{"searchString": "pub", "pagination": object{"pageSize": 101}}).failed(t, "invalid_argument", "invalid-field")
	for _, token := range []string{"x", "0/1/1", "2/2", "2/2/2/2", "-1/-1/-1", "1e3/1/1", "99999999999999999999/1/1"} {
		search(object{"searchString": "pub", "pagination": object{"token": token}}).failed(t, "invalid_argument", "invalid-page-token")
	}

	orgs := object{"runnerId": lab, "scmHost": f.host}
	grace.ask(t, "RunnerService/ListSCMOrganizations", orgs).is(t, object{
		"organizations": []any{object{"name": "acme", "url": site + "/acme"}}, "pagination": object{},
	})

	signedIn := grace.ask(t, "RunnerService/CheckAuthenticationForHost", object{"runnerId": lab, "host": f.host})
	link := signedIn.text("authenticationUrl")
	if !strings.HasPrefix(link, f.plane.URL+"/oauth/begin?link=") {
		t.Errorf("people sign in at %s", link)
	}
	want := object{
		"authenticated": true, "scmId": "gitea", "scmName": "Gitea or Forgejo",
		"authenticationUrl": link, "supportsOauth2": object{"authUrl": link, "docsUrl": "https://docs.gitea.com/development/oauth2-provider"},
		"patSupported": true, "supportsPat": object{
			"createUrl": site + "/user/settings/applications", "docsUrl": "https://docs.gitea.com/development/api-usage",
			"example": strings.Repeat("x", 40), "requiredScopes": []any{"read:user", "read:organization", "read:repository", "read:issue"},
		},
	}
	signedIn.is(t, want)
	stranger := f.admin.ask(t, "RunnerService/CheckAuthenticationForHost", object{"runnerId": lab, "host": f.host})
	delete(want, "authenticated")
	want["authenticationUrl"] = stranger.text("authenticationUrl")
	want["supportsOauth2"].(object)["authUrl"] = stranger.text("authenticationUrl")
	stranger.is(t, want)

	check := func(p person, repo string) reply {
		return p.ask(t, "RunnerService/CheckRepositoryAccess", object{"runnerId": lab, "repositoryUrl": site + repo})
	}
	check(grace, "/acme/widgets").is(t, object{"hasAccess": true})
	check(grace, "/acme/nope").is(t, object{"errorMessage": f.host + " has no repository acme/nope, or does not show it to you."})
	check(f.admin, "/alice/pub").is(t, object{"hasAccess": true})
	check(grace, "/user/settings").failed(t, "invalid_argument", "invalid-field")

	// Who is not signed in hears from every question where to do that.
	byHost := object{"runnerId": lab, "scmHost": f.host, "searchString": "x"}
	for name, tt := range map[string]struct {
		reply   reply
		runners []string
	}{
		"without a runner": {f.admin.ask(t, "RunnerService/ParseContextURL", object{"contextUrl": pull}), []string{lab}},
		"with a runner":    {f.admin.ask(t, "RunnerService/ParseContextURL", object{"runnerId": lab, "contextUrl": pull}), nil},
		"a search":         {f.admin.ask(t, "RunnerService/SearchRepositories", byHost), nil},
		"organizations":    {f.admin.ask(t, "RunnerService/ListSCMOrganizations", orgs), nil},
		"a repository":     {check(f.admin, "/acme/widgets"), nil},
	} {
		got := tt.reply.failed(t, "failed_precondition", "sign-in-required").signIn
		if !strings.HasPrefix(got.GetAuthenticationRequiredUrl(), f.plane.URL+"/oauth/begin?link=") {
			t.Errorf("%s: people sign in at %s", name, got.GetAuthenticationRequiredUrl())
			continue
		}
		got.AuthenticationRequiredUrl = ""
		if d := cmp.Diff(&gitpodv1.ParseContextURLPreconditionFailureDetails{ScmId: "gitea", RunnerIds: tt.runners}, got, protocmp.Transform()); d != "" || tt.reply.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, tt.reply.status, d)
		}
	}
	nowhere := grace.ask(t, "RunnerService/ParseContextURL", object{"contextUrl": "https://elsewhere.example.com/a/b"}).failed(t, "failed_precondition", "host-not-configured").signIn
	if d := cmp.Diff(&gitpodv1.ParseContextURLPreconditionFailureDetails{}, nowhere, protocmp.Transform()); d != "" {
		t.Error(d)
	}
	for _, wrong := range []string{"", "not a url", "ftp://" + f.host + "/a/b", "https://", strings.Repeat("x", 5000)} {
		grace.ask(t, "RunnerService/ParseContextURL", object{"runnerId": lab, "contextUrl": wrong}).failed(t, "invalid_argument", "invalid-field")
	}
}

// tryIntegrations looks at what is found wrong with an integration by trying it.
func tryIntegrations(t *testing.T, f *forge) {
	t.Helper()
	f.plant("a wrong client secret", "wrong-horse-battery-staple")
	stored := f.admin.call(t, "RunnerConfigurationService/ListSCMIntegrations", object{}).at("integrations", "0").(object)
	sealed := stored["oauth"].(object)["encryptedClientSecret"]
	fine := object{"scmId": "gitea", "host": f.host, "pat": true, "oauthClientId": f.clientID, "oauthPlaintextClientSecret": f.clientSecret}
	const refused = "is not accepted by the host: its client id or client secret is wrong"
	for name, tt := range map[string]struct {
		change object
		want   object
	}{
		"as it is":               {nil, object{"valid": true}},
		"with the stored secret": {object{"id": stored["id"], "oauthPlaintextClientSecret": nil, "oauthEncryptedClientSecret": sealed}, object{"valid": true}},
		"without OAuth":          {object{"oauthClientId": nil, "oauthPlaintextClientSecret": nil}, object{"valid": true}},
		"another kind":           {object{"scmId": "gitlab"}, object{"hostError": "does not answer like GitLab; check its address and its kind"}},
		"a wrong secret":         {object{"oauthPlaintextClientSecret": "wrong-horse-battery-staple"}, object{"oauthError": refused}},
		"a wrong client":         {object{"oauthClientId": "00000000-0000-0000-0000-000000000000"}, object{"oauthError": refused}},
		"an address that the runner may not call": {
			object{"host": "127.0.0.1:1"},
			object{"hostError": "is at a private address, which this runner may not call. Whoever runs the runner can allow it: muster join (or muster dev) --private-host 127.0.0.1:1, or http://127.0.0.1:1 when it speaks http"},
		},
	} {
		integration := object{}
		for _, o := range []object{fine, tt.change} {
			for k, v := range o {
				if integration[k] = v; v == nil {
					delete(integration, k)
				}
			}
		}
		t.Run(name, func(t *testing.T) {
			f.admin.ask(t, "RunnerConfigurationService/ValidateRunnerConfiguration", object{"runnerId": f.runner.id, "scmIntegration": integration}).
				is(t, object{"scmIntegration": tt.want})
		})
	}
}

// refusedSignIns are those that must not work.
func refusedSignIns(t *testing.T, f *forge) {
	t.Helper()
	at := f.server.Browser(t, gitea.Carol)
	linkOf := func(t *testing.T, p person) string {
		t.Helper()
		return p.call(t, "RunnerService/CheckAuthenticationForHost", object{"runnerId": f.runner.id, "host": f.host}).text("supportsOauth2", "authUrl")
	}
	signedIn := func(t *testing.T, p person) bool {
		t.Helper()
		return p.call(t, "RunnerService/CheckAuthenticationForHost", object{"runnerId": f.runner.id, "host": f.host}).at("authenticated") == true
	}
	refused := func(t *testing.T, page reply, status int, says string) {
		t.Helper()
		if body := string(page.body); page.status != status || !strings.Contains(body, "You are not signed in") || !strings.Contains(body, says) {
			t.Errorf("the page is %d, want %d with %q: %s", page.status, status, says, body)
		}
	}
	ivan := f.member(t, "Ivan", f.runner)

	t.Run("in another browser", func(t *testing.T) {
		b := f.browser(t)
		back := b.allow(t, at, b.begin(t, linkOf(t, ivan)))
		refused(t, f.browser(t).visit(t, "GET", back), http.StatusBadRequest, "No sign-in that began in this browser")
		other := f.browser(t)
		other.begin(t, linkOf(t, ivan)) // which has a cookie of its own
		refused(t, other.visit(t, "GET", back), http.StatusBadRequest, "No sign-in that began in this browser")
		if signedIn(t, ivan) {
			t.Error("another browser has finished a sign-in")
		}
		if page := b.visit(t, "GET", back); page.status != http.StatusOK || !signedIn(t, ivan) {
			t.Errorf("then the right one: %d %s", page.status, page.body)
		}
		refused(t, b.visit(t, "GET", back), http.StatusBadRequest, "does not know this sign-in")
		ivan.muster(t, "host", "logout", f.host).ok(t)
	})
	t.Run("the control plane is restarted in between", func(t *testing.T) {
		b := f.browser(t)
		link := linkOf(t, ivan)
		f.restart(t)
		authorize := b.begin(t, link)
		f.restart(t)
		if page := b.visit(t, "GET", b.allow(t, at, authorize)); page.status != http.StatusOK || !signedIn(t, ivan) {
			t.Errorf("the last page is %d %s", page.status, page.body)
		}
		ivan.muster(t, "host", "logout", f.host).ok(t)
	})
	t.Run("the host refuses", func(t *testing.T) {
		b := f.browser(t)
		state := query(t, b.begin(t, linkOf(t, ivan))).Get("state")
		page := b.visit(t, "GET", f.plane.URL+"/oauth/callback?error=access_denied&error_description=%3Cb%3Epwned&state="+state)
		refused(t, page, http.StatusForbidden, "did not allow it")
		if strings.Contains(string(page.body), "pwned") {
			t.Errorf("the page shows what the URL says: %s", page.body)
		}
		f.plant("a code that was made up", "made-up-horse-battery-staple")
		refused(t, b.visit(t, "GET", f.plane.URL+"/oauth/callback?code=made-up-horse-battery-staple&state="+state), http.StatusBadRequest, "Start it again")
	})
	t.Run("a link that is none", func(t *testing.T) {
		link := linkOf(t, ivan)
		for _, wrong := range []string{link[:len(link)-3], link + "A", f.plane.URL + "/oauth/begin", f.plane.URL + "/oauth/begin?link=x"} {
			refused(t, f.browser(t).visit(t, "GET", wrong), http.StatusBadRequest, "This link to sign in is not complete")
			refused(t, f.browser(t).visit(t, "POST", wrong), http.StatusBadRequest, "This link to sign in is not complete")
		}
	})
	t.Run("sent by another site", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, linkOf(t, ivan), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", "https://evil.example")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		b := f.browser(t)
		refused(t, b.do(t, b.client, req), http.StatusForbidden, "Another site sent your browser here")
	})
	t.Run("of somebody who may no longer", func(t *testing.T) {
		b, link := f.browser(t), linkOf(t, ivan)
		back := b.allow(t, at, b.begin(t, link))
		gone := func(status int, says string) {
			t.Helper()
			refused(t, b.visit(t, "GET", link), status, says)
			refused(t, b.visit(t, "POST", link), status, says)
			refused(t, b.visit(t, "GET", back), status, says)
		}
		f.admin.muster(t, "policy", "remove", f.runner.name, "users of Ivan", "--yes").ok(t)
		gone(http.StatusNotFound, "no runner")
		f.admin.muster(t, "policy", "set", f.runner.name, "users of Ivan").ok(t)
		f.admin.muster(t, "member", "suspend", "Ivan").ok(t)
		gone(http.StatusForbidden, "is not active in this organization")
		f.admin.muster(t, "member", "resume", "Ivan").ok(t)
		if b.visit(t, "GET", link).status != http.StatusOK {
			t.Error("after the suspension the link does not work")
		}
		f.admin.muster(t, "member", "remove", "Ivan", "--yes").ok(t)
		gone(http.StatusForbidden, "is not active in this organization")
		if got := f.admin.muster(t, "host-token", "list", "-o", "json").ok(t).stdout; strings.Count(got, `"host": `) != 2 {
			t.Errorf("there are other credentials than Grace's and Heidi's: %s", got)
		}
	})
}
