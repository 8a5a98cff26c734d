package muster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is how long anything may take that should take no time at all. The
// machine may be busy with other tests.
const Patience = 60 * time.Second

// Process is a program that was started.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // of the exit; read it after ended
	out   output
}

// Start starts muster with arguments. The process is killed when the test ends;
// if the test failed, the end of what it printed is shown.
func Start(t testing.TB, env []string, args ...string) *Process {
	t.Helper()
	return launch(t, binary, nil, nil, env, args...)
}

// StartOn starts muster like Start does, with a file of the test's as standard
// output and standard error.
func StartOn(t testing.TB, out *os.File, env []string, args ...string) *Process {
	t.Helper()
	return launch(t, binary, nil, out, env, args...)
}

// StartWith starts muster like Start does, with a standard input.
func StartWith(t testing.TB, stdin io.Reader, env []string, args ...string) *Process {
	t.Helper()
	return launch(t, binary, stdin, nil, env, args...)
}

// Launch starts a program like Start does.
func Launch(t testing.TB, path string, env []string, args ...string) *Process {
	t.Helper()
	return launch(t, path, nil, nil, env, args...)
}

func launch(t testing.TB, path string, stdin io.Reader, out *os.File, env []string, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: exec.Command(path, args...), ended: make(chan struct{})}
	p.out.changed = make(chan struct{})
	p.cmd.Dir, p.cmd.Stdin = t.TempDir(), stdin
	p.cmd.Env = append(environment(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out.stream(&p.out.stdout), p.out.stream(&p.out.stderr)
	if out != nil {
		p.cmd.Stdout, p.cmd.Stderr = out, out
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s printed at the end:\n%s", p, tail(p.Printed()))
		}
	})
	return p
}

// environment is that of the tests, without what configures muster.
func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "MUSTER_") {
			env = append(env, kv)
		}
	}
	return env
}

// String names the process in messages.
func (p *Process) String() string {
	return fmt.Sprintf("%s %s (process %d)", p.cmd.Args[0][strings.LastIndexByte(p.cmd.Args[0], '/')+1:], p.cmd.Args[1], p.PID())
}

// PID is the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to a process, if it runs.
func (p *Process) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("%s: %v: %v", p, s, err)
	}
}

// Kill kills the process, as kill -9 does, and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.ended
}

// Stop sends SIGTERM and expects an orderly end.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	if code := p.Wait(t, Patience); code != 0 {
		t.Errorf("%s ended with code %d after SIGTERM", p, code)
	}
}

// Wait waits until the process has ended by itself and returns its exit code.
func (p *Process) Wait(t testing.TB, patience time.Duration) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("%s did not end within %s", p, patience)
		return 0
	}
}

// EndedBy is the signal that ended the process; 0 when it ended by itself. Wait
// for it before.
func (p *Process) EndedBy() syscall.Signal {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return 0
	}
	return status.Signal()
}

// Running tells whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Printed is what the process has printed, standard output before standard
// error.
func (p *Process) Printed() string {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	return p.out.stdout.String() + p.out.stderr.String()
}

// Stdout is what the process has printed to its standard output.
func (p *Process) Stdout() string {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	return p.out.stdout.String()
}

// Await waits until the process has printed what a pattern matches, and returns
// the pattern's last group.
func (p *Process) Await(t testing.TB, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(Patience)
	for {
		changed := p.out.wait()
		if m := re.FindStringSubmatch(p.Printed()); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-changed:
		case <-p.ended:
			if m := re.FindStringSubmatch(p.Printed()); m != nil {
				return m[len(m)-1]
			}
			t.Fatalf("%s ended (%v) before it printed %q", p, p.err, pattern)
		case <-timeout:
			t.Fatalf("%s did not print %q", p, pattern)
		}
	}
}

// tail is the end of a long text.
func tail(s string) string {
	const most = 4 << 10
	if len(s) <= most {
		return s
	}
	return "...\n" + s[len(s)-most:]
}

// output keeps what a process prints, and tells when there is more.
type output struct {
	mu             sync.Mutex
	stdout, stderr bytes.Buffer
	changed        chan struct{}
}

// wait returns a channel that is closed when there is more.
func (o *output) wait() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.changed
}

func (o *output) stream(into *bytes.Buffer) io.Writer { return stream{o, into} }

type stream struct {
	output *output
	into   *bytes.Buffer
}

func (s stream) Write(b []byte) (int, error) {
	s.output.mu.Lock()
	defer s.output.mu.Unlock()
	close(s.output.changed)
	s.output.changed = make(chan struct{})
	return s.into.Write(b)
}
