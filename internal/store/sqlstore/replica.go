package sqlstore

import (
	"context"

	"github.com/musterhq/muster/internal/lease"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

var _ lease.Store = (*Store)(nil)

// RegisterReplica adds the row of a process, and returns those that were there
// before. Registrations wait for each other.
func (s *Store) RegisterReplica(ctx context.Context, r lease.Replica) (before []lease.Replica, err error) {
	key, err := s.engine.present(ctx)
	if err != nil {
		return nil, explained(s.engine, err, "registering this replica")
	}
	err = s.write(ctx, func(tx *Tx) error {
		if err := tx.q.LockRegistration(ctx); err != nil {
			return tx.explained(err, "registering this replica")
		}
		if before, err = tx.Replicas(ctx); err != nil {
			return err
		}
		return tx.explained(tx.q.InsertReplica(ctx, query.InsertReplicaParams{
			ID: r.ID, HostName: r.HostName, Beat: r.Beat, TakenOverBy: r.TakenOverBy, StartedAt: micros(r.StartedAt),
			LockKey: key,
		}), "registering this replica")
	})
	return before, err
}

// LeaveReplica makes a replica its own heir, if nobody has taken it over.
func (s *Store) LeaveReplica(ctx context.Context, replica string) error {
	return s.write(ctx, func(tx *Tx) error {
		return tx.explained(tx.q.LeaveReplica(ctx, replica), "leaving the database")
	})
}

// Gone tells that the process of a replica has no connection to the database.
func (s *Store) Gone(ctx context.Context, replica string) (bool, error) {
	const doing = "looking whether a replica is gone"
	key, err := s.q.GetLockKey(ctx, replica)
	if err != nil || key == 0 {
		return false, s.explained(err, doing)
	}
	gone, err := s.engine.gone(ctx, key)
	return gone, s.explained(err, doing)
}

// Replicas returns all rows.
func (r reads) Replicas(ctx context.Context) ([]lease.Replica, error) {
	rows, err := r.q.ListReplicas(ctx)
	return all(r, rows, err, "listing the replicas", func(row query.Replica) (lease.Replica, error) {
		return lease.Replica{
			ID: row.ID, HostName: row.HostName, Beat: row.Beat, TakenOverBy: row.TakenOverBy, StartedAt: moment(row.StartedAt),
		}, nil
	})
}

// Beat increases the counter of a replica that nobody took over.
func (s *Store) Beat(ctx context.Context, replica string) (bool, error) {
	return s.swap(ctx, "renewing the lease of this replica", func(q *query.Queries) (int64, error) {
		return q.Beat(ctx, replica)
	})
}

// TakeOver makes by the heir of dead, if dead's counter is still beat.
func (s *Store) TakeOver(ctx context.Context, dead string, beat int64, by string) (bool, error) {
	return s.swap(ctx, "taking over a replica", func(q *query.Queries) (int64, error) {
		return q.TakeOver(ctx, query.TakeOverParams{Dead: dead, Beat: beat, Heir: by})
	})
}

// DeleteReplica removes the row, unless a live session refers to it.
func (s *Store) DeleteReplica(ctx context.Context, replica string) error {
	return s.write(ctx, func(tx *Tx) error {
		return tx.explained(tx.q.DeleteReplica(ctx, replica), "removing a replica")
	})
}

// swap runs one statement that changes one row or none.
func (s *Store) swap(ctx context.Context, doing string, change func(*query.Queries) (int64, error)) (bool, error) {
	var n int64
	err := s.write(ctx, func(tx *Tx) error {
		var err error
		n, err = change(tx.q)
		return tx.explained(err, doing)
	})
	return err == nil && n > 0, err
}
