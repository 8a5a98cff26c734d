package dial_test

import (
	"bufio"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/musterhq/muster/internal/agent/dial"
	"github.com/musterhq/muster/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server answers with the version of HTTP and the path, like every Muster
// server also in clear text over HTTP/2.
func server(t *testing.T, secure bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto+" "+r.Host+" "+r.URL.Path)
	}))
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	s.Config.Protocols = protocols
	s.EnableHTTP2 = secure
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func caFile(t *testing.T, s *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// proxy is a CONNECT proxy that takes every tunnel to the one target.
func proxy(t *testing.T, target net.Addr, user string) (*httptest.Server, *atomic.Pointer[http.Request]) {
	t.Helper()
	last := new(atomic.Pointer[http.Request])
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last.Store(r)
		r.Header.Set("Authorization", r.Header.Get("Proxy-Authorization"))
		if name, password, _ := r.BasicAuth(); user != "" && name+":"+password != user {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		if r.Method != http.MethodConnect || strings.HasPrefix(r.Host, "forbidden.") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		out, err := net.Dial("tcp", target.String())
		if err != nil {
			t.Error(err)
			return
		}
		in, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = rw.WriteString("HTTP/1.1 200 OK\r\n\r\n")
		_ = rw.Flush()
		go func() { _, _ = io.Copy(out, rw); _ = out.Close() }()
		_, _ = io.Copy(in, out)
		_ = in.Close()
	}))
	t.Cleanup(s.Close)
	return s, last
}

func get(t *testing.T, n *dial.Network, address string) (string, error) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	c := n.Connect(u)
	defer c.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func network(t *testing.T, caFile string) *dial.Network {
	t.Helper()
	n, err := dial.New(caFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDirect(t *testing.T) {
	plain, secure := server(t, false), server(t, true)
	for address, ca := range map[string]string{plain.URL: "", secure.URL: caFile(t, secure)} {
		if got, err := get(t, network(t, ca), address+"/a"); err != nil || !strings.HasPrefix(got, "HTTP/2.0 ") || !strings.HasSuffix(got, " /a") {
			t.Errorf("%s: %q, %v", address, got, err)
		}
	}
	if _, err := get(t, network(t, ""), secure.URL); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate gave %v", err)
	}
}

func TestProxy(t *testing.T) {
	plain, secure := server(t, false), server(t, true)
	toPlain, lastPlain := proxy(t, plain.Listener.Addr(), "ada:pass word")
	toSecure, lastSecure := proxy(t, secure.Listener.Addr(), "")
	t.Setenv("HTTP_PROXY", strings.Replace(toPlain.URL, "//", "//ada:pass%20word@", 1))
	t.Setenv("HTTPS_PROXY", toSecure.URL)
	t.Setenv("NO_PROXY", "direct.example")
	n := network(t, caFile(t, secure))

	if got, err := get(t, n, "http://muster.example:81/a"); err != nil || got != "HTTP/2.0 muster.example:81 /a" {
		t.Errorf("http: %q, %v", got, err)
	}
	if r := lastPlain.Load(); r == nil || r.Method != http.MethodConnect || r.Host != "muster.example:81" {
		t.Errorf("the proxy was asked for %v", r)
	}
	// httptest's certificate is for example.com.
	if got, err := get(t, n, "https://example.com/a"); err != nil || got != "HTTP/2.0 example.com /a" {
		t.Errorf("https: %q, %v", got, err)
	}
	if r := lastSecure.Load(); r == nil || r.Host != "example.com:443" {
		t.Errorf("the proxy was asked for %v", r)
	}
	if _, err := get(t, n, "https://forbidden.example"); err == nil || !strings.Contains(err.Error(), "refused to connect to forbidden.example:443: 403") {
		t.Errorf("a refusal gave %v", err)
	}
	if _, err := get(t, n, "http://direct.example"); err == nil || strings.Contains(err.Error(), "proxy") {
		t.Errorf("NO_PROXY: %v", err)
	}

	t.Setenv("HTTP_PROXY", toPlain.URL)
	if _, err := get(t, network(t, ""), "http://muster.example"); err == nil || !strings.Contains(err.Error(), "user name and password") {
		t.Errorf("without a password: %v", err)
	}
	t.Setenv("HTTP_PROXY", "socks5://127.0.0.1:1")
	if _, err := get(t, network(t, ""), "http://muster.example"); err == nil || !strings.Contains(err.Error(), "socks5:// proxies are not supported") {
		t.Errorf("a SOCKS proxy: %v", err)
	}
}

// A server of HTTP/2 may send its settings before it has heard anything; the
// proxy's answer and they can arrive in one piece.
func TestProxyWithAServerThatSpeaksFirst(t *testing.T) {
	there, here := net.Pipe()
	t.Setenv("HTTP_PROXY", "http://proxy.example:3128")
	once := make(chan net.Conn, 1)
	once <- here
	n, err := dial.New("", func(context.Context, string, string) (net.Conn, error) {
		select {
		case conn := <-once:
			return conn, nil
		default:
			return nil, errors.New("dialed again")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := make(chan bool)
	go func() {
		defer func() { _ = there.Close() }()
		in := bufio.NewReader(there)
		if _, err := http.ReadRequest(in); err != nil {
			t.Error(err)
		}
		go func() { _, _ = io.WriteString(there, "HTTP/1.1 200 OK\r\n\r\n"+"\x00\x00\x00\x04\x00\x00\x00\x00\x00") }()
		_, err := io.CopyN(io.Discard, in, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
		for header := make([]byte, 9); err == nil; {
			if _, err = io.ReadFull(in, header); err != nil {
				break
			}
			if header[3] == 4 && header[4] == 1 { // SETTINGS, ACK
				acknowledged <- true
				return
			}
			_, err = io.CopyN(io.Discard, in, int64(header[0])<<16|int64(header[1])<<8|int64(header[2]))
		}
		acknowledged <- false
	}()
	failed := make(chan error)
	go func() {
		_, err := get(t, n, "http://muster.example")
		failed <- err
	}()
	if !<-acknowledged {
		t.Error("the client did not read what the server said early")
	}
	if err := <-failed; err == nil {
		t.Error("the request succeeded although the server went away")
	}
}

func TestCloseInterruptsDialing(t *testing.T) {
	dialing := make(chan struct{})
	n, err := dial.New("", func(ctx context.Context, _, _ string) (net.Conn, error) {
		close(dialing)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	c := n.Connect(&url.URL{Scheme: "http", Host: "muster.example"})
	failed := make(chan error)
	go func() {
		response, err := c.Get("http://muster.example") //nolint:noctx // Close is what is tested
		if err == nil {
			_ = response.Body.Close()
		}
		failed <- err
	}()
	<-dialing
	c.Close()
	if err := <-failed; err == nil {
		t.Error("the request succeeded")
	}
}

func TestClientForAnyServer(t *testing.T) {
	secure := server(t, true)
	client := network(t, caFile(t, secure)).Client()
	defer client.CloseIdleConnections()
	response, err := client.Get(secure.URL) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
}

func TestCAFile(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, empty + "-not-there"} {
		if _, err := dial.New(path, nil); !fault.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
