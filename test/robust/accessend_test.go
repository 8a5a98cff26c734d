package robust_test

import (
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
	"github.com/musterhq/muster/test/muster"
)

// endKnownWithin is how soon the end of a runner's right must be known. Leases
// take five times as long, also on a busy machine.
const endKnownWithin = 6 * time.Second

// How a token comes to its end, in a runner's message.
const (
	ended   = "was ended at"
	expired = "expired at"
)

// tokensOf are the access tokens that a runner has.
func tokensOf(t *testing.T, a *muster.API, runner string) (ids []string) {
	t.Helper()
	list, err := adminv1connect.NewRunnerTokenServiceClient(a.HTTP, a.URL).ListRunnerTokens(t.Context(), connect.NewRequest(&adminv1.ListRunnerTokensRequest{RunnerId: runner}))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range list.Msg.GetTokens() {
		if k.GetKind() == adminv1.RunnerTokenKind_RUNNER_TOKEN_KIND_ACCESS {
			ids = append(ids, k.GetId())
		}
	}
	return ids
}

// expire ends the only access token of a runner.
func expire(t *testing.T, a *muster.API, runner string, in time.Duration) {
	t.Helper()
	tokens := tokensOf(t, a, runner)
	if len(tokens) != 1 {
		t.Fatalf("the runner has the tokens %v, want one", tokens)
	}
	_, err := adminv1connect.NewRunnerTokenServiceClient(a.HTTP, a.URL).ExpireRunnerToken(t.Context(), connect.NewRequest(&adminv1.ExpireRunnerTokenRequest{
		RunnerId: runner, TokenId: tokens[0], ValidFor: durationpb.New(in),
	}))
	if err != nil {
		t.Fatal(err)
	}
}

// told is nil when a runner is INACTIVE and its message gives the end of its token
// as the reason, and says how it ended.
func (r *subject) told(t *testing.T, how string) error {
	t.Helper()
	got, err := r.api.Runner(t, r.id)
	if err != nil {
		return err
	}
	s := got.GetStatus()
	if s.GetPhase() != inactive || !strings.Contains(s.GetMessage(), "access token "+how) || !strings.Contains(s.GetMessage(), "muster runner token "+r.id) {
		return fmt.Errorf("the runner is %s: %s", s.GetPhase(), s.GetMessage())
	}
	return nil
}

// joinAgain joins a runner with a new exchange token, and expects it to be well.
func (r *subject) joinAgain(t *testing.T) *muster.Host {
	t.Helper()
	r.host.Wait(t, muster.Patience)
	made, err := r.api.Runners.CreateRunnerToken(t.Context(), connect.NewRequest(&gitpodv1.CreateRunnerTokenRequest{RunnerId: r.id}))
	if err != nil {
		t.Fatal(err)
	}
	h := r.host.Again(t, "MUSTER_EXCHANGE_TOKEN="+made.Msg.GetExchangeToken())
	muster.Until(t, muster.Patience, func() error {
		got, err := r.api.Runner(t, r.id)
		if err == nil && (got.GetStatus().GetPhase() != active || got.GetStatus().GetMessage() != "") {
			err = fmt.Errorf("after another join: %v", got.GetStatus())
		}
		return err
	})
	return h
}

// The end of a runner's right to connect is known when it comes, whatever the
// runner does just then, and it is what the message says.
func TestTheEndOfARightIsKnownAtOnce(t *testing.T) {
	t.Parallel()
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := muster.Serve(t, options(t))
			t.Run("connected", func(t *testing.T) {
				r := connected(t, s, "revoked")
				events := r.api.Watch(t)
				expire(t, r.api, r.id, 0)
				muster.Until(t, endKnownWithin, func() error { return r.told(t, ended) })
				if code := r.host.Wait(t, muster.Patience); code == 0 || !strings.Contains(r.host.Printed(), "muster runner token") {
					t.Errorf("the host ended with code %d", code)
				}
				if n := statusUpdates(t, events, r.id); n != 1 {
					t.Errorf("%d events, want one", n)
				}
				s.Await(t, `right to connect.*`+r.id)
				r.joinAgain(t).Stop(t)
			})
			t.Run("frozen", func(t *testing.T) {
				r := connected(t, s, "frozen")
				r.host.Signal(t, syscall.SIGSTOP)
				expire(t, r.api, r.id, 0)
				muster.Until(t, endKnownWithin, func() error { return r.told(t, ended) })
			})
			t.Run("killed a moment ago", func(t *testing.T) {
				r := connected(t, s, "killed")
				r.host.Kill()
				expire(t, r.api, r.id, 0)
				muster.Until(t, endKnownWithin, func() error { return r.told(t, ended) })
			})
			t.Run("offline", func(t *testing.T) {
				r := connected(t, s, "offline")
				r.host.Stop(t)
				muster.Until(t, muster.Patience, func() error { return r.is(active, inactive) })
				events := r.api.Watch(t)
				expire(t, r.api, r.id, 0)
				if err := r.told(t, ended); err != nil {
					t.Error(err)
				}
				muster.Until(t, endKnownWithin, func() error {
					if n := statusUpdates(t, events, r.id); n != 1 {
						return fmt.Errorf("%d events, want one", n)
					}
					return nil
				})
				r.joinAgain(t)
			})
			t.Run("by itself", func(t *testing.T) {
				r, stopped := connected(t, s, "expires"), connected(t, s, "expires while it is offline")
				stopped.host.Stop(t)
				const in = 10 * time.Second
				expire(t, r.api, r.id, in)
				expire(t, r.api, stopped.id, in)
				muster.Until(t, in+endKnownWithin+5*time.Second, func() error { return r.told(t, expired) })
				muster.Until(t, endKnownWithin, func() error { return stopped.told(t, expired) })
			})
			unharmed(t, s)
		})
	}
}

