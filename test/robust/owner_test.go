package robust_test

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/store/pgtest"
	"github.com/musterhq/muster/test/muster"
)

const liveElsewhere = "is live on this database. This version runs one at a time: stop the other one first."

// A second control plane on a database says so before it serves anybody.
func TestASecondControlPlaneNeverListens(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s := muster.Serve(t, muster.ServerOptions{DatabaseURL: url})
	dir := t.TempDir()
	copyFile(t, filepath.Join(s.DataDir, "secret-key"), filepath.Join(dir, "secret-key"))
	address := freeAddress(t)
	second := muster.Start(t, nil, append(serveArgs(dir, url), "--listen", address)...)
	muster.Until(t, muster.Patience, func() error {
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			_ = conn.Close()
			t.Fatal("the second one listens")
		}
		if second.Running() {
			return errors.New("the second one runs")
		}
		return nil
	})
	if code := second.Wait(t, muster.Patience); code != 1 || !strings.Contains(second.Printed(), liveElsewhere) || strings.Contains(second.Printed(), "ready") {
		t.Errorf("it ended with code %d and said %s", code, second.Printed())
	}
	if _, err := s.Admin().Runner(t, "00000000-0000-7000-8000-000000000000"); err == nil || !s.Running() {
		t.Errorf("the first one: %v", err)
	}
}

// Of two that make the first start of one database at the same moment, one does.
func TestTwoFirstStartsAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	var both []*muster.Process
	for range 2 {
		both = append(both, muster.Start(t, nil, append(serveArgs(t.TempDir(), url), "--listen", "127.0.0.1:0")...))
	}
	settled := func(p *muster.Process) bool {
		return !p.Running() || strings.Contains(p.Printed(), "Muster is ready at")
	}
	muster.Until(t, muster.Patience, func() error {
		if !settled(both[0]) || !settled(both[1]) {
			return errors.New("one of the two is neither ready nor has ended")
		}
		return nil
	})
	owners := 0
	for _, p := range both {
		if strings.Contains(p.Printed(), "Muster is ready at") {
			owners++
			if !strings.Contains(p.Printed(), "This is the first start") {
				t.Errorf("the owner said %s", p.Printed())
			}
			continue
		}
		if !strings.Contains(p.Printed(), liveElsewhere) || strings.Contains(p.Printed(), "This is the first start") {
			t.Errorf("the other one said %s", p.Printed())
		}
	}
	if owners != 1 {
		t.Errorf("%d of two are ready", owners)
	}
}

// After a crash the database knows at once that the one before is gone; one that
// hangs is waited for, for a lease, and the log says so. After an orderly stop there
// is no wait.
func TestTheNextControlPlane(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{DatabaseURL: pgtest.URL(t)})
	r := connected(t, s, "comes back")
	s.Kill()
	crashed := time.Now()
	s.Restart(t)
	if took := time.Since(crashed); took > muster.Limit(t, 8*time.Second, crashed) {
		t.Errorf("it was ready %s after a crash", took)
	}
	muster.Until(t, muster.Patience, func() error { return r.is(active) })
	s.Stop(t)
	s.Restart(t)
	if strings.Contains(s.Printed(), "waiting before anything is served") {
		t.Errorf("after an orderly stop it says %s", s.Printed())
	}
	muster.Until(t, muster.Patience, func() error { return r.is(active) })
}

// freeAddress is one at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it was only to know the address
	return l.Addr().String()
}
