package retention

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/token"
)

const (
	// shortGrace is how long after its end a short-lived token can still be
	// explained to whoever comes with it.
	shortGrace = day
	// longGrace is the same for all other tokens.
	longGrace = 30 * day
	// tokenBatch is how many tokens one transaction removes, with an audit entry
	// each.
	tokenBatch = 200
)

// removeTokens removes the tokens that nobody can use any more, and writes down
// each.
func (s *Service) removeTokens(ctx context.Context) {
	for ctx.Err() == nil {
		removed := 0
		now, ok := s.confirmed()
		if !ok {
			return
		}
		err := s.store.Write(ctx, func(tx Tx) error {
			gone, err := tx.DeleteExpiredTokens(ctx, now.Add(-shortGrace), now.Add(-longGrace), tokenBatch)
			if err != nil {
				return err
			}
			removed = len(gone)
			for _, t := range gone {
				if err := change.Write(ctx, tx, tokenRecord(t)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			s.failed(ctx, "expired tokens could not be removed", err)
			return
		}
		if removed < tokenBatch {
			return
		}
	}
}

// tokenRecord is what the removal of a token leaves. Tokens that people can list
// are objects of their own, whose watchers hear of it; others are their
// subject's.
func tokenRecord(t token.Record) change.Record {
	o := access.Object{ID: string(t.ID), Organization: t.Organization, Owner: t.Subject}
	r := change.Record{Actor: access.System, Creator: t.Creator, Event: event.Deleted}
	switch t.Kind {
	case token.Personal:
		r.Action, o.Type = "personal_access_token.expire", resource.PersonalAccessToken
	case token.ServiceAccount:
		r.Action, o.Type = "service_account_token.expire", resource.ServiceAccountToken
	default:
		o.ID, o.Type, r.Event = t.Subject.ID, t.Subject.Principal.Type(), 0
		r.Action = "runner.token.expire"
		if t.Kind == token.ServiceAccountAccess {
			r.Action = "service_account_access_token.expire"
		}
	}
	r.Object = o
	return r
}
