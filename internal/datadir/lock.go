package datadir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"
)

// Busy says that another process holds a directory.
type Busy struct {
	// Holder is how that process signed; empty when that is not known.
	Holder string
}

func (b *Busy) Error() string { return "another process holds it" }

// Unwrap makes it the error of the system that it stands for.
func (b *Busy) Unwrap() error { return syscall.EWOULDBLOCK }

// Hold locks a lock file, makes it when there is none, and signs it for the other
// processes that try. A file that no Hold has made is left as it is, and so is what
// a symbolic link points at: somebody may have put it there so that it is
// overwritten. The error is a Flaw, a Busy, or one of the system.
//
// The system lets go of the lock when the process ends, in whatever way. The file
// stays: removing it would let a third process lock another file of the same name.
func Hold(path, signature string) (*os.File, error) {
	f, err := open(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	signed, err := read(f)
	if locked := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(locked, syscall.EWOULDBLOCK) {
		err = &Busy{Holder: signed}
	} else if locked != nil {
		err = locked
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// Only for people, so a failure is none of the lock.
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(signature+"\n"), 0)
	return f, nil
}

// IsLock tells whether there is a file that Hold has made, or would take for one.
func IsLock(path string) bool {
	f, err := open(path, os.O_RDONLY)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	_, err = read(f)
	return err == nil
}

// open opens a regular file, and waits for nobody at what is none.
func open(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600) //nolint:gosec // the operator names the directory
	if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENXIO) {
		return nil, noLock(path)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = noLock(path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// signatures are what processes of all versions sign with.
var signatures = regexp.MustCompile(`^([0-9]+|process [0-9]+ on host .+)?$`)

// read returns how a lock file is signed.
func read(f *os.File) (string, error) {
	const most = 512
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return "", err
	}
	// A loss of power may leave zeros.
	text := strings.TrimSpace(strings.TrimRight(string(raw), "\x00"))
	if len(raw) > most || !signatures.MatchString(text) {
		return "", noLock(f.Name())
	}
	return text, nil
}

func noLock(path string) error {
	return &Flaw{
		Why:    fmt.Sprintf("%s is not a lock file that Muster has made, and was left as it is", path),
		Remedy: "Move it away",
	}
}
