package fleet_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/token"
)

// asker is a connected runner that is asked to rotate its token.
type asker func(exchange seal.Secret) error

func (a asker) RotateToken(_ context.Context, _ id.Runner, exchange seal.Secret) error {
	return a(exchange)
}

// opens returns an exchange token that was sealed to a runner.
func (p pair) opens(t *testing.T, r fleet.Runner, exchange seal.Secret) string {
	t.Helper()
	plain, err := seal.Open(exchange, (*[32]byte)(p.public), p.secret, "runner/"+string(r.ID)+"/rotation")
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// rotating is a fleet whose runners do what rotate says.
func (f *fixture) rotating(rotate asker) {
	f.Service = fleet.New(fleet.Config{
		Store: f.store.Fleet(), Links: links{f}, Revoker: f, Key: f.key, Asker: rotate,
		Reconnect: func(t id.Token) { f.note("reconnect " + string(t)) },
	})
}

// tokens returns the tokens of a runner by id.
func (f *fixture) tokens(r fleet.Runner) map[id.Token]token.Record {
	f.t.Helper()
	all, err := f.Tokens(f.t.Context(), f.admin, r.ID)
	if err != nil {
		f.t.Fatal(err)
	}
	byID := map[id.Token]token.Record{}
	for _, t := range all {
		byID[t.ID] = t
	}
	return byID
}

// joined redeems an exchange token and returns the runner as the caller that it
// is from then on.
func (f *fixture) joined(r fleet.Runner, exchange string) access.Caller {
	f.t.Helper()
	secret, err := f.Redeem(f.t.Context(), exchange)
	if err != nil {
		f.t.Fatal(err)
	}
	cred, ok, err := f.store.Identity().Credential(f.t.Context(), token.Hash(secret))
	if err != nil || !ok {
		f.t.Fatal(ok, err)
	}
	c := asRunner(r)
	c.Token = cred.ID
	return c
}

func (f *fixture) connect(c access.Caller, o fleet.Opening) {
	f.t.Helper()
	if _, err := f.OpenSession(f.t.Context(), c, o); err != nil {
		f.t.Fatal(err)
	}
}

func TestARotatedTokenEndsTheOlderOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		r, exchange := f.create(nil)
		var rotated access.Caller
		key := newPair(t)
		f.rotating(func(exchange seal.Secret) error { rotated = f.joined(r, key.opens(t, r, exchange)); return nil })

		// Two hosts joined, and one of them is connected.
		first := f.joined(r, exchange)
		time.Sleep(time.Second)
		again, _, err := f.CreateToken(t.Context(), f.admin, r.ID)
		if err != nil {
			t.Fatal(err)
		}
		second := f.joined(r, again)
		f.connect(second, key.opening())
		if n := len(f.tokens(r)); n != 2 {
			t.Errorf("%d tokens: a second host ended the token of the first", n)
		}

		time.Sleep(time.Second)
		if err := f.RotateToken(t.Context(), f.admin, r.ID, time.Hour); err != nil {
			t.Fatal(err)
		}
		if n := len(f.tokens(r)); n != 3 {
			t.Errorf("%d tokens before the runner has connected", n)
		}
		f.connect(second, key.opening()) // it may still use the old one
		if n := len(f.tokens(r)); n != 3 {
			t.Errorf("%d tokens after a connection with the old one", n)
		}
		f.connect(rotated, key.opening())
		left := f.tokens(r)
		if len(left) != 1 || time.Until(left[rotated.Token].ExpiresAt) != time.Hour {
			t.Errorf("left are %v", left)
		}
		for _, c := range []access.Caller{first, second} {
			if !f.wasRevoked(c.Token) {
				t.Errorf("the links of token %s were not cut", c.Token)
			}
		}
		// A host that joins later keeps its token, although the rotated one connects
		// again and again.
		time.Sleep(time.Second)
		again, _, err = f.CreateToken(t.Context(), f.admin, r.ID)
		if err != nil {
			t.Fatal(err)
		}
		f.joined(r, again)
		f.connect(rotated, key.opening())
		if n := len(f.tokens(r)); n != 2 {
			t.Errorf("%d tokens: a rotation ended a token that is newer", n)
		}
	})
}

