package sqlstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
)

// Check reads from the database to see whether calls can be answered.
func (s *Store) Check(ctx context.Context) error {
	if err := s.engine.check(ctx); err != nil {
		return err
	}
	if _, err := s.Replicas(ctx); err != nil {
		return err
	}
	_, _, err := s.OperatingOrganization(ctx)
	return err
}

// Pool is the pool of connections that calls read through, and write with
// PostgreSQL.
type Pool struct {
	Used, Limit int
	// Waited is how often a call had to wait for one.
	Waited int64
}

// Pool returns how much of the pool is used.
func (s *Store) Pool() Pool {
	p := s.engine.pool().Stats()
	return Pool{Used: p.InUse, Limit: p.MaxOpenConnections, Waited: p.WaitCount}
}

// fileCheck finds out that somebody else touched the database file: SQLite goes
// on with the pages that it remembers, for a while.
type fileCheck struct {
	path string

	mu     sync.Mutex
	opened os.FileInfo
	// size is the largest that the file is known to have had.
	size int64
}

// newFileCheck is for a file that is open, or about to be.
func newFileCheck(path string) (*fileCheck, error) {
	opened, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return &fileCheck{path: path, opened: opened, size: opened.Size()}, nil
}

var errFileTouched = errors.New("sqlstore: the database file was changed from outside")

func (c *fileCheck) look() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, err := os.Stat(c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return unavailable(err, "The control plane's database file was removed while it was in use. An operator has to stop the control plane and restore a backup.")
	case err != nil:
		return unavailable(err, "The control plane's database file cannot be looked at. An operator has to check the data directory.")
	case !os.SameFile(c.opened, now):
		return unavailable(errFileTouched, "The control plane's database file was replaced while it was in use; what is written goes to the old one. An operator has to restart the control plane.")
	case now.Size() >= c.size:
		c.size = now.Size()
		return nil
	}
	// Other programs may make the file smaller in good order, and its head says so.
	if size, err := sizeInHead(c.path); err != nil || size > now.Size() {
		return unavailable(errFileTouched, "The control plane's database file is shorter than it was: it was cut off while it was in use. An operator has to stop the control plane and restore a backup.")
	}
	c.size = now.Size()
	return nil
}

// sizeInHead is how large a database file should be by what its head says; see
// "The Database Header" of SQLite's file format.
func sizeInHead(path string) (int64, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the directory
	if err != nil {
		return 0, err
	}
	head := make([]byte, 32)
	_, err = io.ReadFull(f, head)
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(head, []byte("SQLite format 3\x00")) {
		return 0, errFileTouched
	}
	page := int64(binary.BigEndian.Uint16(head[16:]))
	if page == 1 {
		page = 1 << 16
	}
	return page * int64(binary.BigEndian.Uint32(head[28:])), nil
}
