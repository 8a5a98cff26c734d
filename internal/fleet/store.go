package fleet

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/token"
)

// Query selects runners of one organization, oldest first. Empty filters
// select all; filters of different kinds must all hold, of the values of one
// any may.
type Query struct {
	Organization id.Organization
	// Reach limits the rows to what the caller may see.
	Reach access.Reach
	// Creators holds at most 25 values.
	Creators  []string
	Kinds     []Kind
	Providers []Provider
	// Page.After.Key is the time of creation as 16 hexadecimal digits of its
	// microseconds.
	Page page.Query
}

// Store is what this package needs of a database. The boolean of a look-up is
// false when there is no such row.
type Store interface {
	// Runner returns a runner with its newest session and the roles on it.
	Runner(ctx context.Context, r id.Runner) (Runner, bool, error)
	// Runners returns up to Page.Limit+1 rows, each with its newest session.
	Runners(ctx context.Context, q Query) ([]Runner, error)
	// DeletingRunners returns the runners whose deletion was asked for.
	DeletingRunners(ctx context.Context) ([]Runner, error)
	// LiveSessionsOf returns the runners whose newest session lives on a replica,
	// up to limit of them.
	LiveSessionsOf(ctx context.Context, replica string, limit int) ([]id.Runner, error)
	// AccessEnding returns the runners whose newest session was opened with a token
	// that ends after a time and not after another, up to limit of them, the
	// soonest first.
	AccessEnding(ctx context.Context, after, until time.Time, limit int) ([]id.Runner, error)
	// CountAccessEnding counts those whose token ends until a time.
	CountAccessEnding(ctx context.Context, until time.Time) (int64, error)
	// ExchangeToken returns an exchange token by its hash, used and expired ones too.
	ExchangeToken(ctx context.Context, hash []byte) (token.Record, bool, error)
	// KeyLog returns the newest lines of the log of a runner's keys, up to limit
	// of them, oldest first.
	KeyLog(ctx context.Context, r id.Runner, limit int) ([]KeyEvent, error)
	// TokensOf returns the access tokens of a runner and its exchange tokens that
	// were not redeemed, expired ones too, newest first.
	TokensOf(ctx context.Context, r id.Runner) ([]token.Record, error)
	// Write runs fn in one transaction; see identity.Store.
	Write(ctx context.Context, fn func(Tx) error) error
}

// Tx is what this package needs of a transaction.
type Tx interface {
	departure.Tx
	Runner(ctx context.Context, r id.Runner) (Runner, bool, error)
	// LockOrganization is that of identity.Tx.
	LockOrganization(ctx context.Context, o id.Organization) error
	CountRunners(ctx context.Context, o id.Organization) (int64, error)
	// CountLiveTokens counts the exchange tokens of a runner that work.
	CountLiveTokens(ctx context.Context, s access.Subject, now time.Time) (int64, error)
	InsertRunner(ctx context.Context, r Runner) error
	// LockRunner makes the rest of the transaction wait for, and be waited for by,
	// every other transaction that locks the same runner. What is read before it
	// is written as a whole needs it.
	LockRunner(ctx context.Context, r id.Runner) error
	// UpdateRunner stores what people set (name, desired phase, configuration and
	// its revision, public and pending key, deletion, updated_at) when the
	// revision is still r.Revision, and stores r.Revision+1; false means that
	// somebody else was faster.
	UpdateRunner(ctx context.Context, r Runner) (bool, error)
	// LLMIntegrationsOf returns the ids of the LLM integrations of a runner.
	LLMIntegrationsOf(ctx context.Context, r id.Runner) ([]string, error)
	InsertToken(ctx context.Context, t token.Record) error
	// UseExchangeToken marks a token as redeemed, if it is an exchange token that
	// was not and that has not expired at now.
	UseExchangeToken(ctx context.Context, hash []byte, now time.Time) (token.Record, bool, error)
	// TokensOf is Store.TokensOf.
	TokensOf(ctx context.Context, r id.Runner) ([]token.Record, error)
	// TokenOf returns one of Store.TokensOf.
	TokenOf(ctx context.Context, r id.Runner, t id.Token) (token.Record, bool, error)
	// DeleteToken returns false when there was no such token any more.
	DeleteToken(ctx context.Context, t id.Token) (bool, error)
	// ExpireToken makes a token end at a time; false means that it ends before
	// that already, or is gone.
	ExpireToken(ctx context.Context, t id.Token, at time.Time) (bool, error)
	// TakeToken stores description, end and GrantsFor of a token; false means that it
	// is gone.
	TakeToken(ctx context.Context, t token.Record) (bool, error)
	// DeleteRotated deletes access tokens of a runner that are older than t, up to
	// limit, if t has that description, and returns them.
	DeleteRotated(ctx context.Context, r id.Runner, t id.Token, description string, limit int) ([]token.Record, error)

	// LoggedKey returns the signing key that was last logged with a public key of
	// a runner, empty when none was; false means that the public key was never
	// logged.
	LoggedKey(ctx context.Context, r id.Runner, publicKey []byte) ([]byte, bool, error)
	// CountKeyUses counts how often a key came into use.
	CountKeyUses(ctx context.Context, r id.Runner, publicKey []byte) (int64, error)
	// KeyTimes returns when something happened to a runner's keys, newest first
	// and up to limit of them.
	KeyTimes(ctx context.Context, r id.Runner, op KeyOperation, limit int) ([]time.Time, error)
	// AppendKey adds a line to the log of a runner's keys. The runner must be
	// locked.
	AppendKey(ctx context.Context, e KeyEvent) error

	// OpenSession takes the next epoch of a runner and makes s its newest
	// session; s.Epoch is ignored and the new epoch returned. False means that
	// the runner is gone.
	OpenSession(ctx context.Context, s Session) (int64, bool, error)
	// EndSession ends the session of that epoch if it lives; false means that it
	// did not.
	EndSession(ctx context.Context, r id.Runner, epoch int64, at time.Time, reason string) (bool, error)
	// EndAccess ends the session of that epoch if it lives, stores the reason in any
	// case, and forgets the token that it was opened with; false means that it is
	// not the newest.
	EndAccess(ctx context.Context, r id.Runner, epoch int64, at time.Time, reason string) (bool, error)
	// SetAccessEnd stores when the token ends that the newest session was opened
	// with; false means that it was not opened with t.
	SetAccessEnd(ctx context.Context, r id.Runner, t id.Token, at time.Time) (bool, error)
	// UpdateSession stores notice, applied revision, unsupported settings and
	// apply error, if the epoch is still s.Epoch and the session lives.
	UpdateSession(ctx context.Context, s Session) (bool, error)
	// UpdateStatus stores what the runner reports, its schema and the time of the
	// change, if the epoch is still that one.
	UpdateStatus(ctx context.Context, r id.Runner, epoch int64, rep Report, schema []byte, at time.Time) (bool, error)
}
