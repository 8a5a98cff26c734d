package scmhost

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReachOfAddresses(t *testing.T) {
	for want, addresses := range map[reach]string{
		reachPublic:  "1.1.1.1 140.82.121.3 172.15.0.1 172.32.0.1 100.63.255.255 100.128.0.1 ::ffff:1.1.1.1 2606:4700::1111 64:ff9b::101:101",
		reachPrivate: "127.0.0.1 127.8.9.1 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.0.1 198.18.0.1 ::1 fc00::1 fdab::1 ::ffff:10.0.0.1 64:ff9b::a00:1",
		reachNever: "0.0.0.0 0.1.2.3 169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192 224.0.0.1 239.1.1.1 255.255.255.255 240.0.0.1 " +
			":: fe80::1 fe80::1%eth0 febf::1 fec0::1 ff02::1 fd00:ec2::254 fd20:ce::254 ::ffff:169.254.169.254 ::ffff:0.0.0.0 ::169.254.169.254 " +
			"64:ff9b::a9fe:a9fe 64:ff9b:1::a9fe:a9fe 2002:a9fe:a9fe:: 2001:0:4136:e378:8000:63bf:3fff:fdd2 100::1",
	} {
		for a := range strings.FieldsSeq(addresses) {
			if got := reachOf(netip.MustParseAddr(a)); got != want {
				t.Errorf("%s has reach %d, not %d", a, got, want)
			}
		}
	}
}

func TestSettingsThatCannotBeUsed(t *testing.T) {
	for _, bad := range []Config{
		{PrivateHosts: []string{""}},
		{PrivateHosts: []string{"git.corp/path"}},
		{PrivateHosts: []string{"ssh://git.corp"}},
		{PrivateHosts: []string{"git.corp:"}},
		{PrivateHosts: []string{"git.corp:port"}},
		{PrivateHosts: []string{"https://ada:planted@git.corp"}},
		{PrivateHosts: []string{"https://git.corp?x=y"}},
		{PrivateHosts: []string{"http://git.corp:8080", "https://git.corp:8080"}},
		{Issuers: []string{"http://login.corp"}},
		{Issuers: []string{"https://login.corp/tenant"}},
	} {
		_, err := New(bad)
		setting := "--private-host"
		if bad.Issuers != nil {
			setting = "--issuer-host"
		}
		if !fault.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), setting) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestOperatorSaysWhichHostsSpeakHTTP(t *testing.T) {
	h, err := New(Config{PrivateHosts: []string{"git.corp", "http://old.corp", "http://both.corp", "both.corp", "http://[::1]:3000", "http://BÜCHER.corp:80/"}})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"git.corp": false, "old.corp": true, "old.corp:80": true, "OLD.corp./git": true, "old.corp:8080": false, "both.corp": false,
		"[::1]:3000": true, "[::1]": false, "elsewhere": false, "xn--bcher-kva.corp": true,
	} {
		if s := h.site(scmurl.Integration{SCMID: scmurl.GitLab, Host: host}, Credential{}); s.Plain != want {
			t.Errorf("%s is called with http: %v", host, s.Plain)
		}
	}
}

// roundTrip is an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, header http.Header) *http.Response {
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader("{}"))}
}

// gated returns a site whose calls end at next instead of the network.
func gated(t *testing.T, cfg Config, i scmurl.Integration, next roundTrip) Site {
	t.Helper()
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := h.site(i, Credential{Token: "planted"})
	s.HTTP.Transport.(*gate).next = next
	return s
}

