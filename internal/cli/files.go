package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// readSecret reads a file with an access token. One that others can write to
// could hold the server of somebody else.
func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the user names the directory
	if err != nil {
		return nil, fmt.Errorf("reading the access token: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the access token: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 || !ownedByUs(info) {
		return nil, fmt.Errorf("%s holds an access token, so it must belong to you and be closed to others; if it is yours: chmod 600 %s", path, quote(path))
	}
	raw, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("reading the access token: %w", err)
	}
	return raw, nil
}

// WriteSecret writes a file that only its owner can read, all of it or nothing.
func WriteSecret(path string, content []byte) error {
	_, err := writeFile(path, bytes.NewReader(content))
	return err
}

// writeFile writes what it reads to a file of mode 0600, all of it or nothing.
func writeFile(path string, from io.Reader) (int64, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return 0, fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	n, err := io.Copy(f, from)
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return 0, fmt.Errorf("writing %s: %w", path, err)
	}
	return n, nil
}
