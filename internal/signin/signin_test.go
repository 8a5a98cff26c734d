package signin_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/signin"
)

const (
	organization = id.Organization("0192cccc-0000-7000-8000-000000000001")
	lab          = id.Runner("0192aaaa-0000-7000-8000-00000000000a")
	integration  = "0192dddd-0000-7000-8000-000000000001"
	adaID        = "0192eeee-0000-7000-8000-000000000001"
	tokenID      = "0192ffff-0000-7000-8000-000000000001"
	browser      = "the-secret-of-the-browser"
	publicURL    = "https://muster.example/here"
)

// world is everything around the service, as a test wants it.
type world struct {
	runner  fleet.Runner
	host    codehost.Host
	person  signin.Person
	gone    map[string]bool // "runner", "integration", "person"
	page    string          // what the runner says instead of the host's page
	query   func(url.Values)
	tail    string
	asker   access.Caller // whom the runner's place is counted for
	states  map[string]string
	codes   []string
	kept    []hosttoken.SignIn
	keeper  access.Caller
	brought hosttoken.Values
	err     error // of the runner
}

func (w *world) Runner(_ context.Context, r id.Runner) (fleet.Runner, bool, error) {
	return w.runner, r == w.runner.ID && !w.gone["runner"], nil
}

func (w *world) Host(_ context.Context, r id.Runner, i string) (codehost.Host, bool, error) {
	return w.host, r == w.runner.ID && i == w.host.ID && !w.gone["integration"], nil
}

func (w *world) PersonNow(_ context.Context, o id.Organization, subject string) (signin.Person, error) {
	if o != w.person.Caller.Organization || subject != w.person.Caller.ID || w.gone["person"] {
		return signin.Person{}, fault.New(fault.Unauthenticated, fault.SuspendedPrincipal, "Gone.")
	}
	return w.person, nil
}

func (w *world) BeginSignIn(ctx context.Context, _ id.Runner, h codehost.Host, state, redirectURL string, life time.Duration) (string, error) {
	if w.err != nil {
		return "", w.err
	}
	if life != signin.Life || redirectURL != publicURL+"/oauth/callback" {
		return "", errors.New("another life, another way back")
	}
	w.states[state] = h.OAuthClientID
	w.asker = access.CallerOf(ctx)
	page, query := "https://github.com/login/oauth/authorize", url.Values{
		"response_type": {"code"}, "client_id": {h.OAuthClientID}, "redirect_uri": {redirectURL}, "state": {state},
		"code_challenge": {strings.Repeat("c", 43)}, "code_challenge_method": {"S256"}, "scope": {strings.Join(h.SignIn().OAuth.Scopes, " ")},
	}
	if w.page != "" {
		page = w.page
	}
	if w.query != nil {
		w.query(query)
	}
	return page + "?" + query.Encode() + w.tail, nil
}

// FinishSignIn takes each state once, as runners do.
func (w *world) FinishSignIn(_ context.Context, _ id.Runner, h codehost.Host, state, redirectURL, code, token string) (hosttoken.Values, error) {
	if w.err != nil {
		return hosttoken.Values{}, w.err
	}
	if w.states[state] != h.OAuthClientID || redirectURL != publicURL+"/oauth/callback" || token != tokenID {
		return hosttoken.Values{}, fault.New(fault.FailedPrecondition, fault.SignInFailed, "The runner knows nothing of this.")
	}
	delete(w.states, state)
	w.codes = append(w.codes, code)
	return w.brought, nil
}

func (w *world) TokenID(context.Context, access.Caller, id.Runner, string) (string, bool, error) {
	return tokenID, true, nil
}

func (w *world) Keep(_ context.Context, c access.Caller, in hosttoken.SignIn) error {
	w.keeper, w.kept = c, append(w.kept, in)
	return nil
}

// ada may use the runner, which she made.
var ada = access.Caller{
	Subject: access.Subject{Principal: access.PrincipalUser, ID: adaID}, Organization: organization, Standing: access.OfRole(resource.RoleOrgMember),
}

