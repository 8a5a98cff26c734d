package sqlstore_test

import (
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/store/pgtest"
	"github.com/musterhq/muster/internal/store/sqlstore"
	"github.com/musterhq/muster/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSQLite(t *testing.T) { storetest.Run(t, newSQLite) }

func TestPostgres(t *testing.T) { storetest.Run(t, newPostgres) }

// engines are what tests of both run on.
var engines = map[string]func(*testing.T) storetest.Database{"SQLite": newSQLite, "PostgreSQL": newPostgres}

// database is an empty database, and how to reach it without the store.
type database struct {
	options     sqlstore.Options
	driver, dsn string
}

func newSQLite(t *testing.T) storetest.Database { return sqliteIn(t.TempDir()) }

func sqliteIn(dir string) database {
	file := url.URL{Scheme: "file", Path: filepath.Join(dir, "muster.db"), RawQuery: "_pragma=busy_timeout(5000)"}
	return database{options: sqlstore.Options{DataDir: dir}, driver: "sqlite", dsn: file.String()}
}

func newPostgres(t *testing.T) storetest.Database {
	u := pgtest.URL(t)
	return database{options: sqlstore.Options{URL: u}, driver: "pgx", dsn: u}
}

// Open implements storetest.Database.
func (d database) Open(t *testing.T, publish func([]event.Event)) storetest.Store {
	t.Helper()
	d.options.Publish = publish
	s, err := sqlstore.Open(t.Context(), d.options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// AuditEntries implements storetest.Database.
func (d database) AuditEntries(t *testing.T, o id.Organization) []audit.Entry {
	t.Helper()
	rows, err := d.raw(t).QueryContext(t.Context(), `SELECT id, actor_principal, actor_id, subject_id, subject_type, action, kind, request_id, created_at
		FROM audit_entries WHERE organization_id = $1 ORDER BY created_at, id`, string(o))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err is checked
	var entries []audit.Entry
	for rows.Next() {
		e := audit.Entry{Organization: o}
		var principal, kind int32
		var created int64
		if err := rows.Scan(&e.ID, &principal, &e.Actor.ID, &e.SubjectID, &e.SubjectType, &e.Action, &kind, &e.RequestID, &created); err != nil {
			t.Fatal(err)
		}
		e.Actor.Principal, e.Kind, e.CreatedAt = access.Principal(principal), audit.Kind(kind), time.UnixMicro(created).UTC()
		entries = append(entries, e)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return entries
}

// Exec implements storetest.Database.
func (d database) Exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := d.raw(t).ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// raw connects to the database without the store.
func (d database) raw(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.driver, d.dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
