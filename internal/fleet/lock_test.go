package fleet_test

import (
	"context"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/token"
)

// late is a store where something was committed between the begin of a
// transaction and its lock, as PostgreSQL allows: until it locks the runner, a
// transaction sees what was there before.
type late struct {
	fleet.Store
	runner fleet.Runner
	// tokens are what a transaction sees until the next one begins.
	tokens []token.Record
	writes int
}

func (s *late) Write(ctx context.Context, fn func(fleet.Tx) error) error {
	return s.Store.Write(ctx, func(tx fleet.Tx) error {
		s.writes++
		return fn(&lateTx{Tx: tx, store: s, first: s.writes == 1})
	})
}

type lateTx struct {
	fleet.Tx
	store         *late
	locked, first bool
}

func (tx *lateTx) LockRunner(ctx context.Context, r id.Runner) error {
	tx.locked = true
	return tx.Tx.LockRunner(ctx, r)
}

func (tx *lateTx) Runner(ctx context.Context, r id.Runner) (fleet.Runner, bool, error) {
	if !tx.locked {
		return tx.store.runner, true, nil
	}
	return tx.Tx.Runner(ctx, r)
}

func (tx *lateTx) TokenOf(ctx context.Context, r id.Runner, t id.Token) (token.Record, bool, error) {
	if tx.first {
		for _, rec := range tx.store.tokens {
			if rec.ID == t {
				return rec, true, nil
			}
		}
	}
	return tx.Tx.TokenOf(ctx, r, t)
}

// late makes the service see the runner as it is now until it locks it, and its
// tokens in the first transaction.
func (f *fixture) late(r fleet.Runner) {
	f.t.Helper()
	s := &late{Store: f.store.Fleet(), runner: *f.get(r.ID)}
	var err error
	if s.tokens, err = s.TokensOf(f.t.Context(), r.ID); err != nil {
		f.t.Fatal(err)
	}
	f.Service = fleet.New(fleet.Config{Store: s, Links: links{f}, Revoker: f, Key: f.key})
}

func TestADeletionDecidesOnARunnerThatIsLocked(t *testing.T) {
	f := setup(t)
	r, _ := f.create(nil)
	key := newPair(t)
	before := f.Service
	f.late(r)
	late := f.Service
	f.Service = before
	f.open(r, key.opening())
	f.takeEvents()
	f.takeTold()
	f.Service = late
	if err := f.Delete(t.Context(), f.admin, r.ID, false); err != nil {
		t.Fatal(err)
	}
	// It connected meanwhile, so it is asked to finish.
	f.expect("deleting", r, fleet.PhaseDeleting, "", event.StatusUpdated)
	if told := f.takeTold(); len(told) != 1 || told[0] != "delete "+string(r.ID) {
		t.Errorf("told: %v", told)
	}

	// Its deletion ends twice at once.
	f.late(r)
	late = f.Service
	f.Service = before
	if err := f.FinishDelete(t.Context(), r.ID); err != nil {
		t.Fatal(err)
	}
	f.takeTold()
	f.Service = late
	if err := f.FinishDelete(t.Context(), r.ID); err != nil {
		t.Errorf("the second end: %v", err)
	}
	if told := f.takeTold(); len(told) != 0 {
		t.Errorf("told: %v", told)
	}
}

func TestATokenThatEndsMeanwhileIsLookedAtAgain(t *testing.T) {
	f := setup(t)
	r, exchange := f.create(nil)
	gone := f.joined(r, exchange)
	again, _, err := f.CreateToken(t.Context(), f.admin, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	sooner := f.joined(r, again)
	before := f.Service
	for _, c := range []struct {
		token id.Token
		end   func(fleet.Tx) error
		want  fault.Reason
	}{
		{gone.Token, func(tx fleet.Tx) error { _, err := tx.DeleteToken(t.Context(), gone.Token); return err }, fault.ReasonNotFound},
		{sooner.Token, func(tx fleet.Tx) error {
			_, err := tx.ExpireToken(t.Context(), sooner.Token, time.Now().Add(time.Minute))
			return err
		}, fault.ReasonImmutable},
	} {
		f.late(r)
		if err := f.store.Fleet().Write(t.Context(), c.end); err != nil {
			t.Fatal(err)
		}
		f.takeTold()
		if err := f.ExpireToken(t.Context(), f.admin, r.ID, c.token, time.Hour); !fault.HasReason(err, c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
		f.Service = before
	}
}
