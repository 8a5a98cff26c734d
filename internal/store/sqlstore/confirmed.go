package sqlstore

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/confirmed"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// Confirmed returns the store as package confirmed sees it.
func (s *Store) Confirmed() confirmed.Store { return confirmedStore{s} }

type confirmedStore struct{ *Store }

var _ confirmed.Tx = (*Tx)(nil)

func (s confirmedStore) Write(ctx context.Context, fn func(confirmed.Tx) error) error {
	return s.write(ctx, func(tx *Tx) error { return fn(tx) })
}

// ConfirmedTime returns the confirmed time; false before there is one.
func (r reads) ConfirmedTime(ctx context.Context) (confirmed.State, bool, error) {
	row, err := r.q.GetConfirmedTime(ctx)
	return one(r, row, err, "reading the confirmed time", func(row query.ConfirmedTime) (confirmed.State, error) {
		return confirmed.State{
			At: moment(row.ConfirmedAt), Ahead: time.Duration(row.Ahead) * time.Microsecond, Watched: time.Duration(row.Watched) * time.Microsecond,
			Doubted: row.Doubted, Alarmed: row.Alarmed, Revision: row.Revision,
		}, nil
	})
}

// NewestAuditTime is that of the newest audit entry; zero when there is none.
func (r reads) NewestAuditTime(ctx context.Context) (time.Time, error) {
	at, err := r.q.GetNewestAuditTime(ctx)
	return moment(at), r.explained(err, "reading the audit log")
}

// InsertConfirmedTime stores the first confirmed time, unless there is one.
func (tx *Tx) InsertConfirmedTime(ctx context.Context, s confirmed.State) error {
	_, err := tx.q.InsertConfirmedTime(ctx, query.InsertConfirmedTimeParams{
		ConfirmedAt: micros(s.At), Ahead: s.Ahead.Microseconds(), Watched: s.Watched.Microseconds(), Doubted: s.Doubted, Alarmed: s.Alarmed,
	})
	return tx.explained(err, "storing the confirmed time")
}

// UpdateConfirmedTime stores the confirmed time, if it was not changed since it
// was read.
func (tx *Tx) UpdateConfirmedTime(ctx context.Context, s confirmed.State) (bool, error) {
	n, err := tx.q.UpdateConfirmedTime(ctx, query.UpdateConfirmedTimeParams{
		ConfirmedAt: micros(s.At), Ahead: s.Ahead.Microseconds(), Watched: s.Watched.Microseconds(), Doubted: s.Doubted, Alarmed: s.Alarmed,
		Revision: s.Revision,
	})
	return n > 0, tx.explained(err, "storing the confirmed time")
}

// PutDoubtedTime notes what a clock showed that was far off.
func (tx *Tx) PutDoubtedTime(ctx context.Context, from, to time.Time) error {
	return tx.explained(tx.q.PutDoubtedTime(ctx, micros(from), micros(to)), "storing the confirmed time")
}

// DeleteDoubtedTimes forgets what such clocks showed.
func (tx *Tx) DeleteDoubtedTimes(ctx context.Context) error {
	return tx.explained(tx.q.DeleteDoubtedTimes(ctx), "storing the confirmed time")
}

// MadeInDoubt returns tokens, and then signing keys, that have times of such
// clocks.
func (tx *Tx) MadeInDoubt(ctx context.Context, limit int) ([]confirmed.Credential, error) {
	tokens, err := tx.q.ListTokensOfDoubt(ctx, int32(limit)) //nolint:gosec // a few hundred
	if err != nil {
		return nil, tx.explained(err, "listing credentials")
	}
	keys, err := tx.q.ListSigningKeysOfDoubt(ctx)
	if err != nil {
		return nil, tx.explained(err, "listing credentials")
	}
	var made []confirmed.Credential
	for _, row := range tokens {
		t, err := recordOf(row)
		if err != nil {
			return nil, err
		}
		made = append(made, confirmed.Credential{
			Kind: string(t.Kind), ID: string(t.ID), Owner: t.Subject.ID, Organization: id.Organization(row.OrganizationID),
			Description: t.Description, MadeAt: t.CreatedAt, EndsAt: t.ExpiresAt,
		})
	}
	for _, row := range keys {
		made = append(made, confirmed.Credential{
			Kind: "signing key", ID: row.ID, Description: row.Purpose, MadeAt: moment(row.CreatedAt), EndsAt: moment(row.RetiredAt),
		})
	}
	return made[:min(len(made), limit)], nil
}
