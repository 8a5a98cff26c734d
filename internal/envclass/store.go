package envclass

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

// Query selects classes of one organization, oldest first. Empty filters select
// all; filters of different kinds must all hold, of the values of one any may.
type Query struct {
	Organization id.Organization
	// Reach limits the rows to classes of runners that the caller may see.
	Reach access.Reach
	// Runners holds at most 25 values.
	Runners   []id.Runner
	Enabled   *bool
	Kinds     []fleet.Kind
	Providers []fleet.Provider
	// Usable selects the classes that environments can be made of, or those of
	// which not: the class must be enabled, its runner must not be on its way out,
	// and Use must hold.
	Usable *bool
	Use    Use
	// Page.After.Key is the time of creation as page.TimeKey has it.
	Page page.Query
}

// Use says which of the runners that a caller sees it may also use: all; those
// that Subject made, and those on which one of its groups has one of Roles.
type Use struct {
	All     bool
	Subject string
	// Roles are for runners; see resource.Role.On.
	Roles []resource.Role
}

// reader has the look-ups, inside and outside of a transaction. The boolean is
// false when there is no such row.
type reader interface {
	EnvironmentClass(ctx context.Context, class string) (Class, bool, error)
	Runner(ctx context.Context, r id.Runner) (fleet.Runner, bool, error)
}

// Store is what this package needs of a database.
type Store interface {
	reader
	// EnvironmentClasses returns up to Page.Limit+1 rows.
	EnvironmentClasses(ctx context.Context, q Query) ([]Class, error)
	// Write runs fn in one transaction; see identity.Store.
	Write(ctx context.Context, fn func(Tx) error) error
}

// Tx is what this package needs of a transaction.
type Tx interface {
	change.Tx
	reader
	// LockRunner keeps the runner from being deleted until the transaction ends.
	LockRunner(ctx context.Context, r id.Runner) error
	InsertEnvironmentClass(ctx context.Context, c Class) error
	// UpdateEnvironmentClass stores what can change (names, whether it is enabled,
	// updated_at) when the revision is still c.Revision, and stores c.Revision+1;
	// false means that somebody else was faster.
	UpdateEnvironmentClass(ctx context.Context, c Class) (bool, error)
}
