package robust_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/musterhq/muster/test/muster"
)

// pipe is a named pipe that a process prints to, and whose reader comes and
// goes.
type pipe struct {
	path  string
	write *os.File
	read  *os.File
	lines *bufio.Reader
}

func newPipe(t *testing.T) *pipe {
	t.Helper()
	p := &pipe{path: filepath.Join(t.TempDir(), "pipe")}
	if err := syscall.Mkfifo(p.path, 0o600); err != nil {
		t.Fatal(err)
	}
	p.open(t)
	var err error
	if p.write, err = os.OpenFile(p.path, os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = p.write.Close(), p.read.Close() })
	return p
}

// open lets somebody read.
func (p *pipe) open(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(p.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.read, p.lines = f, bufio.NewReader(f)
}

// leave is the death of the reader.
func (p *pipe) leave(t *testing.T) {
	t.Helper()
	if err := p.read.Close(); err != nil {
		t.Fatal(err)
	}
}

// await reads up to a line that a pattern matches, and returns its last group.
func (p *pipe) await(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	if err := p.read.SetReadDeadline(time.Now().Add(muster.Patience)); err != nil {
		t.Fatal(err)
	}
	for {
		line, err := p.lines.ReadString('\n')
		if m := re.FindStringSubmatch(line); m != nil {
			return m[len(m)-1]
		}
		if err != nil {
			t.Fatalf("waiting for a line with %q: %v", pattern, err)
		}
	}
}

// longRunner is a process that runs long and prints to a pipe, and what makes it
// print something.
type longRunner struct {
	*muster.Process
	out  *pipe
	talk func() error
}

// longRunners are the commands that run long.
var longRunners = map[string]func(*testing.T) longRunner{
	"serve": func(t *testing.T) longRunner {
		out := newPipe(t)
		p := muster.StartOn(t, out.write, nil, "serve", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--log-level", "debug")
		return longRunner{p, out, asks(out.await(t, `is ready at (http\S+)`))}
	},
	"dev": func(t *testing.T) longRunner {
		out := newPipe(t)
		p := muster.StartOn(t, out.write, nil, "dev", "--listen", "127.0.0.1:0", "--log-level", "debug")
		url := out.await(t, `is ready at (http\S+)`)
		out.await(t, `Ctrl-C stops all of it`)
		return longRunner{p, out, asks(url)}
	},
	"join": func(t *testing.T) longRunner {
		s := muster.Serve(t, muster.ServerOptions{})
		_, token := s.Admin().NewRunner(t, "lab")
		out := newPipe(t)
		p := muster.StartOn(t, out.write, []string{"MUSTER_EXCHANGE_TOKEN=" + token},
			"join", "--server", s.URL, "--data-dir", t.TempDir(), "--log-level", "debug")
		out.await(t, `connected`)
		return longRunner{p, out, func() error {
			// It says that the link is gone, and that it is there again.
			s.Stop(t)
			s.Restart(t)
			muster.Until(t, muster.Patience, func() error { return links(t, s, 1) })
			return nil
		}}
	},
}

// asks returns a call that a control plane logs.
func asks(url string) func() error {
	client := &http.Client{Timeout: muster.Patience / 4}
	return func() error {
		res, err := client.Post(url+"/gitpod.v1.RunnerService/ListRunners", "application/json", strings.NewReader("{}"))
		if err != nil {
			return err
		}
		if res.StatusCode != http.StatusUnauthorized {
			return fmt.Errorf("the answer is %s", res.Status)
		}
		return res.Body.Close()
	}
}

// What reads the output of a process that runs long may die: the process goes
// on, says how much was lost once somebody reads again, and stops in order.
func TestAReaderOfTheOutputMayDie(t *testing.T) {
	t.Parallel()
	for name, start := range longRunners {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			p.out.leave(t)
			for range 3 {
				if err := p.talk(); err != nil {
					t.Fatalf("nobody reads: %v", err)
				}
			}
			if !p.Running() {
				t.Fatalf("it ended with code %d", p.Wait(t, 0))
			}
			p.out.open(t)
			// It comes by itself, although nothing else is said.
			if lost := p.out.await(t, `lost.*"lines":(\d+)`); lost == "0" {
				t.Error("nothing was lost, it says")
			}
			p.out.leave(t)
			p.Stop(t)
		})
	}
}

