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
	// migrationLock is the advisory lock of schema changes: "muster" in ASCII.
	migrationLock = 0x6d7573746572
)

// postgresEngine is PostgreSQL: each call is a transaction on a connection of
// its own, and the server makes commits share their disk writes.
type postgresEngine struct {
	postgresDialect
	db     reconnecting
	events *publisher
	// schema is for changes of the schema, which may take any time.
	schema *sql.DB
	*presence
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
	db := sql.OpenDB(connector{stdlib.GetConnector(*c)})
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(time.Hour) // so that a failover is noticed everywhere in the end
	return &postgresEngine{
		postgresDialect: postgresDialect{server: fmt.Sprintf("%s:%d", c.Host, c.Port), database: c.Database, user: c.User},
		db:              reconnecting{db},
		events:          newPublisher(publish),
		schema:          stdlib.OpenDB(*c),
		presence:        newPresence(c),
	}, nil
}

func (e *postgresEngine) migrationDB() (*sql.DB, goose.Dialect) {
	return e.schema, goose.DialectPostgres
}

func (e *postgresEngine) hasTable(ctx context.Context, table string) (there bool, err error) {
	err = e.db.QueryRowContext(ctx, "SELECT to_regclass($1) IS NOT NULL", table).Scan(&there)
	return there, err
}

func (e *postgresEngine) name() string { return fmt.Sprintf("%q on %s", e.database, e.server) }

// lockMigrations lets one of several replicas that start at once change the
// schema.
func (e *postgresEngine) lockMigrations(ctx context.Context) (func(), error) {
	conn, err := e.schema.Conn(ctx)
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

func (e *postgresEngine) start(ctx context.Context) error {
	return errors.Join(e.schema.Close(), e.db.PingContext(ctx)) // the schema is as it should be
}

func (e *postgresEngine) reader() query.DBTX { return e.db }

// check has nothing to do: the server looks after its files.
func (e *postgresEngine) check(context.Context) error { return nil }

func (e *postgresEngine) pool() *sql.DB { return e.db.DB }

func (e *postgresEngine) exclusive() bool { return false }

func (e *postgresEngine) present(ctx context.Context) (int64, error) { return e.hold(ctx) }

func (e *postgresEngine) gone(ctx context.Context, key int64) (free bool, err error) {
	err = e.db.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock($1)", key).Scan(&free)
	return free, err
}

func (e *postgresEngine) close() error {
	e.release()
	return errors.Join(e.schema.Close(), e.db.Close())
}

// write repeats a transaction once, too, whose connection broke before it was to
// be committed. One that broke later is left as it is, whatever that is.
func (e *postgresEngine) write(ctx context.Context, fn func(*Tx) error) error {
	var err error
	repeated := false
	for range attempts {
		err = e.attempt(ctx, fn)
		switch {
		case errors.Is(err, fault.ErrLost):
		case errors.Is(err, errBroken) && !repeated && ctx.Err() == nil:
			repeated = true
			e.db.forget()
		default:
			return err
		}
	}
	if errors.Is(err, fault.ErrLost) {
		return conflict(err)
	}
	return err
}

func (e *postgresEngine) attempt(ctx context.Context, fn func(*Tx) error) error {
	t, err := e.db.begin(ctx)
	if err != nil {
		return explained(e, err, "beginning a transaction")
	}
	defer t.end(ctx)

	tx := newTx(t, e)
	if err := tx.run(fn); err != nil {
		return err
	}
	var place place
	if len(tx.events) > 0 {
		place = e.events.enter()
	}
	// A caller that goes away may stop a statement, but not a commit half-way.
	err = explained(e, t.commit(context.WithoutCancel(ctx)), "committing")
	if len(tx.events) > 0 {
		if !fault.MayHaveHappened(err) {
			tx.events = nil
		}
		place.leave(tx.events)
	}
	return err
}

// postgresDialect explains PostgreSQL's errors.
type postgresDialect struct{ server, database, user string }

func (d postgresDialect) explain(err error) error {
	if errors.Is(err, errInDoubt) {
		return unknown(err, "The connection to the database broke while this change was being committed.")
	}
	if broken(err) {
		err = fmt.Errorf("%w: %w", errBroken, err)
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return d.explainServer(e, err)
	}
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case connecting:
		return unavailable(err, "The database server %s cannot be reached. An operator has to check that it runs, and the host and port in the database URL.", d.server)
	case errors.Is(err, errSilent):
		return unavailable(err, "The database server %s does not answer. Nothing was changed; try again in a moment.", d.server)
	case errors.Is(err, errBroken):
		return unavailable(err, "The connection to the database server %s broke. Nothing was changed; try again in a moment.", d.server)
	}
	return nil
}

// errBroken is the cause of what failed with its connection, before there was
// anything to commit.
var errBroken = errors.New("sqlstore: the connection broke")

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
	case "25P03", "25P04": // the server's own limits of transactions
		return unavailable(err, "The database server %s ended a transaction that took too long. Nothing was changed; try again in a moment.", d.server)
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
