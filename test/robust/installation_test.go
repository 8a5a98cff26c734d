package robust_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/store/pgtest"
	"github.com/musterhq/muster/test/muster"
)

// After an orderly stop the main file has everything, and nothing of it is open.
func TestAStoppedDatabaseIsOneWholeFile(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	id, _ := s.Admin().NewRunner(t, "kept")
	s.Stop(t)
	if left, _ := filepath.Glob(filepath.Join(s.DataDir, "muster.db-*")); len(left) != 0 {
		t.Errorf("beside the database there are %v", left)
	}
	// Copied alone, with what is in the directory beside it.
	copied := t.TempDir()
	for _, name := range []string{"muster.db", "secret-key"} {
		copyFile(t, filepath.Join(s.DataDir, name), filepath.Join(copied, name))
	}
	s.DataDir = copied
	s.Restart(t)
	if _, err := s.Admin().Runner(t, id); err != nil {
		t.Errorf("in a copy of the main file the runner is gone: %v", err)
	}
}

// A database without its contents is no first start, and a runner that meets what
// was begun in its place waits for its own control plane.
func TestAnEmptyDatabaseIsNotBegunAnew(t *testing.T) {
	t.Parallel()
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			s := muster.Serve(t, o)
			_, exchange := s.Admin().NewRunner(t, "lab")
			host := s.Join(t, exchange)
			host.Await(t, `joined as runner`)
			s.Stop(t)

			own := filepath.Join(s.DataDir, "muster.db")
			other := o
			if o.DatabaseURL != "" {
				other.DatabaseURL = pgtest.URL(t)
			} else {
				if err := os.Rename(own, own+".away"); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(own, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			refused := muster.Start(t, nil, serveArgs(s.DataDir, other.DatabaseURL)...)
			if code := refused.Wait(t, muster.Patience); code == 0 || strings.Contains(refused.Printed(), "This is the first start") || !strings.Contains(refused.Printed(), "--accept-database") {
				t.Errorf("code %d: %s", code, refused.Printed())
			}

			// Another installation at the same address: the runner stays.
			listen := strings.TrimPrefix(s.URL, "http://")
			wrong := muster.Start(t, nil, append(serveArgs(t.TempDir(), other.DatabaseURL), "--listen", listen)...)
			wrong.Await(t, `Muster is ready`)
			host.Await(t, `a wrong control plane`)
			wrong.Stop(t)
			if o.DatabaseURL == "" {
				if err := os.Rename(own+".away", own); err != nil {
					t.Fatal(err)
				}
			}
			s.Restart(t)
			muster.Until(t, muster.Patience, func() error {
				for _, r := range s.Admin().AllRunners(t) {
					if phase := r.GetStatus().GetPhase(); r.GetSpec() != nil && phase != gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE {
						return fmt.Errorf("%s is %s", r.GetName(), phase)
					}
				}
				return nil
			})
			if !host.Running() {
				t.Error("the runner has ended")
			}
		})
	}
}

func serveArgs(dir, url string) []string {
	args := []string{"serve", "--data-dir", dir}
	if url != "" {
		args = append(args, "--database-url", url)
	}
	return args
}

// Parts of different installations are refused, others are not.
func TestPartsThatDoNotBelongTogether(t *testing.T) {
	t.Parallel()
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			a, b := installed(t, options(t)), installed(t, options(t))
			id := a.id(t)
			if b.id(t) == id || len(id) != 36 {
				t.Fatalf("two installations are %s and %s", id, b.id(t))
			}

			// A new directory takes the id of the database.
			fresh := a
			fresh.dir = t.TempDir()
			copyFile(t, filepath.Join(a.dir, "secret-key"), filepath.Join(fresh.dir, "secret-key"))
			if a.url == "" {
				copyFile(t, filepath.Join(a.dir, "muster.db"), filepath.Join(fresh.dir, "muster.db"))
			}
			fresh.serves(t)
			if fresh.id(t) != id {
				t.Errorf("a new directory is %s, want %s", fresh.id(t), id)
			}
			// Both are from before there was such an id.
			fresh.exec(t, "DELETE FROM installation")
			fresh.setID(t, "")
			fresh.serves(t)
			adopted := fresh.id(t)
			fresh.serves(t)
			if len(adopted) != 36 || adopted == id || fresh.id(t) != adopted {
				t.Errorf("adopted as %q, then %q", adopted, fresh.id(t))
			}
			if a.url == "" {
				a.serves(t)
			} else {
				// The database is one and the same: now it is another installation.
				a.refuses(t, "belongs to the installation "+id)
				a.setID(t, adopted)
				id = adopted
			}

			// A database from an old backup, which does not say what it is.
			a.exec(t, "DELETE FROM installation")
			a.refuses(t, "does not say to which it belongs")
			a.serves(t, "--accept-database")
			if a.id(t) != id {
				t.Errorf("after an old backup the directory is %s, want %s", a.id(t), id)
			}
			a.serves(t)

			// The database of another installation.
			a.setID(t, b.id(t))
			before := a.id(t)
			a.refuses(t, id)
			if a.id(t) != before {
				t.Error("a refused start changed the directory")
			}
			for _, command := range [][]string{{"admin", "reset"}, {"admin", "clock", "confirm"}} {
				p := muster.Start(t, nil, append(command, serveArgs(a.dir, a.url)[1:]...)...)
				if code := p.Wait(t, muster.Patience); code == 0 || !strings.Contains(p.Printed(), "belongs to the installation") {
					t.Errorf("%v: code %d, %s", command, code, p.Printed())
				}
			}
			a.serves(t, "--accept-database")
			if a.id(t) != id {
				t.Errorf("after --accept-database the directory is %s, want %s", a.id(t), id)
			}

			// Without the key nothing is made in its place.
			key := filepath.Join(a.dir, "secret-key")
			if err := os.Rename(key, key+".away"); err != nil {
				t.Fatal(err)
			}
			a.refuses(t, "no secret-key file")
			if _, err := os.Stat(key); err == nil {
				t.Error("a secret-key file was made for a database that is encrypted under another")
			}
			// That of another installation is no help.
			copyFile(t, filepath.Join(b.dir, "secret-key"), key)
			a.refuses(t, "secret-key file is not the one")

			// A secret key alone is what a first start leaves that was killed.
			alone := installed(t, options(t), func(dir string) { copyFile(t, key, filepath.Join(dir, "secret-key")) })
			if alone.id(t) == "" {
				t.Error("beside a secret key nothing was begun")
			}
			// A damaged id is nobody's.
			alone.setID(t, "garbage")
			alone.refuses(t, "is damaged")
		})
	}
}

