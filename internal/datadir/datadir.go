// Package datadir judges whether a directory is fit for what only its owner may
// read and change, and holds one for a process.
//
// It knows nothing of what is kept there.
package datadir

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Flaw is why a directory is not fit.
type Flaw struct {
	// Why is a sentence, and Remedy the beginning of one that a caller ends with what
	// else helps; neither has a full stop.
	Why, Remedy string
	// Owner says that the flaw is whose the directory is.
	Owner bool
}

func (f *Flaw) Error() string { return f.Why }

// Private refuses a directory in which another user could replace something: it
// is another user's, or others can write to it. The superuser is nobody else, since
// nothing keeps that one out. The error is a Flaw, or one of package os.
func Private(dir string) error { return private(dir, os.Geteuid()) }

func private(dir string, user int) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	const othersWrite = 0o022
	if mode := info.Mode().Perm(); mode&othersWrite != 0 {
		return &Flaw{
			Why:    fmt.Sprintf("Other users can write to the directory %s (mode %#o), and so could replace what is kept there", dir, mode),
			Remedy: "Take that away (chmod go-w)",
		}
	}
	if owner := ownerOf(info); owner != 0 && owner != user {
		return &Flaw{
			Why:    fmt.Sprintf("The directory %s belongs to another user (uid %d), who could replace what is kept there", dir, owner),
			Remedy: fmt.Sprintf("Run this as that user, or give the directory to uid %d (chown)", user),
			Owner:  true,
		}
	}
	return nil
}

// Mine tells whether there is a regular file that nobody but this user or the
// superuser has made.
func Mine(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	owner := ownerOf(info)
	return owner == 0 || owner == os.Geteuid()
}

func ownerOf(info fs.FileInfo) int {
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// Unused refuses a directory that holds something that is not own. What a new file
// system has is nobody's. The error is a Flaw, or one of package os.
func Unused(dir string, own func(name string) bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var foreign []string
	for _, e := range entries {
		if name := e.Name(); name != "lost+found" && !own(name) {
			foreign = append(foreign, strconv.Quote(name))
		}
	}
	if len(foreign) == 0 {
		return nil
	}
	const named = 3
	if more := len(foreign) - named; more > 0 {
		foreign = append(foreign[:named], fmt.Sprintf("%d more", more))
	}
	return &Flaw{
		Why:    fmt.Sprintf("The directory %s is used for something else: it holds %s", dir, strings.Join(foreign, ", ")),
		Remedy: "Move that away",
	}
}
