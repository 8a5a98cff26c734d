package sqlstore

import (
	"context"
	"slices"
	"time"

	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// KeyLog returns the newest lines of the log of a runner's keys, oldest first.
func (r reads) KeyLog(ctx context.Context, runner id.Runner, limit int) ([]fleet.KeyEvent, error) {
	rows, err := r.q.ListRunnerKeys(ctx, string(runner), int32(min(limit, 1<<30))) //nolint:gosec // bounded
	events, err := all(r, rows, err, "reading the log of a runner's keys", func(row query.RunnerKey) (fleet.KeyEvent, error) {
		return fleet.KeyEvent{
			Runner: id.Runner(row.RunnerID), Operation: fleet.KeyOperation(row.Operation), PublicKey: row.PublicKey,
			SigningKey: bytesOf(row.SigningKey), Actor: subject(row.ActorPrincipal, row.ActorID), CreatedAt: moment(row.CreatedAt),
		}, nil
	})
	slices.Reverse(events)
	return events, err
}

// LoggedKey returns the signing key that was last logged with a public key.
func (tx *Tx) LoggedKey(ctx context.Context, r id.Runner, publicKey []byte) ([]byte, bool, error) {
	signing, err := tx.q.GetLoggedKey(ctx, string(r), blob(publicKey))
	return one(tx.reads, signing, err, "reading a runner's key", func(signing []byte) ([]byte, error) { return bytesOf(signing), nil })
}

// CountKeyUses counts how often a key came into use.
func (tx *Tx) CountKeyUses(ctx context.Context, r id.Runner, publicKey []byte) (int64, error) {
	n, err := tx.q.CountRunnerKeyUses(ctx, string(r), blob(publicKey))
	return n, tx.explained(err, "reading a runner's key")
}

// KeyTimes returns when something happened to a runner's keys, newest first.
func (tx *Tx) KeyTimes(ctx context.Context, r id.Runner, op fleet.KeyOperation, limit int) ([]time.Time, error) {
	rows, err := tx.q.ListRunnerKeyTimes(ctx, query.ListRunnerKeyTimesParams{
		RunnerID: string(r), Operation: int32(op), MaxRows: int32(min(limit, 1<<30)), //nolint:gosec // bounded
	})
	return all(tx.reads, rows, err, "reading a runner's keys", func(at int64) (time.Time, error) { return moment(at), nil })
}

// AppendKey adds a line to the log of a runner's keys.
func (tx *Tx) AppendKey(ctx context.Context, e fleet.KeyEvent) error {
	return tx.explained(tx.q.AppendRunnerKey(ctx, query.AppendRunnerKeyParams{
		RunnerID: string(e.Runner), Operation: int32(e.Operation), PublicKey: blob(e.PublicKey), SigningKey: blob(e.SigningKey),
		ActorPrincipal: int32(e.Actor.Principal), ActorID: e.Actor.ID, CreatedAt: micros(e.CreatedAt),
	}), "logging a runner's key")
}
