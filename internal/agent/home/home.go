// Package home keeps a runner's identity on disk.
//
// The data directory belongs to one process at a time. The identity in it is
// replaced as a whole and is on disk before Save returns. The package knows
// nothing of the control plane.
package home

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/musterhq/muster/internal/datadir"
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
	flaw *datadir.Flaw
}

// Open makes the directory when there is none, closed to other users, and takes
// hold of it until Close. One that is there keeps its mode and must be fit, as Check
// says. One that is not fit is left as it is.
func Open(dir string) (*Home, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, failed("found", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, failed("made", dir, err)
	}
	h := &Home{dir: dir}
	if err := Check(dir); err != nil && !h.tolerate(err) {
		return nil, failed("read", dir, err)
	}
	if h.lock, err = datadir.Hold(filepath.Join(dir, lockFile), strconv.Itoa(os.Getpid())); err != nil {
		return nil, failed("locked", dir, err)
	}
	durable.RemoveLeftovers(h.identityFile()) // they may hold a token
	return h, nil
}

// Check refuses a directory that is no place for an identity: another user could
// replace what is in it, or it has no identity yet and holds something else. The
// error is a datadir.Flaw, or one of package os.
func Check(dir string) error {
	if err := datadir.Private(dir); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(dir, identityFile)); err == nil {
		return nil
	}
	return datadir.Unused(dir, func(name string) bool {
		return name == lockFile && datadir.IsLock(filepath.Join(dir, name)) || durable.IsLeftover(identityFile, name)
	})
}

// tolerate tells whether a runner may go on in a directory all the same: one that is
// another user's has been its home before, since its own user has made the identity.
// One that the other user has made would have this one obey whom that one chose.
func (h *Home) tolerate(err error) bool {
	flaw, ok := errors.AsType[*datadir.Flaw](err)
	if !ok || !flaw.Owner || !datadir.Mine(h.identityFile()) {
		return false
	}
	h.flaw = flaw
	return true
}

// Flaw is what is wrong with the directory, although it is used; nil when nothing
// is.
func (h *Home) Flaw() *datadir.Flaw { return h.flaw }

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
	refused := func(format string, args ...any) *fault.Error {
		return fault.New(fault.FailedPrecondition, fault.DataDirectory, format, args...)
	}
	if flaw, ok := errors.AsType[*datadir.Flaw](cause); ok {
		return refused("%s. %s, or name an empty or a new directory with --data-dir; nothing was changed in this one.", flaw.Why, flaw.Remedy)
	}
	if busy, ok := errors.AsType[*datadir.Busy](cause); ok {
		holder := ""
		if busy.Holder != "" {
			holder = " (process " + busy.Holder + ")"
		}
		return refused("The data directory %s is in use by another runner process%s. Stop that process, or give this runner a data directory of its own.", dir, holder)
	}
	why := "the system refused it"
	var errno syscall.Errno
	if errors.As(cause, &errno) {
		why = errno.Error()
	}
	return refused("The data directory %s cannot be %s: %s. Give the runner a directory on a local disk that it may write to, with --data-dir.", dir, what, why).WithCause(cause)
}
