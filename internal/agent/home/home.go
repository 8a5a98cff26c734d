// Package home keeps a runner's identity on disk.
//
// The data directory belongs to one process at a time. The identity in it is
// replaced as a whole and is on disk before Save returns. The package knows
// nothing of the control plane.
package home

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/musterhq/muster/internal/durable"
	"github.com/musterhq/muster/internal/fault"
)

const (
	identityFile = "identity.json"
	lockFile     = "lock"
)

// Home is a data directory that this process holds.
type Home struct {
	dir  string
	lock *os.File
}

// Open makes the directory when there is none, closed to other users, and takes
// hold of it until Close. One that is there keeps its mode and must be fit for
// secrets: nobody else can write to it, and until it has an identity there is
// nothing else in it. One that is not fit is left as it is.
func Open(dir string) (*Home, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, failed("found", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, failed("made", dir, err)
	}
	if err := check(dir); err != nil {
		return nil, err
	}
	lock, err := hold(filepath.Join(dir, lockFile), dir)
	if err != nil {
		return nil, err
	}
	h := &Home{dir: dir, lock: lock}
	durable.RemoveLeftovers(h.identityFile()) // they may hold a token
	return h, nil
}

// check refuses a directory that is no place for an identity.
func check(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return failed("read", dir, err)
	}
	if mode := info.Mode().Perm(); mode&othersWrite != 0 {
		return fault.New(fault.FailedPrecondition, fault.DataDirectory,
			"Other users can write to the data directory %s (mode %#o), and so could replace the runner's identity. Take that away (chmod go-w), or name another directory with --data-dir.", dir, mode)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return failed("read", dir, err)
	}
	var foreign []string
	for _, e := range entries {
		if e.Name() == identityFile {
			return nil
		}
		if !own(e.Name()) {
			foreign = append(foreign, strconv.Quote(e.Name()))
		}
	}
	if len(foreign) == 0 {
		return nil
	}
	const named = 3
	if more := len(foreign) - named; more > 0 {
		foreign = append(foreign[:named], fmt.Sprintf("%d more", more))
	}
	return fault.New(fault.FailedPrecondition, fault.DataDirectory,
		"The directory %s has no runner's identity and is used for something else: it holds %s. Name an empty or a new directory with --data-dir; nothing was changed in this one.", dir, strings.Join(foreign, ", "))
}

// othersWrite are the bits of a mode that let other users write.
const othersWrite = 0o022

// own tells whether a file of this name is the runner's, or nobody's.
func own(name string) bool {
	return name == lockFile || name == "lost+found" || durable.IsLeftover(identityFile, name)
}

// hold locks the lock file. The system lets go of it when the process ends, in
// whatever way. The file stays: removing it would let a third process lock
// another file of the same name.
func hold(path, dir string) (*os.File, error) {
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the directory
	if err != nil {
		return nil, failed("locked", dir, err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(lock, 32))
		_ = lock.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, failed("locked", dir, err)
		}
		return nil, fault.New(fault.FailedPrecondition, fault.DataDirectory,
			"The data directory %s is in use by another runner process%s. Stop that process, or give this runner a data directory of its own.",
			dir, process(string(holder)))
	}
	// Only for the sentence above, so a failure is none of the lock.
	_ = lock.Truncate(0)
	_, _ = fmt.Fprintf(lock, "%d\n", os.Getpid())
	return lock, nil
}

func process(holder string) string {
	if holder = strings.TrimSpace(holder); holder == "" {
		return ""
	}
	return " (process " + holder + ")"
}

// Close lets go of the directory.
func (h *Home) Close() error { return h.lock.Close() }

// Dir is the absolute path of the directory.
func (h *Home) Dir() string { return h.dir }

// Load returns the identity; the zero Identity when there is none.
func (h *Home) Load() (Identity, error) {
	path := h.identityFile()
	raw, err := os.ReadFile(path) //nolint:gosec // the operator names the directory
	if errors.Is(err, fs.ErrNotExist) {
		return Identity{}, nil
	}
	if err != nil {
		return Identity{}, failed("read", h.dir, err)
	}
	var id Identity
	if err := json.Unmarshal(raw, &id); err != nil || !id.sound() {
		// The parser's text could quote the file, and with it a secret.
		return Identity{}, fault.New(fault.FailedPrecondition, fault.DataDirectory,
			"The identity in %s is damaged. Restore it from a backup; or remove it, make a token with 'muster runner token RUNNER' and join again with --exchange-token.", path)
	}
	return id, nil
}

// Save replaces the identity. It returns once the identity would survive a
// loss of power.
func (h *Home) Save(id Identity) error {
	raw, err := json.MarshalIndent(id, "", "  ")
	if err == nil {
		err = durable.Write(h.identityFile(), append(raw, '\n'))
	}
	if err != nil {
		return failed("written", h.dir, err)
	}
	return nil
}

func (h *Home) identityFile() string { return filepath.Join(h.dir, identityFile) }

// Remove removes the identity for good. It is no error when there is none.
func (h *Home) Remove() error {
	if err := os.Remove(h.identityFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed("written", h.dir, err)
	}
	if err := durable.Sync(h.dir); err != nil {
		return failed("written", h.dir, err)
	}
	return nil
}

func failed(what, dir string, cause error) error {
	why := "the system refused it"
	var errno syscall.Errno
	if errors.As(cause, &errno) {
		why = errno.Error()
	}
	return fault.New(fault.FailedPrecondition, fault.DataDirectory,
		"The data directory %s cannot be %s: %s. Give the runner a directory on a local disk that it may write to, with --data-dir.", dir, what, why).WithCause(cause)
}