func TestGateLetsThroughOnlyTheIntegrationsOwn(t *testing.T) {
	entra := scmurl.Integration{SCMID: scmurl.AzureDevOpsEntra, Host: "dev.azure.com/acme", IssuerURL: "https://login.microsoftonline.com/tenant/v2.0"}
	lab := scmurl.Integration{SCMID: scmurl.GitLab, Host: "gitlab.example.com:8443/git"}
	own := scmurl.Integration{SCMID: scmurl.AzureDevOpsEntra, Host: "dev.azure.com/acme", IssuerURL: "https://login.corp/tenant/v2.0"}
	astray := entra // what is good for Azure DevOps would go to another host
	astray.Host = "git.example.com/acme"
	for _, row := range []struct {
		i   scmurl.Integration
		url string
		yes bool
	}{
		{scmurl.Integration{SCMID: scmurl.GitHub, Host: "github.com"}, "https://api.github.com/user", true},
		{scmurl.Integration{SCMID: scmurl.GitHub, Host: "github.com"}, "https://GITHUB.com:443/a/b.git/info/refs?x=y", true},
		{scmurl.Integration{SCMID: scmurl.GitHub, Host: "github.com"}, "http://github.com/a/b", false},
		{scmurl.Integration{SCMID: scmurl.GitHub, Host: "github.com"}, "https://github.com:8443/a/b", false},
		{scmurl.Integration{SCMID: scmurl.GitHub, Host: "github.com"}, "https://planted@github.com/a/b", false},
		{scmurl.Integration{SCMID: scmurl.GitHub, Host: "github.com"}, "https://github.com.evil.example/a/b", false},
		{scmurl.Integration{SCMID: scmurl.GitHub, Host: "ghe.example.com"}, "https://api.github.com/user", false},
		{lab, "https://gitlab.example.com:8443/git/api/v4/user", true},
		{lab, "https://gitlab.example.com:8443/git", true},
		{lab, "https://gitlab.example.com:8443/github", false},
		{lab, "https://gitlab.example.com:8443/git/../admin", false},
		{lab, "https://gitlab.example.com:8443/git/%2e%2e/admin", false},
		{lab, "https://gitlab.example.com:8443/git/g%2Fp", true},
		{lab, "https://gitlab.example.com/git/api/v4/user", false},
		{lab, "http://169.254.169.254/latest/meta-data", false},
		{entra, "https://dev.azure.com/acme/_apis/projects", true},
		{entra, "https://dev.azure.com/other/_apis/projects", false},
		{entra, "https://login.microsoftonline.com/tenant/oauth2/v2.0/token", true},
		{own, "https://login.corp/tenant/oauth2/v2.0/token", false},
		{astray, "https://git.example.com/acme/_apis/projects", false},
		{astray, "https://login.microsoftonline.com/tenant/oauth2/v2.0/token", false},
	} {
		reached := false
		s := gated(t, Config{}, row.i, func(*http.Request) (*http.Response, error) { reached = true; return answer(200, nil), nil })
		_, err := s.getJSON(t.Context(), row.url, "", new(struct{}))
		if reached != row.yes || (err == nil) != row.yes || !row.yes && !fault.HasReason(err, fault.HostNotAllowed) {
			t.Errorf("%s calls %s: %v, %v", row.i.Host, row.url, reached, err)
		}
		if err != nil && strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v", row.url, err)
		}
	}
	s := gated(t, Config{Issuers: []string{"login.corp"}}, own, func(*http.Request) (*http.Response, error) { return answer(200, nil), nil })
	if _, err := s.getJSON(t.Context(), "https://login.corp/tenant/oauth2/v2.0/token", "", new(struct{})); err != nil {
		t.Error(err)
	}
	if got := gated(t, Config{}, own, nil).HTTP.Transport.(*gate).refusedIssuer(); !strings.Contains(got.Error(), "muster join (or muster dev) --issuer-host login.corp") {
		t.Error(got)
	}
}

// listen counts the connections to a real server on the loopback interface.
func listen(t *testing.T) (port string, connections *atomic.Int32) {
	t.Helper()
	connections = new(atomic.Int32)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, connections
}

