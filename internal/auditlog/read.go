package auditlog

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/audit/chain"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
)

// MaxExport is how many entries one call of Export returns, at most.
const MaxExport = 1000

// Entries lists the entries of the caller's organization that q selects.
func (s *Service) Entries(ctx context.Context, c access.Caller, q Query, r page.Request) ([]audit.Entry, string, error) {
	if err := access.Check(c, access.AuditRead, access.OrganizationObject(c.Organization)); err != nil {
		return nil, "", err
	}
	q.Organization = c.Organization
	slices.Sort(q.Actors)
	slices.Sort(q.Principals)
	slices.Sort(q.Subjects)
	slices.Sort(q.SubjectTypes)
	binding := fmt.Sprintf("audit entries\x00%s\x00%s\x00%v\x00%v\x00%v\x00%v\x00%d\x00%d\x00%t",
		c.Organization, c.ID, q.Actors, q.Principals, q.Subjects, q.SubjectTypes, q.From.UnixMicro(), q.To.UnixMicro(), q.OldestFirst)
	var err error
	if q.Page, err = page.Parse(r, binding); err != nil {
		return nil, "", err
	}
	rows, err := s.store.AuditEntries(ctx, q)
	if err != nil {
		return nil, "", fault.Wrap(err, "reading the audit log")
	}
	rows, next := page.Cut(q.Page, rows, func(e audit.Entry) page.Cursor {
		return page.Cursor{Key: page.TimeKey(e.CreatedAt), ID: e.ID}
	})
	return rows, next, nil
}

// Entry returns an entry of the caller's organization.
func (s *Service) Entry(ctx context.Context, c access.Caller, entry string) (audit.Entry, error) {
	if err := access.Check(c, access.AuditRead, access.OrganizationObject(c.Organization)); err != nil {
		return audit.Entry{}, err
	}
	e, ok, err := s.store.AuditEntry(ctx, c.Organization, entry)
	if err != nil {
		return audit.Entry{}, fault.Wrap(err, "reading the audit log")
	}
	if !ok {
		return audit.Entry{}, fault.Missing("audit log entry", entry)
	}
	return e, nil
}

// Export is a part of the log with its proof.
type Export struct {
	Organization id.Organization
	// Entries are in the order of the chain, as the database has them: what is
	// wrong with them is for the verifier to find.
	Entries []chain.Entry
	// Checkpoints are those of the entries, and the one of the entry before them
	// if that was the last to be removed by age. The last entry of the log has one.
	Checkpoints []chain.Checkpoint
	Keys        []chain.Key
	// More tells that more entries follow.
	More bool
}

// Export returns up to limit entries behind a sequence number; 0 begins with
// the oldest, and a limit of 0 is MaxExport. Every entry whose change was
// acknowledged before the call is in it or follows.
func (s *Service) Export(ctx context.Context, c access.Caller, behind int64, limit int) (Export, error) {
	o := c.Organization
	if err := access.Check(c, access.AuditRead, access.OrganizationObject(o)); err != nil {
		return Export{}, err
	}
	if limit <= 0 || limit > MaxExport {
		limit = MaxExport
	}
	if err := s.placeAll(ctx, o); err != nil {
		return Export{}, fault.Wrap(err, "chaining the audit log")
	}
	behind = min(behind, math.MaxInt64-1)
	e := Export{Organization: o}
	if err := s.export(ctx, &e, behind, limit); err != nil {
		return Export{}, fault.Wrap(err, "reading the audit log")
	}
	return e, nil
}

// exportTries is how often an export begins anew because entries were removed
// while it was read.
const exportTries = 3

func (s *Service) export(ctx context.Context, e *Export, behind int64, limit int) error {
	var floor int64
	for range exportTries {
		var err error
		if e.Entries, err = s.store.ChainedEntries(ctx, e.Organization, behind, limit+1); err != nil {
			return err
		}
		state, _, err := s.store.AuditChain(ctx, e.Organization)
		if err != nil {
			return err
		}
		floor = state.FloorSequence
		if len(e.Entries) == 0 || e.Entries[0].Sequence > floor {
			break
		}
		// Some were removed meanwhile, or there is one where none can be. That is
		// for the verifier to find.
	}
	if e.More = len(e.Entries) > limit; e.More {
		e.Entries = e.Entries[:limit]
	}
	from, to := behind+1, behind
	if behind <= floor {
		from, to = floor, floor
	}
	n := len(e.Entries)
	if n > 0 {
		to = e.Entries[n-1].Sequence
	}
	var err error
	if e.Checkpoints, err = s.store.Checkpoints(ctx, e.Organization, max(from, 1), to); err != nil {
		return err
	}
	if k := len(e.Checkpoints); n > 0 && to > floor && !e.More && (k == 0 || e.Checkpoints[k-1].Sequence < to) {
		last, err := s.sign(ctx, e.Organization, to, e.Entries[n-1].Hash)
		if err != nil {
			return err
		}
		e.Checkpoints = append(e.Checkpoints, last)
	}
	e.Keys, err = s.signer.PublicKeys(ctx)
	return err
}
