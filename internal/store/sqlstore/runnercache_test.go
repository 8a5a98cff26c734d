package sqlstore

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
)

// cachedStore opens a store with one runner.
func cachedStore(t *testing.T) (*Store, fleet.Runner) {
	t.Helper()
	s, err := Open(t.Context(), Options{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	now := time.Now()
	o := identity.Organization{ID: id.Organization(id.New()), Name: "o", CreatedAt: now, UpdatedAt: now}
	r := fleet.Runner{ID: id.Runner(id.New()), Organization: o.ID, Name: "0", Kind: fleet.KindLocal, CreatedAt: now, UpdatedAt: now, StatusAt: now, Revision: 1}
	err = s.write(t.Context(), func(tx *Tx) error {
		if err := tx.InsertOrganization(t.Context(), o); err != nil {
			return err
		}
		return tx.InsertRunner(t.Context(), r)
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

// A read sees every write that was acknowledged before it began, however many
// others read meanwhile.
func TestCachedRunnersAreNeverStale(t *testing.T) {
	s, r := cachedStore(t)
	store := s.Fleet()
	read := func() int {
		got, found, err := store.Runner(t.Context(), r.ID)
		if err != nil || !found {
			t.Error(found, err)
		}
		var n int
		if _, err := fmt.Sscan(got.Name, &n); err != nil {
			t.Error(err)
		}
		return n
	}
	var acknowledged atomic.Int64
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				before := acknowledged.Load()
				if n := read(); int64(n) < before {
					t.Errorf("read %d after %d was acknowledged", n, before)
					return
				}
			}
		})
	}
	for i := range 300 {
		err := store.Write(t.Context(), func(tx fleet.Tx) error {
			got, _, err := tx.Runner(t.Context(), r.ID)
			if err != nil {
				return err
			}
			got.Name = fmt.Sprint(i + 1)
			_, err = tx.UpdateRunner(t.Context(), got)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		acknowledged.Store(int64(i + 1))
	}
	close(done)
	readers.Wait()
	if err := store.Write(t.Context(), func(tx fleet.Tx) error { _, err := tx.DeleteRunner(t.Context(), r.ID); return err }); err != nil {
		t.Fatal(err)
	}
	if _, found, err := store.Runner(t.Context(), r.ID); found || err != nil {
		t.Errorf("a deleted runner: %v, %v", found, err)
	}
}

// Every write that changes what a runner looks like takes it out of the cache.
func TestEveryChangeOfARunnerIsSeen(t *testing.T) {
	s, r := cachedStore(t)
	store := s.Fleet()
	now := time.Now()
	session := fleet.Session{Runner: r.ID, Replica: "p", BootID: "b", HostName: "h", OpenedAt: now}
	for _, step := range []struct {
		name  string
		write func(tx fleet.Tx) error
		seen  func(r fleet.Runner) bool
	}{
		{"OpenSession", func(tx fleet.Tx) (err error) {
			session.Epoch, _, err = tx.OpenSession(t.Context(), session)
			return err
		}, func(r fleet.Runner) bool { return r.Session.Live() }},
		{"UpdateStatus", func(tx fleet.Tx) error {
			_, err := tx.UpdateStatus(t.Context(), r.ID, session.Epoch, fleet.Report{Version: "2"}, nil, now)
			return err
		}, func(r fleet.Runner) bool { return r.Report.Version == "2" }},
		{"UpdateSession", func(tx fleet.Tx) error {
			session.Notice = "two hosts"
			_, err := tx.UpdateSession(t.Context(), session)
			return err
		}, func(r fleet.Runner) bool { return r.Session.Notice == "two hosts" }},
		{"EndSession", func(tx fleet.Tx) error {
			_, err := tx.EndSession(t.Context(), r.ID, session.Epoch, now, "gone")
			return err
		}, func(r fleet.Runner) bool { return !r.Session.Live() }},
	} {
		before, _, err := store.Runner(t.Context(), r.ID) // fills the cache
		if err != nil || before.Session != nil && step.seen(before) {
			t.Fatalf("before %s: %+v, %v", step.name, before, err)
		}
		if err := store.Write(t.Context(), step.write); err != nil {
			t.Fatal(err)
		}
		if after, _, err := store.Runner(t.Context(), r.ID); err != nil || !step.seen(after) {
			t.Errorf("after %s: %+v, %v", step.name, after, err)
		}
	}
}

func TestCachedRunnersAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := cachedStore(t)
		store := s.Fleet()
		name := func() string {
			got, _, err := store.Runner(t.Context(), r.ID)
			if err != nil {
				t.Fatal(err)
			}
			return got.Name
		}
		name()
		// As another program would write.
		if _, err := s.engine.(*sqliteEngine).commits.db.ExecContext(t.Context(), "UPDATE runners SET name = 'elsewhere'"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(runnerCacheAge)
		if got := name(); got != "elsewhere" {
			t.Errorf("after a second the name still is %q", got)
		}
	})
}
