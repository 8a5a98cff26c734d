package robust_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/store/pgtest"
	"github.com/musterhq/muster/test/muster"
)

// engines are the databases, each with a new one.
var engines = map[string]func(testing.TB) muster.ServerOptions{
	"sqlite":     func(testing.TB) muster.ServerOptions { return muster.ServerOptions{} },
	"postgresql": func(t testing.TB) muster.ServerOptions { return muster.ServerOptions{DatabaseURL: pgtest.URL(t)} },
}

// callers is how many calls are under way when the control plane is killed.
const callers = 2000

// What was acknowledged is there after kill -9: every runner, and every exchange
// token with exactly one use.
func TestWhatWasAcknowledgedSurvivesAKill(t *testing.T) {
	t.Parallel()
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := muster.Serve(t, options(t))
			admin, anybody := s.Admin(), muster.NewAPI(s.URL, "")

			// By runner id, the exchange token.
			made := killAmid(t, s, callers/2, func(ctx context.Context, caller int) (id, exchangeToken string, err error) {
				got, err := admin.Runners.CreateRunner(ctx, connect.NewRequest(&gitpodv1.CreateRunnerRequest{
					Name: fmt.Sprintf("of caller %d", caller), Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST,
				}))
				if err != nil {
					return "", "", err
				}
				return got.Msg.GetRunner().GetRunnerId(), got.Msg.GetExchangeToken(), nil
			})
			s.Restart(t)
			listed := map[string]bool{}
			for _, r := range admin.AllRunners(t) {
				if listed[r.GetRunnerId()] {
					t.Errorf("runner %s is listed twice", r.GetRunnerId())
				}
				listed[r.GetRunnerId()] = true
			}
			for id := range made {
				if !listed[id] {
					t.Errorf("runner %s was acknowledged and is lost", id)
				}
			}
			t.Logf("%d runners were acknowledged, %d are there", len(made), len(listed))

			// By exchange token, the runner token.
			tokens := slices.Collect(maps.Values(made))
			redeemed := killAmid(t, s, len(tokens)/2, func(ctx context.Context, caller int) (exchangeToken, runnerToken string, err error) {
				exchangeToken = tokens[caller%len(tokens)]
				got, err := anybody.Identities.ExchangeToken(ctx, connect.NewRequest(&gitpodv1.ExchangeTokenRequest{ExchangeToken: exchangeToken}))
				if connect.CodeOf(err) == connect.CodeUnauthenticated {
					// Another caller had it.
					return "", "", errNothing
				}
				if err != nil {
					return "", "", err
				}
				return exchangeToken, got.Msg.GetAccessToken(), nil
			})
			s.Restart(t)
			t.Logf("%d of %d exchange tokens were redeemed before the kill", len(redeemed), len(tokens))
			for id, exchangeToken := range made {
				worksOnce(t, anybody, id, exchangeToken, redeemed[exchangeToken])
			}
		})
	}
}

// errNothing is of a call that has nothing to record.
var errNothing = fmt.Errorf("nothing to record")

// killAmid lets many callers call at the same time, over and over, and kills the
// control plane when enough calls were acknowledged. It returns what the
// acknowledged calls returned.
func killAmid(t *testing.T, s *muster.Server, enough int, call func(ctx context.Context, caller int) (key, value string, err error)) map[string]string {
	t.Helper()
	var (
		mu           sync.Mutex
		acknowledged = map[string]string{}
		killing      atomic.Bool
		wg           sync.WaitGroup
	)
	for caller := range callers {
		wg.Go(func() {
			for !killing.Load() {
				key, value, err := call(t.Context(), caller)
				if err == errNothing { //nolint:errorlint // it is never wrapped
					return
				}
				if err != nil {
					if !killing.Load() {
						t.Errorf("a call before the kill: %v", err)
					}
					return
				}
				mu.Lock()
				if _, twice := acknowledged[key]; twice {
					t.Errorf("two calls were acknowledged for %s", key)
				}
				acknowledged[key] = value
				reached := len(acknowledged) == enough
				mu.Unlock()
				if reached {
					killing.Store(true)
					s.Kill()
				}
			}
		})
	}
	wg.Wait()
	if !killing.Load() {
		t.Fatalf("only %d calls of %d were acknowledged", len(acknowledged), enough)
	}
	return acknowledged
}

// worksOnce redeems an exchange token until it is refused. The runner token that
// came of a use that was acknowledged before is given; empty for none.
func worksOnce(t *testing.T, anybody *muster.API, id, exchangeToken, runnerToken string) {
	t.Helper()
	if runnerToken == "" {
		var err error
		runnerToken, err = anybody.Redeem(t, exchangeToken)
		if err != nil {
			// It was redeemed and the kill swallowed the answer.
			if info := muster.Info(err); info.GetReason() != "exchange-token-used" {
				t.Errorf("the exchange token of %s: %v", id, err)
			}
			return
		}
	}
	if _, err := anybody.Redeem(t, exchangeToken); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("the exchange token of %s worked twice: %v", id, err)
	}
	req := connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{})
	req.Header().Set("Authorization", "Bearer "+runnerToken)
	got, err := anybody.Identities.GetAuthenticatedIdentity(t.Context(), req)
	if err != nil || got.Msg.GetSubject().GetId() != id {
		t.Errorf("the token of runner %s names %v, %v", id, got, err)
	}
}
