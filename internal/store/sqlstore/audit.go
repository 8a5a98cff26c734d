package sqlstore

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/audit/chain"
	"github.com/musterhq/muster/internal/auditlog"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

var _ auditlog.Tx = (*Tx)(nil)

// AuditLog returns the store as package auditlog sees it.
func (s *Store) AuditLog() auditlog.Store { return auditLogStore{s} }

type auditLogStore struct{ *Store }

func (s auditLogStore) Write(ctx context.Context, fn func(auditlog.Tx) error) error {
	return s.write(ctx, func(tx *Tx) error { return fn(tx) })
}

// InsertAuditEntry adds a line to the audit log.
func (tx *Tx) InsertAuditEntry(ctx context.Context, e audit.Entry) error {
	return tx.explained(tx.q.InsertAuditEntry(ctx, query.InsertAuditEntryParams{
		ID:             e.ID,
		OrganizationID: string(e.Organization),
		ActorPrincipal: int32(e.Actor.Principal),
		ActorID:        e.Actor.ID,
		SubjectID:      e.SubjectID,
		SubjectType:    int32(e.SubjectType),
		Action:         e.Action,
		Kind:           int32(e.Kind),
		RequestID:      e.RequestID,
		CreatedAt:      micros(e.CreatedAt),
	}), "writing the audit log")
}

// AuditEntry returns one line of the audit log.
func (r reads) AuditEntry(ctx context.Context, o id.Organization, entry string) (audit.Entry, bool, error) {
	row, err := r.q.GetAuditEntry(ctx, entry, string(o))
	return one(r, row, err, "reading the audit log", auditEntryOf)
}

// AuditEntries returns up to Page.Limit+1 lines of the audit log.
func (r reads) AuditEntries(ctx context.Context, q auditlog.Query) ([]audit.Entry, error) {
	l := auditList{q: q, sql: r.q, from: math.MinInt64, to: math.MaxInt64, rows: maxRows(q.Page)}
	if !q.From.IsZero() {
		l.from = q.From.UnixMicro()
	}
	if !q.To.IsZero() {
		l.to = q.To.UnixMicro()
	}
	var err error
	compare := newerAuditEntry
	if q.OldestFirst {
		// Behind (time, "") is everything at that time and later.
		l.position, err = cursorOf(q.Page, timeCursor{at: l.from})
		compare = func(a, b query.AuditEntry) int { return newerAuditEntry(b, a) }
	} else {
		start := afterAll
		if l.to < math.MaxInt64 {
			start.at = l.to + 1
		}
		l.position, err = cursorOf(q.Page, start)
	}
	if err != nil {
		return nil, err
	}
	var rows []query.AuditEntry
	switch {
	case len(q.Subjects) > 0:
		rows, err = lanes(q.Subjects, l.rows, compare, func(s string) ([]query.AuditEntry, error) { return l.ofSubject(ctx, s) })
	case len(q.Actors) > 0:
		rows, err = lanes(q.Actors, l.rows, compare, func(a string) ([]query.AuditEntry, error) { return l.ofActor(ctx, a) })
	default:
		rows, err = l.ofAll(ctx)
	}
	return all(r, rows, err, "reading the audit log", auditEntryOf)
}

func newerAuditEntry(a, b query.AuditEntry) int {
	return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), cmp.Compare(b.ID, a.ID))
}

// auditList is one list of audit entries.
type auditList struct {
	q        auditlog.Query
	sql      *query.Queries
	position timeCursor
	from, to int64
	rows     int32
}

