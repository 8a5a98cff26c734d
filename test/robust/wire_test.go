package robust_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/musterhq/muster/test/muster"
)

// Bytes that are hardly HTTP are refused, and never with an error of the server.
func TestRawNonsense(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	const list = "/gitpod.v1.RunnerService/ListRunners"
	post := func(path, headers, body string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + s.Token + "\r\nContent-Type: application/json\r\n" + headers + "\r\n" + body
	}
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n", n) }
	for name, raw := range map[string]string{
		"noise":                          "\x00\x01\x02\xff\xfe\r\n\r\n",
		"a TLS hello":                    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 500),
		"another protocol":               "SSH-2.0-OpenSSH_9.6\r\n",
		"an old version":                 "GET / HTTP/0.9\r\n\r\n",
		"a new version":                  "GET / HTTP/9.9\r\n\r\n",
		"no host":                        "GET /healthz HTTP/1.1\r\n\r\n",
		"a huge line":                    "GET /" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"huge headers":                   "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 1000) + "\r\n",
		"HTTP/2 and then noise":          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\xff", 1000),
		"HTTP/2 and then a broken frame": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\xff\xff\xff\x01\x05\x00\x00\x00\x01xxxx",
		"a negative length":              post(list, length(-1), "{}"),
		"two lengths":                    post(list, length(2)+length(3), "{}}"),
		"a length and chunks":            post(list, length(2)+"Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"),
		"a bad chunk":                    post(list, "Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n"),
		"a huge chunk":                   post(list, "Transfer-Encoding: chunked\r\n", "ffffffffffffffff\r\n{}\r\n"),
		"a wrong encoding":               post(list, length(2)+"Content-Encoding: br\r\n", "{}"),
		"gzip that is none":              post(list, length(2)+"Content-Encoding: gzip\r\n", "{}"),
		"a bad timeout":                  post(list, length(2)+"Connect-Timeout-Ms: -1\r\n", "{}"),
		"a timeout of noise":             post(list, length(2)+"Connect-Timeout-Ms: abc\r\n", "{}"),
		"another protocol version":       post(list, length(2)+"Connect-Protocol-Version: 7\r\n", "{}"),
		"paging of noise":                post(list+"?token=%zz&pageSize=;;", length(2), "{}"),
		"a page size of noise":           post(list+"?pageSize=x", length(2), "{}"),
		"an unknown procedure":           post("/gitpod.v1.RunnerService/Nothing", length(2), "{}"),
		"an unknown service":             post("/gitpod.v1.NoService/Nothing", length(2), "{}"),
		"a path with dots":               post("/x/../gitpod.v1.RunnerService/ListRunners", length(2), "{}"),
		"a path with two slashes":        post("//gitpod.v1.RunnerService/ListRunners", length(2), "{}"),
		"a path with NUL":                post("/gitpod.v1.RunnerService/%00", length(2), "{}"),
		"logs of nobody":                 "GET /runners/%00%ff/logs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n",
		"a token of noise":               "POST " + list + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"a huge token":                   "POST " + list + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + strings.Repeat("x", 60_000) + "\r\nContent-Length: 2\r\n\r\n{}",
		"another content type":           strings.Replace(post(list, length(2), "{}"), asJSON, "text/html", 1),
		"GET":                            "GET " + list + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"PUT":                            "PUT " + list + " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
		"CONNECT":                        "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
		"OPTIONS":                        "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, s)
			if _, err := io.WriteString(conn, raw); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				return // it was closed while we spoke
			}
			// Whoever waits for more gets no more.
			_ = conn.(*net.TCPConn).CloseWrite()
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("neither an answer nor the end of the connection")
				}
				return
			}
			body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<16))
			_ = res.Body.Close()
			switch res.StatusCode {
			case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
			default:
				if res.StatusCode >= 500 || res.StatusCode >= 300 && res.StatusCode < 400 {
					t.Errorf("status %d: %s", res.StatusCode, body)
				}
			}
			if insides.Match(body) {
				t.Errorf("it speaks of insides: %s", body)
			}
		})
	}
	unharmed(t, s)
}

// A client that sends its request drop by drop is cut off.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	for name, tt := range map[string]struct {
		head     string
		drop     string
		patience time.Duration
	}{
		"headers": {"POST /gitpod.v1.RunnerService/ListRunners HTTP/1.1\r\nHost: x\r\n", "A: b\r\n", 20 * time.Second},
		"body": {
			"POST /gitpod.v1.RunnerService/ListRunners HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\nAuthorization: Bearer " + s.Token + "\r\n\r\n",
			" ", 45 * time.Second,
		},
		"body without a token": {
			"POST /gitpod.v1.IdentityService/ExchangeToken HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
			"1\r\n \r\n", 45 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, s)
			if err := conn.SetDeadline(time.Now().Add(tt.patience)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, tt.head); err != nil {
				t.Fatal(err)
			}
			go func() {
				tick := time.NewTicker(500 * time.Millisecond)
				defer tick.Stop()
				for range tick.C {
					if _, err := io.WriteString(conn, tt.drop); err != nil {
						return
					}
				}
			}()
			answer, err := io.ReadAll(conn)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("it was not cut off after %s; it was told %q", tt.patience, answer)
			}
			if line, _, _ := strings.Cut(string(answer), "\r\n"); len(answer) > 0 && !strings.Contains(line, " 4") && !strings.Contains(line, " 504 ") {
				t.Errorf("it was told %s", line)
			}
		})
	}
}

// dial opens a connection with a deadline.
func dial(t *testing.T, s *muster.Server) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}
