package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

const (
	// maxConnections leaves room for several replicas under PostgreSQL's own
	// default of 100.
	maxConnections = 20
	// transactionLimit ends a transaction whose database has fallen silent.
	transactionLimit = 30 * time.Second
	// migrationLock is the advisory lock of schema changes: "muster" in ASCII.
	migrationLock = 0x6d7573746572
)

// postgresEngine is PostgreSQL: each call is a transaction on a connection of
// its own, and the server makes commits share their disk writes.
type postgresEngine struct {
	postgresDialect
	db     reconnecting
	events *publisher
}

func openPostgres(url string, publish func([]event.Event)) (engine, error) {
	// What the driver says of a bad URL may quote it, password and all.
	if !strings.HasPrefix(url, "postgres://") && !strings.HasPrefix(url, "postgresql://") {
		return nil, unusable(nil, "The database URL is not one of PostgreSQL. It looks like postgres://user:password@host:5432/database.")
	}
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, unusable(nil, "The database URL cannot be read. It looks like postgres://user:password@host:5432/database; special characters in the password are written as %%XX.")
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "muster"
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	db := stdlib.OpenDB(*c)
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(time.Hour) // so that a failover is noticed everywhere in the end
	return &postgresEngine{
		postgresDialect: postgresDialect{server: fmt.Sprintf("%s:%d", c.Host, c.Port), database: c.Database, user: c.User},
		db:              reconnecting{db},
		events:          newPublisher(publish),
	}, nil
}

func (e *postgresEngine) migrationDB() (*sql.DB, goose.Dialect) {
	return e.db.DB, goose.DialectPostgres
}

// lockMigrations lets one of several replicas that start at once change the
// schema.
func (e *postgresEngine) lockMigrations(ctx context.Context) (func(), error) {
	conn, err := e.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return func() {
		// A connection that fails here is closed, and its lock with it.
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(migrationLock))
		_ = conn.Close()
	}, nil
}

func (e *postgresEngine) start(ctx context.Context) error { return e.db.PingContext(ctx) }

func (e *postgresEngine) reader() query.DBTX { return e.db }

// check has nothing to do: the server looks after its files.
func (e *postgresEngine) check(context.Context) error { return nil }

func (e *postgresEngine) pool() *sql.DB { return e.db.DB }

func (e *postgresEngine) exclusive() bool { return false }

func (e *postgresEngine) close() error { return e.db.Close() }

func (e *postgresEngine) write(ctx context.Context, fn func(*Tx) error) error {
	var err error
	for range attempts {
		if err = e.attempt(ctx, fn); !errors.Is(err, fault.ErrLost) {
			return err
		}
	}
	return conflict(err)
}

func (e *postgresEngine) attempt(ctx context.Context, fn func(*Tx) error) error {
	// A caller that goes away may stop a statement, but not a commit half-way.
	txCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), transactionLimit)
	defer cancel()
	sqlTx, conn, err := e.db.begin(ctx, txCtx)
	if err != nil {
		return explained(e, err, "beginning a transaction")
	}
	defer conn.Close()     //nolint:errcheck // it goes back to the pool
	defer sqlTx.Rollback() //nolint:errcheck // nothing to do after a commit; otherwise fn's error counts

	tx := newTx(sqlTx, e)
	if err := tx.run(fn); err != nil {
		return err
	}
	if len(tx.events) == 0 {
		return explained(e, sqlTx.Commit(), "committing")
	}
	place := e.events.enter()
	if err := sqlTx.Commit(); err != nil {
		place.leave(nil)
		return explained(e, err, "committing")
	}
	place.leave(tx.events)
	return nil
}

// postgresDialect explains PostgreSQL's errors.
type postgresDialect struct{ server, database, user string }

func (d postgresDialect) explain(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return d.explainServer(e, err)
	}
	var c *pgconn.ConnectError
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case errors.As(err, &c):
		return unavailable(err, "The database server %s cannot be reached. An operator has to check that it runs, and the host and port in the database URL.", d.server)
	case broken(err):
		return unavailable(err, "The connection to the database server %s broke. A change that was under way may or may not have been made: look before you repeat it.", d.server)
	}
	return nil
}

// explainServer explains what the server said by itself; the codes are those of
// the PostgreSQL manual, appendix A.
func (d postgresDialect) explainServer(e *pgconn.PgError, err error) error {
	switch e.Code {
	case "40001", "40P01", "23505", "23503", "55P03": // serialization, deadlock, unique, foreign key, lock
		return lost(err)
	case "22021", "22P05": // characters
		return badText(err)
	case "28P01", "28000": // password, authorization
		return unusable(err, "The database server %s refuses the user %q. Check user and password in the database URL.", d.server, d.user)
	case "3D000": // no such database
		return unusable(err, "The database %q does not exist on %s. Make it with CREATE DATABASE, or name another in the database URL.", d.database, d.server)
	case "42501": // privileges
		return unusable(err, "The database user %q may not do in the database %q what muster needs, such as making tables. Make it the owner of the database.", d.user, d.database)
	case "53300": // connections
		return unavailable(err, "The database server has no free connection. Try again; if it goes on, an operator has to raise max_connections.")
	case "53100": // disk
		return unavailable(err, "The disk of the database server is full, so nothing can be changed. What was acknowledged is safe. An operator has to make room.")
	case "25006": // read-only
		return unavailable(err, "The database server takes no changes at the moment: it is a standby or was made read-only. An operator has to point the database URL at the primary.")
	}
	switch e.Code[:min(2, len(e.Code))] {
	case "08", "53", "57", "58": // connection, resources, intervention, system
		return unavailable(err, "The database server %s cannot answer at the moment: it is starting, stopping or short of resources. Try again in a moment.", d.server)
	}
	return nil
}

// runners is no cache: another process may write to the database too.
func (*postgresEngine) runners() *runnerCache { return nil }
