package gitea

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"testing"

	sdk "code.gitea.io/sdk/gitea"
)

// Application registers an OAuth application, a confidential one.
func (s *Server) Application(t testing.TB, redirectURL string) (clientID, clientSecret string) {
	t.Helper()
	app, _, err := s.API(t, Alice).CreateOauth2(sdk.CreateOauth2Option{Name: "Muster", ConfidentialClient: true, RedirectURIs: []string{redirectURL}})
	if err != nil {
		t.Fatal(err)
	}
	return app.ClientID, app.ClientSecret
}

// Browser is the browser of somebody who is signed in to the server. It follows
// no redirects.
type Browser struct {
	server *Server
	client *http.Client
}

// Browser signs somebody in.
func (s *Server) Browser(t testing.TB, login string) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &Browser{s, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	p := b.submit(t, s.URL+"/user/login", url.Values{"user_name": {login}, "password": {Password}})
	if p.Status != http.StatusSeeOther {
		t.Fatalf("signing %s in to Gitea: status %d", login, p.Status)
	}
	return b
}

// Page is what a browser gets.
type Page struct {
	Status int
	// Location is where a redirect leads.
	Location string
	HTML     string
}

// Open opens a page.
func (b *Browser) Open(t testing.TB, pageURL string) Page {
	t.Helper()
	return page(t)(b.client.Get(pageURL))
}

func (b *Browser) submit(t testing.TB, formURL string, form url.Values) Page {
	t.Helper()
	return page(t)(b.client.PostForm(formURL, form))
}

func page(t testing.TB) func(*http.Response, error) Page {
	t.Helper()
	return func(resp *http.Response, err error) Page {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() //nolint:errcheck // it is read
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return Page{resp.StatusCode, resp.Header.Get("Location"), string(body)}
	}
}

// hidden finds the hidden fields of a form.
var hidden = regexp.MustCompile(`<input type="hidden" name="([a-z_]+)" value="([^"]*)">`)

// Allow opens the page where somebody allows an application to act for them, does
// so, and returns where the browser is sent then. Of an application that is
// allowed already, Gitea does not ask.
func (b *Browser) Allow(t testing.TB, authorizeURL string) *url.URL {
	t.Helper()
	p := b.Open(t, authorizeURL)
	if p.Status == http.StatusOK {
		form := url.Values{"granted": {"true"}}
		for _, field := range hidden.FindAllStringSubmatch(p.HTML, -1) {
			form.Set(field[1], html.UnescapeString(field[2]))
		}
		p = b.submit(t, b.server.URL+"/login/oauth/grant", form)
	}
	if p.Status != http.StatusSeeOther || p.Location == "" {
		t.Fatalf("allowing the application: status %d", p.Status)
	}
	to, err := url.Parse(p.Location)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// Revoke takes back all that Allow allowed.
func (b *Browser) Revoke(t testing.TB) {
	t.Helper()
	p := b.Open(t, b.server.URL+"/user/settings/applications")
	grants := regexp.MustCompile(`/user/settings/applications/oauth2/\d+/revoke/\d+`).FindAllString(p.HTML, -1)
	if len(grants) == 0 {
		t.Fatal("no application is allowed anything")
	}
	for _, path := range grants {
		if p := b.submit(t, b.server.URL+path, nil); p.Status >= http.StatusBadRequest {
			t.Fatalf("revoking a grant: status %d", p.Status)
		}
	}
}
