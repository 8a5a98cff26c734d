package sqlstore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
)

// After Close nothing holds the files of a SQLite database, and the main file has
// everything.
func TestNothingIsOpenAfterClose(t *testing.T) {
	dir := t.TempDir()
	d := sqliteIn(dir)
	s := d.Open(t, nil)
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			o := identity.Organization{ID: id.Organization(id.New()), Name: fmt.Sprint(n), CreatedAt: time.Now(), UpdatedAt: time.Now()}
			if err := s.Identity().Write(t.Context(), func(tx identity.Tx) error { return tx.InsertOrganization(t.Context(), o) }); err != nil {
				t.Error(err)
			}
			if _, ok, err := s.Identity().Organization(t.Context(), o.ID); !ok || err != nil {
				t.Errorf("%v, %v", ok, err)
			}
		})
	}
	all.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if path, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(path, dir) {
			t.Errorf("%s is open", path)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "muster.db-*")); len(left) != 0 {
		t.Errorf("beside the database there are %v", left)
	}
	var n int
	if err := d.raw(t).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM organizations").Scan(&n); err != nil || n != 20 {
		t.Errorf("the file has %d of 20 rows, %v", n, err)
	}
}
