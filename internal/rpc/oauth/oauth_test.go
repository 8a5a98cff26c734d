package oauth_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/rpc/oauth"
	"github.com/musterhq/muster/internal/signin"
)

// fakeSignIn answers as a test says, and remembers what it was told.
type fakeSignIn struct {
	invitation signin.Invitation
	err        error
	link       string
	browser    string
	back       signin.Return
	calls      int
}

func (f *fakeSignIn) Describe(_ context.Context, link string) (signin.Invitation, error) {
	f.calls++
	f.link = link
	return f.invitation, f.err
}

func (f *fakeSignIn) Begin(_ context.Context, link, browser string) (string, error) {
	f.calls++
	f.link, f.browser = link, browser
	return "https://github.com/login/oauth/authorize?state=s", f.err
}

func (f *fakeSignIn) Finish(_ context.Context, back signin.Return) (signin.Invitation, error) {
	f.calls++
	f.back = back
	return f.invitation, f.err
}

// site is the pages as a browser reaches them.
type site struct {
	*fakeSignIn
	t   *testing.T
	mux *http.ServeMux
	log bytes.Buffer
}

func serve(t *testing.T, publicURL string) *site {
	t.Helper()
	s := &site{fakeSignIn: &fakeSignIn{}, t: t, mux: http.NewServeMux()}
	h, err := oauth.New(s.fakeSignIn, publicURL, slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	for pattern, handler := range h.Routes() {
		s.mux.Handle(pattern, handler)
	}
	return s
}

func (s *site) do(method, url string, headers ...string) *http.Response {
	s.t.Helper()
	r := httptest.NewRequestWithContext(audit.WithRequestID(s.t.Context(), "the-request"), method, url, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var styled = regexp.MustCompile(`(?s)<style>(.*)</style>`)

// Every page says to browsers that it is what it looks like, and lets them do
// nothing else.
func TestHeaders(t *testing.T) {
	s := serve(t, "https://muster.example")
	for name, r := range map[string]*http.Response{
		"begin":    s.do("GET", "/oauth/begin?link=l"),
		"redirect": s.do("POST", "/oauth/begin?link=l"),
		"done":     s.do("GET", "/oauth/callback?state=s&code=c"),
		"refused": func() *http.Response {
			s.err = errors.New("x")
			defer func() { s.err = nil }()
			return s.do("GET", "/oauth/callback")
		}(),
	} {
		page := body(t, r)
		for header, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
			if name == "begin" && header == "Referrer-Policy" {
				want = "same-origin" // without it a browser would not say where the form comes from
			}
			if got := r.Header.Get(header); got != want {
				t.Errorf("%s: %s is %q", name, header, got)
			}
		}
		csp := r.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy is %q", name, csp)
			}
		}
		if strings.Contains(csp, "form-action") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy is %q", name, csp)
		}
		if name == "redirect" {
			continue
		}
		style := styled.FindStringSubmatch(page)
		if style == nil {
			t.Fatalf("%s: no style in %s", name, page)
		}
		sum := sha256.Sum256([]byte(style[1]))
		if hash := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(csp, "style-src 'sha256-"+hash+"'") {
			t.Errorf("%s: the style is another than that of the policy", name)
		}
		if r.Header.Get("Content-Type") != "text/html; charset=utf-8" || strings.Contains(page, "<script") || strings.Contains(page, "ZgotmplZ") ||
			!strings.Contains(page, `<html lang="en">`) || strings.Count(page, "<h1>") != 1 || !strings.HasSuffix(page, "</html>\n") {
			t.Errorf("%s: %s", name, page)
		}
	}
}

