package fleet_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
)

// watching is a fleet that watches the ends of tokens, and what it logs.
func (f *fixture) watching(t *testing.T) (log *bytes.Buffer, stop func()) {
	t.Helper()
	log = new(bytes.Buffer)
	f.Service = fleet.New(fleet.Config{
		Store: f.store.Fleet(), Links: links{f}, Revoker: f, Key: f.key, Reconnect: func(id.Token) {},
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.WatchAccess(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return log, stop
}

func TestAWarningBeginsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		log, stop := f.watching(t)
		r, exchange := f.create(nil)
		c := f.joined(r, exchange)
		f.connect(c, newPair(t).opening())
		const life = fleet.AccessWarning + time.Hour
		if err := f.ExpireToken(t.Context(), f.admin, r.ID, c.Token, life); err != nil {
			t.Fatal(err)
		}
		f.takeEvents()
		if got := f.get(r.ID); got.Message() != "" {
			t.Errorf("before: %q", got.Message())
		}
		time.Sleep(59 * time.Minute)
		if ops := f.takeEvents(); len(ops) != 0 || f.AccessEndingSoon() != 0 {
			t.Errorf("before: %v, %d", ops, f.AccessEndingSoon())
		}
		time.Sleep(2 * time.Minute)
		if ops := f.takeEvents(); len(ops) != 1 || ops[0] != event.StatusUpdated || f.AccessEndingSoon() != 1 {
			t.Errorf("events %v, %d end soon", ops, f.AccessEndingSoon())
		}
		got := f.get(r.ID)
		if got.Phase() != fleet.PhaseActive || !strings.Contains(got.Message(), "ends at") || time.Since(got.StatusAt) > 2*time.Minute {
			t.Errorf("%d since %v: %q", got.Phase(), got.StatusAt, got.Message())
		}
		if !strings.Contains(log.String(), string(r.ID)) {
			t.Errorf("the log says %s", log)
		}
		// The same text until the end, and no further event, also by another process.
		stop()
		time.Sleep(fleet.AccessWarning - time.Hour)
		_, stop = f.watching(t)
		synctest.Wait()
		if ops := f.takeEvents(); len(ops) != 0 || f.get(r.ID).Message() != got.Message() {
			t.Errorf("events %v, message %q", ops, f.get(r.ID).Message())
		}
		time.Sleep(time.Hour)
		if ops := f.takeEvents(); len(ops) != 1 || f.AccessEndingSoon() != 0 {
			t.Errorf("events %v, %d end soon", ops, f.AccessEndingSoon())
		}
		if got := f.get(r.ID); got.Phase() != fleet.PhaseInactive || !strings.Contains(got.Message(), "expired at") {
			t.Errorf("%d: %q", got.Phase(), got.Message())
		}
		stop()
		f.watching(t)
		time.Sleep(time.Minute)
		if ops := f.takeEvents(); len(ops) != 0 {
			t.Errorf("told again: %v", ops)
		}
	})
}

// Many end at the same time, and one of them was waiting to be deleted.
func TestManyTokensEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		const many = 250
		var all []fleet.Runner
		for range many {
			r, exchange := f.create(nil)
			c := f.joined(r, exchange)
			f.connect(c, newPair(t).opening())
			if err := f.expireIn(t, r, c, time.Hour); err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
		if err := f.Delete(t.Context(), f.admin, all[0].ID, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour) // nothing watched
		f.takeEvents()
		f.watching(t)
		time.Sleep(time.Second)
		if ops := f.takeEvents(); len(ops) != many {
			t.Errorf("%d events", len(ops))
		}
		if _, err := f.Get(t.Context(), f.admin, all[0].ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("the one that was to be deleted: %v", err)
		}
		for _, r := range all[1:] {
			if got := f.get(r.ID); got.Phase() != fleet.PhaseInactive {
				t.Fatalf("%d: %q", got.Phase(), got.Message())
			}
		}
	})
}

func (f *fixture) expireIn(t *testing.T, r fleet.Runner, c access.Caller, in time.Duration) error {
	t.Helper()
	s := fleet.New(fleet.Config{Store: f.store.Fleet(), Links: links{f}, Revoker: f, Key: f.key, Reconnect: func(id.Token) {}})
	return s.ExpireToken(t.Context(), f.admin, r.ID, c.Token, in)
}

// A token that was ended since its runner was let in opens no session.
func TestAnEndedTokenOpensNoSession(t *testing.T) {
	f := setup(t)
	r, exchange := f.create(nil)
	c, pair := f.joined(r, exchange), newPair(t)
	f.connect(c, pair.opening())
	if err := f.ExpireToken(t.Context(), f.admin, r.ID, c.Token, 0); err != nil {
		t.Fatal(err)
	}
	if got := f.get(r.ID); got.Phase() != fleet.PhaseInactive || !strings.Contains(got.Message(), "was ended at") {
		t.Errorf("%d: %q", got.Phase(), got.Message())
	}
	if _, err := f.OpenSession(t.Context(), c, pair.opening()); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("got %v", err)
	}
}

// The end of a token that nobody is connected with is no news.
func TestTheEndOfAnotherTokenEndsNoSession(t *testing.T) {
	f := setup(t)
	r, exchange := f.create(nil)
	other := f.joined(r, exchange)
	again, _, err := f.CreateToken(t.Context(), f.admin, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	c := f.joined(r, again)
	f.connect(c, newPair(t).opening())
	f.takeEvents()
	if err := f.ExpireToken(t.Context(), f.admin, r.ID, other.Token, 0); err != nil {
		t.Fatal(err)
	}
	if got := f.get(r.ID); got.Phase() != fleet.PhaseActive || got.Message() != "" || len(f.takeEvents()) != 0 {
		t.Errorf("%d: %q", got.Phase(), got.Message())
	}
}