// What reads the output may stand still: nobody waits for it, and what did not
// fit is counted.
func TestAReaderOfTheOutputMayStandStill(t *testing.T) {
	t.Parallel()
	for name, start := range longRunners {
		if name == "join" {
			continue // says too little to fill a pipe
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			const calls = 12_000 // 100 bytes each are more than the pipe and what waits for it
			talk := make(chan error, 16)
			for range cap(talk) {
				go func() {
					var err error
					for i := 0; i < calls/cap(talk) && err == nil; i++ {
						err = p.talk()
					}
					talk <- err
				}()
			}
			for range cap(talk) {
				if err := <-talk; err != nil {
					t.Fatalf("somebody waits for the reader: %v", err)
				}
			}
			p.out.await(t, `lost.*"lines":[1-9]`)
			p.Stop(t)
		})
	}
}

// A full disk under the log is a reader that takes nothing.
func TestALogOnAFullDisk(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close() //nolint:errcheck // nothing is in it
	listen := freeAddress(t)
	p := muster.StartOn(t, full, nil, "serve", "--data-dir", t.TempDir(), "--listen", listen, "--log-level", "debug")
	ask := asks("http://" + listen)
	muster.Until(t, muster.Patience, func() error {
		if !p.Running() {
			t.Fatal("it ended")
		}
		return ask()
	})
	p.Stop(t)
}

// A command that runs once ends with the reader of its output, as pipes have it.
func TestAOneShotCommandEndsWithItsReader(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	out := newPipe(t)
	out.leave(t)
	p := muster.StartOn(t, out.write, []string{"MUSTER_SERVER=" + s.URL, "MUSTER_TOKEN=" + s.Token}, "runner", "list", "-o", "json")
	p.Wait(t, muster.Patience)
	if s := p.EndedBy(); s != syscall.SIGPIPE {
		t.Errorf("it was ended by %v, want %v", s, syscall.SIGPIPE)
	}
}

// A terminal that is closed stops a process in order.
func TestAClosedTerminalStopsInOrder(t *testing.T) {
	t.Parallel()
	// Whoever runs the tests may do so under nohup, which a process passes on unless
	// it takes the signal itself.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	s := muster.Serve(t, muster.ServerOptions{})
	s.Signal(t, syscall.SIGHUP)
	if code := s.Wait(t, muster.Patience); code != 0 {
		t.Errorf("it ended with code %d", code)
	}
}

// Who signals a process and its group, as timeout does, means one order.
func TestTwoSignalsAtOnceAreOneOrder(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	s.Signal(t, syscall.SIGTERM)
	s.Signal(t, syscall.SIGTERM)
	if code := s.Wait(t, muster.Patience); code != 0 {
		t.Errorf("it ended with code %d", code)
	}
}

// Nobody may ever have read: a pipe that is full from the start holds up neither
// the work, nor the end, nor what is said of why it ends.
func TestNobodyEverReadTheOutput(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	_, token := s.Admin().NewRunner(t, "lab")
	taken := strings.TrimPrefix(s.URL, "http://")
	listen, elsewhere := freeAddress(t), freeAddress(t)
	for name, tt := range map[string]struct {
		args  []string
		ready func() error // nil for one that ends by itself
		code  int
	}{
		"serve": {[]string{"serve", "--data-dir", t.TempDir(), "--listen", listen}, asks("http://" + listen), 0},
		"dev":   {[]string{"dev", "--listen", elsewhere}, asks("http://" + elsewhere), 0},
		"join": {
			[]string{"join", "--server", s.URL, "--data-dir", t.TempDir(), "--exchange-token", token},
			func() error { return links(t, s, 1) }, 0,
		},
		"serve that cannot": {[]string{"serve", "--data-dir", t.TempDir(), "--listen", taken}, nil, 1},
		"dev that cannot":   {[]string{"dev", "--listen", taken}, nil, 1},
		"join that cannot":  {[]string{"join", "--server", s.URL, "--data-dir", t.TempDir(), "--exchange-token", "no-token"}, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := newPipe(t)
			fill(t, out.write)
			p := muster.StartOn(t, out.write, nil, tt.args...)
			if tt.ready != nil {
				muster.Until(t, muster.Patience, tt.ready)
				p.Signal(t, syscall.SIGTERM)
			}
			if code := p.Wait(t, muster.Patience); code != tt.code {
				t.Errorf("it ended with code %d, want %d", code, tt.code)
			}
		})
	}
}

// fill leaves no room in a pipe. It is as the process that inherits it expects it
// afterwards.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	fd := int(w.Fd()) // which makes it one that waits
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{4096, 1} {
		for {
			if _, err := syscall.Write(fd, make([]byte, n)); err != nil {
				break // there is no room
			}
		}
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
}
