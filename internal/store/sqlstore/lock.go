package sqlstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lockFile keeps two processes from sharing a data directory. It holds the
// name of the process that has it, for the message to the other one. It is
// never removed: a file that is removed while somebody waits for it would be
// locked twice.
const lockFile = "muster.lock"

// dirLock is the right to use a data directory. The system takes it back when
// the process ends, however that happens.
type dirLock struct{ file *os.File }

func lockDir(dir string) (*dirLock, error) {
	d := sqliteDialect{dir: dir}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the directory
	if err != nil {
		return nil, d.unwritable(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close() //nolint:errcheck // nothing was written
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, unusable(err, "The data directory %q cannot be locked, so that two processes could spoil each other's data. Name one on a local disk with --data-dir.", dir)
		}
		return nil, unusable(err, "The data directory %q is in use by %s. Two control planes cannot share one: stop that process, or name another directory with --data-dir.",
			dir, holder(f))
	}
	l := &dirLock{file: f}
	if err := l.sign(); err != nil {
		return nil, errors.Join(d.unwritable(err), l.release())
	}
	return l, nil
}

// sign writes who holds the lock.
func (l *dirLock) sign() error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err = l.file.WriteAt(fmt.Appendf(nil, "process %d on host %s\n", os.Getpid(), host), 0)
	return err
}

// holder reads who holds a lock.
func holder(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, 512))
	if who := strings.TrimSpace(string(text)); err == nil && who != "" {
		return who
	}
	return "another process"
}

// release lets others have the directory; nil is the lock of a store beside
// another, which has none.
func (l *dirLock) release() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}
