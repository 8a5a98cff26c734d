// Package gitea runs a real Gitea for tests of source code hosts, with people,
// repositories and pull requests of every kind in it.
//
// The program is built from source once per machine by scripts/gitea. What is in
// the server is made once through its own API, kept beside the program, and
// copied for every server, so that tests may change what they like.
package gitea

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	sdk "code.gitea.io/sdk/gitea"

	"github.com/musterhq/muster/test/muster"
)

// Options are how a server is set up; the zero value is Gitea as it comes.
type Options struct {
	// Path is where the server is below its host: "/git".
	Path string
	// RotateRefreshTokens makes every refresh token work once.
	RotateRefreshTokens bool
	// AccessTokenLife is how long tokens of OAuth work, in seconds; zero stands for
	// Gitea's own life, which is an hour.
	AccessTokenLife int
	// Front takes all requests to the server, people's and programs', and hands them
	// on to next; nil for none.
	Front func(next http.Handler) http.Handler
	// MaxRows is how many rows one answer of the API has at most; zero stands for
	// Gitea's own bound, which is 50.
	MaxRows int
}

// Server is a running Gitea.
type Server struct {
	Seed
	// URL has no slash at the end.
	URL string

	process *muster.Process
}

// Start starts a server, which stops when the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	program := program(t)
	dir := t.TempDir()
	seed := plant(t, program, dir)
	s := serve(t, program, dir, o)
	s.Seed = seed
	return s
}

// program returns the directory of the built Gitea.
func program(t testing.TB) string {
	t.Helper()
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/musterhq/muster").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	built := exec.Command(filepath.Join(strings.TrimSpace(string(root)), "scripts", "gitea"), "--no-build") //nolint:gosec // our own script
	built.Stderr = os.Stderr
	dir, err := built.Output()
	if err != nil {
		t.Fatalf("scripts/gitea: %v", err)
	}
	return strings.TrimSpace(string(dir))
}

//go:embed app.ini
var appINI string

// configure writes the settings of a server with its data in dir, and returns
// its URL.
func configure(t testing.TB, program, dir string, o Options) string {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if o.MaxRows == 0 {
		o.MaxRows = 50
	}
	if o.AccessTokenLife == 0 {
		o.AccessTokenLife = 3600
	}
	socket := filepath.Join(shortDir(t), "s")
	root := front(t, o.Front, socket) + o.Path
	var ini strings.Builder
	if err := template.Must(template.New("app.ini").Parse(appINI)).Execute(&ini, struct {
		Options

		User, Dir, Program, URL, Socket string
	}{o, me.Username, dir, program, root, socket}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(settings(dir), []byte(ini.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

// shortDir makes a directory for a socket, whose path may have 100 bytes or so.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gitea")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// front starts a proxy to a server behind a socket, which need not be there yet,
// and returns its URL. It holds its port from the beginning, so that nobody else
// gets it before the server has begun.
func front(t testing.TB, wrap func(http.Handler) http.Handler, socket string) string {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	var handler http.Handler = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "gitea"})
			r.Out.Host = r.In.Host
		},
		Transport: transport,
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	if wrap != nil {
		handler = wrap(handler)
	}
	s := httptest.NewServer(handler)
	t.Cleanup(func() {
		s.Close()
		transport.CloseIdleConnections()
	})
	return s.URL
}

func settings(dir string) string { return filepath.Join(dir, "app.ini") }

// command starts a subcommand of Gitea on the data in dir.
func command(t testing.TB, program, dir string, args ...string) *muster.Process {
	t.Helper()
	env := []string{"HOME=" + dir, "GITEA_WORK_DIR=" + dir, "GIT_CONFIG_NOSYSTEM=1"}
	return muster.Launch(t, filepath.Join(program, "gitea"), env, append(args, "--config", settings(dir))...)
}

// serve starts a server on the data in dir and waits until it answers.
func serve(t testing.TB, program, dir string, o Options) *Server {
	t.Helper()
	s := &Server{URL: configure(t, program, dir, o)}
	s.process = command(t, program, dir, "web")
	muster.Until(t, muster.Patience, func() error {
		if !s.process.Running() {
			t.Fatalf("%s ended", s.process)
		}
		resp, err := http.Get(s.URL + "/api/v1/version")
		if err != nil {
			return err
		}
		defer resp.Body.Close() //nolint:errcheck // the status counts
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("the answer of Gitea is %s", resp.Status)
		}
		return nil
	})
	return s
}

// API is the server's API for somebody who gives their password.
func (s *Server) API(t testing.TB, login string) *sdk.Client {
	t.Helper()
	c, err := sdk.NewClient(s.URL, sdk.SetGiteaVersion(""), sdk.SetBasicAuth(login, Password))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
