// Package durable writes small files that must not be lost and that only their
// owner may read: identities, tokens, ids.
//
// It knows nothing of what is in them.
package durable

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Write replaces a file by one with mode 0600, all of it or nothing. It returns
// once the file would survive a loss of power. Its errors are those of package os.
func Write(path string, content []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), pattern(path)) // with mode 0600
	if err != nil {
		return err
	}
	_, err = temporary.Write(content)
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return Sync(filepath.Dir(path))
}

// Sync makes what was done to the names in a folder survive a loss of power.
func Sync(folder string) error {
	d, err := os.Open(folder) //nolint:gosec // the operator names the folder
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// RemoveLeftovers removes what processes left that died while they wrote a file.
func RemoveLeftovers(path string) {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), pattern(path)))
	for _, name := range left {
		_ = os.Remove(name) // it is in nobody's way
	}
}

// IsLeftover tells whether a name is that of something that a process left that
// died while it wrote a file.
func IsLeftover(path, name string) bool {
	is, err := filepath.Match(pattern(path), name)
	return is && err == nil
}

// pattern is that of the temporary files beside a file: ".identity-*" for
// "identity.json".
func pattern(path string) string {
	name := filepath.Base(path)
	return "." + strings.TrimSuffix(name, filepath.Ext(name)) + "-*"
}
