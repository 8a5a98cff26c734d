package scmhost

import (
	"net/http"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/scmurl"
)

// kindOfHost is a host, and what it says to strangers.
type kindOfHost struct {
	host scmurl.Integration
	// api is the name of the server that has its API.
	api     string
	page    string
	answers []strangersAnswer
}

type strangersAnswer struct {
	status int
	header map[string]string
	body   string
}

func kindsOfHost() []kindOfHost {
	gitHub := map[string]string{"X-GitHub-Request-Id": "C0DE:1:2"}
	azure := map[string]string{"X-VSS-E2EID": "1", "X-TFS-ProcessId": "2"}
	gitHubAnswers := []strangersAnswer{
		{200, gitHub, `{"verifiable_password_authentication":true}`},
		{401, gitHub, `{"message":"Must authenticate to access this API."}`},
		{403, gitHub, `{"message":"API rate limit exceeded"}`},
	}
	return []kindOfHost{
		{scmurl.Integration{SCMID: scmurl.GitHub, Host: "github.com"}, "api.github.com", "/meta", gitHubAnswers},
		{scmurl.Integration{SCMID: scmurl.GitHub, Host: "ghe.example.com"}, "ghe.example.com", "/api/v3/meta", gitHubAnswers},
		{scmurl.Integration{SCMID: scmurl.GitLab, Host: "gitlab.example.com/git"}, "gitlab.example.com", "/git/api/v4/version", []strangersAnswer{
			{401, nil, `{"message":"401 Unauthorized"}`},
			{200, nil, `{"version":"19.0.1-ee","revision":"abc"}`},
			{403, map[string]string{"X-Gitlab-Meta": `{"version":"1"}`}, "Forbidden"},
		}},
		{scmurl.Integration{SCMID: scmurl.Bitbucket, Host: "bitbucket.org"}, "api.bitbucket.org", "/2.0/user", []strangersAnswer{
			{401, nil, `{"type":"error","error":{"message":"Token is invalid, expired, or not supported for this endpoint."}}`},
		}},
		{scmurl.Integration{SCMID: scmurl.BitbucketServer, Host: "bitbucket.example.com/scm"}, "bitbucket.example.com", "/scm/rest/api/latest/application-properties", []strangersAnswer{
			{200, nil, `{"version":"9.4.0","buildNumber":"9004000","displayName":"Bitbucket"}`},
			{401, nil, `{"errors":[{"context":null,"message":"Authentication required","exceptionName":"x"}]}`},
		}},
		{scmurl.Integration{SCMID: scmurl.AzureDevOpsEntra, Host: "dev.azure.com/acme"}, "dev.azure.com", "/acme/_apis/connectionData", []strangersAnswer{
			{302, map[string]string{"X-VSS-E2EID": "1", "Location": "https://spsprodweu1.vssps.visualstudio.com/_signin"}, ""},
			{401, azure, ""},
			{203, nil, "<html>Sign in</html>"},
		}},
		{scmurl.Integration{SCMID: scmurl.AzureDevOpsServer, Host: "tfs.example.com", VirtualDirectory: "/tfs"}, "tfs.example.com", "/tfs/_apis/connectionData", []strangersAnswer{
			{401, map[string]string{"X-TFS-ProcessId": "2", "WWW-Authenticate": "NTLM"}, ""},
		}},
		{scmurl.Integration{SCMID: scmurl.Gitea, Host: "git.example.com"}, "git.example.com", "/api/v1/version", []strangersAnswer{
			{200, nil, `{"version":"1.26.4"}`},
			{403, nil, `{"message":"Only signed in user is allowed to call APIs.","url":"https://git.example.com/api/swagger"}`},
		}},
	}
}

