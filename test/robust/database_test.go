package robust_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/musterhq/muster/test/muster"
)

// database reads what a control plane stores, past the control plane.
type database struct {
	*sql.DB
	sqlite bool
}

// databaseOf opens the database of a control plane. One that is SQLite must not
// be running.
func databaseOf(t *testing.T, s *muster.Server, o muster.ServerOptions) *database {
	t.Helper()
	if o.DatabaseURL == "" && s.Running() {
		t.Fatal("the control plane has its database to itself")
	}
	return openDatabase(t, s.DataDir, o.DatabaseURL)
}

// openDatabase opens a database at a URL, or the one of SQLite in a directory.
func openDatabase(t *testing.T, dir, url string) *database {
	t.Helper()
	d := &database{sqlite: url == ""}
	driver, source := "pgx", url
	if d.sqlite {
		driver, source = "sqlite", filepath.Join(dir, "muster.db")
	}
	var err error
	if d.DB, err = sql.Open(driver, source); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// texts returns the first column of a query.
func (d *database) texts(t *testing.T, query string) []string {
	t.Helper()
	rows, err := d.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close() //nolint:errcheck // it is read to its end
	var all []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// tables are the names of all tables.
func (d *database) tables(t *testing.T) []string {
	t.Helper()
	query := "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
	if d.sqlite {
		query = "SELECT name FROM sqlite_master WHERE type = 'table'"
	}
	names := d.texts(t, query)
	if len(names) < 15 {
		t.Fatalf("only %d tables: %v", len(names), names)
	}
	return names
}

// columns are those of a table.
func (d *database) columns(t *testing.T, table string) []string {
	t.Helper()
	if d.sqlite {
		return d.texts(t, "SELECT name FROM pragma_table_info('"+table+"')")
	}
	return d.texts(t, "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '"+table+"'")
}

// count is the number of rows of a table for which a condition holds.
func (d *database) count(t *testing.T, table, where string, args ...any) int {
	t.Helper()
	var n int
	if err := d.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table+" WHERE "+where, args...).Scan(&n); err != nil {
		t.Fatalf("%s WHERE %s: %v", table, where, err)
	}
	return n
}

// dump returns everything in all tables: numbers as text, bytes as they are.
func (d *database) dump(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, table := range d.tables(t) {
		rows, err := d.QueryContext(t.Context(), `SELECT * FROM "`+table+`"`)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		for rows.Next() {
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			for i, v := range values {
				if raw, ok := v.([]byte); ok {
					v = string(raw)
				}
				fmt.Fprintf(&out, "%s.%s=%v\n", table, columns[i], v)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// runnerTables are the tables that refer to runners, and the column that does.
func (d *database) runnerTables(t *testing.T) map[string]string {
	t.Helper()
	refer := map[string]string{}
	for _, table := range d.tables(t) {
		for _, column := range d.columns(t, table) {
			if column == "runner_id" {
				refer[table] = column
			}
		}
	}
	if len(refer) < 8 {
		t.Fatalf("only %d tables refer to runners: %v", len(refer), refer)
	}
	return refer
}

// orphans fails the test for every row that refers to what is not there.
func (d *database) orphans(t *testing.T) {
	t.Helper()
	for table, column := range d.runnerTables(t) {
		d.none(t, table, column+" IS NOT NULL AND "+column+" NOT IN (SELECT id FROM runners)")
	}
	d.none(t, "role_assignments", "resource_type = 2 AND resource_id NOT IN (SELECT id FROM runners)")
	d.none(t, "role_assignments", "resource_type = 12 AND resource_id NOT IN (SELECT id FROM groups)")
	d.none(t, "role_assignments", "group_id NOT IN (SELECT id FROM groups)")
	d.none(t, "memberships", "group_id NOT IN (SELECT id FROM groups)")
	d.none(t, "memberships", "subject_principal = 2 AND subject_id NOT IN (SELECT id FROM users)")
	d.none(t, "memberships", "subject_principal = 5 AND subject_id NOT IN (SELECT id FROM service_accounts)")
}

func (d *database) none(t *testing.T, table, where string) {
	t.Helper()
	if n := d.count(t, table, where); n > 0 {
		t.Errorf("%d orphans in %s: %s", n, table, where)
	}
}
