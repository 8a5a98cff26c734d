package scmhost

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"golang.org/x/oauth2"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// Probed says what is wrong with an integration, in sentences whose subject is the
// host or the OAuth application; what is fine is empty.
type Probed struct{ Host, OAuth string }

// Probe tries an integration without anybody's credential: whether the host
// answers and is of its kind, and whether it knows the OAuth application (the
// zero Client for none). An application is refused only when the host says so.
func (h *Hosts) Probe(ctx context.Context, i scmurl.Integration, c Client) (Probed, error) {
	site := h.site(i, Credential{})
	var found Probed
	err := h.questions.within(ctx, site, func(ctx context.Context) error {
		if found.Host = site.probe(ctx); found.Host != "" || c.ID == "" {
			return nil
		}
		app, err := site.application(c, "")
		if err == nil {
			// A host looks at the application before it looks at the code.
			_, err = app.Exchange(context.WithValue(ctx, oauth2.HTTPClient, site.HTTP), "muster-probe", oauth2.VerifierOption(oauth2.GenerateVerifier()))
		}
		found.OAuth = site.applicationProblem(err)
		return nil
	})
	return found, err
}

// applicationProblem says what the error of a bogus code tells of the application.
func (s Site) applicationProblem(err error) string {
	var answer *oauth2.RetrieveError
	switch {
	case errors.As(err, &answer) && refusalOf(s.SCMID, answer) == clientRefused:
		return "is not accepted by the host: its client id or client secret is wrong"
	case unasked(err):
		return "cannot be tried. " + strings.TrimSuffix(fault.From(s.refusedGrant(err)).Message, ".")
	}
	return ""
}

// greeting is what a host answers to a stranger.
type greeting struct {
	status int
	header http.Header
	body   map[string]any // empty when it is no JSON object
}

// probe calls a page that needs no credential, and says what is wrong.
func (s Site) probe(ctx context.Context) string {
	page, isKind := s.signOfKind()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, http.NoBody)
	if err != nil {
		return "has no address that can be called"
	}
	req.Header.Set("Accept", "application/json")
	client := *s.HTTP
	// Where a host sends its callers on, the address is wrong.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return s.problem(s.faultOf(nil, err))
	}
	defer func() { _ = resp.Body.Close() }()
	g := greeting{status: resp.StatusCode, header: resp.Header}
	_ = json.NewDecoder(resp.Body).Decode(&g.body)
	switch {
	case isKind(g):
		return ""
	case g.status == http.StatusTooManyRequests, g.status >= http.StatusInternalServerError:
		return s.problem(s.faultOf(resp, nil))
	case g.status/100 == 3:
		return "sends its callers on to another page; configure the address that it leads to"
	}
	return "does not answer like " + s.SignIn().Name + "; check its address and its kind"
}

// problem is the message of a fault without the host at its beginning.
func (s Site) problem(err error) string {
	message := fault.From(err).Message
	if rest, ok := strings.CutPrefix(message, s.Host+" "); ok {
		return strings.TrimSuffix(rest, ".")
	}
	return "cannot be used. " + strings.TrimSuffix(message, ".")
}

// signOfKind returns a page of the API, and what tells that a host of the kind has
// answered. Hosts may keep out strangers, so a refusal can be a sign too.
func (s Site) signOfKind() (page string, isKind func(greeting) bool) {
	switch s.SCMID {
	case scmurl.GitHub:
		return gitHubAPI(s.Integration) + "meta", func(g greeting) bool { return g.header.Get("X-Github-Request-Id") != "" }
	case scmurl.GitLab:
		return s.Base() + "/api/v4/version", func(g greeting) bool {
			message, _ := g.body["message"].(string)
			return g.body["version"] != nil || strings.HasPrefix(message, "401 ") || g.header.Get("X-Gitlab-Meta") != ""
		}
	case scmurl.Bitbucket:
		return bitbucketAPI + "/user", func(g greeting) bool { return g.body["type"] != nil }
	case scmurl.BitbucketServer:
		return s.Base() + "/rest/api/latest/application-properties", func(g greeting) bool {
			return g.body["displayName"] == "Bitbucket" || g.body["errors"] != nil
		}
	case scmurl.AzureDevOpsEntra, scmurl.AzureDevOpsServer:
		return s.Base() + "/_apis/connectionData", func(g greeting) bool {
			return g.header.Get("X-Vss-E2eid") != "" || g.header.Get("X-Tfs-Processid") != "" || g.status == http.StatusNonAuthoritativeInfo
		}
	default: // Gitea
		return s.Base() + "/api/v1/version", func(g greeting) bool {
			docs, _ := g.body["url"].(string)
			return g.body["version"] != nil || strings.HasSuffix(docs, "/api/swagger")
		}
	}
}
