package installation_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/installation"
)

func TestTheFile(t *testing.T) {
	dir := t.TempDir()
	if got, err := installation.Read(dir); got != "" || err != nil {
		t.Fatalf("an empty directory is of %q, %v", got, err)
	}
	for _, want := range []string{id.New(), id.New()} {
		if err := installation.Write(dir, want); err != nil {
			t.Fatal(err)
		}
		if got, err := installation.Read(dir); got != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	left := filepath.Join(dir, ".installation-id-1")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	installation.RemoveLeftovers(dir)
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("left are %v, %v", files, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "installation-id"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := installation.Read(dir); !fault.Is(err, fault.FailedPrecondition) {
		t.Errorf("a damaged file gives %v", err)
	}
	if err := installation.Write(filepath.Join(dir, "nowhere"), id.New()); err == nil {
		t.Error("it was written nowhere")
	}
}

func TestWhatBelongsTogether(t *testing.T) {
	a, b := id.New(), id.New()
	for _, c := range []struct {
		dir string
		d   installation.Database
		why string // empty for what is accepted
	}{
		{"", installation.Database{}, ""},
		{"", installation.Database{Filled: true}, ""},
		{"", installation.Database{ID: a}, ""},
		{"", installation.Database{ID: a, Filled: true}, ""},
		{a, installation.Database{ID: a, Filled: true}, ""},
		{a, installation.Database{ID: a}, ""},
		{a, installation.Database{ID: b, Filled: true}, b},
		{a, installation.Database{ID: b}, b},
		{a, installation.Database{Filled: true}, "does not say"},
		{a, installation.Database{}, "is empty"},
	} {
		err := installation.Check("d", c.dir, c.d)
		if c.why == "" && err != nil || c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), "--accept-database")) {
			t.Errorf("a directory of %q with %+v: %v", c.dir, c.d, err)
		}
	}
	if got := installation.Candidate(a, installation.Database{Filled: true}); got != a {
		t.Errorf("an old backup becomes %q, want that of the directory", got)
	}
	if got := installation.Candidate(a, installation.Database{}); got == a || !id.Valid(got) {
		t.Errorf("an empty database becomes %q", got)
	}
}
