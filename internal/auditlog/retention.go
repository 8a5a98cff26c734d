package auditlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit/chain"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

// retain removes what is too old in every organization that does not keep all.
func (s *Service) retain(ctx context.Context) error {
	policies, err := s.store.AuditRetention(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range policies {
		now, ok := s.confirmed()
		if !ok {
			break
		}
		removed, err := s.Truncate(ctx, p.Organization, now.Add(-time.Duration(p.Days)*24*time.Hour))
		if removed > 0 {
			s.log.Info("old audit entries were removed", "organization", p.Organization, "entries", removed, "days", p.Days)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("removing old audit entries of %s: %w", p.Organization, err))
		}
	}
	return errors.Join(errs...)
}

// Truncate removes the entries from before a time, from the old end of the
// chain up to the first that is younger, and returns how many. An entry without
// a place stays. What is left can still be verified: it begins behind a signed
// checkpoint. Nothing is removed from a chain that is broken, so that what
// happened to it can be found out.
//
// It leaves an entry, unless all that is removed are such entries: each would be
// the reason of the next, for ever.
func (s *Service) Truncate(ctx context.Context, o id.Organization, before time.Time) (removed int, err error) {
	told := false
	for {
		n, err := s.truncateBatch(ctx, o, before.UnixMicro(), &told)
		removed += n
		if err != nil || n < batch {
			return removed, err
		}
	}
}

// truncateAction is the action of the entry that tells of a removal.
const truncateAction = "audit_log.truncate"

// truncateBatch removes up to batch entries. The first batch of a run that there
// is something to tell of tells it.
func (s *Service) truncateBatch(ctx context.Context, o id.Organization, before int64, told *bool) (int, error) {
	state, ok, err := s.store.AuditChain(ctx, o)
	if err != nil || !ok {
		return 0, err
	}
	old, err := s.store.ChainedEntries(ctx, o, state.FloorSequence, batch)
	if err != nil {
		return 0, err
	}
	sequence, hash, n := state.FloorSequence, state.FloorHash, 0
	tell := false
	hashes := map[int64]chain.Hash{}
	for i := range old {
		e := &old[i]
		if e.CreatedAt >= before {
			break
		}
		if e.Sequence != sequence+1 || e.Hash != e.HashAfter(hash, string(o)) {
			return 0, broken(o, sequence+1)
		}
		sequence, hash, n = e.Sequence, e.Hash, n+1
		hashes[sequence] = hash
		tell = tell || e.Action != truncateAction
	}
	if n == 0 {
		return 0, nil
	}
	signed, err := s.store.Checkpoints(ctx, o, state.FloorSequence+1, sequence)
	if err != nil {
		return 0, err
	}
	for _, c := range signed {
		if c.Hash != hashes[c.Sequence] {
			return 0, broken(o, c.Sequence)
		}
	}
	floor, err := s.checkpoint(ctx, o, sequence, hash, true)
	if err != nil {
		return 0, err
	}
	err = s.store.Write(ctx, func(tx Tx) error {
		// Another replica that was faster has removed the same.
		if ok, err := tx.RaiseAuditFloor(ctx, o, state.FloorSequence, sequence, hash); err != nil || !ok {
			n = 0
			return err
		}
		if err := tx.DeleteChainedEntries(ctx, o, sequence); err != nil {
			return err
		}
		if err := tx.InsertCheckpoint(ctx, o, floor); err != nil || *told || !tell {
			return err
		}
		return change.Write(ctx, tx, change.Record{Actor: access.System, Action: truncateAction, Object: access.OrganizationObject(o)})
	})
	if err != nil {
		return 0, err
	}
	*told = *told || tell && n > 0
	return n, nil
}

// broken is the fault of a log that was changed behind the control plane's back.
func broken(o id.Organization, sequence int64) error {
	return fault.New(fault.FailedPrecondition, fault.AuditBroken,
		"The audit log of the organization %q was changed in the database, at entry %d or before it, so nothing is removed from it by age. \"muster audit export\" and \"muster audit verify\" show where.", o, sequence)
}
