package compat

import (
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gitpod-io/gitpod-sdk-go"
	"github.com/gitpod-io/gitpod-sdk-go/shared"
)

// TestGoSDKLifeOfARunner goes from the registration of a runner to its end.
func TestGoSDKLifeOfARunner(t *testing.T) {
	t.Parallel()
	s := serve(t)
	client, _ := s.goSDK(t, bootstrapToken)
	ctx := deadline(t)
	events := watch(ctx, t, client, gitpod.EventWatchParams{Organization: gitpod.F(true)})

	created := newRunner(ctx, t, client, linuxHost("host"))
	id := created.Runner.RunnerID
	events.await(t, gitpod.ResourceOperationCreate, id)
	if st := created.Runner.Status; st.Phase != gitpod.RunnerPhaseCreated || st.LogURL != "" || st.PublicKey != "" {
		t.Errorf("a runner that never connected has status %s", st.JSON.RawJSON())
	}

	dataDir := t.TempDir()
	host := s.join(t, dataDir, created.ExchangeToken)
	events.await(t, gitpod.ResourceOperationUpdateStatus, id)
	host.await(t, connected)
	st := events.awaitStatus(ctx, t, client, id, inPhase(gitpod.RunnerPhaseActive))
	if key, err := base64.StdEncoding.DecodeString(st.PublicKey); err != nil || len(key) != 32 {
		t.Errorf("the public key is %q", st.PublicKey)
	}
	if st.Version == "" || st.SystemDetails == "" || !strings.HasPrefix(st.LogURL, s.url) || !strings.HasPrefix(st.SupportBundleURL, s.url) || st.UpdatedAt.IsZero() {
		t.Errorf("the status of an active runner: %s", st.JSON.RawJSON())
	}
	for _, c := range st.Capabilities {
		if !c.IsKnown() {
			t.Errorf("the SDK does not know the capability %s", c)
		}
	}

	t.Run("logs", func(t *testing.T) {
		token, err := client.Runners.NewLogsToken(ctx, gitpod.RunnerNewLogsTokenParams{RunnerID: gitpod.F(id)})
		if err != nil || token.AccessToken == "" {
			t.Fatalf("%v, %+v", err, token)
		}
		read := func(url, bearer string) (int, string, string) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+bearer)
			res, err := (&http.Client{Transport: newTraffic(t)}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			b, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			return res.StatusCode, res.Header.Get("Content-Type"), string(b)
		}
		status, contentType, text := read(st.LogURL, token.AccessToken)
		if status != http.StatusOK || !strings.HasPrefix(contentType, "text/plain") || !strings.HasSuffix(text, "\n") {
			t.Errorf("the logs: %d %s %q", status, contentType, text)
		}
		status, contentType, text = read(st.SupportBundleURL, token.AccessToken)
		if status != http.StatusOK || contentType != "application/gzip" || !strings.HasPrefix(text, "\x1f\x8b") {
			t.Errorf("the support bundle: %d %s, %d bytes", status, contentType, len(text))
		}
		for _, bearer := range []string{bootstrapToken, created.ExchangeToken, ""} {
			if status, _, _ := read(st.LogURL, bearer); status != http.StatusUnauthorized {
				t.Errorf("logs for another token: %d", status)
			}
		}
		logs, _ := s.goSDK(t, token.AccessToken)
		_, err = logs.Runners.Get(ctx, gitpod.RunnerGetParams{RunnerID: gitpod.F(id)})
		wantError(t, err, http.StatusUnauthorized, shared.ErrorCodeUnauthenticated)
	})

	t.Run("configuration", func(t *testing.T) {
		_, err := client.Runners.Update(ctx, gitpod.RunnerUpdateParams{
			RunnerID: gitpod.F(id),
			Spec: gitpod.F(gitpod.RunnerUpdateParamsSpec{Configuration: gitpod.F(gitpod.RunnerUpdateParamsSpecConfiguration{
				LogLevel: gitpod.F(gitpod.LogLevelDebug),
			})}),
		})
		if err != nil {
			t.Fatal(err)
		}
		events.await(t, gitpod.ResourceOperationUpdate, id)
		events.awaitStatus(ctx, t, client, id, func(s gitpod.RunnerStatus) bool {
			return slices.ContainsFunc(s.AdditionalInfo, func(v shared.FieldValue) bool {
				return v.Key == "configuration" && v.Value == "revision 2 applied"
			})
		})
	})

	// Whoever stops says so, and nobody waits for a lease.
	leaving := watch(ctx, t, client, gitpod.EventWatchParams{})
	host.stop(t)
	leaving.await(t, gitpod.ResourceOperationUpdateStatus, id)
	inactive := leaving.awaitStatus(ctx, t, client, id, inPhase(gitpod.RunnerPhaseInactive))
	if inactive.LogURL != "" || inactive.PublicKey != st.PublicKey || inactive.Message == "" {
		t.Errorf("the status of an inactive runner: %s", inactive.JSON.RawJSON())
	}
	_, err := s.redeem(t, created.ExchangeToken)
	wantError(t, err, http.StatusUnauthorized, shared.ErrorCodeUnauthenticated)

	s.join(t, dataDir, "").await(t, connected)
	back := leaving.awaitStatus(ctx, t, client, id, inPhase(gitpod.RunnerPhaseActive))
	if back.PublicKey != st.PublicKey {
		t.Error("the runner came back with another key")
	}

	// A connected runner finishes first.
	for range 2 {
		if _, err := client.Runners.Delete(ctx, gitpod.RunnerDeleteParams{RunnerID: gitpod.F(id)}); err != nil {
			if !wantError(t, err, http.StatusNotFound, shared.ErrorCodeNotFound) {
				t.Fatal("deleting")
			}
		}
	}
	events.await(t, gitpod.ResourceOperationDelete, id)
	_, err = client.Runners.Get(ctx, gitpod.RunnerGetParams{RunnerID: gitpod.F(id)})
	wantError(t, err, http.StatusNotFound, shared.ErrorCodeNotFound)
	_, err = client.Runners.Delete(ctx, gitpod.RunnerDeleteParams{RunnerID: gitpod.F(id)})
	wantError(t, err, http.StatusNotFound, shared.ErrorCodeNotFound)
}

