package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlitecode "modernc.org/sqlite/lib"

	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// DatabaseFile is the SQLite database in the data directory.
const DatabaseFile = "muster.db"

// busyTimeout waits for other programs, such as the sqlite3 shell or a backup;
// muster itself has one writer.
const busyTimeout = "busy_timeout(5000)"

// sqliteEngine is SQLite: one connection writes, in the hands of a
// groupCommitter, and others read beside it.
type sqliteEngine struct {
	sqliteDialect
	lock    *dirLock
	publish func([]event.Event)
	writeDB *sql.DB
	readDB  *sql.DB
	readers *statements
	commits *groupCommitter // nil until start
	cache   *runnerCache
	file    *fileCheck
}

func openSQLite(dir string, publish func([]event.Event), beside bool) (engine, error) {
	d := sqliteDialect{dir: dir}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, d.unwritable(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, d.unwritable(err)
	}
	var lock *dirLock
	if !beside {
		if lock, err = lockDir(dir); err != nil {
			return nil, err
		}
	}
	e := &sqliteEngine{sqliteDialect: d, lock: lock, publish: publish, cache: newRunnerCache()}
	if err := e.openFiles(filepath.Join(dir, DatabaseFile)); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

func (e *sqliteEngine) openFiles(path string) error {
	// SQLite would make the file readable for everybody that umask lets in, and
	// gives the files beside it the permissions of this one.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the directory
	if err != nil {
		return e.unwritable(err)
	}
	if err := f.Close(); err != nil {
		return e.unwritable(err)
	}
	if e.file, err = newFileCheck(path); err != nil {
		return e.unwritable(err)
	}
	if e.writeDB, err = sql.Open("sqlite", sqliteName(path, url.Values{
		"_txlock": {"immediate"},
		"_pragma": {
			busyTimeout, "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
			"temp_store(MEMORY)", // what a savepoint would take back stays out of the file system
			"journal_size_limit(67108864)",
		},
	})); err != nil {
		return explained(e, err, "opening the database")
	}
	e.writeDB.SetMaxOpenConns(1)
	if e.readDB, err = sql.Open("sqlite", sqliteName(path, url.Values{"_pragma": {busyTimeout, "query_only(1)"}})); err != nil {
		return explained(e, err, "opening the database")
	}
	readers := max(4, 2*runtime.GOMAXPROCS(0))
	e.readDB.SetMaxOpenConns(readers)
	e.readDB.SetMaxIdleConns(readers)
	e.readers = newStatements(e.readDB)
	return nil
}

// sqliteName is the data source name of a file with connection settings.
func sqliteName(path string, settings url.Values) string {
	return (&url.URL{Scheme: "file", Path: path, RawQuery: settings.Encode()}).String()
}

func (e *sqliteEngine) migrationDB() (*sql.DB, goose.Dialect) { return e.writeDB, goose.DialectSQLite3 }

func (e *sqliteEngine) hasTable(ctx context.Context, table string) (there bool, err error) {
	err = e.writeDB.QueryRowContext(ctx, "SELECT COUNT(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = $1", table).Scan(&there)
	return there, err
}

func (e *sqliteEngine) name() string { return filepath.Join(e.dir, DatabaseFile) }

// lockMigrations has nothing to do: the lock on the directory is held already.
func (e *sqliteEngine) lockMigrations(context.Context) (func(), error) { return func() {}, nil }

func (e *sqliteEngine) start(ctx context.Context) error {
	conn, err := e.writeDB.Conn(ctx)
	if err != nil {
		return err
	}
	e.commits = newGroupCommitter(conn, e, e.cache, e.publish)
	return e.readDB.PingContext(ctx)
}

func (e *sqliteEngine) reader() query.DBTX { return e.readers }

func (e *sqliteEngine) write(ctx context.Context, fn func(*Tx) error) error {
	return e.commits.write(ctx, fn)
}

func (e *sqliteEngine) check(context.Context) error { return e.file.look() }

func (e *sqliteEngine) pool() *sql.DB { return e.readDB }

func (e *sqliteEngine) exclusive() bool { return true }

func (*sqliteEngine) present(context.Context) (int64, error) { return 0, nil }

func (*sqliteEngine) gone(context.Context, int64) (bool, error) { return false, nil }

// close leaves one whole file: the readers go first, then the log is emptied into
// the file, and with the last connection it is removed.
func (e *sqliteEngine) close() error {
	var err error
	if e.readers != nil {
		err = errors.Join(e.readers.close(), e.readDB.Close())
	}
	if e.commits != nil {
		last := checkpoint
		if e.lock == nil { // the other process has yet to work with the log
			last = func(*sql.Conn) error { return nil }
		}
		err = errors.Join(err, e.commits.close(last))
	}
	if e.writeDB != nil {
		err = errors.Join(err, e.writeDB.Close())
	}
	return errors.Join(err, e.lock.release())
}

// checkpoint empties the log into the database file. A program that reads the
// database meanwhile may keep it from that.
func checkpoint(conn *sql.Conn) error {
	var busy, frames, moved int
	err := conn.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &moved)
	if err == nil && busy != 0 {
		err = errBusy
	}
	return err
}

