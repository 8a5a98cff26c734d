package sqlstore_test

import (
	"testing"
	"time"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/lease"
	"github.com/musterhq/muster/internal/store/pgtest"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// PostgreSQL knows at once that the process of a replica is gone, and takes one
// whose connections broke for gone only until it is back.
func TestAProcessIsPresentUntilItIsGone(t *testing.T) {
	url := pgtest.URL(t)
	open := func() *sqlstore.Store {
		s, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	register := func(s *sqlstore.Store) string {
		r := lease.Replica{ID: id.New(), HostName: "h", StartedAt: time.Now()}
		if _, err := s.RegisterReplica(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		return r.ID
	}
	first, second := open(), open()
	a, b := register(first), register(second)
	is := func(s *sqlstore.Store, replica string) bool {
		gone, err := s.Gone(t.Context(), replica)
		if err != nil {
			t.Fatal(err)
		}
		return gone
	}
	if is(second, a) || is(first, b) || is(first, a) {
		t.Error("a process that lives is gone")
	}

	pgtest.Terminate(t, url)
	deadline := time.After(10 * time.Second)
	for is(second, a) || is(first, b) {
		select {
		case <-deadline:
			t.Fatal("a process whose connections broke stays gone")
		default:
		}
	}

	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for !is(second, a) { // the server ends a session a moment after its connection
		select {
		case <-deadline:
			t.Fatal("a process that has ended is present")
		default:
		}
	}
	if is(second, b) {
		t.Error("a process that lives is gone")
	}
}

// Through a pooler nobody knows whose sessions are whose.
func TestAPoolerTellsOfNobody(t *testing.T) {
	url := pgtest.URL(t)
	pooler := pgtest.NewProxy(t, url)
	pooler.Judge(func(m pgtest.Message) pgtest.Verdict {
		if m.FromServer && m.Kind == 'K' { // it has keys of its own for the cancelling of queries
			m.Body[0] ^= 1
		}
		return pgtest.Pass
	})
	s, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: pooler.URL})
	if err != nil {
		t.Fatal(err)
	}
	r := lease.Replica{ID: id.New(), HostName: "h", StartedAt: time.Now()}
	if _, err := s.RegisterReplica(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() //nolint:errcheck // it was read
	if gone, err := other.Gone(t.Context(), r.ID); gone || err != nil {
		t.Errorf("gone %v, %v", gone, err)
	}
}
