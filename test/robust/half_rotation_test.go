package robust_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
	"github.com/musterhq/muster/test/muster"
)

// rotate makes a runner take a new access token.
func rotate(t *testing.T, a *muster.API, runner string) error {
	t.Helper()
	_, err := adminv1connect.NewRunnerTokenServiceClient(a.HTTP, a.URL).RotateRunnerToken(t.Context(), connect.NewRequest(&adminv1.RotateRunnerTokenRequest{RunnerId: runner}))
	return err
}

// has is nil when a runner has so many access tokens.
func has(t *testing.T, a *muster.API, runner string, want int) error {
	t.Helper()
	if got := tokensOf(t, a, runner); len(got) != want {
		return fmt.Errorf("the runner has the access tokens %v, want %d", got, want)
	}
	return nil
}

// A rotation that fails at any step leaves the runner with one token, which works,
// and no other.
func TestARotationThatFailsHalfWayLeavesNothing(t *testing.T) {
	t.Parallel()
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := muster.Serve(t, options(t))
			t.Run("the runner cannot store the token", func(t *testing.T) {
				r := connected(t, s, "full disk")
				before := tokensOf(t, r.api, r.id)
				// Nothing can take the place of a folder that holds something.
				saved := r.host.Identity() + ".saved"
				if err := os.Rename(r.host.Identity(), saved); err != nil {
					t.Fatal(err)
				}
				if err := os.MkdirAll(r.host.Identity()+"/x", 0o700); err != nil {
					t.Fatal(err)
				}
				for range 3 {
					if err := rotate(t, r.api, r.id); err == nil {
						t.Error("a token that was not stored was reported as stored")
					}
				}
				if got := tokensOf(t, r.api, r.id); len(got) != 1 || got[0] != before[0] {
					t.Errorf("the runner has the tokens %v, and had %v", got, before)
				}
				if err := os.RemoveAll(r.host.Identity()); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(saved, r.host.Identity()); err != nil {
					t.Fatal(err)
				}
				r.host.Kill()
				r.host = r.host.Again(t)
				muster.Until(t, muster.Patience, func() error { return rotate(t, r.api, r.id) })
				muster.Until(t, muster.Patience, func() error {
					if got := tokensOf(t, r.api, r.id); len(got) != 1 || got[0] == before[0] {
						return fmt.Errorf("after a rotation the runner has the tokens %v, and had %v", got, before)
					}
					return nil
				})
			})
			t.Run("the runner dies before it has stored the token", func(t *testing.T) {
				a := s.Admin()
				id, exchange := a.NewRunner(t, "dies")
				access, err := a.Redeem(t, exchange)
				if err != nil {
					t.Fatal(err)
				}
				dies := openLink(t, s.URL, access)
				redeemed := make(chan struct{})
				go dies.rotation(func(exchange string) {
					if _, err := a.Redeem(t, exchange); err != nil {
						t.Error(err)
					}
					close(redeemed)
					<-t.Context().Done()
				})
				failed := make(chan error, 1)
				go func() { failed <- rotate(t, a, id) }()
				<-redeemed
				openLink(t, s.URL, access) // the next process, with what is on disk
				if err := <-failed; err == nil {
					t.Error("a rotation that nobody confirmed was reported as done")
				}
				muster.Until(t, muster.Patience, func() error { return has(t, a, id, 1) })
				openLink(t, s.URL, access)
			})
			unharmed(t, s)
		})
	}
}

// What an exchange token is redeemed for ends by itself unless a runner connects
// with it: its answer may never have arrived.
func TestATokenThatNobodyConnectsWithEnds(t *testing.T) {
	t.Parallel()
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := muster.Serve(t, options(t))
			a := s.Admin()
			id, exchange := a.NewRunner(t, "late")
			access, err := a.Redeem(t, exchange)
			if err != nil {
				t.Fatal(err)
			}
			if ends := endOf(t, a, id); ends.IsZero() || time.Until(ends) > 24*time.Hour {
				t.Errorf("nobody has connected with it, and it ends at %v", ends)
			}
			openLink(t, s.URL, access)
			if ends := endOf(t, a, id); !ends.IsZero() {
				t.Errorf("the runner has connected with it, and it ends at %v", ends)
			}
		})
	}
}

// endOf is when the only access token of a runner ends; zero for never.
func endOf(t *testing.T, a *muster.API, runner string) time.Time {
	t.Helper()
	list, err := adminv1connect.NewRunnerTokenServiceClient(a.HTTP, a.URL).ListRunnerTokens(t.Context(), connect.NewRequest(&adminv1.ListRunnerTokensRequest{RunnerId: runner}))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(list.Msg.GetTokens()); n != 1 {
		t.Fatalf("the runner has %d tokens", n)
	}
	if at := list.Msg.GetTokens()[0].GetExpiresAt(); at != nil {
		return at.AsTime()
	}
	return time.Time{}
}
