// Package fakehost is source code hosts for tests.
//
// The git half is real: bare repositories made by git, served by git's own HTTP
// server, in whatever URL layout a kind of host has. The API half answers what a
// test mounts. Every request is recorded, and faults can be switched on for the
// requests that a test chooses.
package fakehost

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Server is a source code host.
type Server struct {
	*httptest.Server
	mux *http.ServeMux

	mu     sync.Mutex
	calls  []*Call
	faults []fault
}

// Call is a request that came, without its body.
type Call struct {
	Method string
	// Host is as the client named it.
	Host string
	// URL is the path with its escapes, and the query.
	URL    string
	Header http.Header
	Body   []byte
	// Answered is how many bytes of body were sent back.
	Answered int
}

// Fault is what goes wrong.
type Fault int

// The faults.
const (
	Unauthorized   Fault = iota // 401
	Forbidden                   // 403
	NotFound                    // 404
	Gone                        // 410
	Limited                     // 429 with Retry-After: 30
	LimitedBriefly              // 429 with Retry-After: 1
	SignInPage                  // 203 with HTML
	SignInRedirect              // a redirect to where Azure DevOps signs people in
	Failing                     // 502
	Reset                       // the connection breaks instead of an answer
	Slow                        // no answer until the client gives up
	Stalled                     // half an answer, and no more until the client gives up
	Huge                        // an endless answer
	Bomb                        // an answer of a few KiB that decompresses to 64 MiB
	Elsewhere                   // a redirect to another host
	Loop                        // a redirect to the same page
	Garbage                     // 200 with something that is neither JSON nor git
)

type fault struct {
	match func(*http.Request) bool
	what  Fault
}

// New starts a host with TLS. Its certificate is that of httptest: for example.com
// and 127.0.0.1.
func New(t testing.TB) *Server { return start(t, true) }

// NewPlain starts a host without TLS.
func NewPlain(t testing.TB) *Server { return start(t, false) }

var quiet = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)

func start(t testing.TB, tls bool) *Server {
	t.Helper()
	s := &Server{mux: http.NewServeMux()}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = quiet // clients that go away are the point of some tests
	if tls {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// Address is the host and port that the server listens at.
func (s *Server) Address() string { return s.Listener.Addr().String() }

// Handle mounts a part of the API; see http.ServeMux.
func (s *Server) Handle(pattern string, h http.HandlerFunc) { s.mux.Handle(pattern, h) }

// Break makes requests fail that match; nil stands for all. The fault that was
// added last counts.
func (s *Server) Break(match func(*http.Request) bool, what Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, fault{match, what})
}

// Mend takes all faults away.
func (s *Server) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Calls returns the requests since the last call of TakeCalls.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]Call, len(s.calls))
	for i, c := range s.calls {
		calls[i] = *c
	}
	return calls
}

// TakeCalls returns the requests so far and forgets them.
func (s *Server) TakeCalls() []Call {
	calls := s.Calls()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = s.calls[len(calls):]
	return calls
}

// ServeHTTP records the request and answers it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	call := &Call{Method: r.Method, Host: r.Host, URL: r.URL.RequestURI(), Header: r.Header.Clone(), Body: body}
	s.mu.Lock()
	s.calls = append(s.calls, call)
	var broken *fault
	for i := range s.faults {
		if s.faults[i].match == nil || s.faults[i].match(r) {
			broken = &s.faults[i]
		}
	}
	s.mu.Unlock()
	counted := &counter{ResponseWriter: w}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		call.Answered = counted.n
	}()
	if broken != nil {
		broken.serve(counted, r)
		return
	}
	s.mux.ServeHTTP(counted, r)
}

type counter struct {
	http.ResponseWriter
	n int
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n += n
	return n, err
}

func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (f *fault) serve(w http.ResponseWriter, r *http.Request) {
	status := map[Fault]int{
		Unauthorized: http.StatusUnauthorized, Forbidden: http.StatusForbidden, NotFound: http.StatusNotFound, Gone: http.StatusGone,
		Limited: http.StatusTooManyRequests, LimitedBriefly: http.StatusTooManyRequests,
		Failing: http.StatusBadGateway, SignInPage: http.StatusNonAuthoritativeInfo,
	}
	switch f.what {
	case Reset:
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	case Bomb:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb())
	case SignInRedirect:
		http.Redirect(w, r, "https://spsprod.vssps.visualstudio.com/_signin", http.StatusFound)
	case Loop:
		http.Redirect(w, r, r.URL.RequestURI(), http.StatusFound)
	case Slow:
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // an empty answer could still overtake the deadline
	case Stalled:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case Huge:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"junk":"`)
		junk := bytes.Repeat([]byte("x"), 64<<10)
		for {
			if _, err := w.Write(junk); err != nil {
				return
			}
		}
	case Elsewhere:
		http.Redirect(w, r, "https://elsewhere.example/"+strings.TrimPrefix(r.URL.Path, "/"), http.StatusFound)
	case Garbage:
		_, _ = io.WriteString(w, "\x00\x01 not what you asked for")
	case SignInPage:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status[f.what])
		_, _ = io.WriteString(w, "<html><title>Sign in</title></html>")
	default:
		switch f.what {
		case Limited:
			w.Header().Set("Retry-After", "30")
		case LimitedBriefly:
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(status[f.what])
		// Hosts echo what they were sent; nothing of this may come out anywhere.
		_, _ = fmt.Fprintf(w, `{"message":"echo of %s"}`, r.Header.Get("Authorization"))
	}
}

// bomb is made of 64 parts of 1 MiB, of which one is compressed: a host that
// compressed all of it would be slower than its clients wait.
func bomb() []byte {
	part := func(text io.Reader) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.Copy(z, text)
		_ = z.Close()
		return b.Bytes()
	}
	return append(part(strings.NewReader(`{"junk":"`)), bytes.Repeat(part(io.LimitReader(zeros{}, 1<<20)), 64)...)
}

// zeros is endless.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

// Git serves a repository at a path such as "/scm/git/widgets.git", in which spaces
// are escaped, for requests that allowed lets through; nil lets all through. Others
// get 401.
func (s *Server) Git(path string, repo *Repo, allowed func(*http.Request) bool) {
	s.git(path, repo, allowed, true)
}

// OldGit serves a repository like Git, but not with version 2 of the protocol.
func (s *Server) OldGit(path string, repo *Repo, allowed func(*http.Request) bool) {
	s.git(path, repo, allowed, false)
}

func (s *Server) git(path string, repo *Repo, allowed func(*http.Request) bool, v2 bool) {
	root, err := url.PathUnescape(path)
	if err != nil {
		repo.t.Fatal(err)
	}
	backend := &cgi.Handler{
		Path: gitBackend(), Root: root, Dir: repo.Dir,
		Env:        []string{"GIT_PROJECT_ROOT=" + repo.Dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + repo.Dir},
		InheritEnv: []string{"PATH"},
		Stderr:     io.Discard,
		Logger:     quiet,
	}
	s.mux.HandleFunc(path+"/", func(w http.ResponseWriter, r *http.Request) {
		if allowed != nil && !allowed(r) {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		r = r.Clone(r.Context())
		r.Header.Del("Authorization") // so that git does not see a user
		if !v2 {
			r.Header.Del("Git-Protocol")
		}
		backend.ServeHTTP(w, r)
	})
}

func gitBackend() string {
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		panic("fakehost: git is needed: " + err.Error())
	}
	return filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
}