func TestThePageSaysForWhom(t *testing.T) {
	s := serve(t, "https://muster.example")
	s.invitation = signin.Invitation{
		Person: `<script>alert(1)</script>`, Organization: `"><img src=x onerror=alert(2)>`, Runner: "</title><b>lab", Host: "gitea.example/'onclick=x", Kind: "<i>Gitea",
	}
	for name, r := range map[string]*http.Response{"begin": s.do("GET", "/oauth/begin?link=the-link"), "done": s.do("GET", "/oauth/callback?state=s&code=c&iss=https%3A%2F%2Fgitea.example")} {
		page := body(t, r)
		for _, raw := range []string{"<script", "<img", "<b>", "<i>"} {
			if strings.Contains(page, raw) {
				t.Errorf("%s: %s in the page: %s", name, raw, page)
			}
		}
		for _, want := range []string{"&lt;script&gt;alert(1)", "onerror=alert(2)&gt;", "&lt;b&gt;lab", "gitea.example/&#39;onclick=x", "(&lt;i&gt;Gitea)"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: no %s in the page: %s", name, want, page)
			}
		}
		if got := strings.Count(page, "<button"); got != map[string]int{"begin": 1}[name] {
			t.Errorf("%s: %d buttons", name, got)
		}
	}
	if s.link != "the-link" || s.back.State != "s" || s.back.Code != "c" || s.back.Issuer != "https://gitea.example" {
		t.Errorf("passed on: %q, %+v", s.link, s.back.State)
	}
}

func cookieOf(t *testing.T, r *http.Response) *http.Cookie {
	t.Helper()
	if len(r.Cookies()) != 1 {
		t.Fatalf("cookies %v", r.Cookies())
	}
	return r.Cookies()[0]
}

func TestTheCookieBindsTheBrowser(t *testing.T) {
	for url, secure := range map[string]bool{"https://muster.example/deep/path": true, "http://localhost:7433": false} {
		s := serve(t, url)
		r := s.do("POST", "/oauth/begin?link=l")
		if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "https://github.com/login/oauth/authorize?state=s" {
			t.Fatalf("%s: %d to %q", url, r.StatusCode, r.Header.Get("Location"))
		}
		c := cookieOf(t, r)
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure != secure || c.Path != "/" || c.Domain != "" || c.MaxAge != 600 || len(c.Value) < 26 ||
			strings.HasPrefix(c.Name, "__Host-") != secure {
			t.Errorf("%s: %v", url, c)
		}
		if c.Value != s.browser {
			t.Error("the cookie and what the state is bound to differ")
		}
		sent := c.Name + "=" + c.Value
		s.do("GET", "/oauth/callback?state=s&code=c", "Cookie", sent)
		if s.back.Browser != c.Value {
			t.Errorf("back came %q", s.back.Browser)
		}
		// A second sign-in beside the first shares its secret; nobody else's does.
		if again := cookieOf(t, s.do("POST", "/oauth/begin?link=l", "Cookie", sent)); again.Value != c.Value {
			t.Error("a second sign-in ends the first")
		}
		if other := cookieOf(t, s.do("POST", "/oauth/begin?link=l")); other.Value == c.Value {
			t.Error("two browsers have one secret")
		}
		if short := cookieOf(t, s.do("POST", "/oauth/begin?link=l", "Cookie", c.Name+"=x")); short.Value == "x" {
			t.Error("a guess is taken as a secret")
		}
		s.do("GET", "/oauth/callback?state=s&code=c")
		if s.back.Browser != "" {
			t.Errorf("without a cookie came %q", s.back.Browser)
		}
	}
}

