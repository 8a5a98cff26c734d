package signin

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/musterhq/muster/internal/scmurl"
)

// maxPage bounds the address of a host's page, in bytes.
const maxPage = 8 << 10

// challenge is the form of a SHA-256 that PKCE sends.
var challenge = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// leadsTo tells whether a URL from a runner is the host's page for this very
// sign-in: with the application, the state and the way back that were asked for,
// and with a challenge, whose verifier the runner alone knows.
func (a *admitted) leadsTo(raw, state, callback string) bool {
	got, err := url.Parse(raw)
	if err != nil || len(raw) > maxPage || got.User != nil || got.Fragment != "" ||
		!a.served(got.Scheme) || !strings.EqualFold(got.Host, a.page.Host) || got.EscapedPath() != a.page.EscapedPath() {
		return false
	}
	sent, err := url.ParseQuery(got.RawQuery)
	if err != nil || !challenge.MatchString(sent.Get("code_challenge")) {
		return false
	}
	want := url.Values{
		"response_type": {"code"}, "client_id": {a.host.OAuthClientID}, "redirect_uri": {callback}, "state": {state},
		"code_challenge": {sent.Get("code_challenge")}, "code_challenge_method": {"S256"},
	}
	if len(a.scopes) > 0 {
		want.Set("scope", strings.Join(a.scopes, " "))
	}
	return maps.EqualFunc(sent, want, slices.Equal)
}

// issued tells whether the host may call itself that. Only the origin counts: the
// rest differs between what is configured and what hosts say.
func (a *admitted) issued(issuer string) bool {
	got, err := url.Parse(issuer)
	return err == nil && got.User == nil && a.served(got.Scheme) && scmurl.SameHost(got.Host, a.page.Host)
}

// clouds are hosts that their vendors run, with https.
var clouds = []string{"github.com", "gitlab.com", "bitbucket.org"}

// served tells whether the host's page may be reached with a scheme. Whether http
// will do is for the operator of a runner to say, and this package is not told; it
// never does for clouds, and for the issuers of Azure DevOps.
func (a *admitted) served(scheme string) bool {
	name := strings.ToLower(a.page.Hostname())
	cloud := a.host.IssuerURL != "" || slices.Contains(clouds, name) || strings.HasSuffix(name, ".ghe.com")
	return scheme == "https" || scheme == "http" && !cloud
}
