// Package lease keeps a replica's own right to hold sessions.
//
// Each control plane process is a replica with one row: a beat counter that it
// increases every few seconds. Others who watch the counter on their own
// monotonic clock see that it lives; no two clocks are ever compared. A replica
// whose counter has stood still for a whole lease may be taken over, by a
// compare-and-swap on the counter that makes the old owner's next beat fail. One
// that stops in order says so, and one that crashed is found gone earlier where the
// database knows who is connected.
package lease

import (
	"context"
	"time"
)

// Replica is the row of one control plane process.
type Replica struct {
	// ID is a UUID made at process start.
	ID       string
	HostName string
	Beat     int64
	// TakenOverBy is the replica that ends this one's sessions; empty while it lives,
	// and itself when it was stopped in order.
	TakenOverBy string
	StartedAt   time.Time
}

// left tells that the replica was stopped in order.
func (r *Replica) left() bool { return r.TakenOverBy == r.ID }

// Store is what this package needs of a database.
type Store interface {
	// RegisterReplica adds a row and returns those that were there before. One is
	// added after the other: of two replicas that come at once, one is there before.
	RegisterReplica(ctx context.Context, r Replica) ([]Replica, error)
	// Replicas returns all rows.
	Replicas(ctx context.Context) ([]Replica, error)
	// Beat increases the counter; false means that the replica was taken over or
	// its row is gone.
	Beat(ctx context.Context, replica string) (bool, error)
	// TakeOver makes by the heir of dead and increases dead's counter, if that is
	// still beat.
	TakeOver(ctx context.Context, dead string, beat int64, by string) (bool, error)
	// LeaveReplica makes a replica its own heir, if nobody has taken it over: it was
	// stopped in order.
	LeaveReplica(ctx context.Context, replica string) error
	// Gone tells that the process of a replica has no connection to the database,
	// for the moment at least; false when that cannot be told.
	Gone(ctx context.Context, replica string) (bool, error)
	// DeleteReplica removes the row once no live session refers to it.
	DeleteReplica(ctx context.Context, replica string) error
	// Exclusive tells that no other process can have the database open, so that
	// every other row belongs to a dead process.
	Exclusive() bool
}
