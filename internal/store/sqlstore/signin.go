package sqlstore

import (
	"context"

	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/signin"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// SignIn returns the store as package signin sees it.
func (s *Store) SignIn() signin.Store { return s }

// Host returns the host of an integration of a runner.
func (r reads) Host(ctx context.Context, runner id.Runner, integration string) (codehost.Host, bool, error) {
	row, err := r.q.GetSCMIntegration(ctx, integration)
	h, found, err := one(r, row, err, "reading the host of an integration", func(row query.ScmIntegration) (codehost.Host, error) {
		return hostOf(row), nil
	})
	if row.RunnerID != string(runner) {
		return codehost.Host{}, false, err
	}
	return h, found, err
}
