package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
)

// The calls that came in during a commit share the next one, up to maxBatch.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var batches []int
		s, err := Open(t.Context(), Options{DataDir: t.TempDir(), Publish: func(e []event.Event) { batches = append(batches, len(e)) }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close() //nolint:errcheck // the test is over
		first, release := make(chan struct{}), make(chan struct{})
		write := func(fn func()) {
			if err := s.write(context.Background(), func(tx *Tx) error {
				fn()
				tx.Emit(event.Event{})
				return nil
			}); err != nil {
				t.Error(err)
			}
		}
		go write(func() {
			close(first)
			<-release
		})
		<-first
		const waiting = maxBatch + 50
		for range waiting {
			go write(func() {})
		}
		synctest.Wait() // all of them wait
		close(release)
		synctest.Wait()
		if diff := cmp.Diff([]int{1, maxBatch, waiting - maxBatch}, batches); diff != "" {
			t.Error(diff)
		}
	})
}

// A full disk refuses calls without an acknowledged one being lost, and writes
// go on when there is room.
func TestFullDisk(t *testing.T) {
	s, err := Open(t.Context(), Options{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	limit := func(pages int) {
		t.Helper()
		if _, err := s.engine.(*sqliteEngine).commits.db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	insert := func() (id.Organization, error) {
		o := identity.Organization{ID: id.Organization(id.New()), Name: longName, CreatedAt: time.Now()}
		return o.ID, s.write(t.Context(), func(tx *Tx) error { return tx.InsertOrganization(t.Context(), o) })
	}
	limit(1) // SQLite takes what the file has already
	var mu sync.Mutex
	results := map[id.Organization]error{}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			o, err := insert()
			mu.Lock()
			defer mu.Unlock()
			results[o] = err
		})
	}
	wg.Wait()
	refused := 0
	for o, err := range results {
		_, there, rerr := s.Organization(t.Context(), o)
		if rerr != nil || there != (err == nil) {
			t.Errorf("the write gave %v, and the row is there: %v, %v", err, there, rerr)
		}
		if err != nil {
			refused++
			if !fault.Is(err, fault.Unavailable) || !fault.HasReason(err, fault.StorageUnavailable) {
				t.Errorf("refused with %v", err)
			}
		}
	}
	if refused == 0 {
		t.Error("the disk was never full")
	}
	limit(1 << 20)
	if _, err := insert(); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// longName fills a page soon.
var longName = fmt.Sprintf("%02000d", 0)

// A Tx is of no use to whoever keeps it.
func TestTxEndsWithItsFunction(t *testing.T) {
	s, err := Open(t.Context(), Options{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	var kept *Tx
	if err := s.write(t.Context(), func(tx *Tx) error {
		kept = tx
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a write past the end of the transaction went through")
		}
	}()
	_ = kept.InsertOrganization(t.Context(), identity.Organization{ID: "late"})
}

// The events of transactions that commit side by side come in the order of
// their places, whoever is done first.
func TestPublisherKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		p := newPublisher(func(events []event.Event) {
			for _, e := range events {
				got = append(got, e.Object.ID)
			}
		})
		first, second, third, fourth := p.enter(), p.enter(), p.enter(), p.enter()
		go fourth.leave([]event.Event{{Object: access.Object{ID: "fourth"}}})
		go second.leave([]event.Event{{Object: access.Object{ID: "second"}}})
		synctest.Wait()
		if len(got) != 0 {
			t.Fatalf("published %v before the first", got)
		}
		go third.leave(nil) // rolled back
		first.leave([]event.Event{{Object: access.Object{ID: "first"}}})
		synctest.Wait()
		if diff := cmp.Diff([]string{"first", "second", "fourth"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

var errOwn = errors.New("the function's own")

// What the function says counts, unless a lost race explains it.
func TestTxRun(t *testing.T) {
	d := sqliteDialect{}
	for name, c := range map[string]struct {
		statement, returned, want error
	}{
		"all is well":                     {nil, nil, nil},
		"the function refuses":            {nil, errOwn, errOwn},
		"a statement failed silently":     {context.Canceled, nil, context.Canceled},
		"a statement failed, and it says": {context.Canceled, errOwn, errOwn},
		"a race was lost":                 {fault.ErrLost, errOwn, fault.ErrLost},
	} {
		tx := newTx(nil, d)
		err := tx.run(func(tx *Tx) error {
			_ = tx.explained(c.statement, "testing")
			return c.returned
		})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
