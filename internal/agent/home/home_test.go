package home_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
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

// A new file system, and what a first start that failed left, are nobody's.
func TestADirectoryWithNothingOfAnybodyElse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	makeDir(t, dir, 0o755, "lock", ".identity-123")
	makeDir(t, filepath.Join(dir, "lost+found"), 0o700)
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