func setup(t *testing.T) (*world, *signin.Service) {
	t.Helper()
	w := &world{
		runner: fleet.Runner{ID: lab, Organization: organization, Name: "lab", Creator: ada.Subject},
		host: codehost.Host{
			Integration:   scmurl.Integration{ID: integration, SCMID: scmurl.GitHub, Host: "github.com", OAuth: true},
			OAuthClientID: "client",
		},
		person: signin.Person{Caller: ada, Name: "Ada (ada@example.com)", Organization: "Analysts"},
		gone:   map[string]bool{}, states: map[string]string{}, brought: hosttoken.Values{Value: seal.Secret("sealed")},
	}
	key, err := seal.LoadKey(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return w, signin.New(signin.Config{Store: w, Runners: w, Tokens: w, People: w, Key: key, PublicURL: publicURL})
}

// parameter is one of the query of a URL.
func parameter(t *testing.T, raw, name string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get(name)
}

// begin goes as far as the host's page and returns the state.
func begin(t *testing.T, s *signin.Service) string {
	t.Helper()
	page, err := s.Begin(t.Context(), parameter(t, s.BeginURL(ada, lab, integration), "link"), browser)
	if err != nil {
		t.Fatal(err)
	}
	return parameter(t, page, "state")
}

func TestSigningIn(t *testing.T) {
	w, s := setup(t)
	link := s.BeginURL(ada, lab, integration)
	if !strings.HasPrefix(link, publicURL+"/oauth/begin?link=") {
		t.Fatalf("the link is %s", link)
	}
	want := signin.Invitation{Person: "Ada (ada@example.com)", Organization: "Analysts", Runner: "lab", Host: "github.com", Kind: "GitHub"}
	got, err := s.Describe(t.Context(), parameter(t, link, "link"))
	if err != nil || got != want {
		t.Fatalf("Describe = %+v, %v", got, err)
	}
	state := begin(t, s)
	for _, secret := range []string{adaID, string(lab), integration, browser} {
		for _, text := range []string{link, state} {
			raw, _ := base64.RawURLEncoding.DecodeString(parameter(t, link, "link"))
			if strings.Contains(text+string(raw), secret) {
				t.Errorf("%s can be read", secret)
			}
		}
	}
	got, err = s.Finish(t.Context(), signin.Return{State: state, Code: "the-code", Browser: browser})
	if err != nil || got != want {
		t.Fatalf("Finish = %+v, %v", got, err)
	}
	if d := cmp.Diff([]hosttoken.SignIn{{Runner: lab, Integration: integration, Host: "github.com", Token: tokenID, Replaces: true, Values: w.brought}}, w.kept); d != "" {
		t.Error(d)
	}
	if w.keeper.Subject != ada.Subject || len(w.codes) != 1 || w.codes[0] != "the-code" {
		t.Errorf("kept for %v, codes %d", w.keeper, len(w.codes))
	}
	// Once more is once too often: the runner has forgotten the state.
	if _, err = s.Finish(t.Context(), signin.Return{State: state, Code: "the-code", Browser: browser}); !fault.HasReason(err, fault.SignInFailed) || len(w.kept) != 1 {
		t.Errorf("again: %v", err)
	}
}

func TestWhoGetsALink(t *testing.T) {
	_, s := setup(t)
	account, runner, reader := ada, ada, ada
	account.Principal, runner.Principal, reader.ReadOnly = access.PrincipalServiceAccount, access.PrincipalRunner, true
	for name, tt := range map[string]struct {
		c    access.Caller
		want bool
	}{"a user": {ada, true}, "a service account": {account, true}, "a runner": {runner, false}, "a read-only token": {reader, false}, "nobody": {access.Caller{}, false}} {
		if got := s.BeginURL(tt.c, lab, integration); (got != "") != tt.want {
			t.Errorf("%s gets %q", name, got)
		}
	}
}

// Time passes between the steps; each looks at the rights again.
func TestRightsAreLookedAtInEveryStep(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*world)
		reason fault.Reason
	}{
		"the person is suspended":                 {func(w *world) { w.gone["person"] = true }, fault.SuspendedPrincipal},
		"the person may no longer use the runner": {func(w *world) { w.runner.Creator = access.Subject{} }, fault.ReasonNotFound},
		"the runner is gone":                      {func(w *world) { w.gone["runner"] = true }, fault.ReasonNotFound},
		"the runner is in another organization":   {func(w *world) { w.runner.Organization = "another" }, fault.ReasonNotFound},
		"the runner is being deleted":             {func(w *world) { w.runner.DeletingAt = time.Now() }, fault.RunnerGone},
		"the integration is gone":                 {func(w *world) { w.gone["integration"] = true }, fault.SignInFailed},
		"OAuth is no longer allowed":              {func(w *world) { w.host.OAuth, w.host.OAuthClientID = false, "" }, fault.SignInFailed},
	} {
		w, s := setup(t)
		link := parameter(t, s.BeginURL(ada, lab, integration), "link")
		state := begin(t, s)
		tt.change(w)
		_, described := s.Describe(t.Context(), link)
		_, begun := s.Begin(t.Context(), link, browser)
		_, finished := s.Finish(t.Context(), signin.Return{State: state, Code: "c", Browser: browser})
		for step, err := range map[string]error{"Describe": described, "Begin": begun, "Finish": finished} {
			if !fault.HasReason(err, tt.reason) {
				t.Errorf("%s: %s: %v", name, step, err)
			}
		}
		if len(w.codes) > 0 || len(w.kept) > 0 {
			t.Errorf("%s: the runner was asked", name)
		}
	}
}