// resolver answers every question for an IPv4 address with the next of the
// addresses, and for an IPv6 address with nothing.
func resolver(t *testing.T, addresses ...string) *net.Resolver {
	t.Helper()
	var asked atomic.Int32
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			for {
				// Over a stream, a message comes after its length.
				var length [2]byte
				if _, err := io.ReadFull(server, length[:]); err != nil {
					return
				}
				buf := make([]byte, binary.BigEndian.Uint16(length[:]))
				if _, err := io.ReadFull(server, buf); err != nil {
					return
				}
				var m dnsmessage.Message
				if err := m.Unpack(buf); err != nil {
					return
				}
				m.Response = true
				m.Additionals = nil
				if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
					a := netip.MustParseAddr(addresses[min(int(asked.Add(1))-1, len(addresses)-1)])
					m.Answers = []dnsmessage.Resource{{
						Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
						Body:   &dnsmessage.AResource{A: a.As4()},
					}}
				}
				out, err := m.Pack()
				if err != nil {
					return
				}
				if _, err := server.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
					return
				}
			}
		}()
		return client, nil
	}}
}

func TestPrivateAddressesNeedTheOperator(t *testing.T) {
	port, connections := listen(t)
	for _, row := range []struct {
		name, host string
		resolves   []string // to one after the other
		private    []string
		want       string // of the last call's error; empty when it works
	}{
		{"loopback by address", "127.0.0.1:" + port, nil, nil, "muster join (or muster dev) --private-host 127.0.0.1:" + port + ", or http://127.0.0.1:" + port + " when it speaks http"},
		{"loopback by name", "git.example.com:" + port, []string{"127.0.0.1"}, nil, "muster join (or muster dev) --private-host git.example.com:" + port},
		{"another port", "git.example.com:" + port, []string{"127.0.0.1"}, []string{"http://git.example.com:1"}, "(or muster dev) --private-host git.example.com"},
		{"allowed by address", "127.0.0.1:" + port, nil, []string{"http://127.0.0.1:" + port}, ""},
		{"allowed by name", "git.example.com:" + port, []string{"127.0.0.1"}, []string{"http://git.example.com:" + port}, ""},
		{"metadata in spite of the operator", "git.example.com:" + port, []string{"169.254.169.254"}, []string{"http://git.example.com:" + port}, "no runner may call"},
		{"metadata by address", "169.254.169.254", nil, []string{"169.254.169.254"}, "no runner may call"},
		{"metadata as IPv4 in IPv6", "[::ffff:169.254.169.254]:80", nil, []string{"http://[::ffff:169.254.169.254]"}, "no runner may call"},
		{"unspecified", "0.0.0.0:" + port, nil, []string{"http://0.0.0.0:" + port}, "no runner may call"},
		{"rebound to metadata", "git.example.com:" + port, []string{"127.0.0.1", "169.254.169.254"}, []string{"http://git.example.com:" + port}, "no runner may call"},
	} {
		t.Run(row.name, func(t *testing.T) {
			h, err := New(Config{PrivateHosts: row.private})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			if row.resolves != nil {
				h.network.resolver = resolver(t, row.resolves...)
			}
			before := connections.Load()
			s := h.site(scmurl.Integration{SCMID: scmurl.Gitea, Host: row.host}, Credential{})
			for range max(len(row.resolves), 1) {
				_, err = s.getJSON(t.Context(), s.Base()+"/api/v1/user", "", new(struct{}))
				h.Close()
			}
			if row.want == "" {
				if err != nil || connections.Load() == before {
					t.Errorf("the call failed: %v", err)
				}
				return
			}
			if !fault.HasReason(err, fault.HostNotAllowed) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("the error is %v", err)
			}
			if n := connections.Load() - before; int(n) >= max(len(row.resolves), 1) {
				t.Errorf("there were %d connections", n)
			}
		})
	}
}

