package auditlog_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/audit/chain"
	"github.com/musterhq/muster/internal/auditlog"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

const acme = id.Organization("01980000-0000-7000-8000-0000000000ff")

type signer struct{}

var key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

func (signer) Sign(_ context.Context, message []byte) (string, []byte, error) {
	return "key", ed25519.Sign(key, message), nil
}

func (signer) PublicKeys(context.Context) ([]chain.Key, error) {
	return []chain.Key{{ID: "key", PublicKey: chain.Hex(key.Public().(ed25519.PublicKey))}}, nil
}

// worker runs the audit log in a bubble.
type worker struct {
	*testing.T
	store *memory
	log   *auditlog.Service
	made  int
}

func run(t *testing.T, prepare func(*memory), test func(*worker)) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{T: t, store: newMemory()}
		prepare(w.store)
		w.log = auditlog.New(w.store, signer{}, confirmed, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.log.Run(ctx)
		}()
		synctest.Wait()
		test(w)
		stop()
		<-done
	})
}

func nothing(*memory) {}

func (w *worker) add(n int) {
	w.Helper()
	for range n {
		w.made++
		err := w.store.InsertAuditEntry(w.Context(), audit.Entry{
			ID: fmt.Sprint(w.made), Organization: acme, Action: "runner.create", Kind: audit.KindChange, CreatedAt: time.Now(),
		})
		if err != nil {
			w.Fatal(err)
		}
	}
}

// after lets time pass.
func (w *worker) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// want fails unless so many entries are chained and signed by so many
// checkpoints.
func (w *worker) want(chained, checkpoints int) {
	w.Helper()
	defer w.store.lock()()
	if len(w.store.entries[acme]) != chained || len(w.store.checkpoints[acme]) != checkpoints {
		w.Errorf("%d entries and %d checkpoints, want %d and %d", len(w.store.entries[acme]), len(w.store.checkpoints[acme]), chained, checkpoints)
	}
}

func TestEntriesAreChainedWithinASecond(t *testing.T) {
	run(t, nothing, func(w *worker) {
		w.add(3)
		w.want(0, 0)
		w.after(time.Second)
		w.want(3, 1)
	})
}

func TestCheckpointsComeEveryTenSecondsAndForTheTail(t *testing.T) {
	run(t, nothing, func(w *worker) {
		for range 30 {
			w.add(1)
			w.after(time.Second)
		}
		w.want(30, 3) // at 1, 11 and 21 s
		w.after(10 * time.Second)
		w.want(30, 4)
		w.after(time.Hour)
		w.want(30, 4)
	})
}

func TestALargeBacklogIsSignedOnce(t *testing.T) {
	run(t, nothing, func(w *worker) {
		w.add(1700)
		w.after(time.Second)
		w.want(1700, 1)
		w.after(10 * time.Second)
		w.want(1700, 2)
	})
}

func TestWhatAnotherProcessLeftUnsignedIsSigned(t *testing.T) {
	left := func(m *memory) {
		e := chain.Entry{ID: "x", Sequence: 1}
		m.entries[acme] = []chain.Entry{e}
		m.chains[acme] = auditlog.Chain{Organization: acme, Sequence: 1, Hash: e.Hash}
	}
	run(t, left, func(w *worker) { w.want(1, 1) })
}

func TestAnIdleLogAsksOneThingASecond(t *testing.T) {
	run(t, nothing, func(w *worker) {
		before := w.store.questions()
		w.after(time.Minute)
		if asked := w.store.questions() - before; asked != 60 {
			w.Errorf("asked %d times in a minute", asked)
		}
	})
}

func TestAfterAFailureItRests(t *testing.T) {
	run(t, nothing, func(w *worker) {
		w.store.setDown(true)
		w.add(1)
		w.after(time.Second)
		before := w.store.questions()
		w.after(time.Minute)
		if asked := w.store.questions() - before; asked != 6 {
			w.Errorf("asked %d times in a minute without a database", asked)
		}
		w.store.setDown(false)
		w.after(10 * time.Second)
		w.want(1, 1)
	})
}

func TestOldEntriesAreRemovedEveryHour(t *testing.T) {
	week := func(m *memory) { m.retention = []auditlog.Retention{{Organization: acme, Days: 7}} }
	run(t, week, func(w *worker) {
		w.add(3)
		w.after(24 * time.Hour)
		w.add(2)
		w.after(6*24*time.Hour - time.Hour)
		w.want(5, 2)
		w.after(2 * time.Hour)
		w.want(3, 3) // 2, and the one that tells of it; the floor, the tail of the second day and the end
		r := w.verified()
		if r.Floor != 3 || r.First != 4 || r.Last != 6 {
			w.Errorf("what is left: %+v", r)
		}
		w.after(24 * time.Hour)
		w.want(2, 3)
	})
}

