// Package change writes down what every change leaves behind: an audit entry in
// the transaction of the change, and an event after its commit.
package change

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/id"
)

// Tx is the part of a transaction that this package needs.
type Tx interface {
	audit.Tx
	event.Tx
}

// Record is one change.
type Record struct {
	// Actor is who did it; access.System for the control plane itself.
	Actor access.Subject
	// Action is the verb of the audit entry, such as "runner.create".
	Action string
	// Object is what it was done to, with the facts that decide who gets the
	// event. For a deletion they are those from before it.
	Object access.Object
	// Creator is who made the object, for the creator filters of watchers.
	Creator access.Subject
	// Event is the operation of the event; 0 emits none.
	Event event.Operation
	// Credential marks that a secret was handed out.
	Credential bool
}

// Write writes a change down.
func Write(ctx context.Context, tx Tx, r Record) error {
	if r.Event != 0 {
		tx.Emit(event.Event{Operation: r.Event, Object: r.Object, Creator: r.Creator})
	}
	kind := audit.KindChange
	if r.Credential {
		kind = audit.KindCredentialAccess
	}
	return tx.InsertAuditEntry(ctx, audit.Entry{
		ID: id.New(), Organization: r.Object.Organization, Actor: r.Actor, SubjectID: r.Object.ID, SubjectType: r.Object.Type,
		Action: r.Action, Kind: kind, RequestID: audit.RequestID(ctx), CreatedAt: time.Now(),
	})
}
