package app_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/app"
)

const bootstrapToken = "a-bootstrap-token-of-32-characters-or-more"

// start runs a control plane until the test ends, and returns its URL.
func start(t testing.TB, change func(*app.Config)) (url string, stop func()) {
	t.Helper()
	cfg := app.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", BootstrapToken: bootstrapToken, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	up := make(chan app.Started, 1)
	cfg.Started = func(s app.Started) { up <- s }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx, cfg) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	}
	t.Cleanup(stop)
	select {
	case s := <-up:
		return s.URL, stop
	case err := <-done:
		stopped = true
		cancel()
		t.Fatalf("the control plane did not start: %v", err)
		return "", stop
	}
}

// bearer sends every request with a token.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

func client(token string) *http.Client {
	t := &http.Transport{DialContext: (&net.Dialer{}).DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	return &http.Client{Transport: bearer{token, t}}
}

func TestFirstStart(t *testing.T) {
	url, _ := start(t, nil)
	ids := gitpodv1connect.NewIdentityServiceClient(client(bootstrapToken), url)
	me, err := ids.GetAuthenticatedIdentity(t.Context(), connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if me.Msg.GetOrganizationId() == "" || me.Msg.GetSubject().GetPrincipal() != gitpodv1.Principal_PRINCIPAL_USER {
		t.Errorf("identity: %v", me.Msg)
	}
	runners := gitpodv1connect.NewRunnerServiceClient(client(bootstrapToken), url)
	made, err := runners.CreateRunner(t.Context(), connect.NewRequest(&gitpodv1.CreateRunnerRequest{Name: "first", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := runners.GetRunner(t.Context(), connect.NewRequest(&gitpodv1.GetRunnerRequest{RunnerId: made.Msg.GetRunner().GetRunnerId()}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Msg.GetRunner().GetStatus().GetPhase() != gitpodv1.RunnerPhase_RUNNER_PHASE_CREATED || got.Msg.GetRunner().GetSpec().GetConfiguration() == nil {
		t.Errorf("runner: %v", got.Msg)
	}
}
