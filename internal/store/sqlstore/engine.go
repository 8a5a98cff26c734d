package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// engine is all that differs between the databases.
type engine interface {
	dialect
	// migrationDB is where the schema is changed, and how goose calls the engine.
	migrationDB() (*sql.DB, goose.Dialect)
	// hasTable tells whether there is a table, whatever the schema is, and name is
	// what people call the database.
	hasTable(ctx context.Context, table string) (bool, error)
	name() string
	// lockMigrations keeps other processes from changing the schema until unlock
	// is called.
	lockMigrations(ctx context.Context) (unlock func(), err error)
	// start prepares for reads and writes, after the migrations.
	start(ctx context.Context) error
	// reader answers look-ups outside of transactions.
	reader() query.DBTX
	// runners is the cache of look-ups; nil where others may write too.
	runners() *runnerCache
	// write runs fn in a transaction and commits it. A function that loses a
	// compare-and-swap runs again, up to attempts times. The events of fn are
	// published after the commit, in the order of the commits, before write
	// returns; also when it is not known whether the commit was made.
	write(ctx context.Context, fn func(*Tx) error) error
	// check finds what reading does not: that the files of the database are not
	// what they were.
	check(ctx context.Context) error
	// pool is that of the connections that calls read through.
	pool() *sql.DB
	// exclusive tells that no other process can have the database open.
	exclusive() bool
	// present makes it known that this process lives, until close; others find out
	// by the key. It is 0 where there are no others.
	present(ctx context.Context) (key int64, err error)
	// gone tells that no process holds the key.
	gone(ctx context.Context, key int64) (bool, error)
	close() error
}

// dialect is what an engine's errors mean.
type dialect interface {
	// explain returns a fault for an error that has to do with the state of the
	// database or with the data, an error that is fault.ErrLost for one that
	// running the transaction again may cure, and nil for all others.
	explain(err error) error
}

// attempts is how often the function of a transaction is run, at most.
const attempts = 8

// explained turns what a driver returned into what callers get to see.
func explained(d dialect, err error, doing string) error {
	if err == nil {
		return nil
	}
	if known := d.explain(err); known != nil {
		return known
	}
	return fault.Wrap(err, doing)
}

// lost marks an error as a lost race.
func lost(cause error) error {
	return fmt.Errorf("%w: %w", fault.ErrLost, cause)
}

// errInDoubt is the error of a commit that may have been made all the same.
var errInDoubt = errors.New("sqlstore: the outcome of the commit is not known")

// conflict is the fault of a call that lost every attempt.
func conflict(cause error) error {
	return fault.New(fault.Aborted, fault.Conflict,
		"Others changed the same object at the same time, %d times in a row. Nothing was changed by this call; try it again.", attempts).
		WithCause(cause)
}

// unavailable is the fault of a database that cannot answer.
func unavailable(cause error, format string, args ...any) error {
	return fault.New(fault.Unavailable, fault.StorageUnavailable, format, args...).WithCause(cause)
}

// unknown is the fault of a commit of which nobody knows whether it was made.
func unknown(cause error, what string) error {
	return fault.New(fault.Unknown, fault.OutcomeUnknown,
		"%s So it is not known whether the change was made: look before you make it again.", what).WithCause(cause)
}

// unusable is the fault of a database that somebody must see to first.
func unusable(cause error, format string, args ...any) error {
	return fault.New(fault.FailedPrecondition, fault.StorageUnavailable, format, args...).WithCause(cause)
}

// closed is the fault of a write that came too late.
func closed() error {
	return fault.New(fault.Unavailable, fault.ShuttingDown,
		"The control plane is shutting down and takes no more changes. Try again in a moment.")
}

var errText = errors.New("sqlstore: text with a NUL character or with invalid UTF-8")

// badText is the fault of a text that PostgreSQL cannot store, and that SQLite
// refuses too so that both behave alike.
func badText(cause error) error {
	return fault.New(fault.InvalidArgument, fault.InvalidField,
		"A text in this call has a NUL character or is not valid UTF-8, and cannot be stored. Remove what does not belong there.").
		WithCause(cause)
}
