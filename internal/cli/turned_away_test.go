package cli_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/cli"
)

// answering puts a server in front of a control plane that answers a procedure with a
// status, and chooses it.
func answering(t *testing.T, procedure string, status int) (address string) {
	t.Helper()
	p := newPlane(t)
	behind, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/"+procedure) {
			http.Error(w, http.StatusText(status), status)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Setenv("MUSTER_SERVER", server.URL)
	return server.URL
}

// A control plane that does not know a call was reached, and did nothing; and what
// refuses in front of one has not passed the call on.
func TestACallThatNobodyTook(t *testing.T) {
	for status, said := range map[int]string{
		http.StatusNotFound:     "does not know this call: it is older than this program, or something else answers there",
		http.StatusUnauthorized: "something in front of the control plane at",
		http.StatusForbidden:    "something in front of the control plane at",
	} {
		for procedure, args := range map[string][]string{
			"CreateRunner": {"runner", "create", "lab"},
			"ListRunners":  {"runner", "list"},
			"WatchEvents":  {"runner", "watch"},
		} {
			t.Run(http.StatusText(status)+" for "+procedure, func(t *testing.T) {
				address := answering(t, procedure, status)
				var stdout, stderr bytes.Buffer
				env := command{}.env(t, &stdout, &stderr)
				env.Pause = func(context.Context, time.Duration) error { return errors.New("it is tried again") }
				code := cli.Main(t.Context(), &struct{ cli.Commands }{}, env, args)
				r := result{code, stdout.String(), stderr.String()}.want(t, 1)
				if !strings.Contains(r.stderr, said) || !strings.Contains(r.stderr, address) {
					t.Errorf("it said: %s", r.stderr)
				}
				for _, wrong := range []string{"cannot reach", "not known whether", "Look before", "trying again"} {
					if strings.Contains(r.stderr, wrong) {
						t.Errorf("it said %q: %s", wrong, r.stderr)
					}
				}
			})
		}
	}
}

// A gateway that gives up has perhaps passed the call on.
func TestAGatewayThatGaveUp(t *testing.T) {
	answering(t, "CreateRunner", http.StatusBadGateway)
	if r := muster(t, "runner", "create", "lab").want(t, 1); !strings.Contains(r.stderr, "It is not known whether") {
		t.Errorf("it said: %s", r.stderr)
	}
}
