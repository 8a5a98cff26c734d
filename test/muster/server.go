package muster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Server is a control plane.
type Server struct {
	*Process

	URL     string
	DataDir string
	// Token is that of the first admin.
	Token string

	options ServerOptions
}

// ServerOptions are what suites set; the zero value is a control plane on
// SQLite.
type ServerOptions struct {
	// DatabaseURL selects PostgreSQL.
	DatabaseURL string
	// LogLevel is that of the log; empty for the usual one.
	LogLevel string
	// Binary is another muster than the usual one, and Env what it is told besides,
	// as NAME=value.
	Binary string
	Env    []string
}

// Serve starts a control plane with nothing in it and waits until it answers.
func Serve(t testing.TB, o ServerOptions) *Server {
	t.Helper()
	s := &Server{DataDir: t.TempDir(), Token: "bootstrap-of-" + strings.ReplaceAll(t.Name(), "/", "-") + "-0123456789abcdef", options: o}
	s.start(t, "127.0.0.1:0")
	return s
}

// Restart starts the control plane again, on the data and at the address that it
// had. It must have ended.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.start(t, strings.TrimPrefix(s.URL, "http://"))
}

// RestartWith is Restart with other things that it is told besides.
func (s *Server) RestartWith(t testing.TB, env ...string) {
	t.Helper()
	s.options.Env = env
	s.Restart(t)
}

func (s *Server) start(t testing.TB, listen string) {
	t.Helper()
	env := []string{"MUSTER_BOOTSTRAP_TOKEN=" + s.Token, "MUSTER_LOG_LEVEL=" + s.options.LogLevel}
	if s.options.LogLevel == "" {
		env = env[:1]
	}
	args := []string{"serve", "--data-dir", s.DataDir, "--listen", listen}
	if s.options.DatabaseURL != "" {
		args = append(args, "--database-url", s.options.DatabaseURL)
	}
	program := s.options.Binary
	if program == "" {
		program = binary
	}
	s.Process = Launch(t, program, append(env, s.options.Env...), args...)
	s.URL = s.Await(t, `Muster is ready at (http://[0-9.:]+)`)
}

// Admin is the API as the first admin.
func (s *Server) Admin() *API { return NewAPI(s.URL, s.Token) }

// Host is a process that is, or wants to be, a runner.
type Host struct {
	*Process

	DataDir string
	server  *Server
	env     []string
}

// Join starts a host with a new data directory. env is what it is told besides.
func (s *Server) Join(t testing.TB, exchangeToken string, env ...string) *Host {
	t.Helper()
	h := s.host(t, t.TempDir(), append(env[:len(env):len(env)], "MUSTER_EXCHANGE_TOKEN="+exchangeToken)...)
	h.env = env
	return h
}

// Again starts the host again; it knows who it is. env is what it is told besides
// what it was told before.
func (h *Host) Again(t testing.TB, env ...string) *Host {
	t.Helper()
	env = append(h.env[:len(h.env):len(h.env)], env...)
	again := h.server.host(t, h.DataDir, env...)
	again.env = env
	return again
}

// Twin starts another host with a copy of the identity.
func (h *Host) Twin(t testing.TB) *Host {
	t.Helper()
	identity, err := os.ReadFile(h.Identity())
	if err != nil {
		t.Fatal(err)
	}
	twin := t.TempDir()
	if err := os.WriteFile(filepath.Join(twin, filepath.Base(h.Identity())), identity, 0o600); err != nil {
		t.Fatal(err)
	}
	return h.server.host(t, twin)
}

// Identity is the file that makes the host the runner.
func (h *Host) Identity() string { return filepath.Join(h.DataDir, "identity.json") }

func (s *Server) host(t testing.TB, dataDir string, env ...string) *Host {
	t.Helper()
	env = append(env[:len(env):len(env)], "MUSTER_SERVER="+s.URL, "MUSTER_LOG_LEVEL=debug")
	return &Host{Process: Start(t, env, "join", "--data-dir", dataDir), DataDir: dataDir, server: s}
}
