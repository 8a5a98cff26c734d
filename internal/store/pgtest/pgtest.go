// Package pgtest gives tests a PostgreSQL database.
//
// It starts one server for each test binary, from the binaries that are
// installed, in a temporary directory and reachable through a socket there. It
// stops when the test binary ends, however it ends. Nothing that tests do here
// can reach another server, and nothing survives.
package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Guarded is a role that must log in with the password GuardedPassword; all
// others need none.
const (
	Guarded         = "guarded"
	GuardedPassword = "right-horse"
)

// The server is shared by the tests of a binary, which have no other place to
// keep it.
var (
	shared = sync.OnceValues(start)
	serial atomic.Int64
)

// URL returns the URL of an empty database, which is dropped when t ends.
//
// Text in it is sorted as in English, not by its bytes, so that tests notice
// queries whose result depends on the collation.
func URL(t testing.TB) string {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("test_%d", serial.Add(1))
	if err := s.admin(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("pgtest: making a database: %v", err)
	}
	t.Cleanup(func() {
		// The context of t has ended by now.
		if err := s.admin(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("pgtest: dropping a database: %v", err)
		}
	})
	return s.url("postgres", name)
}

// Own starts another server, for one test, and returns the URL of an empty
// database on it and what restarts the server without a word to its clients. What
// it acknowledged survives that.
func Own(t testing.TB) (database string, restart func()) {
	t.Helper()
	s, err := start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.alive.Close() })
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_commit = on", "SELECT pg_reload_conf()"} {
		if err := s.admin(t.Context(), statement); err != nil {
			t.Fatalf("pgtest: setting up a server: %v", err)
		}
	}
	return s.url("postgres", "postgres"), func() {
		t.Helper()
		if err := s.restart(); err != nil {
			t.Fatalf("pgtest: restarting the server: %v", err)
		}
	}
}

// Terminate ends all connections to the database of a URL, as a restart of the
// server would.
func Terminate(t testing.TB, database string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{dir: u.Query().Get("host")}
	if err := s.admin(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()", u.Path[1:]); err != nil {
		t.Fatalf("pgtest: ending connections: %v", err)
	}
}

// admin runs one statement as the superuser.
func (s *server) admin(ctx context.Context, statement string, args ...any) error {
	conn, err := pgx.Connect(ctx, s.url("postgres", "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // the statement counts
	_, err = conn.Exec(ctx, statement, args...)
	return err
}

func (s *server) url(user, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User(user), Path: "/" + database,
		RawQuery: url.Values{"host": {s.dir}, "sslmode": {"disable"}}.Encode(),
	}
	return u.String()
}
