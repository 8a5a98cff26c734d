package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// LiveSessionsOf returns the runners whose newest session lives on a replica.
func (r reads) LiveSessionsOf(ctx context.Context, replica string, limit int) ([]id.Runner, error) {
	rows, err := r.q.ListLiveSessionsOfReplica(ctx, replica, int32(min(limit, 1<<30))) //nolint:gosec // bounded
	return all(r, rows, err, "listing the sessions of a replica", func(runner string) (id.Runner, error) {
		return id.Runner(runner), nil
	})
}

// OpenSession takes the next epoch of a runner and makes s its newest session.
// The epoch is counted in the runner's row, so of two that connect at once one
// gets the higher.
func (tx *Tx) OpenSession(ctx context.Context, s fleet.Session) (int64, bool, error) {
	tx.changed = append(tx.changed, s.Runner)
	epoch, err := tx.q.NextEpoch(ctx, string(s.Runner))
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, tx.explained(err, "opening a session")
	}
	unsupported, err := json.Marshal(s.Unsupported)
	if err != nil {
		return 0, false, tx.explained(err, "opening a session")
	}
	err = tx.q.PutSession(ctx, query.PutSessionParams{
		RunnerID:        string(s.Runner),
		ReplicaID:       s.Replica,
		Epoch:           epoch,
		BootID:          s.BootID,
		HostName:        s.HostName,
		OpenedAt:        micros(s.OpenedAt),
		EndedAt:         micros(s.EndedAt),
		EndReason:       s.EndReason,
		Notice:          s.Notice,
		AppliedRevision: s.AppliedRevision,
		Unsupported:     string(unsupported),
		ApplyError:      s.ApplyError,
		TokenID:         string(s.Token),
		TokenExpiresAt:  micros(s.AccessUntil),
	})
	return epoch, err == nil, tx.explained(err, "opening a session")
}

// EndSession ends the session of that epoch if it lives.
func (tx *Tx) EndSession(ctx context.Context, r id.Runner, epoch int64, at time.Time, reason string) (bool, error) {
	tx.changed = append(tx.changed, r)
	n, err := tx.q.EndSession(ctx, query.EndSessionParams{
		RunnerID: string(r), Epoch: epoch, EndedAt: micros(at), EndReason: reason,
	})
	return n > 0, tx.explained(err, "ending a session")
}

// EndAccess says of the session of that epoch that its token has ended.
func (tx *Tx) EndAccess(ctx context.Context, r id.Runner, epoch int64, at time.Time, reason string) (bool, error) {
	tx.changed = append(tx.changed, r)
	n, err := tx.q.EndAccess(ctx, query.EndAccessParams{RunnerID: string(r), Epoch: epoch, EndedAt: micros(at), EndReason: reason})
	return n > 0, tx.explained(err, "ending a session")
}

// SetAccessEnd stores when the token ends that the newest session of a runner was
// opened with, if it was opened with t.
func (tx *Tx) SetAccessEnd(ctx context.Context, r id.Runner, t id.Token, at time.Time) (bool, error) {
	tx.changed = append(tx.changed, r)
	n, err := tx.q.SetAccessEnd(ctx, query.SetAccessEndParams{RunnerID: string(r), TokenID: string(t), TokenExpiresAt: micros(at)})
	return n > 0, tx.explained(err, "changing a session")
}

// AccessEnding returns the runners whose newest session was opened with a token
// that ends between two times.
func (r reads) AccessEnding(ctx context.Context, after, until time.Time, limit int) ([]id.Runner, error) {
	rows, err := r.q.ListAccessEnding(ctx, query.ListAccessEndingParams{
		AfterAt: micros(after), Until: micros(until), MaxRows: int32(min(limit, 1<<30)), //nolint:gosec // bounded
	})
	return all(r, rows, err, "listing the tokens of runners that end", func(runner string) (id.Runner, error) {
		return id.Runner(runner), nil
	})
}

// CountAccessEnding counts those that end until a time.
func (r reads) CountAccessEnding(ctx context.Context, until time.Time) (int64, error) {
	n, err := r.q.CountAccessEnding(ctx, micros(until))
	return n, r.explained(err, "counting the tokens of runners that end")
}

// UpdateSession stores notice, applied revision, unsupported settings and apply
// error, if the epoch is still s.Epoch and the session lives.
func (tx *Tx) UpdateSession(ctx context.Context, s fleet.Session) (bool, error) {
	tx.changed = append(tx.changed, s.Runner)
	unsupported, err := json.Marshal(s.Unsupported)
	if err != nil {
		return false, tx.explained(err, "changing a session")
	}
	n, err := tx.q.UpdateSession(ctx, query.UpdateSessionParams{
		RunnerID:        string(s.Runner),
		Epoch:           s.Epoch,
		Notice:          s.Notice,
		AppliedRevision: s.AppliedRevision,
		Unsupported:     string(unsupported),
		ApplyError:      s.ApplyError,
	})
	return n > 0, tx.explained(err, "changing a session")
}

// sessionOf is the newest session of a runner, nil when there was none.
func sessionOf(row query.RunnerRow) (*fleet.Session, error) {
	if row.SessionEpoch == 0 {
		return nil, nil
	}
	s := &fleet.Session{
		Runner:          id.Runner(row.ID),
		Replica:         row.SessionReplicaID,
		Epoch:           row.SessionEpoch,
		BootID:          row.SessionBootID,
		HostName:        row.SessionHostName,
		OpenedAt:        moment(row.SessionOpenedAt),
		EndedAt:         moment(row.SessionEndedAt),
		EndReason:       row.SessionEndReason,
		Notice:          row.SessionNotice,
		AppliedRevision: row.SessionAppliedRevision,
		ApplyError:      row.SessionApplyError,
		Token:           id.Token(row.SessionTokenID),
		AccessUntil:     moment(row.SessionTokenExpiresAt),
	}
	if err := json.Unmarshal([]byte(row.SessionUnsupported), &s.Unsupported); err != nil {
		return nil, fmt.Errorf("reading the unsupported settings of runner %s: %w", row.ID, err)
	}
	return s, nil
}
