package pgtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// server is a running PostgreSQL.
type server struct {
	dir string
	bin string
	as  *syscall.Credential
	// alive is the standard input of the server's supervisor. It must not be
	// collected: that would close it, and stop the server.
	alive io.Closer
}

// install is what to do when PostgreSQL is missing. Tests fail without it,
// everywhere: a suite that skips half of its engines proves half.
const install = `pgtest: the binaries of a PostgreSQL server (15 or newer) are missing; looked for initdb in PATH and in /usr/lib/postgresql/*/bin. "make test" installs them; on Debian "apt-get install postgresql" does`

// configuration is for speed: what is written here need not survive a crash.
const configuration = `
listen_addresses = ''
unix_socket_directories = '%s'
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
max_connections = 300
shared_buffers = 32MB
max_wal_size = 2GB
`

const access = "local all " + Guarded + " scram-sha-256\nlocal all all trust\n"

// supervise keeps a server running until its standard input ends, which the
// system brings about when the test process is gone.
const supervise = `
"$1/pg_ctl" start --wait --silent --pgdata="$2/data" --log="$2/log" </dev/null >/dev/null 2>&1 || exit 1
echo ready
cat >/dev/null
"$1/pg_ctl" stop --mode=immediate --silent --pgdata="$2/data" >/dev/null 2>&1
rm -rf "$2"
`

func start() (*server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	as, err := somebody()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "muster-pg-")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir, bin: bin, as: as}
	if err := s.prepare(bin, as); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.run(bin, as); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.admin(context.Background(), "CREATE ROLE "+Guarded+" LOGIN PASSWORD '"+GuardedPassword+"'"); err != nil {
		return nil, fmt.Errorf("pgtest: making a role: %w", err)
	}
	return s, nil
}

// binaries finds the directory of the newest installed server.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
		return filepath.Dir(newest), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New(install)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Dir(path), nil
}

// version is the number in /usr/lib/postgresql/15/bin/initdb.
func version(path string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	if err != nil {
		return 0
	}
	return n
}

// somebody is whom the server runs as: it refuses to be root. Nil is whoever
// runs the tests.
func somebody() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("pgtest: PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")
}

// prepare makes the server's files.
func (s *server) prepare(bin string, as *syscall.Credential) error {
	if as != nil {
		if err := os.Chown(s.dir, int(as.Uid), int(as.Gid)); err != nil {
			return err
		}
	}
	data := filepath.Join(s.dir, "data")
	initdb := s.command(as, filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=postgres", "--auth=trust", "--no-sync",
		"--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en-US")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: initdb of PostgreSQL (15 or newer is needed) failed: %w\n%s", err, out)
	}
	conf, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conf, configuration, s.dir); err != nil {
		return errors.Join(err, conf.Close())
	}
	if err := conf.Close(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(access), 0o600)
}

// run starts the server and waits until it answers.
func (s *server) run(bin string, as *syscall.Credential) error {
	cmd := s.command(as, "/bin/sh", "-c", supervise, "supervise", bin, s.dir)
	var err error
	if s.alive, err = cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("pgtest: starting PostgreSQL: %w", err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || strings.TrimSpace(line) != "ready" {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		return fmt.Errorf("pgtest: PostgreSQL did not start: %w\n%s", errors.Join(err, cmd.Wait()), log)
	}
	return nil
}

// restart restarts the server as after a crash, and returns when it answers again.
func (s *server) restart() error {
	cmd := s.command(s.as, filepath.Join(s.bin, "pg_ctl"), "restart", "--wait", "--silent", "--mode=immediate", "--pgdata="+filepath.Join(s.dir, "data"), "--log="+filepath.Join(s.dir, "log"))
	// No pipe: the server would inherit it and keep it open.
	return cmd.Run()
}

// command runs in a process group of its own, so that Ctrl-C does not stop the
// server before the tests.
func (s *server) command(as *syscall.Credential, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + s.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: as}
	return cmd
}
