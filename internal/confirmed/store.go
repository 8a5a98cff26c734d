package confirmed

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/id"
)

// Store is what this package needs of a database.
type Store interface {
	// ConfirmedTime returns the state; false before there is one.
	ConfirmedTime(ctx context.Context) (State, bool, error)
	// NewestAuditTime is that of the newest audit entry; zero when there is none.
	NewestAuditTime(ctx context.Context) (time.Time, error)
	// Write runs fn in one transaction; see identity.Store.
	Write(ctx context.Context, fn func(Tx) error) error
}

// Tx is what this package needs of a transaction.
type Tx interface {
	change.Tx
	ConfirmedTime(ctx context.Context) (State, bool, error)
	// InsertConfirmedTime stores the first state, with the revision 1. It does
	// nothing when there is one.
	InsertConfirmedTime(ctx context.Context, s State) error
	// UpdateConfirmedTime stores s with the next revision, if s has the revision
	// that is stored.
	UpdateConfirmedTime(ctx context.Context, s State) (bool, error)
	// PutDoubtedTime notes that a wall clock that was far off showed the times from
	// one to another. The first one names it: a later call makes it longer.
	PutDoubtedTime(ctx context.Context, from, to time.Time) error
	// MadeInDoubt returns up to limit credentials that were made at such a time, or
	// ended at one.
	MadeInDoubt(ctx context.Context, limit int) ([]Credential, error)
	DeleteDoubtedTimes(ctx context.Context) error
	// Operator returns the organization that operates the installation; false before
	// the first start is done.
	Operator(ctx context.Context) (id.Organization, bool, error)
}

// Credential is one that has times of a clock that was far off.
type Credential struct {
	// Kind is that of a token, such as "pat", or "signing key".
	Kind string
	ID   string
	// Owner is the id of whose it is, and Organization that of its organization;
	// empty for a signing key.
	Owner        string
	Organization id.Organization
	// Description is what its maker called it.
	Description string
	// MadeAt is when it was made by that clock, and EndsAt when it ends; zero when it
	// does not.
	MadeAt, EndsAt time.Time
}
