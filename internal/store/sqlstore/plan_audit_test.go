package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/audit/chain"
	"github.com/musterhq/muster/internal/auditlog"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

// fillAudit adds one of the many audit entries, of which the first have their
// places.
func (w filled) fillAudit(ctx context.Context, tx *Tx, i int, at time.Time) error {
	e := audit.Entry{
		ID: id.New(), Organization: w.org, Actor: access.Subject{Principal: access.PrincipalUser, ID: fmt.Sprintf("creator %d", i%3)},
		SubjectID: fmt.Sprintf("runner %d", i%3), SubjectType: resource.Runner, CreatedAt: at,
	}
	err := errors.Join(tx.InsertAuditEntry(ctx, e), tx.InsertCheckpoint(ctx, w.org, chain.Checkpoint{Sequence: int64(i + 1)}))
	if err == nil && i < 200 {
		_, err = tx.PlaceAuditEntry(ctx, chain.Entry{ID: e.ID, Sequence: int64(i + 1)})
	}
	return err
}

func (w filled) auditQueries(where string, p page.Query) []plannedQuery {
	var queries []plannedQuery
	for order, oldest := range map[string]bool{"newest first": false, "oldest first": true} {
		for filter, q := range map[string]auditlog.Query{
			"audit_entries_by_age":     {},
			"audit_entries_of_actor":   {Actors: []string{w.creator}},
			"audit_entries_of_subject": {Subjects: []string{"runner 2"}},
		} {
			q.Organization, q.OldestFirst, q.Page = w.org, oldest, p
			index := filter
			if p.After != nil {
				// PostgreSQL knows that every third row is wanted, and may skip the others.
				index = "audit_entries_"
			}
			queries = append(queries, plannedQuery{filter + " " + order + " " + where, index, func(r reads) error {
				_, err := r.AuditEntries(context.Background(), q)
				return err
			}})
		}
	}
	return append(queries,
		plannedQuery{"an audit entry", "audit_entries", func(r reads) error { _, _, err := r.AuditEntry(context.Background(), w.org, "x"); return err }},
		plannedQuery{"organizations with entries without a place", "audit_entries_unchained", func(r reads) error {
			_, _, err := r.UnchainedOrganization(context.Background(), "")
			return err
		}},
		plannedQuery{"entries without a place", "audit_entries_unchained", func(r reads) error {
			_, err := r.UnchainedEntries(context.Background(), w.org, 500)
			return err
		}},
		plannedQuery{"the chain", "audit_entries_by_sequence", func(r reads) error {
			_, err := r.ChainedEntries(context.Background(), w.org, 100, 50)
			return err
		}},
		plannedQuery{"checkpoints", "audit_checkpoints", func(r reads) error {
			_, err := r.Checkpoints(context.Background(), w.org, 100, 150)
			return err
		}},
	)
}
