// Package departure ends what belongs to a subject that goes for good: its
// tokens, its places in groups, its credentials for source code hosts.
//
// It knows nothing of what makes a subject go; that is for the noun to decide.
package departure

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/token"
)

// Links tells connected runners of secrets that changed or are gone.
type Links interface {
	SecretsChanged(r id.Runner, names ...string)
}

// Tx is what this package needs of a transaction.
type Tx interface {
	change.Tx
	// DeleteTokensOf deletes every token that authenticates or admits s, and
	// returns them.
	DeleteTokensOf(ctx context.Context, s access.Subject) ([]token.Record, error)
	// DeleteSharesOf ends what was shared with s alone: the group for that, and
	// its roles. It returns them as they were.
	DeleteSharesOf(ctx context.Context, o id.Organization, s access.Subject) ([]access.Object, error)
	// DeleteMembershipsOf takes s out of all groups of an organization, and
	// returns those.
	DeleteMembershipsOf(ctx context.Context, o id.Organization, s access.Subject) ([]id.Group, error)
	// DeleteHostTokensOf deletes the credentials of s for source code hosts, and
	// returns them as they were.
	DeleteHostTokensOf(ctx context.Context, o id.Organization, s access.Subject) ([]access.Object, error)
}

// Gone is what went with a subject.
type Gone struct {
	hostTokens []access.Object
}

// Tell tells the runners that kept something of the subject to forget it. It is
// called after the commit.
func (g Gone) Tell(links Links) {
	for _, t := range g.hostTokens {
		links.SecretsChanged(t.Runner, seal.Name(t.Type.String(), t.ID, ""))
	}
}

// Write ends what belongs to a subject, with an audit entry and an event for
// each part that people can see.
func Write(ctx context.Context, tx Tx, actor access.Subject, o id.Organization, s access.Subject) (Gone, error) {
	tokens, err := tx.DeleteTokensOf(ctx, s)
	if err != nil {
		return Gone{}, err
	}
	var records []change.Record
	for _, t := range tokens {
		if r, visible := tokenRecord(t); visible {
			records = append(records, r)
		}
	}
	shares, err := tx.DeleteSharesOf(ctx, o, s)
	if err != nil {
		return Gone{}, err
	}
	for _, share := range shares {
		records = append(records, change.Record{Action: share.Type.String() + ".delete", Event: event.Deleted, Object: share})
	}
	var gone Gone
	if gone.hostTokens, err = tx.DeleteHostTokensOf(ctx, o, s); err != nil {
		return Gone{}, err
	}
	for _, t := range gone.hostTokens {
		records = append(records, change.Record{Action: "host_authentication_token.delete", Event: event.Deleted, Object: t})
	}
	for _, r := range records {
		r.Actor = actor
		if err := change.Write(ctx, tx, r); err != nil {
			return Gone{}, err
		}
	}
	return gone, leave(ctx, tx, actor, o, s)
}

// leave takes a subject out of all its groups.
func leave(ctx context.Context, tx Tx, actor access.Subject, o id.Organization, s access.Subject) error {
	groups, err := tx.DeleteMembershipsOf(ctx, o, s)
	if err != nil {
		return err
	}
	member := access.Object{Type: s.Principal.Type(), ID: s.ID, Organization: o}
	for _, g := range groups {
		of := access.Object{Type: resource.Group, ID: string(g), Organization: o}
		if err := change.WriteMembership(ctx, tx, actor, "group.member.remove", of, member); err != nil {
			return err
		}
	}
	return nil
}

// tokenRecord is the end of a token. Access tokens of service accounts, which
// live for minutes, are in no list and end in silence.
func tokenRecord(t token.Record) (change.Record, bool) {
	r := change.Record{
		Event: event.Deleted, Creator: t.Creator,
		Object: access.Object{ID: string(t.ID), Organization: t.Organization, Owner: t.Subject},
	}
	switch t.Kind {
	case token.Personal:
		r.Action, r.Object.Type = "personal_access_token.delete", resource.PersonalAccessToken
	case token.ServiceAccount:
		r.Action, r.Object.Type = "service_account_token.delete", resource.ServiceAccountToken
	default:
		return r, false
	}
	return r, true
}
