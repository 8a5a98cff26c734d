package home_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/agent/home"
	"github.com/musterhq/muster/internal/fault"
)

func open(t *testing.T, dir string) *home.Home {
	t.Helper()
	h, err := home.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func identity(t *testing.T) home.Identity {
	t.Helper()
	id, err := home.New("https://muster.example")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestIdentitySurvives(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "data")
	h := open(t, dir)
	if id, err := h.Load(); err != nil || id.Made() || id.Joined() {
		t.Fatalf("an empty directory gave %v, %v", id, err)
	}
	want := identity(t)
	if err := h.Save(want); err != nil {
		t.Fatal(err)
	}
	want.AccessToken, want.RunnerID = "secret", "r"
	if err := h.Save(want); err != nil {
		t.Fatal(err)
	}
	_ = h.Close()

	h = open(t, dir)
	got, err := h.Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := h.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := h.Remove(); err != nil {
		t.Errorf("removing twice: %v", err)
	}
	if id, err := h.Load(); err != nil || id.Made() {
		t.Errorf("after removal: %v, %v", id, err)
	}
}

func TestModes(t *testing.T) {
	for name, mode := range map[string]os.FileMode{"new": 0, "open to readers": 0o755, "closed": 0o700, "for one group": 0o750} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			want := os.FileMode(0o700)
			if mode != 0 {
				makeDir(t, dir, mode)
				want = mode
			}
			h := open(t, dir)
			if err := h.Save(identity(t)); err != nil {
				t.Fatal(err)
			}
			for path, want := range map[string]os.FileMode{dir: want, filepath.Join(dir, "identity.json"): 0o600, filepath.Join(dir, "lock"): 0o600} {
				if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
					t.Errorf("%s: %v, %v; want %v", path, info.Mode(), err, want)
				}
			}
			entries, _ := os.ReadDir(dir)
			if len(entries) != 2 {
				t.Errorf("there are leftovers: %v", entries)
			}
		})
	}
}

func makeDir(t *testing.T, dir string, mode os.FileMode, files ...string) {
	t.Helper()
	if err := os.Mkdir(dir, mode); err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, mode); err != nil { // umask had a say
		t.Fatal(err)
	}
}

// What is somebody else's is refused, and left as it is.
func TestADirectoryThatIsNoPlaceForAnIdentity(t *testing.T) {
	for name, c := range map[string]struct {
		mode  os.FileMode
		files []string
		words []string
	}{
		"somebody's files":        {0o755, []string{"a", "b", "c", "d", "e"}, []string{`"a", "b", "c", 2 more`, "empty or a new directory", "--data-dir"}},
		"a control plane":         {0o700, []string{"lock", "muster.db", "secret-key"}, []string{`"muster.db", "secret-key"`}},
		"writable for a group":    {0o770, nil, []string{"0770", "chmod go-w"}},
		"writable for everybody":  {0o777 | os.ModeSticky, nil, []string{"chmod go-w"}},
		"writable, with identity": {0o720, []string{"identity.json"}, []string{"chmod go-w"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			makeDir(t, dir, c.mode, c.files...)
			before, err := os.Stat(dir)
			if err != nil {
				t.Fatal(err)
			}
			_, err = home.Open(dir)
			if !fault.HasReason(err, fault.DataDirectory) {
				t.Fatalf("opening gave %v", err)
			}
			for _, words := range append(c.words, dir) {
				if !strings.Contains(fault.From(err).Message, words) {
					t.Errorf("%q is not in: %s", words, fault.From(err).Message)
				}
			}
			after, err := os.Stat(dir)
			if err != nil || after.Mode() != before.Mode() {
				t.Errorf("the mode was %v and is %v (%v)", before.Mode(), after.Mode(), err)
			}
			if left, _ := os.ReadDir(dir); len(left) != len(c.files) {
				t.Errorf("there are now %v", left)
			}
		})
	}
}

