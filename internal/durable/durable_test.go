package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/musterhq/muster/internal/durable"
)

func TestWriteReplacesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.json")
	if err := os.WriteFile(path, []byte("the old one, which is longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := durable.Write(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "new" {
		t.Fatalf("%q, %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	only(t, filepath.Dir(path), "identity.json")
}

func TestAWriteThatFailsLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "identity.json")
	if err := os.Mkdir(path, 0o700); err != nil { // no file can take its place
		t.Fatal(err)
	}
	if err := durable.Write(path, []byte("new")); err == nil {
		t.Error("a folder was replaced")
	}
	only(t, folder, "identity.json")
	if err := durable.Write(filepath.Join(folder, "no", "such", "folder"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestLeftoversAreThoseOfTheFile(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{".identity-123", ".identity-", ".other-123", "identity.json"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	durable.RemoveLeftovers(filepath.Join(folder, "identity.json"))
	only(t, folder, ".other-123", "identity.json")
	for name, is := range map[string]bool{".identity-123": true, ".other-123": false, "identity.json": false} {
		if durable.IsLeftover("identity.json", name) != is {
			t.Errorf("%s: %v", name, !is)
		}
	}
}

// only checks which names are in a folder.
func only(t *testing.T, folder string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != len(names) {
		t.Fatalf("%v, %v", entries, err)
	}
	for i, e := range entries {
		if e.Name() != names[i] {
			t.Errorf("%s, not %s", e.Name(), names[i])
		}
	}
}
