package fleet

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

// Expire removes a runner without anybody's asking, if stale says so of what is
// stored now: a runner that connected since it was found stays. So does one
// whose deletion is under way, and the one that the system made. It tells
// whether the runner was removed.
func (s *Service) Expire(ctx context.Context, want id.Runner, stale func(*Runner) bool) (bool, error) {
	var removed bool
	err := s.store.Write(ctx, func(tx Tx) error {
		removed = false
		// Whoever opens a session locks the runner too, and so comes before this
		// look or finds the runner gone.
		if err := tx.LockRunner(ctx, want); err != nil {
			return err
		}
		r, found, err := tx.Runner(ctx, want)
		if err != nil || !found || !r.DeletingAt.IsZero() || r.Kind == KindLocalConfiguration || !stale(&r) {
			return err
		}
		removed = true
		return removeAs(ctx, tx, &r, access.System, "runner.expire")
	})
	if !fault.MayHaveHappened(err) {
		return false, fault.Wrap(err, "removing a stale runner")
	}
	if removed {
		s.afterRemoval(err, want)
	}
	return removed, err
}
