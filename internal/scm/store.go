package scm

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
)

// Query selects integrations of one organization, oldest first.
type Query struct {
	Organization id.Organization
	// Reach limits the rows to those of runners that the caller may see.
	Reach access.Reach
	// Runners selects the integrations of these, at most 25; empty for any.
	Runners []id.Runner
	// Page.After.Key is the time of creation as 16 hexadecimal digits of its
	// microseconds.
	Page page.Query
}

// reader has the look-ups, inside and outside of a transaction. The boolean is
// false when there is no such row.
type reader interface {
	SCMIntegration(ctx context.Context, integration string) (Integration, bool, error)
	Runner(ctx context.Context, r id.Runner) (fleet.Runner, bool, error)
}

// Store is what this package needs of a database.
type Store interface {
	reader
	// SCMIntegrations returns up to Page.Limit+1 of them.
	SCMIntegrations(ctx context.Context, q Query) ([]Integration, error)
	// Write runs fn in one transaction; see identity.Store.
	Write(ctx context.Context, fn func(Tx) error) error
}

// Tx is what this package needs of a transaction.
type Tx interface {
	departure.Tx
	reader
	// LockRunner makes the rest of the transaction wait for, and be waited for by,
	// every other transaction that locks the same runner.
	LockRunner(ctx context.Context, r id.Runner) error
	// SCMIntegrationOf finds the integration of a runner with a host, without
	// regard to case.
	SCMIntegrationOf(ctx context.Context, r id.Runner, host string) (Integration, bool, error)
	// InsertSCMIntegration adds an integration; one that its runner has for the
	// host already is a lost race.
	InsertSCMIntegration(ctx context.Context, i Integration) error
	// UpdateSCMIntegration stores what people set (pat, OAuth, issuer, virtual
	// directory, updated_at) when the revision is still i.Revision, and stores
	// i.Revision+1; false means that somebody else was faster.
	UpdateSCMIntegration(ctx context.Context, i Integration) (bool, error)
	// DeleteSCMIntegration removes it; false means that it was gone.
	DeleteSCMIntegration(ctx context.Context, integration string) (bool, error)
}
