package robust_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	_ "github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"
	_ "modernc.org/sqlite"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/store/pgtest"
	"github.com/musterhq/muster/test/muster"
)

// soon is how long a control plane may take to find out how it is.
const soon = 25 * time.Second

// readyz asks for the readiness.
func readyz(t *testing.T, s *muster.Server, query string) (status int, first string) {
	t.Helper()
	status, body := get(t, http.DefaultClient, s.URL+"/readyz"+query)
	first, _, _ = strings.Cut(body, "\n")
	return status, first
}

// healthOf is what the health protocol says: 1 for serving, 2 for not serving.
func healthOf(t *testing.T, s *muster.Server) protowire.Number {
	t.Helper()
	res, err := connect.NewClient[emptypb.Empty, emptypb.Empty](http.DefaultClient, s.URL+"/grpc.health.v1.Health/Check").
		CallUnary(t.Context(), connect.NewRequest(&emptypb.Empty{}))
	if err != nil {
		t.Fatal(err)
	}
	raw := res.Msg.ProtoReflect().GetUnknown()
	_, _, n := protowire.ConsumeTag(raw)
	v, _ := protowire.ConsumeVarint(raw[max(n, 0):])
	return protowire.Number(v) //nolint:gosec // 0 to 3
}

// A control plane whose database file was taken away from under it cannot
// answer, and says so without being asked for anything that needs the file.
func TestReadyTellsOfALostDatabase(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(file string) error{
		"emptied": func(file string) error { return os.Truncate(file, 0) },
		"cut off": func(file string) error { return os.Truncate(file, 2048) },
		"removed": os.Remove,
		"replaced": func(file string) error {
			return errors.Join(os.Rename(file, file+".old"), os.WriteFile(file, nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := muster.Serve(t, muster.ServerOptions{})
			if status, first := readyz(t, s, ""); status != http.StatusOK || first != "ok" {
				t.Fatalf("before: %d %s", status, first)
			}
			if err := harm(filepath.Join(s.DataDir, "muster.db")); err != nil {
				t.Fatal(err)
			}
			muster.Until(t, soon, func() error {
				if status, first := readyz(t, s, ""); status != http.StatusServiceUnavailable || !strings.Contains(first, "database") {
					return fmt.Errorf("%d %s", status, first)
				}
				return nil
			})
			if got := healthOf(t, s); got != 2 {
				t.Errorf("the health protocol says %d, want 2 for not serving", got)
			}
			if metrics := metricsOf(t, s); !strings.Contains(metrics, "\nmuster_ready 0\n") {
				t.Errorf("the metrics say: %s", grep(metrics, "muster_ready"))
			}
			if log := s.Printed(); !strings.Contains(log, "calls cannot be answered") {
				t.Errorf("the log does not say so: %s", log)
			}
		})
	}
}

// While the database takes no changes, what needs none goes on: calls that read,
// and the links.
func TestReadyTellsOfADatabaseThatTakesNoChanges(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		options func(t *testing.T) muster.ServerOptions
		// refuse makes the database refuse changes until allow is called.
		refuse func(t *testing.T, s *muster.Server, o muster.ServerOptions) (allow func())
		why    string
		links  bool // go on
	}{
		"sqlite": {func(*testing.T) muster.ServerOptions { return muster.ServerOptions{} }, lockSQLite, "locked", true},
		"postgresql": {func(t *testing.T) muster.ServerOptions {
			return muster.ServerOptions{DatabaseURL: pgtest.URL(t)}
		}, readOnlyPostgres, "takes no changes", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := tt.options(t)
			s := muster.Serve(t, o)
			runner := connected(t, s, "at work")
			allow := tt.refuse(t, s, o)
			muster.Until(t, soon, func() error {
				if status, first := readyz(t, s, ""); status != http.StatusOK || !strings.HasPrefix(first, "degraded: ") || !strings.Contains(first, tt.why) {
					return fmt.Errorf("%d %s", status, first)
				}
				return nil
			})
			// For longer than a lease of the control plane.
			muster.Throughout(t, 25*time.Second, func() error {
				status, first := readyz(t, s, "")
				strict, _ := readyz(t, s, "?strict")
				if status != http.StatusOK || !strings.HasPrefix(first, "degraded: ") || strict != http.StatusServiceUnavailable {
					return fmt.Errorf("%d %s; strictly %d", status, first, strict)
				}
				return nil
			})
			if got := healthOf(t, s); got != 1 {
				t.Errorf("the health protocol says %d, want 1 for serving", got)
			}
			if metrics := metricsOf(t, s); !strings.Contains(metrics, "\nmuster_degraded 1\n") || !strings.Contains(metrics, "\nmuster_ready 1\n") ||
				tt.links && !strings.Contains(metrics, "\nmuster_links 1\n") {
				t.Errorf("the metrics say: %s", grep(metrics, "muster_degraded", "muster_ready", "muster_links"))
			}
			if got, err := s.Admin().Runners.ListRunners(t.Context(), connect.NewRequest(&gitpodv1.ListRunnersRequest{})); err != nil || len(got.Msg.GetRunners()) != 1 {
				t.Errorf("a list: %v", err)
			}
			allow()
			muster.Until(t, soon, func() error {
				if status, first := readyz(t, s, "?strict"); status != http.StatusOK || first != "ok" {
					return fmt.Errorf("%d %s", status, first)
				}
				return nil
			})
			muster.Until(t, muster.Patience, func() error {
				if metrics := metricsOf(t, s); !strings.Contains(metrics, "\nmuster_links 1\n") {
					return errors.New("the runner is not back")
				}
				return nil
			})
			if tt.links {
				if err := runner.is(active); err != nil {
					t.Error(err)
				}
			}
			log := s.Printed()
			for _, once := range []string{`"degraded: `, "all calls can be answered again"} {
				if n := strings.Count(log, once); n != 1 {
					t.Errorf("the log says %d times %q: %s", n, once, log)
				}
			}
		})
	}
}