func TestProxiesOfTheEnvironmentAreNotUsed(t *testing.T) {
	n, err := newNetwork(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if n.transport.Proxy != nil {
		t.Error("there is a proxy")
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	defer s.Close()
	host := s.Listener.Addr().String()
	h, err := New(Config{PrivateHosts: []string{host}})
	if err != nil {
		t.Fatal(err)
	}
	site := h.site(scmurl.Integration{SCMID: scmurl.Gitea, Host: host}, Credential{})
	if _, err := site.getJSON(t.Context(), site.Base(), "", new(struct{})); !fault.HasReason(err, fault.HostUnavailable) {
		t.Error(err)
	}
}

// giteaSite is a fake on which any page of the API answers, and a site for it.
func giteaSite(t *testing.T) (*fakehost.Server, Site) {
	t.Helper()
	s := fakehost.NewNamed(t, "git.example.com")
	s.Handle("/api/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	h, err := New(Config{CAs: fakehost.Trust(s), Dial: fakehost.Network(s)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return s, h.site(scmurl.Integration{SCMID: scmurl.Gitea, Host: "git.example.com"}, Credential{Token: "planted"})
}

func TestEveryFaultOfAHostHasItsOwnSentence(t *testing.T) {
	s, gitea := giteaSite(t)
	azure := gitea
	azure.SCMID = scmurl.AzureDevOpsServer
	h, err := New(Config{CAs: fakehost.Trust(s), Dial: fakehost.Network(s)})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	azure = h.site(azure.Integration, azure.Credential)
	for _, row := range []struct {
		site   Site
		what   fakehost.Fault
		code   fault.Code
		reason fault.Reason
		words  string
		calls  int
	}{
		{gitea, fakehost.Unauthorized, fault.FailedPrecondition, fault.SignInRequired, "Sign in again", 1},
		{gitea, fakehost.Forbidden, fault.PermissionDenied, fault.HostRefused, "does not allow this", 1},
		{gitea, fakehost.NotFound, fault.NotFound, fault.ReasonNotFound, "no such page", 1},
		{gitea, fakehost.Gone, fault.Unimplemented, fault.HostRefused, "any more", 1},
		{gitea, fakehost.Limited, fault.ResourceExhausted, fault.HostLimited, "less often", 1},
		{gitea, fakehost.SignInPage, fault.Unavailable, fault.HostUnavailable, "status 203", 1},
		{azure, fakehost.SignInPage, fault.FailedPrecondition, fault.SignInRequired, "Sign in again", 1},
		{gitea, fakehost.SignInRedirect, fault.Unavailable, fault.HostUnavailable, "another host", 1},
		{azure, fakehost.SignInRedirect, fault.FailedPrecondition, fault.SignInRequired, "Sign in again", 1},
		{gitea, fakehost.Failing, fault.Unavailable, fault.HostUnavailable, "status 502", 2},
		{gitea, fakehost.Reset, fault.Unavailable, fault.HostUnavailable, "cannot be reached", 2},
		{gitea, fakehost.Slow, fault.DeadlineExceeded, fault.HostUnavailable, "in time", 1},
		{gitea, fakehost.Huge, fault.Unavailable, fault.HostUnavailable, "more than 4 MiB", 1},
		{gitea, fakehost.Bomb, fault.Unavailable, fault.HostUnavailable, "more than 4 MiB", 1},
		{gitea, fakehost.Elsewhere, fault.Unavailable, fault.HostUnavailable, "another host", 1},
		{gitea, fakehost.Loop, fault.Unavailable, fault.HostUnavailable, "from page to page", 4},
		{gitea, fakehost.Garbage, fault.Unavailable, fault.HostUnavailable, "no JSON", 1},
	} {
		s.Mend()
		s.Break(nil, row.what)
		s.TakeCalls()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if row.what == fakehost.Slow {
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		}
		_, err := row.site.getJSON(ctx, row.site.Base()+"/api/v1/user", "token planted", new(struct{}))
		cancel()
		f := fault.From(err)
		if f.Code != row.code || f.Reason != row.reason || !strings.Contains(f.Message, row.words) {
			t.Errorf("fault %d: %v", row.what, err)
		}
		if row.what == fakehost.Limited && f.RetryAfter != 30*time.Second {
			t.Errorf("retry after %v", f.RetryAfter)
		}
		if calls := s.TakeCalls(); len(calls) != row.calls {
			t.Errorf("fault %d took %d calls, not %d", row.what, len(calls), row.calls)
		}
		for _, text := range []string{err.Error(), f.Message} {
			if strings.Contains(text, "planted") {
				t.Errorf("fault %d tells the token: %s", row.what, text)
			}
		}
	}
}

func TestHeadersSayWhyAHostRefuses(t *testing.T) {
	for _, row := range []struct {
		name   string
		status int
		header map[string]string
		code   fault.Code
		words  string
		after  time.Duration
	}{
		{"too few scopes", 403, map[string]string{"X-Accepted-OAuth-Scopes": "repo, admin:org", "X-OAuth-Scopes": "gist"}, fault.PermissionDenied, "repo, admin:org", 0},
		{"scopes that are none", 403, map[string]string{"X-Accepted-OAuth-Scopes": "<script>, \"x\", ghp_PLANTED"}, fault.PermissionDenied, "with your credential.", 0},
		{"scopes that suffice", 403, map[string]string{"X-Accepted-OAuth-Scopes": "repo", "X-OAuth-Scopes": "repo"}, fault.PermissionDenied, "with your credential.", 0},
		{"single sign-on", 403, map[string]string{"X-GitHub-SSO": "required; url=https://github.com/orgs/acme/sso?authorization_request=PLANTED"}, fault.PermissionDenied, "single sign-on", 0},
		{"limited with 403", 403, map[string]string{"X-RateLimit-Remaining": "0"}, fault.ResourceExhausted, "less often", 0},
		{"limited until a time", 429, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "946684860"}, fault.ResourceExhausted, "less often", time.Minute},
		{"limited until a date", 429, map[string]string{"Retry-After": "Sat, 01 Jan 2000 00:02:00 GMT"}, fault.ResourceExhausted, "less often", 2 * time.Minute},
		{"limited for a secondary limit", 403, map[string]string{"Retry-After": "60"}, fault.ResourceExhausted, "less often", time.Minute},
		{"limited for long", 429, map[string]string{"Retry-After": "99999999"}, fault.ResourceExhausted, "less often", time.Hour},
		{"limited for nothing", 429, map[string]string{"Retry-After": "-5"}, fault.ResourceExhausted, "less often", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // it is the beginning of 2000
				header := http.Header{}
				for k, v := range row.header {
					header.Set(k, v)
				}
				err := Site{Integration: scmurl.Integration{Host: "github.com"}}.faultOf(answer(row.status, header), nil)
				f := fault.From(err)
				if f.Code != row.code || !strings.Contains(f.Message, row.words) || f.RetryAfter != row.after || strings.Contains(err.Error(), "PLANTED") {
					t.Errorf("%v, retry after %v", err, f.RetryAfter)
				}
			})
		})
	}
}

