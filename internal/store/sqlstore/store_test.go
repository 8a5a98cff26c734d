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

// Count implements storetest.Database.
func (d database) Count(t *testing.T, query string) int64 {
	t.Helper()
	return count(t, d.raw(t), query)
}

func count(t *testing.T, db *sql.DB, query string) int64 {
	t.Helper()
	var n int64
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Touched implements storetest.Database, with triggers that count.
func (d database) Touched(t *testing.T) func() int64 {
	t.Helper()
	db := d.raw(t)
	exec := func(statement string) {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE touched (n BIGINT NOT NULL)")
	exec("INSERT INTO touched (n) VALUES (0)")
	if d.driver == "pgx" {
		exec("CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE touched SET n = n + 1; RETURN NULL; END'")
	}
	for _, table := range []string{
		"users", "service_accounts", "tokens", "groups", "memberships", "role_assignments", "runners", "sessions", "runner_keys",
		"environment_classes", "scm_integrations", "llm_integrations", "host_tokens", "organizations", "audit_entries", "removals",
	} {
		for _, operation := range []string{"INSERT", "UPDATE", "DELETE"} {
			trigger := "CREATE TRIGGER touch_" + table + "_" + operation + " AFTER " + operation + " ON " + table + " FOR EACH ROW "
			if d.driver == "pgx" {
				exec(trigger + "EXECUTE FUNCTION touch()")
			} else {
				exec(trigger + "BEGIN UPDATE touched SET n = n + 1; END")
			}
		}
	}
	var last int64
	return func() int64 {
		n := count(t, db, "SELECT n FROM touched")
		since := n - last
		last = n
		return since
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
