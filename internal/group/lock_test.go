package group_test

import (
	"cmp"
	"context"
	"slices"
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// lock is one that a transaction took: what is its place among the kinds.
type lock struct {
	kind int
	id   string
}

// locking is the store, which notes the locks of each transaction.
type locking struct {
	group.Store
	taken [][]lock
}

func (s *locking) Write(ctx context.Context, fn func(group.Tx) error) error {
	return s.Store.Write(ctx, func(tx group.Tx) error {
		noted := &lockingTx{Tx: tx}
		defer func() { s.taken = append(s.taken, noted.taken) }()
		return fn(noted)
	})
}

type lockingTx struct {
	group.Tx
	taken []lock
}

// note leaves out what is locked already.
func (tx *lockingTx) note(kind int, what string) {
	if l := (lock{kind, what}); !slices.Contains(tx.taken, l) {
		tx.taken = append(tx.taken, l)
	}
}

func (tx *lockingTx) LockRunner(ctx context.Context, r id.Runner) error {
	tx.note(1, string(r))
	return tx.Tx.LockRunner(ctx, r)
}

func (tx *lockingTx) LockGroup(ctx context.Context, o id.Organization, g id.Group) (bool, error) {
	tx.note(2, string(g))
	return tx.Tx.LockGroup(ctx, o, g)
}

func (tx *lockingTx) LockPrincipal(ctx context.Context, o id.Organization, s access.Subject) (bool, error) {
	tx.note(3, s.ID)
	return tx.Tx.LockPrincipal(ctx, o, s)
}

// Whatever is done, the runner is locked before groups, groups by id, and they
// before users.
func TestLocksAreTakenInOneOrder(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	store := &locking{Store: f.store.Groups()}
	f.Service = group.New(store, f.identities)
	ann, bob := f.person("Ann", resource.RoleOrgMember), f.person("Bob", resource.RoleOrgMember)
	r := f.runner(f.admin.Subject)
	groups := make([]group.Group, 6)
	for i := range groups {
		groups[i] = f.group("group "+id.New(), bob.Subject)
	}
	for _, a := range groups {
		f.assign(a.ID, resource.Runner, string(r.ID), resource.RoleRunnerUser)
		for _, b := range groups {
			f.assign(a.ID, resource.Group, string(b.ID), resource.RoleGroupAdmin)
		}
		for _, on := range []group.Assignment{
			{Type: resource.Group, Resource: string(a.ID), Role: resource.RoleGroupViewer},
			{Type: resource.Runner, Resource: string(r.ID), Role: resource.RoleRunnerUser},
		} {
			f.must(f.Share(ctx, f.admin, ann.Subject, on))
		}
		f.must(f.Unshare(ctx, f.admin, ann.Subject, resource.Runner, string(r.ID)))
	}
	f.must(f.DeletePolicy(ctx, f.admin, r.ID, groups[0].ID))
	for _, g := range groups {
		f.must(f.Delete(ctx, f.admin, g.ID))
	}
	several := 0
	for _, taken := range store.taken {
		if len(taken) > 1 {
			several++
		}
		if !slices.IsSortedFunc(taken, func(a, b lock) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id)) }) {
			t.Errorf("locked in turn %v", taken)
		}
	}
	if several < 50 {
		t.Errorf("%d transactions locked several things", several)
	}
}
