// Package event carries news of changes to those who watch.
//
// An event is emitted inside the transaction of the change and published after
// its commit, so that a watcher that reads the object sees the change. A crash
// between the two may lose the event; watchers list again when they reconnect.
package event

import (
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
)

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

// ResourceType is what it happened to. The numbers are those of the wire's
// ResourceType.
type ResourceType int32

// The resource types that this control plane knows.
const (
	Runner              ResourceType = 2
	Organization        ResourceType = 7
	User                ResourceType = 8
	PersonalAccessToken ResourceType = 13
)

// Event says that something changed; it does not say how.
type Event struct {
	Organization id.Organization
	Operation    Operation
	Type         ResourceType
	ID           string
	// Creator is who made the object, for creator filters and for deciding who
	// may see the event even when the object is gone.
	Creator access.Subject
}

// Tx is the part of a transaction that this package needs.
type Tx interface {
	// Emit publishes e after the transaction has committed, and not at all when
	// it rolls back.
	Emit(e Event)
}