// What ended while the control plane was away, and what was told before, is known
// after its restart.
func TestTheEndOfARightOutlivesARestart(t *testing.T) {
	t.Parallel()
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := muster.Serve(t, options(t))
			before, meanwhile := connected(t, s, "ended before"), connected(t, s, "ends meanwhile")
			expire(t, before.api, before.id, 0)
			muster.Until(t, endKnownWithin, func() error { return before.told(t, ended) })
			const in = 3 * time.Second
			expire(t, meanwhile.api, meanwhile.id, in)
			over := time.After(in)
			s.Kill()
			<-over
			s.Restart(t)
			if err := before.told(t, ended); err != nil {
				t.Error(err)
			}
			muster.Until(t, takeover, func() error { return meanwhile.told(t, expired) })
			before.joinAgain(t)
			meanwhile.joinAgain(t)
			s.Stop(t)
		})
	}
}

// A right that will end soon is a warning: for people, for monitoring, and on the
// runner's own host.
func TestARightThatEndsSoonIsAWarning(t *testing.T) {
	t.Parallel()
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := muster.Serve(t, options(t))
			r, fine := connected(t, s, "ends soon"), connected(t, s, "ends next year")
			expire(t, r.api, fine.id, 365*24*time.Hour)
			events := r.api.Watch(t)
			expire(t, r.api, r.id, 48*time.Hour)
			ends := time.Now().Add(48 * time.Hour).UTC().Format("2006-01-02T")
			warned := func() error {
				got, err := r.api.Runner(t, r.id)
				if err != nil {
					return err
				}
				st := got.GetStatus()
				if st.GetPhase() != active || !strings.Contains(st.GetMessage(), "ends at "+ends) || !strings.Contains(fact(got, "accessUntil"), ends) {
					return fmt.Errorf("the status is %v", st)
				}
				return nil
			}
			if err := warned(); err != nil {
				t.Error(err)
			}
			s.Await(t, `ends soon.*`+r.id)
			r.host.Await(t, `the access token of this runner ends`)
			muster.Until(t, muster.Patience, func() error {
				if n := statusUpdates(t, events, r.id); n != 1 {
					return fmt.Errorf("%d events, want one", n)
				}
				res, err := r.api.HTTP.Get(s.URL + "/metrics")
				if err != nil {
					return err
				}
				defer res.Body.Close()
				text, err := io.ReadAll(res.Body)
				if err == nil && !strings.Contains(string(text), "\nmuster_runner_tokens_ending_soon 1\n") {
					err = fmt.Errorf("the metric is not 1")
				}
				return err
			})
			muster.Until(t, muster.Patience, func() error { return links(t, s, 2) })
			if err := warned(); err != nil {
				t.Error(err)
			}
			got, err := fine.api.Runner(t, fine.id)
			if err != nil || got.GetStatus().GetMessage() != "" || fact(got, "accessUntil") == "" {
				t.Errorf("the one that ends next year: %v, %v", got.GetStatus(), err)
			}

			// A rotation to a token that does not end takes the warning back.
			rotated := func() error {
				_, err := adminv1connect.NewRunnerTokenServiceClient(r.api.HTTP, s.URL).RotateRunnerToken(t.Context(), connect.NewRequest(&adminv1.RotateRunnerTokenRequest{RunnerId: r.id}))
				return err
			}
			muster.Until(t, muster.Patience, rotated)
			muster.Until(t, muster.Patience, func() error {
				got, err := r.api.Runner(t, r.id)
				if err == nil && (got.GetStatus().GetMessage() != "" || fact(got, "accessUntil") != "") {
					err = fmt.Errorf("after the rotation: %v", got.GetStatus())
				}
				return err
			})
			unharmed(t, s)
		})
	}
}
