package sqlstore

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/fault"
)

// A database that other programs make smaller is not one that was cut off.
func TestFileCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	exec := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE t (x BLOB)")
	check, err := newFileCheck(path)
	if err != nil {
		t.Fatal(err)
	}
	look := func(want string) {
		t.Helper()
		err := check.look()
		if want == "" && err != nil || want != "" && (err == nil || !fault.HasReason(err, fault.StorageUnavailable) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	look("")
	exec("INSERT INTO t VALUES (zeroblob(1000000))")
	look("")
	exec("DELETE FROM t")
	exec("VACUUM")
	look("")
	exec("INSERT INTO t VALUES (zeroblob(1000000))")
	look("")
	if err := os.Truncate(path, 500_000); err != nil {
		t.Fatal(err)
	}
	look("cut off")
	look("cut off")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	look("cut off")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	look("removed")
	if err := os.WriteFile(path, make([]byte, 2_000_000), 0o600); err != nil {
		t.Fatal(err)
	}
	look("replaced")
}