// Nor is a lock file that is none: somebody has put it there, or it is something
// else. Not even what is behind it is touched.
func TestALockFileThatIsNone(t *testing.T) {
	for name, put := range map[string]func(lock, precious string) error{
		"a file of somebody": func(lock, precious string) error { return os.Rename(precious, lock) },
		"a link to a file":   func(lock, precious string) error { return os.Symlink(precious, lock) },
		"a link to nothing":  func(lock, _ string) error { return os.Symlink(lock+".none", lock) },
		"a folder":           func(lock, _ string) error { return os.Mkdir(lock, 0o700) },
		"a pipe":             func(lock, _ string) error { return syscall.Mkfifo(lock, 0o600) },
	} {
		for state, joined := range map[string]bool{"before it joined": false, "once it has joined": true} {
			t.Run(name+" "+state, func(t *testing.T) {
				dir := t.TempDir()
				if joined {
					h := open(t, dir)
					if err := h.Save(identity(t)); err != nil {
						t.Fatal(err)
					}
					_ = h.Close()
					if err := os.Remove(filepath.Join(dir, "lock")); err != nil {
						t.Fatal(err)
					}
				}
				outside := t.TempDir()
				precious, lock := filepath.Join(outside, "precious"), filepath.Join(dir, "lock")
				if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := put(lock, precious); err != nil {
					t.Fatal(err)
				}
				_, err := home.Open(dir)
				if !fault.HasReason(err, fault.DataDirectory) || !strings.Contains(fault.From(err).Message, "lock") || !strings.Contains(fault.From(err).Message, "--data-dir") {
					t.Errorf("opening gave %v", err)
				}
				for _, path := range []string{precious, lock} {
					if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
						if content, _ := os.ReadFile(path); string(content) != "precious" {
							t.Errorf("%s now has %q", path, content)
						}
					}
				}
				if left, _ := os.ReadDir(outside); len(left) > 1 {
					t.Errorf("there are now %v", left)
				}
				if _, err := os.Stat(lock + ".none"); err == nil {
					t.Error("what the link points at was made")
				}
			})
		}
	}
}

// A new file system, and what a first start that failed left, are nobody's.
func TestADirectoryWithNothingOfAnybodyElse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	makeDir(t, dir, 0o755, ".identity-123")
	makeDir(t, filepath.Join(dir, "lost+found"), 0o700)
	_ = open(t, dir).Close() // leaves its lock file
	open(t, dir)
}

func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	_, err := home.Open(dir)
	if !fault.HasReason(err, fault.DataDirectory) || !strings.Contains(err.Error(), fmt.Sprintf("(process %d)", os.Getpid())) {
		t.Errorf("the second holder got %v", err)
	}
	_ = h.Close()
	open(t, dir)
}

func TestLeftoversOfACrashAreRemoved(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, ".identity-123")
	if err := os.WriteFile(left, []byte("token"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestUnusableDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := home.Open(filepath.Join(file, "data"))
	if !fault.HasReason(err, fault.DataDirectory) || !strings.Contains(fault.From(err).Message, "not a directory") {
		t.Errorf("got %v", err)
	}

	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "identity.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	h := open(t, dir)
	if err := h.Save(identity(t)); !fault.HasReason(err, fault.DataDirectory) {
		t.Errorf("saving over a directory: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".identity-*")); len(left) != 0 {
		t.Errorf("a failed save left %v", left)
	}
}

func TestDamagedIdentityIsNotQuoted(t *testing.T) {
	for _, content := range []string{`{"accessToken":"planted`, `{}`, ``, `{"server":"s","publicKey":"cGxhbnRlZA==","privateKey":"cGxhbnRlZA=="}`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "identity.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := open(t, dir).Load()
		if !fault.HasReason(err, fault.DataDirectory) || strings.Contains(err.Error(), "planted") || strings.Contains(err.Error(), "cGxh") {
			t.Errorf("%q gave %v", content, err)
		}
	}
}

func TestIdentityIsNotPrinted(t *testing.T) {
	id := identity(t)
	id.AccessToken = "planted-token"
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "id", id)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "id", &id)
	fmt.Fprintf(&out, "%v %+v %#v %s", id, id, id, id)
	for _, secret := range []string{id.AccessToken, base64.StdEncoding.EncodeToString(id.PrivateKey), fmt.Sprint(id.PrivateKey)} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("found a secret in %s", out.String())
		}
	}
}