func TestARotationThatFailsLeavesNothing(t *testing.T) {
	f := setup(t)
	r, exchange := f.create(nil)
	away := fault.New(fault.Unavailable, fault.RunnerOffline, "away")
	var asked string
	key := newPair(t)
	f.rotating(func(exchange seal.Secret) error { asked = key.opens(t, r, exchange); return away })
	if err := f.RotateToken(t.Context(), f.admin, r.ID, 0); !fault.HasReason(err, fault.RunnerOffline) || asked != "" {
		t.Errorf("a runner that never connected: %v", err)
	}
	f.connect(f.joined(r, exchange), key.opening())
	if err := f.RotateToken(t.Context(), f.admin, r.ID, 0); !errors.Is(err, away) || asked == "" {
		t.Errorf("got %v", err)
	}
	if n := len(f.tokens(r)); n != 1 {
		t.Errorf("%d tokens are left", n)
	}
	if _, err := f.Redeem(t.Context(), asked); !fault.HasReason(err, fault.UnknownToken) {
		t.Errorf("the exchange token still works: %v", err)
	}
	if err := f.RotateToken(t.Context(), f.member, r.ID, 0); !fault.Is(err, fault.NotFound) {
		t.Errorf("somebody who does not see the runner: %v", err)
	}
}

// Whoever stole a token may hold the link. While another key waits, nobody
// knows who does.
func TestNoRotationWhileAKeyWaits(t *testing.T) {
	f := setup(t)
	r, exchange := f.create(nil)
	var asked int
	f.rotating(func(seal.Secret) error { asked++; return nil })
	host, key := f.joined(r, exchange), newPair(t)
	f.connect(host, key.opening())
	f.connect(host, newPair(t).opening())
	if err := f.RotateToken(t.Context(), f.admin, r.ID, 0); !fault.HasReason(err, fault.KeyMismatch) || !fault.Is(err, fault.FailedPrecondition) || asked != 0 {
		t.Errorf("asked %d times, %v", asked, err)
	}
	if n := len(f.tokens(r)); n != 1 {
		t.Errorf("%d tokens are left", n)
	}
	f.connect(host, key.opening())
	if err := f.RotateToken(t.Context(), f.admin, r.ID, 0); err != nil || asked != 1 {
		t.Errorf("asked %d times, %v", asked, err)
	}
}

func TestExpireToken(t *testing.T) {
	f := setup(t)
	f.rotating(nil)
	ctx := t.Context()
	r, exchange := f.create(nil)
	c := f.joined(r, exchange)
	f.takeTold()

	if err := f.ExpireToken(ctx, f.admin, r.ID, c.Token, time.Hour); err != nil {
		t.Fatal(err)
	}
	if at := f.tokens(r)[c.Token].ExpiresAt; time.Until(at) > time.Hour || time.Until(at) < 59*time.Minute {
		t.Errorf("it ends at %v", at)
	}
	if told := f.takeTold(); len(told) != 1 || told[0] != "reconnect "+string(c.Token) {
		t.Errorf("told: %v", told)
	}
	if err := f.ExpireToken(ctx, f.admin, r.ID, c.Token, 2*time.Hour); !fault.HasReason(err, fault.ReasonImmutable) {
		t.Errorf("making it live longer: %v", err)
	}
	other, _ := f.create(nil)
	for name, err := range map[string]error{
		"another runner's": f.ExpireToken(ctx, f.admin, other.ID, c.Token, 0),
		"an unknown one":   f.ExpireToken(ctx, f.admin, r.ID, id.Token(id.New()), 0),
		"not visible":      f.ExpireToken(ctx, f.member, r.ID, c.Token, 0),
	} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.ExpireToken(ctx, f.admin, r.ID, c.Token, 0); err != nil {
		t.Fatal(err)
	}
	if len(f.tokens(r)) != 0 || !f.wasRevoked(c.Token) {
		t.Error("the token still works")
	}

	// Exchange tokens end, too; used ones are not listed.
	again, _, err := f.CreateToken(ctx, f.admin, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	all := f.tokens(r)
	for t2, rec := range all {
		if len(all) != 1 || rec.Kind != token.Exchange {
			t.Fatalf("tokens: %v", all)
		}
		if err := f.ExpireToken(ctx, f.admin, r.ID, t2, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Redeem(ctx, again); !fault.HasReason(err, fault.UnknownToken) {
		t.Errorf("an exchange token that was ended: %v", err)
	}
}
