package scm_test

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/musterhq/muster/test/gitea"
)

// browser is one at the pages of the control plane. It follows no redirects.
type browser struct {
	*lab
	client *http.Client
}

func (l *lab) browser(t testing.TB) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{l, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (b *browser) visit(t testing.TB, method, page string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, page, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Origin", b.plane.URL)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	return b.do(t, b.client, req)
}

// begin opens a link, goes on, and returns the host's page where that leads.
func (b *browser) begin(t testing.TB, link string) (authorizeURL string) {
	t.Helper()
	page := b.visit(t, http.MethodGet, link)
	if page.status != http.StatusOK || !strings.Contains(string(page.body), `<form method="post">`) {
		t.Fatalf("the link opens %d %s", page.status, page.body)
	}
	on := b.visit(t, http.MethodPost, link)
	if on.status != http.StatusSeeOther {
		t.Fatalf("going on: %d %s", on.status, on.body)
	}
	at, err := url.Parse(b.plane.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(at) {
		b.plant("the cookie of a browser", c.Value)
	}
	return on.header.Get("Location")
}

// allow allows at a Gitea what the page asks for, and returns where the browser
// is sent back to.
func (b *browser) allow(t testing.TB, at *gitea.Browser, authorizeURL string) (back string) {
	t.Helper()
	to := at.Allow(t, authorizeURL)
	code := to.Query().Get("code")
	if code == "" {
		t.Fatalf("the host sends the browser to %s without a code", to.Redacted())
	}
	b.plant("the code of a sign-in", code)
	return to.String()
}

// signIn goes all the way of a link, and returns the last page.
func (b *browser) signIn(t testing.TB, at *gitea.Browser, link string) {
	t.Helper()
	page := b.visit(t, http.MethodGet, b.allow(t, at, b.begin(t, link)))
	if page.status != http.StatusOK || !strings.Contains(string(page.body), "You are signed in to") {
		t.Fatalf("the last page: %d %s", page.status, page.body)
	}
}

// query is that of a URL.
func query(t testing.TB, raw string) url.Values {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}
