package sqlstore

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
)

// What is counted for limits. What has expired does not count, nor does what is
// being removed.

// CountLiveTokens counts the tokens that a subject has made for itself, or that
// admit it, and that work: personal access tokens, long-lived tokens of a service
// account, exchange tokens of a runner.
func (tx *Tx) CountLiveTokens(ctx context.Context, s access.Subject, now time.Time) (int64, error) {
	var n int64
	var err error
	switch s.Principal {
	case access.PrincipalUser:
		n, err = tx.q.CountLiveTokensOfUser(ctx, present(s.ID), micros(now))
	case access.PrincipalServiceAccount:
		n, err = tx.q.CountLiveTokensOfServiceAccount(ctx, present(s.ID), micros(now))
	case access.PrincipalRunner:
		n, err = tx.q.CountLiveExchangeTokens(ctx, present(s.ID), micros(now))
	default: // has none; see InsertToken
	}
	return n, tx.explained(err, "counting tokens")
}

// CountGroups counts the groups that people made.
func (tx *Tx) CountGroups(ctx context.Context, o id.Organization) (int64, error) {
	n, err := tx.q.CountGroups(ctx, string(o))
	return n, tx.explained(err, "counting groups")
}

// CountServiceAccounts counts the service accounts that work.
func (tx *Tx) CountServiceAccounts(ctx context.Context, o id.Organization, now time.Time) (int64, error) {
	n, err := tx.q.CountServiceAccounts(ctx, string(o), micros(now))
	return n, tx.explained(err, "counting service accounts")
}

// CountRunners counts runners.
func (tx *Tx) CountRunners(ctx context.Context, o id.Organization) (int64, error) {
	n, err := tx.q.CountRunners(ctx, string(o))
	return n, tx.explained(err, "counting runners")
}
