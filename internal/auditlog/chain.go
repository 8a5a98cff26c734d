package auditlog

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/audit/chain"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

// batch is how many entries are placed or removed in one transaction.
const batch = 500

// placeBatch gives up to batch entries of an organization their places, and
// returns how many. Of several replicas that do so at once, one gets the place
// and the others look again.
func (s *Service) placeBatch(ctx context.Context, o id.Organization) (int, error) {
	placed := 0
	err := s.store.Write(ctx, func(tx Tx) error {
		placed = 0
		waiting, err := tx.UnchainedEntries(ctx, o, batch)
		if err != nil || len(waiting) == 0 {
			return err
		}
		end, ok, err := tx.AuditChain(ctx, o)
		if err == nil && !ok {
			err = tx.InsertAuditChain(ctx, o)
		}
		if err != nil {
			return err
		}
		entries := make([]chain.Entry, len(waiting))
		for i, e := range waiting {
			entries[i] = entryOf(e)
		}
		sequence, hash := chain.Place(entries, end.Sequence, end.Hash, string(o))
		// First the end, which only one of several writers can move.
		if ok, err := tx.AdvanceAuditChain(ctx, o, end.Sequence, sequence, hash); err != nil || !ok {
			return lostUnless(err)
		}
		for _, e := range entries {
			if ok, err := tx.PlaceAuditEntry(ctx, e); err != nil || !ok {
				return lostUnless(err)
			}
		}
		placed = len(entries)
		return nil
	})
	if !fault.MayHaveHappened(err) {
		return 0, err
	}
	if placed > 0 {
		s.setUnsigned(o, true)
	}
	return placed, err
}

// lostUnless is a lost race unless there is another error.
func lostUnless(err error) error {
	if err != nil {
		return err
	}
	return fault.ErrLost
}

// placeAll gives all entries of an organization their places.
func (s *Service) placeAll(ctx context.Context, o id.Organization) error {
	for {
		if n, err := s.placeBatch(ctx, o); err != nil || n < batch {
			return err
		}
	}
}

// checkpoint signs the state of a chain at an entry, or with floor that it
// begins behind it. It stores nothing.
func (s *Service) checkpoint(ctx context.Context, o id.Organization, sequence int64, h chain.Hash, floor bool) (chain.Checkpoint, error) {
	c := chain.Checkpoint{Sequence: sequence, Hash: h, Floor: floor, SignedAt: time.Now().UnixMicro()}
	var err error
	c.KeyID, c.Signature, err = s.signer.Sign(ctx, c.Message(string(o)))
	if err != nil {
		return c, fault.Wrap(err, "signing the audit log")
	}
	return c, nil
}

// sign makes sure that an entry has a checkpoint, and returns it.
func (s *Service) sign(ctx context.Context, o id.Organization, sequence int64, h chain.Hash) (chain.Checkpoint, error) {
	there, err := s.store.Checkpoints(ctx, o, sequence, sequence)
	if err != nil {
		return chain.Checkpoint{}, err
	}
	if len(there) > 0 {
		return there[0], nil
	}
	c, err := s.checkpoint(ctx, o, sequence, h, false)
	if err != nil {
		return c, err
	}
	return c, s.store.Write(ctx, func(tx Tx) error { return tx.InsertCheckpoint(ctx, o, c) })
}

// signEnd signs the end of an organization's chain.
func (s *Service) signEnd(ctx context.Context, o id.Organization) error {
	// Before the end is read: what is placed from now on waits again.
	s.setUnsigned(o, false)
	end, ok, err := s.store.AuditChain(ctx, o)
	if err == nil && ok && end.Sequence > 0 {
		_, err = s.sign(ctx, o, end.Sequence, end.Hash)
	}
	if err != nil {
		s.setUnsigned(o, true)
	}
	return err
}
