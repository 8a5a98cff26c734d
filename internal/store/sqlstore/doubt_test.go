package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"testing"

	sqlitecode "modernc.org/sqlite/lib"

	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
)

// brittle is the driver of SQLite with a disk that fails under COMMIT.
type brittle struct {
	sqlite driver.Driver
	fail   diskError
}

func (b brittle) Connect(context.Context) (driver.Conn, error) {
	conn, err := b.sqlite.Open(filepath.Join(b.fail.dir, DatabaseFile))
	return brittleConn{conn, b.fail}, err
}

func (b brittle) Driver() driver.Driver { return b.sqlite }

type brittleConn struct {
	driver.Conn
	fail error
}

func (c brittleConn) Prepare(text string) (driver.Stmt, error) {
	stmt, err := c.Conn.Prepare(text)
	if text == "COMMIT" {
		return brittleStmt{stmt, c.fail}, err
	}
	return stmt, err
}

type brittleStmt struct {
	driver.Stmt
	fail error
}

func (s brittleStmt) Exec([]driver.Value) (driver.Result, error) { return nil, s.fail }

// diskError is an error with a code of SQLite's.
type diskError struct {
	code int
	dir  string
}

func (e diskError) Error() string { return "the disk fails" }

func (e diskError) Code() int { return e.code }

// A commit that was written and could not be synced may be there after a crash;
// one that could not be written is not.
func TestACommitThatTheDiskFailsIsInDoubt(t *testing.T) {
	sqlite, err := sql.Open("sqlite", "")
	if err != nil {
		t.Fatal(err)
	}
	defer sqlite.Close() //nolint:errcheck // it was never used
	for code, inDoubt := range map[int]bool{
		sqlitecode.SQLITE_IOERR_FSYNC: true, sqlitecode.SQLITE_IOERR: true, sqlitecode.SQLITE_NOMEM: true,
		sqlitecode.SQLITE_IOERR_WRITE: false, sqlitecode.SQLITE_FULL: false, sqlitecode.SQLITE_BUSY: false,
	} {
		published := 0
		db := sql.OpenDB(brittle{sqlite.Driver(), diskError{code, t.TempDir()}})
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		g := newGroupCommitter(conn, sqliteDialect{}, newRunnerCache(), func(e []event.Event) { published += len(e) })
		err = g.write(t.Context(), func(tx *Tx) error {
			tx.Emit(event.Event{})
			return nil
		})
		if unknown := fault.HasReason(err, "outcome-unknown"); err == nil || unknown != inDoubt || (published == 1) != inDoubt {
			t.Errorf("%d: %v, published %d", code, err, published)
		}
		if err := g.close(func(*sql.Conn) error { return nil }); err != nil {
			t.Error(err)
		}
		_ = db.Close()
	}
}
