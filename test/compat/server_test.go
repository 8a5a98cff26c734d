package compat

import (
	"context"
	"regexp"
	"testing"
)

// bootstrapToken is the first personal access token of every server here.
const bootstrapToken = "compat-suite-0123456789abcdef-bootstrap"

var serverURL = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)

// server is a control plane of its own, with nothing in it yet.
type server struct {
	*process

	url string // without a slash at the end
}

// serve starts a control plane with further flags.
func serve(t *testing.T, flags ...string) *server {
	t.Helper()
	args := append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir()}, flags...)
	p := startMuster(t, []string{"MUSTER_BOOTSTRAP_TOKEN=" + bootstrapToken}, args...)
	return &server{process: p, url: p.await(t, serverURL)}
}

// join starts a runner. Without an exchange token it goes on as who it is by
// its data directory.
func (s *server) join(t *testing.T, dataDir, exchangeToken string) *process {
	t.Helper()
	args := []string{"join", "--server", s.url, "--data-dir", dataDir}
	if exchangeToken != "" {
		args = append(args, "--exchange-token", exchangeToken)
	}
	return startMuster(t, nil, args...)
}

// connected is what a runner says when its link stands.
var connected = regexp.MustCompile(`connected to http`)

// deadline is the context of a test's calls.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