func (l auditList) ofAll(ctx context.Context) ([]query.AuditEntry, error) {
	if l.q.OldestFirst {
		return l.sql.ListAuditEntriesOldestFirst(ctx, query.ListAuditEntriesOldestFirstParams{
			OrganizationID: string(l.q.Organization), AfterAt: l.position.at, AfterID: l.position.id, ToAt: l.to,
			Principals: mask(l.q.Principals), SubjectTypes: mask(l.q.SubjectTypes), MaxRows: l.rows,
		})
	}
	return l.sql.ListAuditEntries(ctx, query.ListAuditEntriesParams{
		OrganizationID: string(l.q.Organization), BeforeAt: l.position.at, BeforeID: l.position.id, FromAt: l.from,
		Principals: mask(l.q.Principals), SubjectTypes: mask(l.q.SubjectTypes), MaxRows: l.rows,
	})
}

func (l auditList) ofActor(ctx context.Context, actor string) ([]query.AuditEntry, error) {
	if l.q.OldestFirst {
		return l.sql.ListAuditEntriesOfActorOldestFirst(ctx, query.ListAuditEntriesOfActorOldestFirstParams{
			OrganizationID: string(l.q.Organization), ActorID: actor, AfterAt: l.position.at, AfterID: l.position.id, ToAt: l.to,
			Principals: mask(l.q.Principals), SubjectTypes: mask(l.q.SubjectTypes), MaxRows: l.rows,
		})
	}
	return l.sql.ListAuditEntriesOfActor(ctx, query.ListAuditEntriesOfActorParams{
		OrganizationID: string(l.q.Organization), ActorID: actor, BeforeAt: l.position.at, BeforeID: l.position.id, FromAt: l.from,
		Principals: mask(l.q.Principals), SubjectTypes: mask(l.q.SubjectTypes), MaxRows: l.rows,
	})
}

// ofSubject lists what was done to a subject. With a filter by actor, which this
// index does not have, it goes on until the page is full.
func (l auditList) ofSubject(ctx context.Context, subject string) ([]query.AuditEntry, error) {
	var wanted []query.AuditEntry
	for {
		rows, err := l.ofSubjectByAnybody(ctx, subject)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if len(l.q.Actors) == 0 || slices.Contains(l.q.Actors, row.ActorID) {
				wanted = append(wanted, row)
			}
		}
		if len(rows) < int(l.rows) || len(wanted) >= int(l.rows) {
			return wanted, nil
		}
		last := rows[len(rows)-1]
		l.position = timeCursor{at: last.CreatedAt, id: last.ID}
	}
}

func (l auditList) ofSubjectByAnybody(ctx context.Context, subject string) ([]query.AuditEntry, error) {
	if l.q.OldestFirst {
		return l.sql.ListAuditEntriesOfSubjectOldestFirst(ctx, query.ListAuditEntriesOfSubjectOldestFirstParams{
			OrganizationID: string(l.q.Organization), SubjectID: subject, AfterAt: l.position.at, AfterID: l.position.id, ToAt: l.to,
			Principals: mask(l.q.Principals), SubjectTypes: mask(l.q.SubjectTypes), MaxRows: l.rows,
		})
	}
	return l.sql.ListAuditEntriesOfSubject(ctx, query.ListAuditEntriesOfSubjectParams{
		OrganizationID: string(l.q.Organization), SubjectID: subject, BeforeAt: l.position.at, BeforeID: l.position.id, FromAt: l.from,
		Principals: mask(l.q.Principals), SubjectTypes: mask(l.q.SubjectTypes), MaxRows: l.rows,
	})
}

func auditEntryOf(row query.AuditEntry) (audit.Entry, error) {
	return audit.Entry{
		ID: row.ID, Organization: id.Organization(row.OrganizationID), Actor: subject(row.ActorPrincipal, row.ActorID),
		SubjectID: row.SubjectID, SubjectType: resource.Type(row.SubjectType), Action: row.Action, Kind: audit.Kind(row.Kind),
		RequestID: row.RequestID, CreatedAt: moment(row.CreatedAt),
	}, nil
}

// hashOf reads a stored hash. One that somebody cut or stretched becomes the
// hash of nothing, for verification to find.
func hashOf(b []byte) chain.Hash {
	if len(b) != len(chain.Hash{}) {
		return chain.Hash{}
	}
	return chain.Hash(b)
}
