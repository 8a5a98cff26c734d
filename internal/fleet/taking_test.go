package fleet_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/token"
)

func TestATokenIsTakenInTimeOrEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		f.rotating(nil)
		late, exchange := f.create(nil)
		c := f.joined(late, exchange)
		time.Sleep(token.UntakenLifetime)
		if _, err := f.OpenSession(t.Context(), c, newPair(t).opening()); !fault.HasReason(err, fault.ExpiredToken) || len(f.tokens(late)) != 0 {
			t.Errorf("got %v, and the tokens %v", err, f.tokens(late))
		}

		inTime, exchange := f.create(nil)
		c = f.joined(inTime, exchange)
		pair := newPair(t)
		time.Sleep(token.UntakenLifetime - time.Second)
		f.connect(c, pair.opening())
		time.Sleep(365 * 24 * time.Hour)
		f.connect(c, pair.opening())
		if got := f.tokens(inTime); len(got) != 1 || !got[c.Token].ExpiresAt.IsZero() {
			t.Errorf("the token is %v", got)
		}

		// Somebody else's end stays when the token is taken.
		ended, exchange := f.create(nil)
		c = f.joined(ended, exchange)
		if err := f.ExpireToken(t.Context(), f.admin, ended.ID, c.Token, time.Hour); err != nil {
			t.Fatal(err)
		}
		f.connect(c, newPair(t).opening())
		if at := f.tokens(ended)[c.Token].ExpiresAt; time.Until(at) != time.Hour {
			t.Errorf("it ends at %v", at)
		}
	})
}

// Whatever a rotation that failed has left, its runner and time take back.
func TestWhatARotationLeavesEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		r, exchange := f.create(nil)
		key := newPair(t)
		var failure error
		f.rotating(func(exchange seal.Secret) error {
			f.joined(r, key.opens(t, r, exchange))
			return failure
		})
		c := f.joined(r, exchange)
		f.connect(c, key.opening())
		count := func(want int) {
			t.Helper()
			if got := f.tokens(r); len(got) != want {
				t.Errorf("%d tokens, want %d", len(got), want)
			}
		}
		rotate := func(err error) {
			t.Helper()
			failure = err
			if got := f.RotateToken(t.Context(), f.admin, r.ID, 0); !errors.Is(got, err) {
				t.Errorf("got %v", got)
			}
		}
		rotate(fault.New(fault.Unavailable, fault.RunnerRefused, "the runner says: it could not be stored"))
		count(1)
		// It may have it after all.
		rotate(fault.New(fault.DeadlineExceeded, fault.ReasonDeadline, "no answer"))
		count(2)
		f.connect(c, key.opening()) // it has not
		count(1)
		rotate(fault.New(fault.Unavailable, fault.RunnerOffline, "away"))
		count(2)
		time.Sleep(token.UntakenLifetime) // it does not come back at all
		count(1)
		// What another host was given is none of that.
		again, _, err := f.CreateToken(t.Context(), f.admin, r.ID)
		if err != nil {
			t.Fatal(err)
		}
		f.joined(r, again)
		rotate(fault.New(fault.Unavailable, fault.RunnerRefused, "the runner says: it could not be stored"))
		f.connect(c, key.opening())
		count(2)
	})
}
