package compat

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take that should take no time at all.
const patience = 30 * time.Second

// process is a running muster.
type process struct {
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
	err  error // of the exit; read it after done
}

// startMuster starts the binary. When the test ends the process is asked to
// stop, which it must do in an orderly way; a failed test shows what it said.
func startMuster(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(muster, args...), out: &output{changed: make(chan struct{})}, done: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append(cleanEnvironment(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("muster %s said:\n%s", args[0], p.out)
		}
	})
	return p
}

// cleanEnvironment is the environment without what configures muster or the SDKs.
func cleanEnvironment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "MUSTER_") && !strings.HasPrefix(kv, "GITPOD_") {
			env = append(env, kv)
		}
	}
	return env
}

// stop sends SIGTERM, unless the process is gone, and expects exit code 0.
func (p *process) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		<-p.done
		t.Errorf("muster %s did not stop within %s after SIGTERM", p.cmd.Args[1], patience)
		return
	}
	if p.err != nil {
		t.Errorf("muster %s: %v", p.cmd.Args[1], p.err)
	}
}

// await returns the first match in what the process says.
func (p *process) await(t *testing.T, re *regexp.Regexp) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		text, changed := p.out.read()
		if m := re.FindString(text); m != "" {
			return m
		}
		select {
		case <-changed:
		case <-p.done:
			t.Fatalf("muster %s ended (%v) before it said %q", p.cmd.Args[1], p.err, re)
		case <-ctx.Done():
			t.Fatalf("muster %s did not say %q", p.cmd.Args[1], re)
		}
	}
}

// output keeps what a process writes and tells when there is more.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{}
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.buf.Write(b)
}

func (o *output) read() (text string, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String(), o.changed
}

func (o *output) String() string {
	text, _ := o.read()
	return text
}
