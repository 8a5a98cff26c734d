package agent_test

import (
	"bufio"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent"
	"github.com/musterhq/muster/internal/fault"
)

func serveHTTP2(s *httptest.Server) {
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetHTTP2(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
}

// overLoopback makes a control plane on the real network, below a path.
func overLoopback(t *testing.T, secure bool, prefix string) (*plane, *httptest.Server) {
	t.Helper()
	p, handler := newPlane(t)
	server := httptest.NewUnstartedServer(http.StripPrefix(prefix, handler))
	serveHTTP2(server)
	if server.EnableHTTP2 = secure; secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	p.url = server.URL + prefix
	return p, server
}

func certificateFile(t *testing.T, server *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCAFileAndPathPrefix(t *testing.T) {
	p, server := overLoopback(t, true, "/behind/a/path")
	err := p.join(t, nil).wait()
	if !fault.Is(err, fault.FailedPrecondition) || !strings.Contains(fault.From(err).Message, "--ca-file") {
		t.Errorf("an unknown certificate gave %v", err)
	}
	pr := p.join(t, func(c *agent.Config) { c.CAFile, c.Server = certificateFile(t, server), p.url+"/" })
	l := p.welcomed(t)
	l.configure(t, &linkv1.Configuration{Revision: 1})
	if got := readIdentity(t, pr.dir).Server; got != p.url {
		t.Errorf("the identity holds %s", got)
	}
}

func TestThroughAProxy(t *testing.T) {
	for _, secure := range []bool{false, true} {
		name := map[bool]string{false: "http", true: "https"}[secure]
		t.Run(name, func(t *testing.T) {
			p, server := overLoopback(t, secure, "/muster")
			asked := make(chan string, 100)
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked <- r.Method + " " + r.Host
				out, err := net.Dial("tcp", server.Listener.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				in, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = rw.WriteString("HTTP/1.1 200 Connection established\r\n\r\n")
				_ = rw.Flush()
				go func() { _, _ = io.Copy(out, rw); _ = out.Close() }()
				_, _ = io.Copy(in, out)
				_ = in.Close()
			}))
			defer proxy.Close()
			t.Setenv(strings.ToUpper(name)+"_PROXY", proxy.URL)
			t.Setenv("NO_PROXY", "")
			// The name is in httptest's certificate; only the proxy knows where it is.
			p.url = name + "://example.com/muster"
			pr := p.join(t, func(c *agent.Config) {
				if secure {
					c.CAFile = certificateFile(t, server)
				}
			})
			l := p.welcomed(t)
			l.configure(t, &linkv1.Configuration{Revision: 1})
			if err := pr.stop(nil); err != nil {
				t.Error(err)
			}
			port := map[bool]string{false: "80", true: "443"}[secure]
			if got := <-asked; got != "CONNECT example.com:"+port {
				t.Errorf("the proxy was asked for %s", got)
			}
		})
	}
}

func TestGatewaysAreMeasured(t *testing.T) {
	p, _ := overLoopback(t, false, "")
	gateway := httptest.NewServer(http.NotFoundHandler())
	defer gateway.Close()
	p.join(t, nil)
	l := p.accept(t)
	l.welcome(t, func(w *linkv1.Welcome) {
		w.Gateways = []*gitpodv1.Gateway{{Name: "dead", Url: "http://127.0.0.1:1"}, {Name: "alive", Url: gateway.URL, Region: "eu"}}
	})
	info := expect(t, l, (*linkv1.RunnerFrame).GetReport).GetGatewayInfo()
	if info.GetGateway().GetName() != "alive" || info.GetGateway().GetRegion() != "eu" || info.GetLatency().AsDuration() <= 0 || info.GetLatency().AsDuration() > 10*time.Second {
		t.Errorf("got %v", info)
	}
}

