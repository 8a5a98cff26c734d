package scmhost

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// The OAuth application of the tests, and what goes in and out of token endpoints.
var application = Client{ID: "the-client", Secret: "the-client-secret"}

const (
	redirectURL = "https://muster.example.com/oauth/callback"
	theCode     = "the-code"
	theToken    = "the-token"
	oldRefresh  = "the-old-refresh-token"
	newRefresh  = "the-new-refresh-token"
	tenant      = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555"
)

// vendor is a kind of host and how it speaks OAuth.
type vendor struct {
	name      string
	host      scmurl.Integration
	authorize string
	// token is the URL of its token endpoint.
	token string
	scope string
	// basic says that the client authenticates with a header.
	basic bool
	// answer is what it gives, in JSON unless it begins with "access_token=".
	answer string
	want   Grant // without the expiry
	// lives is how long the token lives; zero for ever.
	lives time.Duration
	// refusals are what it says of a bad code, a bad refresh token or a bad client.
	refusals []refused
}

type refused struct {
	status int
	body   string
	want   refusal
}

func vendors() []vendor {
	grant := Grant{Token: theToken, RefreshToken: newRefresh}
	with := func(scopes ...string) Grant { g := grant; g.Scopes = scopes; return g }
	entra := func(issuer string) scmurl.Integration {
		return scmurl.Integration{SCMID: scmurl.AzureDevOpsEntra, Host: "dev.azure.com/acme", IssuerURL: issuer, OAuth: true}
	}
	const azureScope = "499b84ac-1321-427f-aa17-267ca6975798/.default offline_access"
	azureAnswer := `{"token_type":"Bearer","scope":"499b84ac-1321-427f-aa17-267ca6975798/.default","expires_in":3599,"ext_expires_in":3599,` +
		`"access_token":"the-token","refresh_token":"the-new-refresh-token"}`
	azureRefusals := []refused{
		{400, `{"error":"invalid_grant","error_description":"AADSTS70008: The provided authorization code or refresh token has expired.","error_codes":[70008]}`, grantRefused},
		{400, `{"error":"interaction_required","error_description":"AADSTS50076: multi-factor authentication","suberror":"basic_action"}`, grantRefused},
		{401, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.","error_codes":[7000215]}`, clientRefused},
		{400, `{"error":"unauthorized_client","error_description":"AADSTS700016: Application was not found in the directory.","error_codes":[700016]}`, clientRefused},
		{400, `{"error":"invalid_request","error_description":"AADSTS9002313: Invalid request."}`, requestRefused},
		{400, `{"error":"invalid_scope","error_description":"AADSTS70011: The provided value for the input parameter 'scope' is not valid."}`, requestRefused},
	}
	return []vendor{
		{
			name: "GitHub", host: scmurl.Integration{SCMID: scmurl.GitHub, Host: "github.com", OAuth: true},
			authorize: "https://github.com/login/oauth/authorize", token: "https://github.com/login/oauth/access_token",
			scope:  "repo read:org read:user user:email",
			answer: "access_token=the-token&expires_in=28800&refresh_token=the-new-refresh-token&refresh_token_expires_in=15897600&scope=repo%2Cread%3Aorg&token_type=bearer",
			want:   with("repo", "read:org"), lives: 8 * time.Hour,
			refusals: []refused{
				{200, "error=bad_verification_code&error_description=The+code+passed+is+incorrect+or+expired.", grantRefused},
				{200, "error=bad_refresh_token&error_description=The+refresh+token+passed+is+incorrect+or+expired.", grantRefused},
				{200, "error=incorrect_client_credentials&error_description=The+client_id+and%2For+client_secret+passed+are+incorrect.", clientRefused},
				{200, `{"error":"bad_verification_code"}`, grantRefused},
				{404, `{"error":"Not Found"}`, clientRefused},
				{404, "<html>404</html>", clientRefused},
				{200, "error=redirect_uri_mismatch", requestRefused},
			},
		},
		{
			name: "GitHub Enterprise Server", host: scmurl.Integration{SCMID: scmurl.GitHub, Host: "ghe.example.com:8443", OAuth: true},
			authorize: "https://ghe.example.com:8443/login/oauth/authorize", token: "https://ghe.example.com:8443/login/oauth/access_token",
			scope:  "repo read:org read:user user:email",
			answer: `{"access_token":"the-token","scope":"repo,gist","token_type":"bearer"}`,
			want:   Grant{Token: theToken, Scopes: []string{"repo", "gist"}},
		},
		{
			name: "GitLab", host: scmurl.Integration{SCMID: scmurl.GitLab, Host: "gitlab.example.com/git", OAuth: true},
			authorize: "https://gitlab.example.com/git/oauth/authorize", token: "https://gitlab.example.com/git/oauth/token",
			scope:  "api read_user read_repository",
			answer: `{"access_token":"the-token","token_type":"Bearer","expires_in":7200,"refresh_token":"the-new-refresh-token","scope":"api read_user","created_at":1795000000}`,
			want:   with("api", "read_user"), lives: 2 * time.Hour,
			refusals: []refused{
				{400, `{"error":"invalid_grant","error_description":"The provided authorization grant is invalid, expired, revoked"}`, grantRefused},
				{401, `{"error":"invalid_client","error_description":"Client authentication failed due to unknown client"}`, clientRefused},
				{400, `{"error":"invalid_request","error_description":"Missing required parameter: redirect_uri."}`, requestRefused},
			},
		},
		{
			name: "GitLab that does not say when", host: scmurl.Integration{SCMID: scmurl.GitLab, Host: "gitlab.com", OAuth: true},
			authorize: "https://gitlab.com/oauth/authorize", token: "https://gitlab.com/oauth/token", scope: "api read_user read_repository",
			answer: `{"access_token":"the-token","token_type":"Bearer","refresh_token":"the-new-refresh-token"}`, want: grant, lives: 2 * time.Hour,
		},
		{
			name: "Bitbucket", host: scmurl.Integration{SCMID: scmurl.Bitbucket, Host: "bitbucket.org", OAuth: true}, basic: true,
			authorize: "https://bitbucket.org/site/oauth2/authorize", token: "https://bitbucket.org/site/oauth2/access_token",
			answer: `{"scopes":"pullrequest account","access_token":"the-token","expires_in":7200,"token_type":"bearer","state":"authorization_code","refresh_token":"the-new-refresh-token"}`,
			want:   with("pullrequest", "account"), lives: 2 * time.Hour,
			refusals: []refused{
				{400, `{"error_description":"The specified code is not valid.","error":"invalid_grant"}`, grantRefused},
				{400, `{"error_description":"Invalid OAuth client credentials","error":"unauthorized_client"}`, clientRefused},
				{400, `{"error_description":"No scopes","error":"invalid_scope"}`, requestRefused},
			},
		},
		{
			name: "Bitbucket that keeps the refresh token", host: scmurl.Integration{SCMID: scmurl.Bitbucket, Host: "bitbucket.org", OAuth: true}, basic: true,
			authorize: "https://bitbucket.org/site/oauth2/authorize", token: "https://bitbucket.org/site/oauth2/access_token",
			answer: `{"access_token":"the-token","expires_in":60,"token_type":"bearer"}`, want: Grant{Token: theToken}, lives: time.Minute,
		},
		{
			name: "Bitbucket Data Center", host: scmurl.Integration{SCMID: scmurl.BitbucketServer, Host: "bitbucket.example.com", OAuth: true},
			authorize: "https://bitbucket.example.com/rest/oauth2/latest/authorize", token: "https://bitbucket.example.com/rest/oauth2/latest/token",
			scope:  "PUBLIC_REPOS REPO_READ REPO_WRITE",
			answer: `{"access_token":"the-token","refresh_token":"the-new-refresh-token","scope":"REPO_READ","created_at":1795000000,"token_type":"bearer","expires_in":"7199"}`,
			want:   with("REPO_READ"), lives: 7199 * time.Second,
			refusals: []refused{
				{400, `{"error":"invalid_grant","error_description":"Refresh token is invalid"}`, grantRefused},
				{400, `{"error":"invalid_client","error_description":"Invalid client"}`, clientRefused},
				{401, "", clientRefused},
			},
		},
		{
			name: "Entra", host: entra(tenant + "/v2.0"), scope: azureScope,
			authorize: tenant + "/oauth2/v2.0/authorize", token: tenant + "/oauth2/v2.0/token",
			answer: azureAnswer, want: with("499b84ac-1321-427f-aa17-267ca6975798/.default"), lives: 3599 * time.Second, refusals: azureRefusals,
		},
		{
			name: "Entra, by the issuer's other name", host: entra("https://login.partner.microsoftonline.cn/x/oauth2/v2.0/"), scope: azureScope,
			authorize: "https://login.partner.microsoftonline.cn/x/oauth2/v2.0/authorize", token: "https://login.partner.microsoftonline.cn/x/oauth2/v2.0/token",
			answer: azureAnswer, want: with("499b84ac-1321-427f-aa17-267ca6975798/.default"), lives: 3599 * time.Second,
		},
		{
			name: "Entra of a government", host: entra("https://login.microsoftonline.us/x/v2.0"), scope: azureScope,
			authorize: "https://login.microsoftonline.us/x/oauth2/v2.0/authorize", token: "https://login.microsoftonline.us/x/oauth2/v2.0/token",
			answer: azureAnswer, want: with("499b84ac-1321-427f-aa17-267ca6975798/.default"), lives: 3599 * time.Second,
		},
		{
			name: "an issuer of the operator's", host: entra("https://sso.example.com/x/v2.0"), scope: azureScope,
			authorize: "https://sso.example.com/x/oauth2/v2.0/authorize", token: "https://sso.example.com/x/oauth2/v2.0/token",
			answer: azureAnswer, want: with("499b84ac-1321-427f-aa17-267ca6975798/.default"), lives: 3599 * time.Second,
		},
		{
			name: "Gitea", host: scmurl.Integration{SCMID: scmurl.Gitea, Host: "git.example.com", OAuth: true},
			authorize: "https://git.example.com/login/oauth/authorize", token: "https://git.example.com/login/oauth/access_token",
			scope:  "read:user read:organization write:repository read:issue",
			answer: `{"access_token":"the-token","token_type":"bearer","expires_in":3600,"refresh_token":"the-new-refresh-token"}`, want: grant, lives: time.Hour,
			refusals: []refused{
				{400, `{"error":"unauthorized_client","error_description":"client is not authorized"}`, grantRefused},
				{400, `{"error":"unauthorized_client","error_description":"token was already used"}`, grantRefused},
				{400, `{"error":"invalid_grant","error_description":"grant does not exist"}`, grantRefused},
				{400, `{"error":"unauthorized_client","error_description":"invalid client secret"}`, clientRefused},
				{400, `{"error":"invalid_client","error_description":"cannot load client with client id: 'x'"}`, clientRefused},
			},
		},
	}
}

// endpoint is the token endpoint of a vendor.
type endpoint struct {
	*fakehost.Server
	hosts *Hosts

	mu     sync.Mutex
	status int
	body   string
}

func newEndpoint(t *testing.T, v vendor) *endpoint {
	t.Helper()
	u, err := url.Parse(v.token)
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{Server: fakehost.NewNamed(t, u.Hostname()), status: http.StatusOK, body: v.answer}
	e.Handle("POST "+u.Path, func(w http.ResponseWriter, _ *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		if !strings.HasPrefix(e.body, "{") {
			w.Header().Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		}
		w.WriteHeader(e.status)
		_, _ = io.WriteString(w, e.body)
	})
	e.hosts, err = New(Config{Issuers: []string{"sso.example.com"}, CAs: fakehost.Trust(e.Server), Dial: fakehost.Network(e.Server)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.hosts.Close)
	return e
}

func (e *endpoint) answer(status int, body string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status, e.body = status, body
}

// asked is the form of the only call that came, after a look at how the client
// authenticated.
func (e *endpoint) asked(t *testing.T, v vendor) url.Values {
	t.Helper()
	calls := e.TakeCalls()
	if len(calls) != 1 {
		t.Fatalf("%d calls came, not one: %s", len(calls), urls(calls))
	}
	form, err := url.ParseQuery(string(calls[0].Body))
	if err != nil {
		t.Fatal(err)
	}
	id, secret, basic := (&http.Request{Header: calls[0].Header}).BasicAuth()
	if !basic {
		id, secret = form.Get("client_id"), form.Get("client_secret")
	}
	if basic != v.basic || id != application.ID || secret != application.Secret || basic && form.Has("client_secret") {
		t.Errorf("the client is %q, %q, in a header: %v", id, secret, basic)
	}
	return form
}

// sameGrant compares grants; of the time when they expire, how long that is.
func sameGrant(t *testing.T, v vendor, want, got Grant) {
	t.Helper()
	if (v.lives == 0) != got.ExpiresAt.IsZero() {
		t.Errorf("it expires at %s; it lives for %s", got.ExpiresAt, v.lives)
	}
	if v.lives != 0 {
		margin := min(30*time.Second, v.lives/10)
		if early := v.lives - time.Until(got.ExpiresAt); early < margin-time.Second || early > margin+10*time.Second {
			t.Errorf("it is to expire %s early, not %s", early, margin)
		}
	}
	got.ExpiresAt = time.Time{}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestSignInOfEveryVendor(t *testing.T) {
	for _, v := range vendors() {
		t.Run(v.name, func(t *testing.T) {
			e := newEndpoint(t, v)
			to, err := e.hosts.BeginSignIn(v.host, application, "a state", redirectURL, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			page, query, _ := strings.Cut(to, "?")
			q, err := url.ParseQuery(query)
			if err != nil || page != v.authorize {
				t.Errorf("people sign in at %s, %v", page, err)
			}
			challenge := q.Get("code_challenge")
			q.Del("code_challenge")
			want := url.Values{
				"client_id": {application.ID}, "redirect_uri": {redirectURL}, "response_type": {"code"}, "state": {"a state"},
				"code_challenge_method": {"S256"},
			}
			if v.scope != "" {
				want.Set("scope", v.scope)
			}
			if d := cmp.Diff(want, q); d != "" {
				t.Error(d)
			}
			if calls := e.TakeCalls(); len(calls) > 0 {
				t.Errorf("to begin took calls: %s", urls(calls))
			}

			got, err := e.hosts.FinishSignIn(t.Context(), v.host, application, "a state", redirectURL, theCode)
			if err != nil {
				t.Fatal(err)
			}
			sameGrant(t, v, v.want, got)
			form := e.asked(t, v)
			hash := sha256.Sum256([]byte(form.Get("code_verifier")))
			if form.Get("grant_type") != "authorization_code" || form.Get("code") != theCode || form.Get("redirect_uri") != redirectURL ||
				base64.RawURLEncoding.EncodeToString(hash[:]) != challenge {
				t.Errorf("the code was exchanged with %v", form)
			}

			got, err = e.hosts.Refresh(t.Context(), v.host, application, oldRefresh)
			if err != nil {
				t.Fatal(err)
			}
			again := v.want
			if again.RefreshToken == "" {
				again.RefreshToken = oldRefresh
			}
			sameGrant(t, v, again, got)
			if form := e.asked(t, v); form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != oldRefresh {
				t.Errorf("the token was refreshed with %v", form)
			}
		})
	}
}

func TestRefusalsOfEveryVendor(t *testing.T) {
	for _, v := range vendors() {
		for _, r := range v.refusals {
			t.Run(v.name+" "+r.body, func(t *testing.T) {
				e := newEndpoint(t, v)
				e.answer(r.status, r.body)
				_, err := e.hosts.Refresh(t.Context(), v.host, application, oldRefresh)
				wantReason := fault.SignInFailed
				if r.want == grantRefused {
					wantReason = fault.SignInRequired
				}
				if !fault.HasReason(err, wantReason) || !fault.Is(err, fault.FailedPrecondition) || errors.Is(err, ErrRevoked) != (r.want == grantRefused) {
					t.Errorf("refreshing: %v; revoked %v", err, errors.Is(err, ErrRevoked))
				}
				tellsNothing(t, err)
				if _, err = e.hosts.BeginSignIn(v.host, application, "a state", redirectURL, time.Minute); err != nil {
					t.Fatal(err)
				}
				_, err = e.hosts.FinishSignIn(t.Context(), v.host, application, "a state", redirectURL, theCode)
				if !fault.HasReason(err, fault.SignInFailed) || errors.Is(err, ErrRevoked) {
					t.Errorf("signing in: %v", err)
				}
				if aboutClient := strings.Contains(err.Error(), "client id or client secret"); aboutClient != (r.want == clientRefused) {
					t.Errorf("it is the wrong thing that is refused: %v", err)
				}
				tellsNothing(t, err)
				p, err := e.hosts.Probe(t.Context(), v.host, application)
				if err != nil || p.Host == "" && (p.OAuth != "") != (r.want == clientRefused) {
					t.Errorf("probing: %+v, %v", p, err)
				}
			})
		}
	}
}

// tellsNothing checks that an error has nothing of what went to the host.
func tellsNothing(t *testing.T, err error) {
	t.Helper()
	all := fmt.Sprintf("%v %+v %#v", err, err, err)
	for _, secret := range []string{application.Secret, theCode, oldRefresh, newRefresh, theToken} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is in %s", secret, all)
		}
	}
}

// A host that is broken has not revoked anything.
func TestTokenEndpointsThatBreak(t *testing.T) {
	for what, want := range map[fakehost.Fault]error{
		fakehost.Forbidden: wantRefused, fakehost.Limited: wantLimited, fakehost.Failing: wantGone, fakehost.Huge: wantGone,
		fakehost.Garbage: wantGone, fakehost.SignInPage: wantGone, fakehost.Elsewhere: wantGone, fakehost.Slow: wantLate,
	} {
		t.Run(strconv.Itoa(int(what)), func(t *testing.T) {
			v := vendors()[2]
			e := newEndpoint(t, v)
			e.Break(nil, what)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if what == fakehost.Slow {
				ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			}
			defer cancel()
			_, err := e.hosts.Refresh(ctx, v.host, application, oldRefresh)
			if !sameFault(err, want) || errors.Is(err, ErrRevoked) {
				t.Errorf("the error is %v, not %v", err, want)
			}
			tellsNothing(t, err)
			if calls := e.TakeCalls(); len(calls) != 1 {
				t.Errorf("the refresh token was sent %d times", len(calls))
			}
		})
	}
	v := vendors()[2]
	e := newEndpoint(t, v)
	e.Break(nil, fakehost.NotFound)
	if _, err := e.hosts.Refresh(t.Context(), v.host, application, oldRefresh); !sameFault(err, wantGone) {
		t.Errorf("a missing token endpoint: %v", err)
	}
	e.Mend()
	for _, body := range []string{`{"token_type":"bearer"}`, `{"access_token":""}`, `{"access_token":7}`, `[]`, `{`} {
		e.answer(http.StatusOK, body)
		if _, err := e.hosts.Refresh(t.Context(), v.host, application, oldRefresh); !sameFault(err, wantGone) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// Neither people nor secrets go to an issuer that the operator did not allow.
func TestIssuersThatAreNotAllowed(t *testing.T) {
	for _, issuer := range []string{
		"https://login.example.com/x/v2.0", "https://login.microsoftonline.com.example.com/x/v2.0", "https://login.microsoftonline.com:8443/x/v2.0",
		"https://169.254.169.254/x/v2.0",
	} {
		v := vendors()[7]
		v.host.IssuerURL, v.token = issuer, strings.TrimSuffix(issuer, "/v2.0")+"/oauth2/v2.0/token"
		e := newEndpoint(t, v)
		to, err := e.hosts.BeginSignIn(v.host, application, "a state", redirectURL, time.Minute)
		if !fault.HasReason(err, fault.HostNotAllowed) || to != "" {
			t.Errorf("%s: people are sent to %q, %v", issuer, to, err)
		}
		if _, err := e.hosts.Refresh(t.Context(), v.host, application, oldRefresh); !fault.HasReason(err, fault.HostNotAllowed) {
			t.Errorf("%s: a token is refreshed: %v", issuer, err)
		}
		if calls := e.TakeCalls(); len(calls) > 0 {
			t.Errorf("%s was called: %s", issuer, urls(calls))
		}
	}
}

// What Entra gives is good for all of Azure DevOps, and so for no other host.
func TestEntraIsForAzureDevOpsOnly(t *testing.T) {
	v := vendors()[7]
	e := newEndpoint(t, v)
	v.host.Host = "git.example.com"
	if to, err := e.hosts.BeginSignIn(v.host, application, "a state", redirectURL, time.Minute); !fault.HasReason(err, fault.HostNotAllowed) || to != "" {
		t.Errorf("people are sent to %q, %v", to, err)
	}
	if _, err := e.hosts.Refresh(t.Context(), v.host, application, oldRefresh); !fault.HasReason(err, fault.HostNotAllowed) {
		t.Errorf("a token is refreshed: %v", err)
	}
	if calls := e.TakeCalls(); len(calls) > 0 {
		t.Errorf("called: %s", urls(calls))
	}
}

func TestTokensAndScopesOfAnyLength(t *testing.T) {
	v := vendors()[2]
	e := newEndpoint(t, v)
	long := strings.Repeat("x", maxToken+1)
	for _, body := range []string{`{"access_token":"` + long + `"}`, `{"access_token":"a","refresh_token":"` + long + `"}`} {
		e.answer(http.StatusOK, body)
		if _, err := e.hosts.Refresh(t.Context(), v.host, application, oldRefresh); !sameFault(err, wantGone) || !strings.Contains(err.Error(), "too long") {
			t.Errorf("%.80s: %v", body, err)
		}
	}
	e.answer(http.StatusOK, `{"access_token":"a","scope":"REPO_READ https://x.example/.default `+long+` `+strings.Repeat("y ", 1000)+`"}`)
	got, err := e.hosts.Refresh(t.Context(), v.host, application, oldRefresh)
	if err != nil || len(got.Scopes) != maxScopes || got.Scopes[0] != "REPO_READ" || got.Scopes[1] != "https://x.example/.default" || got.Scopes[2] != "y" {
		t.Errorf("%q, %v", got.Scopes, err)
	}
}

// A token endpoint may stop in the middle of its answer.
func TestHalfAnAnswerOfATokenEndpoint(t *testing.T) {
	v := vendors()[2]
	e := newEndpoint(t, v)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	e.Break(nil, fakehost.Stalled)
	if _, err := e.hosts.Refresh(ctx, v.host, application, oldRefresh); !sameFault(err, wantLate) {
		t.Error(err)
	}
}

func TestIntegrationsWithoutOAuth(t *testing.T) {
	v := vendors()[2]
	e := newEndpoint(t, v)
	server := scmurl.Integration{SCMID: scmurl.AzureDevOpsServer, Host: "tfs.example.com", VirtualDirectory: "/tfs", OAuth: true}
	without := v.host
	without.OAuth = false
	for _, tt := range []struct {
		i scmurl.Integration
		c Client
	}{{server, application}, {without, application}, {v.host, Client{}}} {
		if _, err := e.hosts.BeginSignIn(tt.i, tt.c, "a state", redirectURL, time.Minute); !fault.HasReason(err, fault.HostNotConfigured) {
			t.Errorf("%+v: %v", tt, err)
		}
		if _, err := e.hosts.Refresh(t.Context(), tt.i, tt.c, oldRefresh); !fault.HasReason(err, fault.HostNotConfigured) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestStatesWorkOnceAndNotForLong(t *testing.T) {
	v := vendors()[2]
	synctest.Test(t, func(t *testing.T) {
		h, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range []string{"early", "late"} {
			if _, err := h.BeginSignIn(v.host, application, state, redirectURL, 10*time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10*time.Minute - time.Second)
		if _, ok := h.signIns.take("early"); !ok {
			t.Error("the state is over before its time")
		}
		time.Sleep(time.Second)
		for _, state := range []string{"early", "late", "never begun", ""} {
			if _, err := h.FinishSignIn(t.Context(), v.host, application, state, redirectURL, theCode); !fault.HasReason(err, fault.SignInFailed) {
				t.Errorf("%s: %v", state, err)
			}
		}
		if n := len(h.signIns.byState); n != 0 {
			t.Errorf("%d states are kept", n)
		}
	})
}

func TestSignInsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s signIns
		for n := range maxSignIns + 2 {
			s.keep(strconv.Itoa(n), "verifier "+strconv.Itoa(n), time.Minute)
			time.Sleep(time.Microsecond)
		}
		if n := len(s.byState); n != maxSignIns {
			t.Errorf("%d are kept, not %d", n, maxSignIns)
		}
		for n, want := range map[int]bool{0: false, 1: false, 2: true, maxSignIns: true, maxSignIns + 1: true} {
			if verifier, ok := s.take(strconv.Itoa(n)); ok != want || ok && verifier != "verifier "+strconv.Itoa(n) {
				t.Errorf("number %d: %q, %v", n, verifier, ok)
			}
		}
		time.Sleep(time.Minute)
		for n := range 4 {
			s.keep("new "+strconv.Itoa(n), "", time.Minute)
		}
		if n := len(s.byState); n != 4 {
			t.Errorf("%d are kept after all others were over", n)
		}
	})
}

func TestSecretsStayOutOfMessages(t *testing.T) {
	all := fmt.Sprintf("%v %+v %#v %s %v %+v %#v", application, application, application, application,
		Grant{Token: theToken, RefreshToken: newRefresh}, []Grant{{Token: theToken}}, &Grant{RefreshToken: newRefresh})
	for _, secret := range []string{application.Secret, theToken, newRefresh} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is in %s", secret, all)
		}
	}
}