func TestRetriesAndPatience(t *testing.T) {
	i := scmurl.Integration{SCMID: scmurl.Gitea, Host: "git.example.com"}
	for _, row := range []struct {
		name    string
		method  string
		answers []func() (*http.Response, error)
		status  int // of the last answer
		calls   int
		took    time.Duration
	}{
		{"502 and then fine", http.MethodGet, []func() (*http.Response, error){status(502), status(200)}, 200, 2, 0},
		{"503 twice", http.MethodGet, []func() (*http.Response, error){status(503), status(503)}, 503, 2, 0},
		{"502 for a change", http.MethodPost, []func() (*http.Response, error){status(502)}, 502, 1, 0},
		{"a broken connection", http.MethodGet, []func() (*http.Response, error){func() (*http.Response, error) { return nil, io.EOF }, status(200)}, 200, 2, 0},
		{"a refused connection", http.MethodGet, []func() (*http.Response, error){func() (*http.Response, error) { return nil, errors.New("refused") }}, 0, 1, 0},
		{"limited for a second", http.MethodGet, []func() (*http.Response, error){status(429, "1"), status(200)}, 200, 2, time.Second},
		{"limited for two", http.MethodGet, []func() (*http.Response, error){status(429, "2")}, 429, 1, 0},
		{"limited without a time", http.MethodGet, []func() (*http.Response, error){status(429)}, 429, 1, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				s := gated(t, Config{}, i, func(*http.Request) (*http.Response, error) {
					calls++
					return row.answers[calls-1]()
				})
				start := time.Now()
				req, _ := http.NewRequestWithContext(t.Context(), row.method, "https://git.example.com/api", http.NoBody)
				resp, err := s.HTTP.Do(req)
				got := 0
				if err == nil {
					got = resp.StatusCode
					_ = resp.Body.Close()
				}
				if got != row.status || calls != row.calls || time.Since(start) != row.took {
					t.Errorf("status %d (%v) after %d calls and %v", got, err, calls, time.Since(start))
				}
			})
		})
	}
}