// TestGoSDKRunnerTokens: each exchange token works once, and a new one does not
// undo those before it.
func TestGoSDKRunnerTokens(t *testing.T) {
	t.Parallel()
	s := serve(t)
	client, _ := s.goSDK(t, bootstrapToken)
	ctx := deadline(t)
	created := newRunner(ctx, t, client, linuxHost("host"))
	tokens := []string{created.ExchangeToken}
	for range 2 {
		more, err := client.Runners.NewRunnerToken(ctx, gitpod.RunnerNewRunnerTokenParams{RunnerID: gitpod.F(created.Runner.RunnerID)})
		if err != nil || more.ExchangeToken == "" {
			t.Fatalf("%v, %+v", err, more)
		}
		tokens = append(tokens, more.ExchangeToken)
	}
	seen := map[string]bool{}
	for _, token := range tokens {
		access, err := s.redeem(t, token)
		if err != nil || access == "" || seen[access] || seen[token] {
			t.Errorf("redeeming a token: %v", err)
		}
		seen[access], seen[token] = true, true
		_, err = s.redeem(t, token)
		wantError(t, err, http.StatusUnauthorized, shared.ErrorCodeUnauthenticated)
	}
	last, err := client.Runners.NewRunnerToken(ctx, gitpod.RunnerNewRunnerTokenParams{RunnerID: gitpod.F(created.Runner.RunnerID)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Runners.Delete(ctx, gitpod.RunnerDeleteParams{RunnerID: gitpod.F(created.Runner.RunnerID), Force: gitpod.F(true)}); err != nil {
		t.Fatal(err)
	}
	_, err = s.redeem(t, last.ExchangeToken)
	wantError(t, err, http.StatusUnauthorized, shared.ErrorCodeUnauthenticated)
}

// redeem turns an exchange token into an access token, as nobody in particular.
func (s *server) redeem(t *testing.T, exchangeToken string) (string, error) {
	t.Helper()
	anybody, _ := s.goSDK(t, "")
	res, err := anybody.Identity.ExchangeToken(deadline(t), gitpod.IdentityExchangeTokenParams{ExchangeToken: gitpod.F(exchangeToken)})
	if err != nil {
		return "", err
	}
	return res.AccessToken, nil
}