// probed tries the host while everything on it gets the same answer.
func probed(t *testing.T, k kindOfHost, a strangersAnswer) (Probed, []fakehost.Call) {
	t.Helper()
	s := answerAll(t, a.status, a.header, a.body, k.api)
	h, err := New(Config{CAs: fakehost.Trust(s), Dial: fakehost.Network(s)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	p, err := h.Probe(t.Context(), k.host, Client{})
	if err != nil {
		t.Error(err)
	}
	return p, s.TakeCalls()
}

func TestProbeKnowsEveryKind(t *testing.T) {
	for _, k := range kindsOfHost() {
		for _, a := range k.answers {
			p, calls := probed(t, k, a)
			if p != (Probed{}) {
				t.Errorf("%s with %d %s: %+v", k.host.Host, a.status, a.body, p)
			}
			if len(calls) != 1 || calls[0].URL != k.page || calls[0].Header.Get("Authorization") != "" {
				t.Errorf("%s was called with %s, and not without a credential", k.host.Host, urls(calls))
			}
		}
	}
}

func TestProbeSaysWhatIsWrong(t *testing.T) {
	for _, k := range kindsOfHost() {
		for _, tt := range []struct {
			strangersAnswer
			want string
		}{
			{strangersAnswer{200, nil, "<html>Welcome to nginx</html>"}, "does not answer like " + k.host.SignIn().Name},
			{strangersAnswer{200, nil, `{"hello":"world"}`}, "does not answer like " + k.host.SignIn().Name},
			{strangersAnswer{200, nil, `["version"]`}, "does not answer like"},
			{strangersAnswer{404, nil, "not found"}, "does not answer like"},
			{strangersAnswer{401, nil, "no"}, "does not answer like"},
			{strangersAnswer{301, map[string]string{"Location": "https://elsewhere.example.com/"}, ""}, "sends its callers on"},
			{strangersAnswer{500, nil, "stack trace"}, "answered with the status 500"},
			{strangersAnswer{429, nil, ""}, "asks to be called less often"},
		} {
			p, _ := probed(t, k, tt.strangersAnswer)
			if !strings.HasPrefix(p.Host, tt.want) || strings.HasSuffix(p.Host, ".") || p.OAuth != "" {
				t.Errorf("%s with %d %s: %+v", k.host.Host, tt.status, tt.body, p)
			}
		}
	}
}

func TestProbeOfAHostThatDoesNotAnswer(t *testing.T) {
	h, err := New(Config{Dial: fakehost.Network()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	for _, k := range kindsOfHost() {
		if p, err := h.Probe(t.Context(), k.host, application); err != nil || p != (Probed{Host: "cannot be reached from the runner"}) {
			t.Errorf("%s: %+v, %v", k.host.Host, p, err)
		}
	}
}

// What a host says to a code that nobody was given tells whether it knows the
// application. When it does not tell, the application is fine.
func TestProbeTriesTheApplication(t *testing.T) {
	for _, v := range vendors() {
		for _, r := range append(v.refusals, refused{200, v.answer, unclear}, refused{503, "", unclear}, refused{400, "what?", unclear}) {
			e := newEndpoint(t, v)
			k := kindOf(v.host)
			api := e.Server
			if k.api != "" && !strings.HasPrefix(v.token, "https://"+k.api+"/") {
				api = fakehost.NewNamed(t, k.api)
				h, err := New(Config{Issuers: []string{"sso.example.com"}, CAs: fakehost.Trust(e.Server, api), Dial: fakehost.Network(e.Server, api)})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(h.Close)
				e.hosts = h
			}
			api.Handle("GET /", func(w http.ResponseWriter, _ *http.Request) {
				for name, value := range k.answers[0].header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(k.answers[0].status)
				_, _ = w.Write([]byte(k.answers[0].body))
			})
			e.answer(r.status, r.body)
			p, err := e.hosts.Probe(t.Context(), v.host, application)
			if err != nil || p.Host != "" || (p.OAuth != "") != (r.want == clientRefused) {
				t.Errorf("%s with %d %s: %+v, %v", v.name, r.status, r.body, p, err)
			}
			if strings.Contains(p.OAuth, application.Secret) {
				t.Errorf("%s: the secret is told: %+v", v.name, p)
			}
		}
	}
}

// kindOf finds how a host answers strangers.
func kindOf(i scmurl.Integration) kindOfHost {
	var found kindOfHost
	for _, k := range kindsOfHost() {
		if k.host.SCMID == i.SCMID && (found.api == "" || k.host.Host == i.Host) {
			found = k
		}
	}
	if found.host.Host != i.Host && i.SCMID != scmurl.AzureDevOpsEntra {
		found.api = "" // that of the host itself
	}
	return found
}

// An issuer that cannot be asked is a problem of the application.
func TestProbeOfAnIssuer(t *testing.T) {
	k := kindsOfHost()[5]
	s := answerAll(t, 401, map[string]string{"X-VSS-E2EID": "1"}, "", k.api)
	h, err := New(Config{CAs: fakehost.Trust(s), Dial: fakehost.Network(s)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	i := k.host
	i.OAuth = true
	for issuer, want := range map[string]string{
		tenant + "/v2.0":                   "cannot be tried. login.microsoftonline.com cannot be reached from the runner",
		"https://login.example.com/x/v2.0": "cannot be tried. This runner may not sign people in at login.example.com.",
	} {
		i.IssuerURL = issuer
		if p, err := h.Probe(t.Context(), i, application); err != nil || p.Host != "" || !strings.HasPrefix(p.OAuth, want) {
			t.Errorf("%s: %+v, %v", issuer, p, err)
		}
	}
}