var errBusy = errors.New("sqlstore: another program reads the database, so what was written last stays in muster.db-wal: keep the two files together")

// sqliteDialect explains SQLite's errors. Those that name the directory are of
// use to the operator of a control plane and tell others nothing.
type sqliteDialect struct{ dir string }

func (d sqliteDialect) explain(err error) error {
	if errors.Is(err, errInDoubt) {
		return unknown(err, "The disk of the control plane's data directory failed while this change was being written. An operator has to look at the disk.")
	}
	if errors.Is(err, errText) {
		return badText(err)
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Code() {
	case sqlitecode.SQLITE_CONSTRAINT_UNIQUE, sqlitecode.SQLITE_CONSTRAINT_PRIMARYKEY, sqlitecode.SQLITE_CONSTRAINT_FOREIGNKEY:
		return lost(err)
	}
	switch e.Code() & 0xff {
	case sqlitecode.SQLITE_FULL:
		return unavailable(err, "The disk of the control plane's data directory is full, so nothing can be changed. What was acknowledged is safe. An operator has to make room.")
	case sqlitecode.SQLITE_BUSY, sqlitecode.SQLITE_LOCKED, sqlitecode.SQLITE_PROTOCOL:
		return unavailable(err, "Another program keeps the control plane's database locked. Try again; if it goes on, an operator has to find that program.")
	case sqlitecode.SQLITE_READONLY, sqlitecode.SQLITE_PERM, sqlitecode.SQLITE_CANTOPEN:
		return unavailable(err, "The control plane cannot open or write its database file. An operator has to check who owns the data directory and whether its disk is mounted read-only.")
	case sqlitecode.SQLITE_IOERR:
		return unavailable(err, "The disk of the control plane's data directory fails. An operator has to look at the disk.")
	case sqlitecode.SQLITE_CORRUPT, sqlitecode.SQLITE_NOTADB:
		return unavailable(err, "The control plane's database file is damaged or is not a database. An operator has to restore a backup.")
	case sqlitecode.SQLITE_NOMEM:
		return unavailable(err, "The control plane is out of memory. An operator has to give it more.")
	}
	return nil
}

// inDoubt tells whether a COMMIT that failed may have been made. A record that
// could not be written was not; but one that was written, and not synced, is
// gone now and back after a crash, unless the next one takes its place.
func inDoubt(err error) bool {
	e, ok := errors.AsType[interface {
		error
		Code() int
	}](err)
	if !ok {
		return false
	}
	switch e.Code() & 0xff {
	case sqlitecode.SQLITE_IOERR:
		return e.Code() != sqlitecode.SQLITE_IOERR_WRITE
	case sqlitecode.SQLITE_NOMEM:
		return true
	default:
		return false
	}
}

// unwritable is the fault of a data directory that cannot be used.
func (d sqliteDialect) unwritable(cause error) error {
	reason := "it cannot be written"
	var pathErr *os.PathError
	if errors.As(cause, &pathErr) {
		reason = pathErr.Err.Error()
	}
	return unusable(cause, "The data directory %q cannot be used: %s. Make it writable for the user that muster runs as (uid %d), or name another with --data-dir.",
		d.dir, reason, os.Getuid())
}

func (e *sqliteEngine) runners() *runnerCache { return e.cache }
