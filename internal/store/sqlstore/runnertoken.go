package sqlstore

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
	"github.com/musterhq/muster/internal/token"
)

// TokensOf returns the access tokens of a runner and its exchange tokens that
// were not redeemed, newest first.
func (r reads) TokensOf(ctx context.Context, runner id.Runner) ([]token.Record, error) {
	rows, err := r.q.ListTokensOfRunner(ctx, present(string(runner)))
	return all(r, rows, err, "listing the tokens of a runner", recordOf)
}

// TokenOf returns one of them.
func (r reads) TokenOf(ctx context.Context, runner id.Runner, t id.Token) (token.Record, bool, error) {
	row, err := r.q.GetTokenOfRunner(ctx, string(t), present(string(runner)))
	return one(r, row, err, "reading a token of a runner", recordOf)
}

// ExpireToken makes a token end at a time, unless it ends before that already or
// is gone.
func (tx *Tx) ExpireToken(ctx context.Context, t id.Token, at time.Time) (bool, error) {
	n, err := tx.q.ExpireToken(ctx, micros(at), string(t))
	return n > 0, tx.explained(err, "ending a token")
}

// TakeToken stores what a token is from when its runner has connected with it.
func (tx *Tx) TakeToken(ctx context.Context, t token.Record) (bool, error) {
	n, err := tx.q.TakeToken(ctx, query.TakeTokenParams{
		ID: string(t.ID), Description: t.Description, ExpiresAt: micros(t.ExpiresAt), GrantsFor: t.GrantsFor.Microseconds(),
	})
	return n > 0, tx.explained(err, "taking a token")
}

// DeleteRotated deletes access tokens of a runner that are older than t, if t has
// that description.
func (tx *Tx) DeleteRotated(ctx context.Context, r id.Runner, t id.Token, description string, limit int) ([]token.Record, error) {
	rows, err := tx.q.DeleteRotatedTokens(ctx, query.DeleteRotatedTokensParams{
		RunnerID: present(string(r)), ID: string(t), Rotation: description, MaxRows: atMost(limit),
	})
	return all(tx.reads, rows, err, "deleting the older tokens of a runner", recordOf)
}
