// Package event carries news of changes to those who watch.
//
// An event is emitted inside the transaction of the change and published after
// its commit, so that a watcher that reads the object sees the change. A crash
// between the two may lose the event; watchers list again when they reconnect.
package event

import "github.com/musterhq/muster/internal/access"

// Operation is what happened. The numbers are those of the wire's
// ResourceOperation.
type Operation int32

// The operations.
const (
	Created       Operation = 1
	Updated       Operation = 2
	Deleted       Operation = 3
	StatusUpdated Operation = 4
)

// Event says that something changed; it does not say how.
type Event struct {
	Operation Operation
	// Object is what it happened to, with the facts that decide who may know of
	// it: they are taken before the object goes.
	Object access.Object
	// Creator is who made the object, for creator filters.
	Creator access.Subject
}

// Tx is the part of a transaction that this package needs.
type Tx interface {
	// Emit publishes e after the transaction has committed, and not at all when
	// it rolls back.
	Emit(e Event)
}
