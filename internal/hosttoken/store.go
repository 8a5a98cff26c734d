package hosttoken

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

// Query selects credentials of one organization, oldest first. Empty filters
// select all; all that are set must hold.
type Query struct {
	Organization id.Organization
	// Reach limits the rows to what the caller may see.
	Reach Reach
	// Runner selects the credentials on a runner.
	Runner id.Runner
	// Subject selects the credentials of a user or a service account.
	Subject string
	// Page.After.Key is the time of creation as 16 hexadecimal digits of its
	// microseconds.
	Page page.Query
}

// Reach says which credentials a caller may see: all of its organization, or its
// own and those on the runners on which one of its groups has one of the roles.
type Reach struct {
	All    bool
	Self   string
	Groups []id.Group
	Roles  []resource.Role
}

// reader has the look-ups, inside and outside of a transaction. The boolean is
// false when there is no such row.
type reader interface {
	HostToken(ctx context.Context, token string) (Token, bool, error)
	// HostTokenOf finds the credential of a subject for a host on a runner,
	// without regard to the case of the host.
	HostTokenOf(ctx context.Context, r id.Runner, host string, s access.Subject) (Token, bool, error)
	// HostTokens returns up to Page.Limit+1 of them.
	HostTokens(ctx context.Context, q Query) ([]Token, error)
	Runner(ctx context.Context, r id.Runner) (fleet.Runner, bool, error)
}

// Store is what this package needs of a database.
type Store interface {
	reader
	// Write runs fn in one transaction; see identity.Store.
	Write(ctx context.Context, fn func(Tx) error) error
}

// Tx is what this package needs of a transaction.
type Tx interface {
	change.Tx
	reader
	// LockSubject makes the rest of the transaction wait for the departure of a
	// user or a service account, and be waited for by it; false means that it is
	// gone.
	LockSubject(ctx context.Context, o id.Organization, s access.Subject) (bool, error)
	// LockRunner makes the rest of the transaction wait for, and be waited for by,
	// every other transaction that locks the same runner.
	LockRunner(ctx context.Context, r id.Runner) error
	// CountHostTokens counts the credentials of a subject on a runner.
	CountHostTokens(ctx context.Context, r id.Runner, s access.Subject) (int64, error)
	// IntegrationHost returns the host of an SCM integration of a runner.
	IntegrationHost(ctx context.Context, r id.Runner, integration string) (string, bool, error)
	// InsertHostToken adds a credential; one that its subject has for the host on
	// the runner already is a lost race.
	InsertHostToken(ctx context.Context, t Token) error
	// UpdateHostToken stores what may change (values, source, integration, scopes,
	// expires_at, updated_at) when the revision is still t.Revision, and stores
	// t.Revision+1; false means that somebody else was faster.
	UpdateHostToken(ctx context.Context, t Token) (bool, error)
	// DeleteHostToken removes it; false means that it was gone.
	DeleteHostToken(ctx context.Context, token string) (bool, error)
}