// parts are a data directory and, with PostgreSQL, a database.
type parts struct{ dir, url string }

// installed makes a first start and stops it.
func installed(t *testing.T, o muster.ServerOptions, prepare ...func(dir string)) parts {
	t.Helper()
	p := parts{t.TempDir(), o.DatabaseURL}
	for _, do := range prepare {
		do(p.dir)
	}
	if out := p.serves(t); !strings.Contains(out, "This is the first start") {
		t.Errorf("the first start said %s", out)
	}
	return p
}

// serves starts a control plane on the parts and stops it.
func (p parts) serves(t *testing.T, args ...string) string {
	t.Helper()
	s := muster.Start(t, nil, append(append(serveArgs(p.dir, p.url), "--listen", "127.0.0.1:0"), args...)...)
	s.Await(t, `Muster is ready at`)
	s.Stop(t)
	return s.Printed()
}

func (p parts) refuses(t *testing.T, why string) {
	t.Helper()
	s := muster.Start(t, nil, append(serveArgs(p.dir, p.url), "--listen", "127.0.0.1:0")...)
	if code := s.Wait(t, muster.Patience); code == 0 || !strings.Contains(s.Printed(), why) || strings.Contains(s.Printed(), "ready") {
		t.Errorf("code %d, want %q: %s", code, why, s.Printed())
	}
}

func (p parts) id(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(p.dir, "installation-id"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(raw))
}

// setID makes the directory that of an installation; of none when that is empty.
func (p parts) setID(t *testing.T, id string) {
	t.Helper()
	path := filepath.Join(p.dir, "installation-id")
	err := os.Remove(path)
	if id != "" {
		err = os.WriteFile(path, []byte(id+"\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (p parts) exec(t *testing.T, statement string) {
	t.Helper()
	d := openDatabase(t, p.dir, p.url)
	defer d.Close() //nolint:errcheck // the statement counts
	if _, err := d.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A first start that is killed at any of its writes can be repeated.
func TestAFirstStartThatIsKilled(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing; make deps installs it")
	}
	// What puts something on a disk, or sends it to the database. Strace counts the
	// calls of each thread by itself.
	calls := []string{"write,pwrite64", "fsync", "?renameat,?renameat2,?linkat,?unlinkat"}
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			for _, call := range calls {
				for n, ready := 1, false; !ready; n += 1 + n/3 {
					ready = killedAt(t, options(t), strace, call, n)
				}
			}
		})
	}
}

// killedAt makes a first start that ends with its nth call, makes it again, and
// tells whether it had become ready.
func killedAt(t *testing.T, o muster.ServerOptions, strace, call string, n int) (ready bool) {
	t.Helper()
	p := parts{t.TempDir(), o.DatabaseURL}
	const token = "bootstrap-of-a-start-that-is-killed"
	env := []string{"MUSTER_BOOTSTRAP_TOKEN=" + token}
	serve := append(serveArgs(p.dir, p.url), "--listen", "127.0.0.1:0")
	trace := []string{"-D", "-f", "-qq", "-o", os.DevNull, "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n), muster.Binary()}
	killed := muster.Launch(t, strace, env, append(trace, serve...)...)
	muster.Until(t, muster.Patience, func() error {
		ready = strings.Contains(killed.Printed(), "Muster is ready at")
		if !ready && killed.Running() {
			return errors.New("it is neither ready nor killed")
		}
		return nil
	})
	killed.Kill()
	again := muster.Start(t, env, serve...)
	url := again.Await(t, `Muster is ready at (http://[0-9.:]+)`)
	if _, err := muster.NewAPI(url, token).Identities.GetAuthenticatedIdentity(t.Context(), connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{})); err != nil {
		t.Errorf("after a kill at %s %d the first token gets %v", call, n, err)
	}
	again.Stop(t)
	if p.id(t) == "" {
		t.Errorf("after a kill at %s %d the directory belongs to nothing", call, n)
	}
	return ready
}
