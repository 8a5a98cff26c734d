package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/musterhq/muster/internal/cli"
)

// terminal opens a terminal: what is written to it can be read from screen.
func terminal(t *testing.T) (screen, stdout *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	stdout, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdout.Close() })
	return screen, stdout
}

// On a terminal somebody sees the first token, and there is no file of it any more.
func TestTheFirstTokenOnATerminal(t *testing.T) {
	screen, stdout := terminal(t)
	stderr, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stderr.Close() })
	dir := filepath.Join(t.TempDir(), "data")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Main(ctx, &commands{}, &cli.Env{Stdout: stdout, Stderr: stderr, Version: "test", Now: time.Now},
			[]string{"serve", "--data-dir", dir, "--listen", "127.0.0.1:0"})
	}()
	var shown []byte
	for want := regexp.MustCompile(`(?s)shown this once.*  muster_pat_\S+\s.*muster login --server http`); !want.Match(shown); {
		buf := make([]byte, 1024)
		n, err := screen.Read(buf)
		if err != nil {
			t.Fatalf("%v: %s", err, shown)
		}
		shown = append(shown, buf[:n]...)
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(filepath.Join(dir, "admin-token")); !os.IsNotExist(err) {
		t.Errorf("there is a file, too: %v", err)
	}
	if log, err := os.ReadFile(stderr.Name()); err != nil || regexp.MustCompile("muster_pat_").Match(log) {
		t.Errorf("%v, the log: %s", err, log)
	}
}

// A terminal that stands still shows nothing, so the token stays in its file, and
// nobody waits.
func TestTheFirstTokenOnATerminalThatStandsStill(t *testing.T) {
	_, stdout := terminal(t)
	const suspend = 0 // TCOOFF: what Ctrl-S does
	if err := unix.IoctlSetInt(int(stdout.Fd()), unix.TCXONC, suspend); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	ctx, cancel := context.WithCancel(t.Context())
	var log bytes.Buffer
	up := make(chan struct{})
	stderr := writerFunc(func(b []byte) (int, error) {
		if bytes.Contains(b, []byte("the control plane is up")) {
			close(up)
		}
		return log.Write(b)
	})
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Main(ctx, &commands{}, &cli.Env{Stdout: stdout, Stderr: stderr, Version: "test", Now: time.Now},
			[]string{"serve", "--data-dir", dir, "--listen", "127.0.0.1:0"})
	}()
	<-up
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d: %s", code, &log)
	}
	secret, err := os.ReadFile(filepath.Join(dir, "admin-token"))
	if err != nil || !regexp.MustCompile(`^muster_pat_\S+\n$`).Match(secret) {
		t.Errorf("the file has %d bytes, %v", len(secret), err)
	}
}
