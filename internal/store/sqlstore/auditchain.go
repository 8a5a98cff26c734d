package sqlstore

import (
	"context"

	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/audit/chain"
	"github.com/musterhq/muster/internal/auditlog"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// AuditChain returns the chain of an organization; false before its first entry
// has its place.
func (r reads) AuditChain(ctx context.Context, o id.Organization) (auditlog.Chain, bool, error) {
	row, err := r.q.GetAuditChain(ctx, string(o))
	return one(r, row, err, "reading the audit log", auditChainOf)
}

// UnsignedChains returns the chains whose last entry has no checkpoint.
func (r reads) UnsignedChains(ctx context.Context) ([]auditlog.Chain, error) {
	rows, err := r.q.ListUnsignedAuditChains(ctx)
	return all(r, rows, err, "reading the audit log", auditChainOf)
}

func auditChainOf(row query.AuditChain) (auditlog.Chain, error) {
	return auditlog.Chain{
		Organization: id.Organization(row.OrganizationID), Sequence: row.Sequence, Hash: hashOf(row.Hash),
		FloorSequence: row.FloorSequence, FloorHash: hashOf(row.FloorHash),
	}, nil
}

// UnchainedOrganization returns the first organization behind another, in the
// order of their ids, that has an entry without a place.
func (r reads) UnchainedOrganization(ctx context.Context, behind id.Organization) (id.Organization, bool, error) {
	row, err := r.q.GetUnchainedOrganization(ctx, string(behind))
	return one(r, row, err, "reading the audit log", func(o string) (id.Organization, error) { return id.Organization(o), nil })
}

// UnchainedEntries returns entries without a place, oldest first.
func (r reads) UnchainedEntries(ctx context.Context, o id.Organization, limit int) ([]audit.Entry, error) {
	rows, err := r.q.ListUnchainedAuditEntries(ctx, string(o), int32(limit)) //nolint:gosec // a batch
	return all(r, rows, err, "reading the audit log", auditEntryOf)
}

// ChainedEntries returns entries behind a sequence number, in their order.
func (r reads) ChainedEntries(ctx context.Context, o id.Organization, behind int64, limit int) ([]chain.Entry, error) {
	rows, err := r.q.ListChainedAuditEntries(ctx, query.ListChainedAuditEntriesParams{
		OrganizationID: string(o), AfterSequence: behind, MaxRows: int32(limit), //nolint:gosec // a batch
	})
	return all(r, rows, err, "reading the audit log", func(row query.AuditEntry) (chain.Entry, error) {
		return chain.Entry{
			Sequence: row.Sequence, Hash: hashOf(row.Hash), ID: row.ID, ActorPrincipal: row.ActorPrincipal, ActorID: row.ActorID,
			SubjectType: row.SubjectType, SubjectID: row.SubjectID, Action: row.Action, Kind: row.Kind, RequestID: row.RequestID,
			CreatedAt: row.CreatedAt,
		}, nil
	})
}

// Checkpoints returns those of the entries from one number to another, both
// included, in their order.
func (r reads) Checkpoints(ctx context.Context, o id.Organization, from, to int64) ([]chain.Checkpoint, error) {
	rows, err := r.q.ListAuditCheckpoints(ctx, query.ListAuditCheckpointsParams{OrganizationID: string(o), FromSequence: from, ToSequence: to})
	return all(r, rows, err, "reading the audit log", func(row query.AuditCheckpoint) (chain.Checkpoint, error) {
		return chain.Checkpoint{Sequence: row.Sequence, Hash: hashOf(row.Hash), Floor: row.Floor, SignedAt: row.SignedAt, KeyID: row.KeyID, Signature: row.Signature}, nil
	})
}

// AuditRetention returns the organizations that do not keep all entries.
func (r reads) AuditRetention(ctx context.Context) ([]auditlog.Retention, error) {
	rows, err := r.q.ListAuditRetention(ctx)
	return all(r, rows, err, "reading the retention policies", func(row query.ListAuditRetentionRow) (auditlog.Retention, error) {
		return auditlog.Retention{Organization: id.Organization(row.ID), Days: int(row.AuditDays)}, nil
	})
}

// InsertAuditChain makes the chain of an organization unless it has one.
func (tx *Tx) InsertAuditChain(ctx context.Context, o id.Organization) error {
	return tx.explained(tx.q.InsertAuditChain(ctx, string(o), chain.Origin[:]), "chaining the audit log")
}

// AdvanceAuditChain moves the end of a chain, if it is where the caller thinks.
func (tx *Tx) AdvanceAuditChain(ctx context.Context, o id.Organization, from, to int64, h chain.Hash) (bool, error) {
	n, err := tx.q.AdvanceAuditChain(ctx, query.AdvanceAuditChainParams{OrganizationID: string(o), FromSequence: from, Sequence: to, Hash: h[:]})
	return n == 1, tx.explained(err, "chaining the audit log")
}

// PlaceAuditEntry gives an entry its place, if it has none.
func (tx *Tx) PlaceAuditEntry(ctx context.Context, e chain.Entry) (bool, error) {
	n, err := tx.q.PlaceAuditEntry(ctx, query.PlaceAuditEntryParams{ID: e.ID, Sequence: e.Sequence, Hash: e.Hash[:]})
	return n == 1, tx.explained(err, "chaining the audit log")
}

// InsertCheckpoint adds a checkpoint unless its entry has one.
func (tx *Tx) InsertCheckpoint(ctx context.Context, o id.Organization, c chain.Checkpoint) error {
	return tx.explained(tx.q.InsertAuditCheckpoint(ctx, query.InsertAuditCheckpointParams{
		OrganizationID: string(o), Sequence: c.Sequence, Hash: c.Hash[:], Floor: c.Floor, SignedAt: c.SignedAt, KeyID: c.KeyID, Signature: blob(c.Signature),
	}), "storing a checkpoint of the audit log")
}

// RaiseAuditFloor notes that entries were removed, if the floor is where the
// caller thinks.
func (tx *Tx) RaiseAuditFloor(ctx context.Context, o id.Organization, from, to int64, h chain.Hash) (bool, error) {
	n, err := tx.q.RaiseAuditFloor(ctx, query.RaiseAuditFloorParams{OrganizationID: string(o), FromSequence: from, FloorSequence: to, FloorHash: h[:]})
	return n == 1, tx.explained(err, "removing old audit entries")
}

// DeleteChainedEntries removes the entries up to a sequence number, and their
// checkpoints.
func (tx *Tx) DeleteChainedEntries(ctx context.Context, o id.Organization, through int64) error {
	if err := tx.q.DeleteChainedAuditEntries(ctx, string(o), through); err != nil {
		return tx.explained(err, "removing old audit entries")
	}
	return tx.explained(tx.q.DeleteAuditCheckpoints(ctx, string(o), through), "removing old checkpoints of the audit log")
}