func status(code int, retryAfter ...string) func() (*http.Response, error) {
	h := http.Header{}
	for _, v := range retryAfter {
		h.Set("Retry-After", v)
	}
	return func() (*http.Response, error) { return answer(code, h), nil }
}

func TestAHostThatIsSilentCostsOneDeadline(t *testing.T) {
	for name, patience := range map[string]time.Duration{"connects": callPatience, "does not connect": dialPatience} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, err := New(Config{PrivateHosts: []string{"http://git.example.com"}, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
					if name == "connects" {
						client, server := net.Pipe()
						t.Cleanup(func() { _ = server.Close() })
						return client, nil
					}
					<-ctx.Done()
					return nil, ctx.Err()
				}})
				if err != nil {
					t.Fatal(err)
				}
				s := h.site(scmurl.Integration{SCMID: scmurl.Gitea, Host: "git.example.com"}, Credential{})
				start := time.Now()
				_, err = s.getJSON(t.Context(), "http://git.example.com/api", "", new(struct{}))
				if !fault.Is(err, fault.DeadlineExceeded) || time.Since(start) != patience {
					t.Errorf("%v after %v", err, time.Since(start))
				}
			})
		})
	}
}

func TestAQuestionHasSixCalls(t *testing.T) {
	s, site := giteaSite(t)
	s.Break(func(r *http.Request) bool { return r.URL.Path == "/api/failing" }, fakehost.Failing)
	err := newDesk(1).within(t.Context(), site, func(ctx context.Context) error {
		_, _ = site.getJSON(ctx, site.Base()+"/api/failing", "", new(struct{})) // takes two
		for n := range maxCalls - 2 {
			if _, err := site.getJSON(ctx, site.Base()+"/api/fine", "", new(struct{})); err != nil {
				t.Errorf("call %d: %v", n, err)
			}
		}
		_, err := site.getJSON(ctx, site.Base()+"/api/fine", "", new(struct{}))
		return err
	})
	if !fault.HasReason(err, fault.LimitReached) {
		t.Error(err)
	}
	if n := len(s.Calls()); n != maxCalls {
		t.Errorf("there were %d calls", n)
	}
}

func TestRedirectsStayOnTheHost(t *testing.T) {
	s, site := giteaSite(t)
	var to string
	s.Handle("/moved/{n}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("n") == "0" {
			_, _ = io.WriteString(w, "{}")
			return
		}
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	})
	for _, row := range []struct {
		method, to string
		fine       bool
	}{
		{http.MethodGet, "/moved/0", true},
		{http.MethodGet, "https://git.example.com:443/moved/0", true},
		{http.MethodPost, "/moved/0", false},
		{http.MethodGet, "http://git.example.com/moved/0", false},
		{http.MethodGet, "https://git.example.com:8443/moved/0", false},
		{http.MethodGet, "https://other.example.com/moved/0", false},
		{http.MethodGet, "//other.example.com/moved/0", false},
	} {
		to = row.to
		s.TakeCalls()
		req, _ := http.NewRequestWithContext(t.Context(), row.method, site.Base()+"/moved/1", http.NoBody)
		req.Header.Set("Private-Token", "planted")
		resp, err := site.HTTP.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		if (err == nil) != row.fine || err != nil && !fault.HasReason(err, fault.HostUnavailable) {
			t.Errorf("%s to %s: %v", row.method, row.to, err)
		}
		if !row.fine && len(s.TakeCalls()) != 1 {
			t.Errorf("%s to %s was followed", row.method, row.to)
		}
	}
}

func TestEscapesStayInPrefixes(t *testing.T) {
	u, err := url.Parse("https://h/git/a%2Fb")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{open: []*url.URL{{Scheme: "https", Host: "h", Path: "/git"}}}
	if !g.opens(&http.Request{URL: u}) {
		t.Error("a name with a slash was refused")
	}
}