// Another site could have the browser begin without having shown for whom.
func TestOtherSitesCannotBegin(t *testing.T) {
	s := serve(t, "https://muster.example/here")
	for name, tt := range map[string]struct {
		headers []string
		want    int
	}{
		"the page itself":                  {[]string{"Sec-Fetch-Site", "same-origin", "Origin", "https://muster.example"}, 303},
		"the page itself, behind a proxy":  {[]string{"Origin", "https://muster.example"}, 303},
		"another site":                     {[]string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		"a neighbour":                      {[]string{"Sec-Fetch-Site", "same-site", "Origin", "https://other.muster.example"}, 403},
		"another site, in an old browser":  {[]string{"Origin", "https://evil.example"}, 403},
		"a site that hides where it is":    {[]string{"Origin", "null"}, 403},
		"something that is not a browser":  {nil, 303},
		"the site's name, without its TLS": {[]string{"Origin", "http://muster.example"}, 403},
	} {
		before := s.calls
		r := s.do("POST", "http://internal:7433/oauth/begin?link=l", tt.headers...)
		if r.StatusCode != tt.want || tt.want == 403 && (s.calls != before || len(r.Cookies()) > 0) {
			t.Errorf("%s: %d", name, r.StatusCode)
		}
	}
}

func TestFailures(t *testing.T) {
	s := serve(t, "https://muster.example")
	for _, tt := range []struct {
		err    error
		status int
		says   string
	}{
		{fault.New(fault.InvalidArgument, fault.SignInFailed, "This <b>link</b> has ended."), 400, "This &lt;b&gt;link&lt;/b&gt; has ended."},
		{fault.New(fault.FailedPrecondition, fault.SignInFailed, "Changed."), 400, "Reason: sign-in-failed. Request: the-request"},
		{fault.New(fault.Unauthenticated, fault.SuspendedPrincipal, "Suspended."), 403, "Suspended."},
		{fault.New(fault.PermissionDenied, fault.NotAllowed, "Refused."), 403, "Refused."},
		{fault.New(fault.NotFound, fault.ReasonNotFound, "Missing."), 404, "Missing."},
		{fault.New(fault.Aborted, fault.Conflict, "Twice."), 409, "Twice."},
		{fault.New(fault.ResourceExhausted, fault.HostLimited, "Slower."), 429, "Slower."},
		{fault.New(fault.Unavailable, fault.RunnerOffline, "Away.").WithRetryAfter(4500 * time.Millisecond), 503, "Away."},
		{fault.New(fault.DeadlineExceeded, fault.HostUnavailable, "Slow."), 504, "Slow."},
		{errors.New("planted detail"), 500, "request id"},
	} {
		s.err = tt.err
		for _, r := range []*http.Response{
			s.do("GET", "/oauth/begin?link=l"), s.do("POST", "/oauth/begin?link=l"),
			s.do("GET", "/oauth/callback?state=planted-state&code=planted-code&error=access_denied&error_description=planted-words"),
		} {
			page := body(t, r)
			if r.StatusCode != tt.status || !strings.Contains(page, tt.says) || strings.Contains(page, "planted") || len(r.Cookies()) > 0 {
				t.Errorf("%v: %d %s", tt.err, r.StatusCode, page)
			}
			if tt.status == 503 && r.Header.Get("Retry-After") != "5" {
				t.Errorf("Retry-After is %q", r.Header.Get("Retry-After"))
			}
		}
	}
	if s.back.Error != "access_denied" {
		t.Errorf("the host's reason is %q", s.back.Error)
	}
	for _, secret := range []string{"planted-state", "planted-code", "link=l"} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("%s is in the log: %s", secret, s.log.String())
		}
	}
	if !strings.Contains(s.log.String(), "planted detail") || strings.Count(s.log.String(), "\n") != 3 {
		t.Errorf("the log says %q", s.log.String())
	}
}

// The pages are found below the path of the public URL, whether a proxy takes
// that away or not; other methods and paths are not.
func TestRoutes(t *testing.T) {
	s := serve(t, "https://muster.example/deep/path")
	for request, want := range map[string]int{
		"GET /oauth/begin":              200,
		"HEAD /oauth/begin":             200,
		"POST /oauth/begin":             303,
		"GET /oauth/callback":           200,
		"GET /deep/path/oauth/begin":    200,
		"POST /deep/path/oauth/begin":   303,
		"GET /deep/path/oauth/callback": 200,
		"POST /oauth/callback":          405,
		"PUT /oauth/begin":              405,
		"GET /path/oauth/begin":         404,
		"GET /oauth":                    404,
	} {
		method, path, _ := strings.Cut(request, " ")
		if r := s.do(method, path); r.StatusCode != want {
			t.Errorf("%s: %d", request, r.StatusCode)
		}
	}
}
