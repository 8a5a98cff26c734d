// Package retention removes by age what nobody needs any more: runners that
// never connected or that are gone for long, as each organization's policy says,
// and tokens that have expired.
//
// It knows nothing of the wire and nothing of SQL. Runners go through package
// fleet, which knows what goes with them; audit entries are removed by whoever
// keeps the audit log, by the same policy.
package retention

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/token"
)

// Policy is what an organization removes by age, in days; 0 keeps it. The zero
// Policy is the default.
type Policy struct {
	// NeverConnectedDays is how long a runner may wait for its first connection.
	NeverConnectedDays int32
	// OfflineDays is how long a runner may stay away.
	OfflineDays int32
	// AuditDays is how long audit entries are kept: 0, or at least MinAuditDays.
	AuditDays int32
}

const day = 24 * time.Hour

// before is the end of what a number of days leaves; zero when they are 0.
func before(now time.Time, days int32) time.Time {
	if days == 0 {
		return time.Time{}
	}
	return now.Add(-time.Duration(days) * day)
}

// AuditBefore is the time before which audit entries are to be removed; zero
// when they are kept.
func (p Policy) AuditBefore(now time.Time) time.Time { return before(now, p.AuditDays) }

// Limits says which runners are stale.
type Limits struct {
	// NeverConnectedBefore is when a runner that never connected must have been
	// created to be stale; zero when none of them is.
	NeverConnectedBefore time.Time
	// OfflineBefore is when a runner that is offline must have been connected last
	// to be stale; zero when none of them is.
	OfflineBefore time.Time
}

func (p Policy) limits(now time.Time) Limits {
	return Limits{NeverConnectedBefore: before(now, p.NeverConnectedDays), OfflineBefore: before(now, p.OfflineDays)}
}

// none tells that no runner is stale.
func (l Limits) none() bool { return l.NeverConnectedBefore.IsZero() && l.OfflineBefore.IsZero() }

// stale tells whether a runner is. A zero limit is before every time.
func (l Limits) stale(r *fleet.Runner) bool {
	switch r.Phase() {
	case fleet.PhaseCreated:
		return r.CreatedAt.Before(l.NeverConnectedBefore)
	case fleet.PhaseInactive:
		return r.Session.EndedAt.Before(l.OfflineBefore)
	default:
		return false
	}
}

// StaleRunner is a runner that a policy removes.
type StaleRunner struct {
	ID   id.Runner
	Name string
	// Phase is CREATED or INACTIVE.
	Phase fleet.Phase
	// Since is when it was created, or last connected.
	Since     time.Time
	CreatedAt time.Time
}

// Query selects the stale runners of one organization, oldest first: those in
// the phases CREATED and INACTIVE that the limits reach, but for the one that
// the system made.
type Query struct {
	Organization id.Organization
	Limits
	Page page.Query
}

// Store is what this package needs of a database.
type Store interface {
	// Policy returns the policy of an organization; false when there is no such
	// organization.
	Policy(ctx context.Context, o id.Organization) (Policy, bool, error)
	// Policies returns the policies that remove anything.
	Policies(ctx context.Context) (map[id.Organization]Policy, error)
	// StaleRunners returns up to Page.Limit+1 of them.
	StaleRunners(ctx context.Context, q Query) ([]StaleRunner, error)
	// AuditEntriesBefore counts the audit entries of an organization that are
	// older.
	AuditEntriesBefore(ctx context.Context, o id.Organization, t time.Time) (int64, error)
	// Write runs fn in one transaction; see identity.Store.
	Write(ctx context.Context, fn func(Tx) error) error
}

// Tx is what this package needs of a transaction.
type Tx interface {
	change.Tx
	// SetPolicy replaces the policy of an organization; false when there is no
	// such organization.
	SetPolicy(ctx context.Context, o id.Organization, p Policy) (bool, error)
	// DeleteExpiredTokens removes up to limit tokens that nobody can use any more,
	// and returns them: short-lived ones (exchange tokens, access tokens of service
	// accounts) that expired, or were redeemed, before short, and others that
	// expired before long.
	DeleteExpiredTokens(ctx context.Context, short, long time.Time, limit int) ([]token.Record, error)
}

// Fleet removes runners.
type Fleet interface {
	// Expire removes a runner if stale says so of what is stored now; see
	// fleet.Service.
	Expire(ctx context.Context, r id.Runner, stale func(*fleet.Runner) bool) (bool, error)
}
