package datadir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// flawOf wants an error to be a flaw, and returns it.
func flawOf(t *testing.T, err error) *Flaw {
	t.Helper()
	flaw, ok := errors.AsType[*Flaw](err)
	if !ok {
		t.Fatalf("%v is no flaw", err)
	}
	return flaw
}

func TestWhoCanReplaceWhatIsInADirectory(t *testing.T) {
	dir := t.TempDir()
	me := os.Geteuid()
	for mode, private := range map[fs.FileMode]bool{0o700: true, 0o755: true, 0o750: true, 0o770: false, 0o702: false, 0o777 | fs.ModeSticky: false} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := Private(dir); (err == nil) != private {
			t.Errorf("%v: %v", mode, err)
		} else if err != nil {
			if flaw := flawOf(t, err); flaw.Owner || !strings.Contains(flaw.Remedy, "chmod go-w") {
				t.Errorf("%v: %+v", mode, flaw)
			}
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := private(filepath.Join(dir, ".."), me); err != nil {
		t.Errorf("the directory above: %v", err)
	}
	if err := private("/", me+1); err != nil {
		t.Errorf("the superuser's: %v", err)
	}
	if err := Private(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that is not there: %v", err)
	}
	if err := os.Chown(dir, 65534, -1); err != nil {
		me++ // not the superuser, so it is another one who looks at it
	}
	if flaw := flawOf(t, private(dir, me)); !flaw.Owner || !strings.Contains(flaw.Why, "another user") || !strings.Contains(flaw.Remedy, "chown") {
		t.Errorf("another user's: %+v", flaw)
	}
}

func TestUnused(t *testing.T) {
	dir := t.TempDir()
	none := func(string) bool { return false }
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Unused(dir, none); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if flaw := flawOf(t, Unused(dir, none)); !strings.Contains(flaw.Why, `"a", "b", "c", 2 more`) {
		t.Error(flaw)
	}
	if flaw := flawOf(t, Unused(dir, func(name string) bool { return name != "d" })); !strings.HasSuffix(flaw.Why, `holds "d"`) {
		t.Error(flaw)
	}
}

func TestWhatCountsAsALockFile(t *testing.T) {
	for content, is := range map[string]bool{
		"": true, "\n": true, "123\n": true, "123": true, "process 7 on host h-1.example\n": true, "\x00\x00\x00\x00": true,
		"x": false, "123 456\n": false, "123\n456\n": false, "process 7 on host h\nand more\n": false, "process on host h": false,
		"process 7 on host " + strings.Repeat("h", 600): false,
	} {
		path := filepath.Join(t.TempDir(), "lock")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if IsLock(path) != is {
			t.Errorf("%q: %v", content, !is)
		}
		f, err := Hold(path, "1")
		if (err == nil) != is {
			t.Errorf("%q: %v", content, err)
		}
		want := content
		if err == nil {
			want = "1\n"
			_ = f.Close()
		} else {
			_ = flawOf(t, err)
		}
		if now, _ := os.ReadFile(path); string(now) != want {
			t.Errorf("%q has become %q", content, now)
		}
	}
}

func TestHoldIsForOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	f, err := Hold(path, "process 7 on host h")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Hold(path, "8")
	if busy, ok := errors.AsType[*Busy](err); !ok || busy.Holder != "process 7 on host h" || !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("the second one got %v", err)
	}
	_ = f.Close()
	f, err = Hold(path, "8")
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}
