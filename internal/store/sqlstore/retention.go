package sqlstore

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/retention"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
	"github.com/musterhq/muster/internal/token"
)

// Retention returns the store as package retention sees it.
func (s *Store) Retention() retention.Store { return retentionStore{s} }

type retentionStore struct{ *Store }

var _ retention.Tx = (*Tx)(nil)

func (s retentionStore) Write(ctx context.Context, fn func(retention.Tx) error) error {
	return s.write(ctx, func(tx *Tx) error { return fn(tx) })
}

// Policy returns the retention policy of an organization.
func (r reads) Policy(ctx context.Context, o id.Organization) (retention.Policy, bool, error) {
	row, err := r.q.GetRetentionPolicy(ctx, string(o))
	return one(r, row, err, "reading a retention policy", func(row query.GetRetentionPolicyRow) (retention.Policy, error) {
		return retention.Policy{NeverConnectedDays: row.NeverConnectedDays, OfflineDays: row.OfflineDays, AuditDays: row.AuditDays}, nil
	})
}

// Policies returns the retention policies that remove anything.
func (r reads) Policies(ctx context.Context) (map[id.Organization]retention.Policy, error) {
	rows, err := r.q.ListRetentionPolicies(ctx)
	if err != nil {
		return nil, r.explained(err, "reading the retention policies")
	}
	policies := make(map[id.Organization]retention.Policy, len(rows))
	for _, row := range rows {
		policies[id.Organization(row.ID)] = retention.Policy{
			NeverConnectedDays: row.NeverConnectedDays, OfflineDays: row.OfflineDays, AuditDays: row.AuditDays,
		}
	}
	return policies, nil
}

// SetPolicy replaces the retention policy of an organization.
func (tx *Tx) SetPolicy(ctx context.Context, o id.Organization, p retention.Policy) (bool, error) {
	n, err := tx.q.SetRetentionPolicy(ctx, query.SetRetentionPolicyParams{
		ID: string(o), NeverConnectedDays: p.NeverConnectedDays, OfflineDays: p.OfflineDays, AuditDays: p.AuditDays,
	})
	return n > 0, tx.explained(err, "setting a retention policy")
}

// StaleRunners returns up to Page.Limit+1 stale runners, oldest first.
func (r reads) StaleRunners(ctx context.Context, q retention.Query) ([]retention.StaleRunner, error) {
	after, err := cursorOf(q.Page, beforeAll)
	if err != nil {
		return nil, err
	}
	never, offline := micros(q.NeverConnectedBefore), micros(q.OfflineBefore)
	rows, err := r.q.ListStaleRunners(ctx, query.ListStaleRunnersParams{
		// Nobody is offline for longer than they exist.
		OrganizationID: string(q.Organization), CreatedBefore: max(never, offline), NeverConnectedBefore: never, OfflineBefore: offline,
		AfterAt: after.at, AfterID: after.id, MaxRows: maxRows(q.Page),
	})
	return all(r, rows, err, "listing stale runners", func(row query.ListStaleRunnersRow) (retention.StaleRunner, error) {
		s := retention.StaleRunner{ID: id.Runner(row.ID), Name: row.Name, Phase: fleet.PhaseCreated, CreatedAt: moment(row.CreatedAt)}
		s.Since = s.CreatedAt
		if row.SessionEpoch > 0 {
			s.Phase, s.Since = fleet.PhaseInactive, moment(row.SessionEndedAt)
		}
		return s, nil
	})
}

// AuditEntriesBefore counts the audit entries of an organization that are older.
func (r reads) AuditEntriesBefore(ctx context.Context, o id.Organization, t time.Time) (int64, error) {
	n, err := r.q.CountAuditEntriesBefore(ctx, string(o), micros(t))
	return n, r.explained(err, "counting audit entries")
}

// DeleteExpiredTokens removes up to limit tokens that nobody can use any more,
// and returns them.
func (tx *Tx) DeleteExpiredTokens(ctx context.Context, short, long time.Time, limit int) ([]token.Record, error) {
	rows, err := tx.q.DeleteExpiredTokens(ctx, query.DeleteExpiredTokensParams{
		ExpiredBefore: micros(short.Add(token.ExchangeLifetime)), ShortBefore: micros(short), LongBefore: micros(long),
		MaxRows: int32(min(limit, 1<<30)), //nolint:gosec // bounded
	})
	return all(tx.reads, rows, err, "deleting expired tokens", recordOf)
}
