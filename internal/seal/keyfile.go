package seal

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// The secret-key file has one key a line. The first is in use; there are others
// only while it is being rotated, which takes three steps: Add puts a new key in
// front, whoever stores secrets wraps them anew, and Forget takes the others
// out. After each step, and in the middle of each, the file opens everything.

const (
	keyFileHeader = "muster-secret-key-1:"
	temporaryName = ".secret-key-*"
)

// ErrKeyFileChanged is returned for a file that is not the one that was loaded.
var ErrKeyFileChanged = errors.New("the secret-key file was changed since this process has read it")

// LoadKey reads the secret-key file, or makes it with mode 0600 when there is
// none. A file that others can read is refused.
func LoadKey(path string) (*Key, error) {
	k, err := OpenKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if err := makeKeyFile(path); err != nil {
		return nil, err
	}
	// Read what is there now: another replica may have been faster.
	return OpenKey(path)
}

// OpenKey reads the secret-key file, and makes none: the error is fs.ErrNotExist
// then. A file that others can read is refused.
func OpenKey(path string) (*Key, error) {
	keys, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	k := &Key{file: path, inFile: len(keys)}
	k.keys.Store(&keys)
	return k, nil
}

func readKeyFile(path string) ([]fileKey, error) {
	raw, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("the secret-key file cannot be read: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("the secret-key file cannot be read: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the secret-key file %s can be read by others (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	damaged := fmt.Errorf("the secret-key file %s is damaged: each line must hold %q and %d bytes in base64; restore it from a backup, since what is encrypted under it cannot be read with another key", path, keyFileHeader, chacha20poly1305.KeySize)
	var keys []fileKey
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		encoded, ok := strings.CutPrefix(line, keyFileHeader)
		secret, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(secret) != chacha20poly1305.KeySize {
			return nil, damaged
		}
		k, err := newFileKey(secret)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, damaged
	}
	return keys, nil
}

func keyFileText(keys []fileKey) string {
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(keyFileHeader + base64.StdEncoding.EncodeToString(k.secret) + "\n")
	}
	return b.String()
}

func freshKey() (fileKey, error) {
	secret := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(secret) // never fails
	return newFileKey(secret)
}

// makeKeyFile writes a fresh key. The link of a finished temporary file makes
// that atomic: nobody ever reads half a key, and of two processes one wins.
func makeKeyFile(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("the folder of the secret-key file cannot be made: %w", err)
	}
	key, err := freshKey()
	if err != nil {
		return err
	}
	temporary, err := writeBeside(path, []fileKey{key})
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary) }()
	if err := os.Link(temporary, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("the secret-key file cannot be made: %w", err)
	}
	return syncFolder(dir)
}

// writeBeside writes keys into a temporary file in the folder of the secret-key
// file, with mode 0600, and onto the disk.
func writeBeside(path string, keys []fileKey) (temporary string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), temporaryName) // mode 0600
	if err != nil {
		return "", fmt.Errorf("the secret-key file cannot be written: %w", err)
	}
	_, err = f.WriteString(keyFileText(keys))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("the secret-key file cannot be written: %w", err)
	}
	return f.Name(), nil
}

// removeLeftovers removes temporary files of rotations that a crash ended. They
// hold keys too.
func removeLeftovers(path string) error {
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), temporaryName))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	if err != nil {
		return fmt.Errorf("what an earlier rotation left beside the secret-key file cannot be removed: %w", err)
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator names the folder
	if err != nil {
		return fmt.Errorf("the folder of the secret-key file cannot be opened: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// Addition is a secret-key file with a new key in front that has not taken the
// place of the old file yet.
type Addition struct {
	key             *Key
	path, temporary string
	fresh           fileKey
}

// Add makes a new key. The file and k change with Commit.
func (k *Key) Add() (*Addition, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	path, known, err := k.unchanged()
	if err != nil {
		return nil, err
	}
	fresh, err := freshKey()
	if err != nil {
		return nil, err
	}
	if err := removeLeftovers(path); err != nil {
		return nil, err
	}
	temporary, err := writeBeside(path, append([]fileKey{fresh}, known...))
	if err != nil {
		return nil, err
	}
	return &Addition{key: k, path: path, temporary: temporary, fresh: fresh}, nil
}

// unchanged returns the real place of the file and the keys in it, if they are
// those that were loaded. The mutex is held.
func (k *Key) unchanged() (path string, keys []fileKey, err error) {
	// The file may be a link, which must stay one.
	if path, err = filepath.EvalSymlinks(k.file); err != nil {
		return "", nil, fmt.Errorf("the secret-key file cannot be read: %w", err)
	}
	there, err := readKeyFile(path)
	if err != nil {
		return "", nil, err
	}
	keys = (*k.keys.Load())[:k.inFile]
	if keyFileText(there) != keyFileText(keys) {
		return "", nil, ErrKeyFileChanged
	}
	return path, keys, nil
}

// Commit puts the new key into use. It returns once everybody who holds k with
// an older key has let go.
func (a *Addition) Commit() error {
	k := a.key
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, _, err := k.unchanged(); err != nil {
		return err
	}
	if err := replace(a.temporary, a.path); err != nil {
		return err
	}
	keys := append([]fileKey{a.fresh}, *k.keys.Load()...)
	k.keys.Store(&keys)
	k.inFile++
	k.storing.Lock()
	k.storing.Unlock() //nolint:staticcheck // to have had it is all
	return nil
}

// Discard removes what Add wrote; after Commit it does nothing.
func (a *Addition) Discard() { _ = os.Remove(a.temporary) }

// replace makes a finished temporary file the file at path, also after a crash.
func replace(temporary, path string) error {
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("the secret-key file cannot be replaced: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}

// Older returns how many keys the file has beside the one in use.
func (k *Key) Older() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.inFile - 1
}

// Forget takes all keys but the one in use out of the file. Nothing may be
// wrapped under them any more.
func (k *Key) Forget() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	path, keys, err := k.unchanged()
	if err != nil || len(keys) == 1 {
		return err
	}
	temporary, err := writeBeside(path, keys[:1])
	if err != nil {
		return err
	}
	if err := replace(temporary, path); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	k.inFile = 1
	return nil
}
