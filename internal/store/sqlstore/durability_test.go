package sqlstore_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// writerDir makes a child process of TestKill a writer.
const writerDir = "MUSTER_TEST_WRITER_DIR"

// TestKill kills a process that writes from many goroutines, in the middle. All
// that it had acknowledged by then must be there.
func TestKill(t *testing.T) {
	if dir := os.Getenv(writerDir); dir != "" {
		writeForever(t, dir)
	}
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
	child.Env = append(os.Environ(), writerDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var acknowledged []id.Organization
	for lines := bufio.NewScanner(out); lines.Scan(); {
		acknowledged = append(acknowledged, id.Organization(lines.Text()))
		if len(acknowledged) == 500 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait() // it was killed
	if len(acknowledged) < 500 {
		t.Fatalf("the writer acknowledged only %d rows", len(acknowledged))
	}
	if last := acknowledged[len(acknowledged)-1]; !id.Valid(string(last)) {
		acknowledged = acknowledged[:len(acknowledged)-1] // it died while it wrote this line
	}
	s := sqliteIn(dir).Open(t, nil)
	defer s.Close() //nolint:errcheck // the test is over
	for _, o := range acknowledged {
		if _, ok, err := s.Identity().Organization(t.Context(), o); err != nil || !ok {
			t.Fatalf("row %s was acknowledged and is there: %v, %v", o, ok, err)
		}
	}
}

// writeForever prints the id of each row once it was acknowledged.
func writeForever(t *testing.T, dir string) {
	s, err := sqlstore.Open(t.Context(), sqlstore.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for range 16 {
		go func() {
			for {
				o := identity.Organization{ID: id.Organization(id.New()), Name: "o"}
				err := s.Identity().Write(context.Background(), func(tx identity.Tx) error {
					return tx.InsertOrganization(context.Background(), o)
				})
				if err != nil {
					panic(err)
				}
				fmt.Println(o.ID) // one write call, so lines do not mix
			}
		}()
	}
	select {}
}