func TestDirectLogs(t *testing.T) {
	p, _ := overLoopback(t, false, "")
	pr := p.join(t, func(c *agent.Config) {
		c.LogListen, c.LogAdvertiseURL = "127.0.0.1:0", "https://logs.example/runner-a/"
	})
	l := p.accept(t)
	if r := l.hello.GetReport(); r.GetLogUrl() != "https://logs.example/runner-a/logs" || r.GetSupportBundleUrl() != "https://logs.example/runner-a/support-bundle" {
		t.Errorf("got %v", r)
	}
	address := regexp.MustCompile(`at (127\.0\.0\.1:\d+)`).FindStringSubmatch(pr.out.String())
	if address == nil {
		t.Fatalf("the address is not said: %s", pr.out)
	}
	get := func(path, token string) (*http.Response, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address[1]+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response, string(body)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)

	good := p.token(t, nil)
	if response, body := get("/logs", good); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("before the welcome: %s %s", response.Status, body)
	}
	l.welcome(t, nil)
	l.configure(t, &linkv1.Configuration{Revision: 1}) // now it is welcomed

	for path, want := range map[string]string{
		"/logs":               `"msg":"connected"`,
		"/runner-a/logs":      `"msg":"connected"`,
		"/logs?tail=1":        `"by":"ada"`,
		"/logs?follow=false":  `"msg":"connected"`,
		"/logs?tail=":         `"msg":"connected"`,
		"/logs?unknown=1":     `"msg":"connected"`,
		"/logs?tail=99999999": `"msg":"connected"`,
	} {
		response, body := get(path, good)
		if response.StatusCode != http.StatusOK || !strings.Contains(body, want) || response.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %s %q", path, response.Status, body)
		}
	}
	response, body := get("/support-bundle", good)
	if files := unpack(t, body); response.Header.Get("Content-Type") != "application/gzip" || !strings.Contains(files["configuration.json"], runnerID) {
		t.Errorf("the support bundle: %v", response.Header)
	}
	for path, status := range map[string]int{
		"/logs?tail=-1": http.StatusBadRequest, "/logs?tail=x": http.StatusBadRequest, "/logs?follow=maybe": http.StatusBadRequest, "/": http.StatusNotFound, "/runner-a": http.StatusNotFound,
	} {
		if response, body := get(path, good); response.StatusCode != status {
			t.Errorf("%s: %s %q", path, response.Status, body)
		}
	}
	for name, token := range map[string]string{
		"none": "", "nonsense": "x", "another runner's": p.token(t, func(_, c object) { c["aud"] = "runner:" + orgID }),
		"expired": p.token(t, func(_, c object) { c["exp"] = 1 }),
	} {
		for _, path := range []string{"/logs", "/support-bundle"} {
			if response, body := get(path, token); response.StatusCode != http.StatusUnauthorized || response.Header.Get("WWW-Authenticate") == "" || strings.Contains(body, "connected") {
				t.Errorf("%s token: %s %q", name, response.Status, body)
			}
		}
	}
	if response, err := http.Post("http://"+address[1]+"/logs", "", nil); err != nil || response.StatusCode != http.StatusMethodNotAllowed { //nolint:noctx // a test
		t.Errorf("POST: %v, %v", response.Status, err)
	} else {
		_ = response.Body.Close()
	}

	// Following, until the runner stops.
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address[1]+"/logs?tail=1&follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+good)
	follow, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = follow.Body.Close() }()
	lines := bufio.NewScanner(follow.Body)
	l.configure(t, &linkv1.Configuration{Revision: 55})
	for lines.Scan() && !strings.Contains(lines.Text(), `"revision":55`) {
	}
	if err := pr.stop(nil); err != nil {
		t.Error(err)
	}
	for lines.Scan() {
	}
	if lines.Err() != nil {
		t.Errorf("following ended with %v", lines.Err())
	}
}

// A host that was superseded does not show its logs as the runner's.
func TestDirectLogsOfASupersededHost(t *testing.T) {
	p, _ := overLoopback(t, false, "")
	pr := p.join(t, func(c *agent.Config) { c.LogListen, c.LogAdvertiseURL = "127.0.0.1:0", "http://logs.example" })
	l := p.welcomed(t)
	l.configure(t, &linkv1.Configuration{Revision: 1})
	l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Superseded{Superseded: &linkv1.Superseded{HostName: "b", BootId: orgID}}})
	l.ended(t)
	address := regexp.MustCompile(`at (127\.0\.0\.1:\d+)`).FindStringSubmatch(pr.out.String())
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address[1]+"/logs", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+p.token(t, nil))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %s", response.Status)
	}
}

func TestListenAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	p, _ := overLoopback(t, false, "")
	err = p.join(t, func(c *agent.Config) { c.LogListen, c.LogAdvertiseURL = l.Addr().String(), "http://logs.example" }).wait()
	if !fault.Is(err, fault.InvalidArgument) || !strings.Contains(fault.From(err).Message, "--log-listen") || p.exchanges.Load() != 0 {
		t.Errorf("got %v", err)
	}
}