// TestRemovalsDoNotGoOnForEver leaves a log alone that removes by age: the
// entries that tell of removals are not told of when they go.
func TestRemovalsDoNotGoOnForEver(t *testing.T) {
	day := func(m *memory) { m.retention = []auditlog.Retention{{Organization: acme, Days: 1}} }
	run(t, day, func(w *worker) {
		w.add(3)
		w.after(26 * time.Hour)
		w.want(1, 2) // the one that tells of it; the floor and the end
		w.after(50 * time.Hour)
		w.want(0, 1)
		if r := w.verified(); r.Floor != 4 || r.Entries != 0 {
			t.Errorf("what is left: %+v", r)
		}
		w.add(1)
		w.after(time.Minute)
		if r := w.verified(); r.Floor != 4 || r.First != 5 || r.Last != 5 {
			t.Errorf("after another entry: %+v", r)
		}
	})
}

// TestAnEntryThatCannotBeThereIsExported plants an entry among those that were
// removed: the export ends, and the verifier finds it.
func TestAnEntryThatCannotBeThereIsExported(t *testing.T) {
	for name, left := range map[string]int{"alone": 0, "with others": 2} {
		t.Run(name, func(t *testing.T) {
			day := func(m *memory) { m.retention = []auditlog.Retention{{Organization: acme, Days: 1}} }
			run(t, day, func(w *worker) {
				w.add(3)
				w.after(26 * time.Hour)
				w.add(left)
				w.after(20 * time.Second)
				unlock := w.store.lock()
				if left == 0 {
					w.store.entries[acme] = nil
				}
				w.store.entries[acme] = append([]chain.Entry{{ID: "planted", Sequence: 2}}, w.store.entries[acme]...)
				signed := len(w.store.checkpoints[acme])
				unlock()
				e, err := w.log.Export(w.Context(), caller(resource.RoleOrgAuditLogReader), 0, 0)
				if err != nil || len(e.Entries) == 0 || e.Entries[0].ID != "planted" {
					t.Fatalf("Export = %+v, %v", e.Entries, err)
				}
				if r, err := w.verify(e); err == nil {
					t.Errorf("it verifies: %+v", r)
				}
				defer w.store.lock()()
				if len(w.store.checkpoints[acme]) != signed {
					t.Error("the control plane has signed what was planted")
				}
			})
		})
	}
}

func TestNothingIsLeftUnsignedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{T: t, store: newMemory()}
		log := auditlog.New(w.store, signer{}, confirmed, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			log.Run(ctx)
		}()
		w.add(1)
		w.after(2 * time.Second)
		w.want(1, 1)
		w.add(2) // its signature is not due for 8 s
		stop()
		<-done
		w.want(3, 2)
	})
}

func TestTheEndWaitsForNoDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{T: t, store: newMemory()}
		w.store.hangs = true
		log := auditlog.New(w.store, signer{}, confirmed, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		stop()
		w.add(1)
		start := time.Now()
		log.Run(ctx)
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func (w *worker) verified() chain.Report {
	w.Helper()
	e, err := w.log.Export(w.Context(), caller(resource.RoleOrgAuditLogReader), 0, 0)
	if err != nil {
		w.Fatal(err)
	}
	r, err := w.verify(e)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// verify writes an export as the command line does, and verifies it.
func (w *worker) verify(e auditlog.Export) (chain.Report, error) {
	w.Helper()
	var b bytes.Buffer
	to, err := chain.NewWriter(&b, string(acme))
	if err != nil {
		w.Fatal(err)
	}
	write := func(err error) {
		if err != nil {
			w.Fatal(err)
		}
	}
	write(to.Key(e.Keys[0]))
	if len(e.Checkpoints) > 0 && e.Checkpoints[0].Floor {
		write(to.Checkpoint(e.Checkpoints[0]))
	}
	for _, entry := range e.Entries {
		write(to.Entry(entry))
		for _, c := range e.Checkpoints {
			if c.Sequence == entry.Sequence {
				write(to.Checkpoint(c))
			}
		}
	}
	write(to.Close())
	return chain.Verify(&b, chain.Options{})
}

func caller(r resource.Role) access.Caller {
	return access.Caller{
		Subject: access.Subject{Principal: access.PrincipalUser, ID: "somebody"}, Organization: acme, Standing: access.OfRole(r),
	}
}

func TestWhoMayReadTheLog(t *testing.T) {
	log := auditlog.New(newMemory(), signer{}, confirmed, slog.New(slog.DiscardHandler))
	for role, want := range map[resource.Role]bool{
		resource.RoleOrgAdmin: true, resource.RoleOrgAuditLogReader: true, resource.RoleOrgMember: false, resource.RoleOrgRunnersAdmin: false,
	} {
		c := caller(role)
		_, _, list := log.Entries(t.Context(), c, auditlog.Query{}, page.Request{})
		_, get := log.Entry(t.Context(), c, "x")
		_, export := log.Export(t.Context(), c, 0, 0)
		if want {
			if list != nil || !fault.Is(get, fault.NotFound) || export != nil {
				t.Errorf("%s: %v, %v, %v", role, list, get, export)
			}
			continue
		}
		for _, err := range []error{list, get, export} {
			if !fault.HasReason(err, fault.NotAllowed) && !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: %v", role, err)
			}
		}
	}
}

// confirmed is a clock that nobody doubts.
func confirmed() (time.Time, bool) { return time.Now(), true }
