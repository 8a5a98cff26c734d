package sqlstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/musterhq/muster/internal/datadir"
)

// lockFile keeps two processes from sharing a data directory. It holds the
// name of the process that has it, for the message to the other one.
const lockFile = "muster.lock"

// dirLock is the right to use a data directory. The system takes it back when
// the process ends, however that happens.
type dirLock struct{ file *os.File }

func lockDir(dir string) (*dirLock, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	f, err := datadir.Hold(filepath.Join(dir, lockFile), fmt.Sprintf("process %d on host %s", os.Getpid(), host))
	if err == nil {
		return &dirLock{file: f}, nil
	}
	if flaw, ok := errors.AsType[*datadir.Flaw](err); ok {
		return nil, unusable(err, "%s. %s, or name another directory with --data-dir.", flaw.Why, flaw.Remedy)
	}
	if busy, ok := errors.AsType[*datadir.Busy](err); ok {
		holder := busy.Holder
		if holder == "" {
			holder = "another process"
		}
		return nil, unusable(err, "The data directory %q is in use by %s. Two control planes cannot share one: stop that process, or name another directory with --data-dir.", dir, holder)
	}
	if _, ok := errors.AsType[*os.PathError](err); ok { // it was not even opened
		return nil, sqliteDialect{dir: dir}.unwritable(err)
	}
	return nil, unusable(err, "The data directory %q cannot be locked, so that two processes could spoil each other's data. Name one on a local disk with --data-dir.", dir)
}

// release lets others have the directory; nil is the lock of a store beside
// another, which has none.
func (l *dirLock) release() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}
