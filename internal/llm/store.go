package llm

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
)

// Query selects integrations of one organization, oldest first.
type Query struct {
	Organization id.Organization
	// Reach limits the rows to those of runners that the caller may see.
	Reach access.Reach
	// Runners selects the integrations of these; empty of any.
	Runners []id.Runner
	Page    page.Query
}

// reader has the look-ups, inside and outside of a transaction. The boolean is
// false when there is no such row.
type reader interface {
	// LLMIntegration returns an integration with the public key of its runner.
	LLMIntegration(ctx context.Context, integration string) (Integration, bool, error)
	Runner(ctx context.Context, r id.Runner) (fleet.Runner, bool, error)
}

// Store is what this package needs of a database.
type Store interface {
	reader
	// LLMIntegrations returns up to Page.Limit+1 of them.
	LLMIntegrations(ctx context.Context, q Query) ([]Integration, error)
	// Write runs fn in one transaction; see identity.Store.
	Write(ctx context.Context, fn func(Tx) error) error
}

// Tx is what this package needs of a transaction.
type Tx interface {
	change.Tx
	reader
	// LockRunner makes the rest of the transaction wait for, and be waited for by,
	// every other transaction that locks the same runner.
	LockRunner(ctx context.Context, r id.Runner) error
	InsertLLMIntegration(ctx context.Context, i Integration) error
	// UpdateLLMIntegration stores what people set when the revision is still
	// i.Revision, and stores i.Revision+1; false means that somebody else was
	// faster.
	UpdateLLMIntegration(ctx context.Context, i Integration) (bool, error)
	// DeleteLLMIntegration removes it; false means that it was gone.
	DeleteLLMIntegration(ctx context.Context, integration string) (bool, error)
}
