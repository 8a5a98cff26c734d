package script

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long anything may take that should take no time at all.
const patience = 60 * time.Second

// processes is the key under which a script has its background processes.
type processes struct{}

// process is a command in the background.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *output
	done           chan struct{}
	err            error // of the exit; read it after done
}

// start runs a command in the background and waits until it has printed what a
// pattern matches; a group in the pattern sets the variable of that name:
//
//	start NAME PATTERN COMMAND [ARG...]
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: start NAME PATTERN COMMAND [ARG...]")
	}
	name, pattern := args[0], args[1]
	path, err := exec.LookPath(bin + "/" + args[2])
	ts.Check(err)
	changed := &signal{ch: make(chan struct{})}
	p := &process{
		cmd: exec.Command(path, args[3:]...), stdout: &output{signal: changed}, stderr: &output{signal: changed},
		done: make(chan struct{}),
	}
	p.cmd.Dir, p.cmd.Env = ts.MkAbs("."), environment(ts)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	ts.Check(p.cmd.Start())
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	all(ts)[name] = p
	ts.Defer(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		ts.Logf("%s printed:\n%s%s", name, p.stdout, p.stderr)
	})
	value, err := p.await(pattern)
	ts.Check(err)
	ts.Setenv(name, value)
}

// environment is that of the script.
func environment(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{
		"PATH", "HOME", "TMPDIR", "XDG_CONFIG_HOME", "MUSTER_BOOTSTRAP_TOKEN", "MUSTER_SERVER", "MUSTER_TOKEN", "MUSTER_EXCHANGE_TOKEN",
	} {
		if v := ts.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func all(ts *testscript.TestScript) map[string]*process {
	return ts.Value(processes{}).(map[string]*process)
}

func named(ts *testscript.TestScript, name string) *process {
	p := all(ts)[name]
	if p == nil {
		ts.Fatalf("nothing called %s was started", name)
	}
	return p
}

// expect waits until a process has printed what a pattern matches: expect NAME
// PATTERN
func expect(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: expect NAME PATTERN")
	}
	value, err := named(ts, args[0]).await(args[1])
	ts.Check(err)
	ts.Setenv(args[0], value)
}

// end sends SIGTERM, or with -int SIGINT, and waits until the process has ended,
// which it must do in order. What it printed is then in the files NAME.stdout and
// NAME.stderr: end [-int] NAME
func end(ts *testscript.TestScript, neg bool, args []string) {
	signal := os.Signal(syscall.SIGTERM)
	if len(args) == 2 && args[0] == "-int" {
		signal, args = os.Interrupt, args[1:]
	}
	if neg || len(args) != 1 {
		ts.Fatalf("usage: end [-int] NAME")
	}
	ts.Check(named(ts, args[0]).cmd.Process.Signal(signal))
	finish(ts, false, args[0])
}

// ended waits until a process has ended by itself, in order or with "!" not in
// order: [!] ended NAME
func ended(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] ended NAME")
	}
	finish(ts, neg, args[0])
}

func finish(ts *testscript.TestScript, fails bool, name string) {
	p := named(ts, name)
	select {
	case <-p.done:
	case <-time.After(patience):
		ts.Fatalf("%s did not end", name)
	}
	for suffix, text := range map[string]string{".stdout": p.stdout.String(), ".stderr": p.stderr.String()} {
		ts.Check(os.WriteFile(ts.MkAbs(name+suffix), []byte(text), 0o600))
	}
	if fails != (p.err != nil) {
		ts.Fatalf("%s ended with: %v", name, p.err)
	}
}

// await waits until either stream has what a pattern matches, and returns its
// group.
func (p *process) await(pattern string) (string, error) {
	timeout := time.After(patience)
	for {
		changed := p.stdout.signal.wait()
		for _, text := range []string{p.stdout.String(), p.stderr.String()} {
			if value, err := group(pattern, text); err == nil {
				return value, nil
			}
		}
		select {
		case <-changed:
		case <-p.done:
			// What came last may have it.
			if value, err := group(pattern, p.stdout.String()+p.stderr.String()); err == nil {
				return value, nil
			}
			return "", errors.Join(fmt.Errorf("it ended before it printed %q", pattern), p.err)
		case <-timeout:
			return "", fmt.Errorf("it did not print %q", pattern)
		}
	}
}

// group returns what the first group of a pattern matches, or the whole pattern
// when it has none.
func group(pattern, text string) (string, error) {
	re, err := regexp.Compile("(?m)" + pattern)
	if err != nil {
		return "", err
	}
	m := re.FindStringSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("%w for %q", errNoMatch, pattern)
	}
	return strings.TrimSpace(m[len(m)-1]), nil
}

// output keeps what a process writes.
type output struct {
	mu     sync.Mutex
	buf    bytes.Buffer
	signal *signal
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.signal.send()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// signal tells that there is more to read.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

func (s *signal) send() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ch)
	s.ch = make(chan struct{})
}

// wait returns a channel that the next send closes.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ch
}