func TestTheApplicationMustStayTheSame(t *testing.T) {
	for name, change := range map[string]func(*world){
		"another client": func(w *world) { w.host.OAuthClientID = "another" },
		"another issuer": func(w *world) { w.host.IssuerURL = "https://issuer.example" },
	} {
		w, s := setup(t)
		state := begin(t, s)
		change(w)
		if _, err := s.Finish(t.Context(), signin.Return{State: state, Code: "c", Browser: browser}); !fault.HasReason(err, fault.SignInFailed) || len(w.codes) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a browser brings back is taken from the browser that began, in time, and
// as it was.
func TestOtherReturnsAreRefused(t *testing.T) {
	w, s := setup(t)
	link := parameter(t, s.BeginURL(ada, lab, integration), "link")
	state := begin(t, s)
	_, others := setup(t)
	for name, back := range map[string]signin.Return{
		"another browser":         {State: state, Code: "c", Browser: "another"},
		"no cookie":               {State: state, Code: "c"},
		"no state":                {Code: "c", Browser: browser},
		"a changed state":         {State: flip(state), Code: "c", Browser: browser},
		"a cut state":             {State: state[:len(state)-4], Code: "c", Browser: browser},
		"a state with more to it": {State: state + "AAAA", Code: "c", Browser: browser},
		"a link as a state":       {State: link, Code: "c", Browser: browser},
		"another plane's state":   {State: begin(t, others), Code: "c", Browser: browser},
		"a state without end":     {State: strings.Repeat("A", 1<<20), Code: "c", Browser: browser},
		"no code":                 {State: state, Browser: browser},
		"a code without end":      {State: state, Code: strings.Repeat("c", 1<<20), Browser: browser},
	} {
		if _, err := s.Finish(t.Context(), back); !fault.Is(err, fault.InvalidArgument) || !fault.HasReason(err, fault.SignInFailed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, link := range map[string]string{"none": "", "a changed link": flip(link), "a state as a link": state, "another plane's link": parameter(t, others.BeginURL(ada, lab, integration), "link")} {
		if _, err := s.Describe(t.Context(), link); !fault.HasReason(err, fault.SignInFailed) {
			t.Errorf("Describe: %s: %v", name, err)
		}
		if _, err := s.Begin(t.Context(), link, browser); !fault.HasReason(err, fault.SignInFailed) {
			t.Errorf("Begin: %s: %v", name, err)
		}
	}
	if len(w.codes) > 0 {
		t.Error("the runner got a code")
	}
}

func flip(s string) string {
	other := "A"
	if s[40] == 'A' {
		other = "B"
	}
	return s[:40] + other + s[41:]
}

func TestLinksAndStatesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := setup(t)
		link := parameter(t, s.BeginURL(ada, lab, integration), "link")
		time.Sleep(10*time.Minute - time.Second)
		if _, err := s.Describe(t.Context(), link); err != nil {
			t.Errorf("just before the end: %v", err)
		}
		late := begin(t, s)
		inTime := begin(t, s)
		time.Sleep(time.Second)
		_, never := s.Describe(t.Context(), "never-was")
		if _, err := s.Describe(t.Context(), link); err == nil || err.Error() != never.Error() {
			t.Errorf("a link that has ended: %v; one that never was: %v", err, never)
		}
		if _, err := s.Begin(t.Context(), link, browser); err == nil {
			t.Error("a link that has ended begins")
		}
		time.Sleep(10*time.Minute - 2*time.Second)
		if _, err := s.Finish(t.Context(), signin.Return{State: inTime, Code: "c", Browser: browser}); err != nil {
			t.Errorf("just in time: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := s.Finish(t.Context(), signin.Return{State: late, Code: "c", Browser: browser}); !fault.HasReason(err, fault.SignInFailed) || len(w.kept) != 1 {
			t.Errorf("late: %v", err)
		}
	})
}

// A runner in wrong hands sends nobody to a page of its own, nor to the right page
// with other words.
func TestARunnerMustNameTheHostsPage(t *testing.T) {
	set := func(name string, values ...string) func(url.Values) { return func(q url.Values) { q[name] = values } }
	for name, tt := range map[string]struct {
		page, tail string
		query      func(url.Values)
		host       codehost.Host
		good       bool
	}{
		"as it must be":        {good: true},
		"in capital letters":   {page: "https://GitHub.com/login/oauth/authorize", good: true},
		"http at a vendor's":   {page: "http://github.com/login/oauth/authorize"},
		"a longer name":        {page: "https://github.com.evil.example/login/oauth/authorize"},
		"another host":         {page: "https://evil.example/login/oauth/authorize"},
		"the host as a user":   {page: "https://github.com@evil.example/login/oauth/authorize"},
		"a user":               {page: "https://me@github.com/login/oauth/authorize"},
		"another port":         {page: "https://github.com:8443/login/oauth/authorize"},
		"a path that climbs":   {page: "https://github.com/login/oauth/authorize/../../../evil"},
		"another path":         {page: "https://github.com/evil"},
		"a script":             {page: "javascript://github.com/login/oauth/authorize"},
		"no scheme":            {page: "//github.com/login/oauth/authorize"},
		"another header":       {page: "https://github.com/login/oauth/authorize\r\nX: y"},
		"a fragment":           {tail: "#x"},
		"no end":               {tail: "&x=" + strings.Repeat("x", 1<<14)},
		"a query that is none": {tail: "&%zz"},
		"no state":             {query: set("state")},
		"another state":        {query: set("state", "another")},
		"two states":           {tail: "&state=another"},
		"another way back":     {query: set("redirect_uri", "https://evil.example/oauth/callback")},
		"another application":  {query: set("client_id", "another")},
		"the implicit flow":    {query: set("response_type", "token")},
		"no challenge":         {query: func(q url.Values) { delete(q, "code_challenge"); delete(q, "code_challenge_method") }},
		"a plain challenge":    {query: set("code_challenge_method", "plain")},
		"a short challenge":    {query: set("code_challenge", strings.Repeat("c", 42))},
		"an odd challenge":     {query: set("code_challenge", strings.Repeat("c", 42)+"=")},
		"more scopes":          {query: set("scope", "repo admin:org")},
		"no scopes":            {query: func(q url.Values) { delete(q, "scope") }},
		"something else":       {query: set("request_uri", "https://evil.example/request")},
		"http at one's own, which its operator allowed": {
			page: "http://git.example.com:3000/login/oauth/authorize", good: true,
			host: codehost.Host{Integration: scmurl.Integration{ID: integration, SCMID: scmurl.Gitea, Host: "git.example.com:3000", OAuth: true}, OAuthClientID: "client"},
		},
		"http at an issuer": {
			page: "http://login.microsoftonline.com/acme/oauth2/v2.0/authorize",
			host: codehost.Host{Integration: scmurl.Integration{
				ID: integration, SCMID: scmurl.AzureDevOpsEntra, Host: "dev.azure.com/acme", IssuerURL: "https://login.microsoftonline.com/acme/v2.0", OAuth: true,
			}, OAuthClientID: "client"},
		},
		"https at an issuer": {
			page: "https://login.microsoftonline.com/acme/oauth2/v2.0/authorize", good: true,
			host: codehost.Host{Integration: scmurl.Integration{
				ID: integration, SCMID: scmurl.AzureDevOpsEntra, Host: "dev.azure.com/acme", IssuerURL: "https://login.microsoftonline.com/acme/v2.0", OAuth: true,
			}, OAuthClientID: "client"},
		},
	} {
		w, s := setup(t)
		w.page, w.tail, w.query = tt.page, tt.tail, tt.query
		if tt.host.ID != "" {
			w.host = tt.host
		}
		got, err := s.Begin(t.Context(), parameter(t, s.BeginURL(ada, lab, integration), "link"), browser)
		if tt.good && (err != nil || !strings.HasPrefix(got, w.page)) || !tt.good && !fault.HasReason(err, fault.SignInFailed) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// A host that was shown the state of a sign-in at another one may send the browser
// back with its own code, which the other must not get (RFC 9207).
func TestAnotherHostAnswers(t *testing.T) {
	for issuer, good := range map[string]bool{
		"": true, "https://github.com": true, "https://github.com/login/oauth": true, "https://GitHub.com:443/": true,
		"https://gitlab.com": false, "https://github.com.evil.example": false, "http://github.com": false, "https://github.com@evil.example": false,
		"github.com": false, "https://": false, "%": false,
	} {
		for _, back := range []signin.Return{{Code: "c"}, {Error: "access_denied"}} {
			w, s := setup(t)
			back.State, back.Browser, back.Issuer = begin(t, s), browser, issuer
			_, err := s.Finish(t.Context(), back)
			if !good && (!fault.Is(err, fault.InvalidArgument) || !fault.HasReason(err, fault.SignInFailed) || len(w.codes) > 0) {
				t.Errorf("%q: %v", issuer, err)
			}
			if good && (back.Code != "" && err != nil || back.Error != "" && !fault.Is(err, fault.PermissionDenied)) {
				t.Errorf("%q: %v", issuer, err)
			}
		}
	}
}

// Whoever holds a link cannot fill the memory of a runner with it.
func TestBeginningIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := setup(t)
		link := parameter(t, s.BeginURL(ada, lab, integration), "link")
		for range 1000 {
			_, _ = s.Begin(t.Context(), link, browser)
		}
		if len(w.states) != 20 {
			t.Errorf("%d sign-ins have begun", len(w.states))
		}
		_, err := s.Begin(t.Context(), link, browser)
		if f := fault.From(err); f.Code != fault.ResourceExhausted || f.RetryAfter != 10*time.Second {
			t.Errorf("one more: %v", err)
		}
		if w.asker.ID != adaID {
			t.Errorf("the runner's place counts for %q", w.asker.ID)
		}
		bob := ada
		bob.ID = "0192eeee-0000-7000-8000-000000000002"
		w.person.Caller, w.runner.Creator = bob, bob.Subject
		if _, err := s.Begin(t.Context(), parameter(t, s.BeginURL(bob, lab, integration), "link"), browser); err != nil {
			t.Errorf("somebody else: %v", err)
		}
		w.person.Caller, w.runner.Creator = ada, ada.Subject
		time.Sleep(10 * time.Second)
		if _, err := s.Begin(t.Context(), link, browser); err != nil {
			t.Errorf("a little later: %v", err)
		}
	})
}

// The host's own words are never shown.
func TestAHostRefuses(t *testing.T) {
	for word, code := range map[string]fault.Code{
		"access_denied": fault.PermissionDenied, "temporarily_unavailable": fault.Unavailable, "invalid_scope": fault.FailedPrecondition,
		"redirect_uri_mismatch": fault.FailedPrecondition, "<script>planted</script>": fault.FailedPrecondition,
	} {
		w, s := setup(t)
		_, err := s.Finish(t.Context(), signin.Return{State: begin(t, s), Error: word, Code: "c", Browser: browser})
		if !fault.Is(err, code) || !fault.HasReason(err, fault.SignInFailed) || strings.Contains(err.Error(), "planted") || len(w.codes) > 0 {
			t.Errorf("%s: %v", word, err)
		}
	}
}

func TestTheRunnersErrorsArrive(t *testing.T) {
	w, s := setup(t)
	state, link := begin(t, s), parameter(t, s.BeginURL(ada, lab, integration), "link")
	w.err = fault.New(fault.Unavailable, fault.RunnerOffline, "Away.")
	if _, err := s.Begin(t.Context(), link, browser); !fault.HasReason(err, fault.RunnerOffline) {
		t.Errorf("Begin: %v", err)
	}
	if _, err := s.Finish(t.Context(), signin.Return{State: state, Code: "c", Browser: browser}); !fault.HasReason(err, fault.RunnerOffline) || len(w.kept) > 0 {
		t.Errorf("Finish: %v", err)
	}
}