// lockSQLite is another program that writes, and does not end.
func lockSQLite(t *testing.T, s *muster.Server, _ muster.ServerOptions) (allow func()) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.DataDir, "muster.db")+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(tx.Rollback(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}

// readOnlyPostgres is a server that became a standby.
func readOnlyPostgres(t *testing.T, _ *muster.Server, o muster.ServerOptions) (allow func()) {
	name := o.DatabaseURL[strings.LastIndexByte(o.DatabaseURL, '/')+1:]
	name, _, _ = strings.Cut(name, "?")
	do := func(setting string) {
		db, err := sql.Open("pgx", o.DatabaseURL)
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		for _, statement := range []string{"SET default_transaction_read_only = off", "ALTER DATABASE " + name + " " + setting} {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		pgtest.Terminate(t, o.DatabaseURL) // new sessions have it
	}
	do("SET default_transaction_read_only = on")
	return func() { do("RESET default_transaction_read_only") }
}

// flood keeps n connections open that say nothing, another one for each that is
// closed from the other end, until the test ends or stop is called.
func flood(t *testing.T, address string, n int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for ctx.Err() == nil {
				c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
				if err != nil {
					if ctx.Err() == nil {
						t.Error(err)
					}
					return
				}
				closed := context.AfterFunc(ctx, func() { _ = c.Close() })
				_, _ = io.Copy(io.Discard, c)
				closed()
				_ = c.Close()
			}
		})
	}
	stop = func() {
		cancel()
		all.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// A process that has no file descriptors left says so, once, with numbers.
func TestRunningOutOfDescriptors(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	_, token := s.Admin().NewRunner(t, "with a listener")
	listen := freeAddress(t)
	runner := s.Join(t, token, "MUSTER_LOG_LISTEN="+listen, "MUSTER_LOG_ADVERTISE_URL=http://"+listen)
	runner.Await(t, "connected to")
	for name, tt := range map[string]struct {
		process *muster.Process
		address string
	}{
		"serve": {s.Process, strings.TrimPrefix(s.URL, "http://")},
		"join":  {runner.Process, listen},
	} {
		t.Run(name, func(t *testing.T) {
			limit := unix.Rlimit{Cur: 64, Max: 64}
			if err := unix.Prlimit(tt.process.PID(), syscall.RLIMIT_NOFILE, &limit, nil); err != nil {
				t.Fatal(err)
			}
			stop := flood(t, tt.address, 80)
			refused := regexp.MustCompile(`"msg":"connections cannot be accepted[^\n]*"error":"[^\n]*too many open files"[^\n]*"descriptors_used":[1-9][0-9],"descriptors_limit":64`) // some may be free again by then
			short := regexp.MustCompile(`"msg":"running out","of":"file descriptors","used":6[0-9],"limit":64,`)
			muster.Until(t, soon, func() error {
				if log := tt.process.Printed(); !refused.MatchString(log) || !short.MatchString(log) {
					return fmt.Errorf("the log does not say so: %s", log)
				}
				return nil
			})
			if n := len(refused.FindAllString(tt.process.Printed(), -1)); n != 1 {
				t.Errorf("it was said %d times", n)
			}
			stop()
			muster.Until(t, soon, func() error {
				if log := tt.process.Printed(); !strings.Contains(log, `"msg":"there is enough again","of":"file descriptors"`) {
					return fmt.Errorf("the log does not say that it is over: %s", log)
				}
				return nil
			})
		})
	}
	metrics := metricsOf(t, s)
	for _, want := range []string{
		`muster_accept_errors_total [1-9]`, `muster_resource_limit{resource="file descriptors"} 64`, `muster_resource_used{resource="file descriptors"} [1-9]`,
		`muster_resource_used{resource="data disk"} [1-9]`, `muster_resource_limit{resource="data disk"} [1-9]`, `muster_resource_used{resource="goroutines"} [1-9]`,
		`muster_resource_limit{resource="database connections"} [1-9]`,
	} {
		if !regexp.MustCompile(want).MatchString(metrics) {
			t.Errorf("the metrics have no %s: %s", want, grep(metrics, "muster_resource", "muster_accept"))
		}
	}
}
