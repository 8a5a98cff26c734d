package cli_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func logLine(second int, msg string) string {
	return fmt.Sprintf(`{"time":"2026-11-21T12:00:%02dZ","level":"INFO","msg":%q}`+"\n", second, msg)
}

func TestLogs(t *testing.T) {
	p := newPlane(t)
	p.add("lab", active)
	p.logs = func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s tail=%s follow=%s\nno end of line", r.URL.Path, r.FormValue("tail"), r.FormValue("follow"))
	}
	if got, want := muster(t, "runner", "logs", "lab", "--tail", "7").want(t, 0).stdout, "/runners/"+runnerID(1)+"/logs tail=7 follow=\nno end of line"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestLogsOfAnOfflineRunner(t *testing.T) {
	p := newPlane(t)
	p.add("new", created)
	p.add("gone", inactive)
	p.add("busy", active)
	p.logs = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		// {"reason":"runner-offline","request_id":"req-2"} as a google.rpc.ErrorInfo.
		fmt.Fprint(w, `{"code":"unavailable","message":"The runner went away.","details":[{"type":"google.rpc.ErrorInfo","value":"Cg5ydW5uZXItb2ZmbGluZQ"}]}`)
	}
	for _, c := range []struct{ runner, want string }{
		{"new", `runner "new" has never been connected`},
		{"gone", `runner "gone" is not connected`},
		{"busy", "muster: The runner went away.\n        (reason runner-offline)\n"},
	} {
		if r := muster(t, "runner", "logs", c.runner, "-f").want(t, 1); !strings.Contains(r.stderr, c.want) {
			t.Errorf("%s: it says %q", c.runner, r.stderr)
		}
	}
}

// A follower goes on where it was when the runner comes back.
func TestFollowLogs(t *testing.T) {
	p := newPlane(t)
	p.add("lab", active)
	opened := make(chan *http.Request, 1)
	text := make(chan string)
	p.logs = func(w http.ResponseWriter, r *http.Request) {
		opened <- r
		for s := range text {
			if s == "" {
				return
			}
			if s == "break" {
				panic(http.ErrAbortHandler)
			}
			if _, err := io.WriteString(w, s); err != nil {
				t.Error(err)
			}
			w.(http.Flusher).Flush()
		}
	}
	b := start(t, "runner", "logs", "lab", "-f")
	if r := next(t, opened); r.FormValue("follow") != "true" || r.FormValue("tail") != "" {
		t.Errorf("it asked for %s", r.URL)
	}
	text <- logLine(1, "one")
	if got := next(t, b.lines); !strings.Contains(got, "one") {
		t.Errorf("the first line is %q", got)
	}
	text <- logLine(2, "two")
	next(t, b.lines)
	// The runner goes in the middle of a line.
	text <- logLine(3, "three")[:20]
	p.set(runnerID(1), inactive, "")
	text <- "break"
	if got := next(t, b.notes); got != `muster: runner "lab" is INACTIVE; waiting for it` {
		t.Errorf("it says %q", got)
	}
	p.set(runnerID(1), active, "")
	if r := next(t, opened); r.FormValue("tail") == "" {
		t.Errorf("it asked for %s again", r.URL)
	}
	text <- logLine(1, "one") + logLine(2, "two") + logLine(3, "three")
	if got := next(t, b.lines); !strings.Contains(got, "three") {
		t.Errorf("after the break it printed %q", got)
	}
	b.interrupt()
	if code := b.end(t); code != 0 {
		t.Errorf("after an interrupt the exit code is %d", code)
	}
	close(text)
}

func TestFollowEndsWithTheRunner(t *testing.T) {
	p := newPlane(t)
	p.add("lab", active)
	p.logs = func(w http.ResponseWriter, _ *http.Request) {
		p.remove(runnerID(1))
		fmt.Fprint(w, logLine(1, "last words"))
	}
	b := start(t, "runner", "logs", "lab", "-f")
	if got := next(t, b.lines); !strings.Contains(got, "last words") {
		t.Errorf("it printed %q", got)
	}
	if code := b.end(t); code != 1 {
		t.Errorf("the exit code is %d", code)
	}
	if got := next(t, b.notes); !strings.Contains(got, "was deleted") {
		t.Errorf("it says %q", got)
	}
}

func TestSupportBundle(t *testing.T) {
	p := newPlane(t)
	p.add("Lab 1", active)
	p.logs = func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/support-bundle") {
			t.Errorf("it asked for %s", r.URL)
		}
		fmt.Fprint(w, "bundle")
	}
	dir := t.TempDir()
	command{dir: dir}.run(t, "runner", "support-bundle", "Lab 1").want(t, 0)
	path := filepath.Join(dir, "muster-lab-1-support-bundle.tar.gz")
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "bundle" {
		t.Errorf("the file has %q, %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
	if got := muster(t, "runner", "support-bundle", "Lab 1", "-o", "-").want(t, 0).stdout; got != "bundle" {
		t.Errorf("the standard output has %q", got)
	}

	// Half a bundle leaves no file.
	p.logs = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "half")
	}
	half := filepath.Join(dir, "half.tar.gz")
	muster(t, "runner", "support-bundle", "Lab 1", "-o", half).want(t, 1)
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a bundle was kept: %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("the directory has %v, %v", files, err)
	}
}
