package hosttoken_test

import (
	"context"
	"slices"
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
)

// locking is the store, which notes what is locked.
type locking struct {
	hosttoken.Store
	taken []string
}

func (s *locking) Write(ctx context.Context, fn func(hosttoken.Tx) error) error {
	return s.Store.Write(ctx, func(tx hosttoken.Tx) error { return fn(lockingTx{tx, s}) })
}

type lockingTx struct {
	hosttoken.Tx
	s *locking
}

func (tx lockingTx) LockRunner(ctx context.Context, r id.Runner) error {
	tx.s.taken = append(tx.s.taken, "runner")
	return tx.Tx.LockRunner(ctx, r)
}

func (tx lockingTx) LockSubject(ctx context.Context, o id.Organization, s access.Subject) (bool, error) {
	tx.s.taken = append(tx.s.taken, "subject")
	return tx.Tx.LockSubject(ctx, o, s)
}

// Everybody locks the runner first; two orders would make calls wait for each
// other.
func TestTheRunnerIsLockedBeforeTheSubject(t *testing.T) {
	f := setup(t)
	store := &locking{Store: f.store.HostTokens()}
	f.Service = hosttoken.New(store, f)
	f.create(f.user, f.gitHub())
	if !slices.Equal(store.taken, []string{"runner", "subject"}) {
		t.Errorf("locked in turn %v", store.taken)
	}
}
