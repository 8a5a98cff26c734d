package sqlstore_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/store/pgtest"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// refused opens a store that must be refused, and returns the fault.
func refused(t *testing.T, o sqlstore.Options) *fault.Error {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), o)
	if err == nil {
		t.Fatal(errors.Join(errors.New("the store was opened"), s.Close()))
	}
	f := fault.From(err)
	if f.Reason != fault.StorageUnavailable {
		t.Fatalf("refused with %v", err)
	}
	for _, driverText := range []string{"SQLSTATE", "SQLITE", "FATAL", "pgx", "dial ", "goose", "open /"} {
		if strings.Contains(f.Message, driverText) {
			t.Errorf("the sentence has the text of a driver: %s", f.Message)
		}
	}
	return f
}

// refusal is the sentence that the operator gets.
func refusal(t *testing.T, o sqlstore.Options) string {
	t.Helper()
	return refused(t, o).Message
}

func wantWords(t *testing.T, sentence string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(sentence, w) {
			t.Errorf("%q is missing in: %s", w, sentence)
		}
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	for name, fresh := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := fresh(t).(database)
			if err := d.Open(t, nil).Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := d.raw(t).ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)"); err != nil {
				t.Fatal(err)
			}
			wantWords(t, refusal(t, d.options), "schema version 9999", "newer muster", "restore the backup")
		})
	}
}

// The schema is changed once, whoever starts first, and an operator can see it.
func TestReplicasThatStartTogether(t *testing.T) {
	t.Parallel()
	d := newPostgres(t).(database)
	var log bytes.Buffer
	d.options.Logger = slog.New(slog.NewTextHandler(&log, nil))
	errs := make(chan error)
	for range 4 {
		go func() {
			s, err := sqlstore.Open(t.Context(), d.options)
			if err == nil {
				err = s.Close()
			}
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(log.String(), "changed the database schema"); n != 1 {
		t.Errorf("the schema was changed %d times:\n%s", n, &log)
	}
}

func TestExclusive(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"SQLite": true, "PostgreSQL": false} {
		s := engines[name](t).Open(t, nil)
		if got := s.Lease().Exclusive(); got != want {
			t.Errorf("%s: Exclusive is %v", name, got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestDataDirIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	old := syscall.Umask(0)
	s := sqliteIn(dir).Open(t, nil)
	syscall.Umask(old)
	defer s.Close() //nolint:errcheck // the test is over
	if err := s.Fleet().Write(t.Context(), func(fleet.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A lock file that is none is left as it is, and so is what a link points at.
func TestALockFileThatIsNone(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(lock, precious string) error{
		"a link": func(lock, precious string) error { return os.Symlink(precious, lock) },
		"a file": func(lock, precious string) error { return os.Link(precious, lock) },
	} {
		dir, precious := t.TempDir(), filepath.Join(t.TempDir(), "precious")
		if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := put(filepath.Join(dir, "muster.lock"), precious); err != nil {
			t.Fatal(err)
		}
		s, err := sqlstore.Open(t.Context(), sqlstore.Options{DataDir: dir})
		if err == nil {
			t.Errorf("%s: it was opened", name)
			_ = s.Close()
		} else {
			wantWords(t, fault.From(err).Message, "muster.lock", "--data-dir")
		}
		if content, _ := os.ReadFile(precious); string(content) != "precious" {
			t.Errorf("%s: there is now %q", name, content)
		}
	}
}

func TestDataDirInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := sqliteIn(dir).Open(t, nil)
	sentence := refusal(t, sqlstore.Options{DataDir: dir})
	wantWords(t, sentence, dir, "in use by process", "--data-dir")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sqliteIn(dir).Open(t, nil).Close(); err != nil {
		t.Error(err)
	}
}

func TestDataDirThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantWords(t, refusal(t, sqlstore.Options{DataDir: filepath.Join(file, "data")}), file, "not a directory", "--data-dir")
	wantWords(t, refusal(t, sqlstore.Options{DataDir: "/proc/muster"}), "/proc/muster", "--data-dir")
	wantWords(t, refusal(t, sqlstore.Options{}), "--data-dir", "--database-url")
}

func TestFileThatIsNoDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "muster.db"), []byte(strings.Repeat("not a database ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	wantWords(t, refusal(t, sqlstore.Options{DataDir: dir}), "damaged", "restore a backup")
}

func TestDatabaseURLThatCannotBeUsed(t *testing.T) {
	const secret = "s3cr3t-w0rd"
	guarded := func(password string) string {
		u, err := url.Parse(pgtest.URL(t))
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(pgtest.Guarded, password)
		return u.String()
	}
	unknown, err := url.Parse(pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	unknown.Path = "/nowhere"
	for name, c := range map[string]struct {
		url   string
		words []string
	}{
		"nobody listens":    {"postgres://me:" + secret + "@127.0.0.1:1/muster", []string{"127.0.0.1:1", "cannot be reached"}},
		"wrong password":    {guarded(secret), []string{pgtest.Guarded, "password"}},
		"may not":           {guarded(pgtest.GuardedPassword), []string{pgtest.Guarded, "owner of the database"}},
		"no such database":  {unknown.String(), []string{"nowhere", "CREATE DATABASE"}},
		"another engine":    {"mysql://me:" + secret + "@host/db", []string{"postgres://"}},
		"not a URL":         {"postgres://me:" + secret + "@host:port/db", []string{"postgres://"}},
		"a % in a password": {"postgres://me:" + secret + "%zz@host/db", []string{"postgres://"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := refused(t, sqlstore.Options{URL: c.url})
			if strings.Contains(f.Error(), secret) {
				t.Errorf("the password is in the error for the log: %v", f)
			}
			wantWords(t, f.Message, c.words...)
		})
	}
}

// When the server restarts, the call that was under way fails, with a sentence,
// and no later one notices.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	d := newPostgres(t).(database)
	s := d.Open(t, nil)
	defer s.Close() //nolint:errcheck // the test is over
	err := s.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
		pgtest.Terminate(t, d.options.URL)
		_, _, err := tx.Runner(t.Context(), "any")
		return err
	})
	if !fault.Is(err, fault.Unavailable) || !fault.HasReason(err, fault.StorageUnavailable) {
		t.Errorf("the broken call gave %v", err)
	}
	for name, call := range map[string]func() error{
		"write": func() error { return s.Fleet().Write(t.Context(), func(fleet.Tx) error { return nil }) },
		"look-up": func() error {
			_, _, err := s.Fleet().Runner(t.Context(), "any")
			return err
		},
		"list": func() error {
			_, err := s.Fleet().DeletingRunners(t.Context())
			return err
		},
	} {
		if err := call(); err != nil { // leaves a connection in the pool
			t.Errorf("%s: %v", name, err)
		}
		pgtest.Terminate(t, d.options.URL)
		if err := call(); err != nil {
			t.Errorf("%s after a restart: %v", name, err)
		}
	}
}
