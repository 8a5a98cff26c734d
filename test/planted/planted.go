// Package planted looks for secrets, which a test has planted, where they do not
// belong.
//
// It knows in which forms bytes show up in texts and files, and nothing of what
// the secrets are.
package planted

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Secret is something that must not be found where it does not belong.
type Secret struct {
	Name string
	// Core is the part to look for: enough to be no accident, and short enough to be
	// found when somebody cut the secret off.
	Core []byte
}

// Secrets are all that a test has planted.
type Secrets []Secret

// Plant remembers a secret. Of a token the end is looked for, since the beginning
// says only what kind it is.
func (s *Secrets) Plant(name, value string) {
	*s = append(*s, Secret{name, []byte(value[max(0, len(value)-32):])})
}

// Find reports every secret that is in what a place holds.
func (s Secrets) Find(t testing.TB, place string, content []byte) {
	t.Helper()
	for _, secret := range s {
		if form, at := secret.In(content); at >= 0 {
			t.Errorf("%s: there is %s (%s), in: %q", place, secret.Name, form, around(content, at))
		}
	}
}

// around is a piece of a content.
func around(content []byte, at int) []byte {
	return content[max(0, at-120):min(len(content), at+80)]
}

// Clean looks for the secrets in what a place holds. A text that must be there
// shows that it is the right place.
func (s Secrets) Clean(t testing.TB, place string, content []byte, mustHold string) {
	t.Helper()
	if len(content) == 0 || !bytes.Contains(content, []byte(mustHold)) {
		t.Errorf("%s does not hold %q, so nothing is proved of it", place, mustHold)
	}
	s.Find(t, place, content)
}

// CleanFiles looks through all files of a directory but the one that keeps
// secrets, which must be closed to others.
func (s Secrets) CleanFiles(t testing.TB, dir, keeper, mustHold string) {
	t.Helper()
	var all []byte
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path) //nolint:gosec // a test's own file
		if err != nil {
			return err
		}
		if d.Name() == keeper {
			if info, err := d.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v; want mode 0600", path, info.Mode(), err)
			}
			return nil
		}
		s.Find(t, path, content)
		all = append(all, content...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Clean(t, "all of "+dir, all, mustHold)
}

// Unpack returns the contents of all files in a compressed archive, and what is
// compressed once more in them.
func Unpack(t testing.TB, raw []byte) []byte {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all.Bytes()
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(header.Name + "\n")
		all.Write(content)
		if inner, err := gzip.NewReader(bytes.NewReader(content)); err == nil {
			if _, err := io.Copy(&all, inner); err != nil { //nolint:gosec // this program's own archive
				t.Fatal(err)
			}
		}
	}
}
