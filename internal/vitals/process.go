package vitals

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
)

// DescriptorLimit is how many files this process may have open.
func DescriptorLimit() (uint64, bool) {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return limit.Cur, err == nil
}

const descriptors = "file descriptors"

// Descriptors are the open files and connections of this process. What counts
// them is opened now: once there are none left it would be too late.
func Descriptors() Resource {
	folder, err := os.Open("/proc/self/fd")
	var mu sync.Mutex
	return Resource{
		Name:   descriptors,
		Advice: "every connection needs one; raise the limit on open files of this process (ulimit -n, LimitNOFILE=), or find out who opens so many connections",
		Read: func() (Reading, bool) {
			if err != nil {
				return Reading{}, false // not on this system
			}
			mu.Lock()
			defer mu.Unlock()
			if _, err := folder.Seek(0, io.SeekStart); err != nil {
				return Reading{}, false
			}
			open, err := folder.Readdirnames(-1)
			limit, ok := DescriptorLimit()
			if err != nil || !ok {
				return Reading{}, false
			}
			used := uint64(len(open))
			return Reading{Used: used, Limit: limit, Short: used >= limit-limit/10}, true
		},
	}
}

const (
	// maxGoroutines is how many there are in a process that has lost control of
	// them: links, streams and connections have a few each.
	maxGoroutines = 500_000
	// plenty is how much of a disk is enough, however large it is.
	plenty = 1 << 30
)

// Goroutines are what the process does at the same time.
func Goroutines() Resource {
	return Resource{
		Name:   "goroutines",
		Advice: "each open link, stream and connection has a few; so many take much memory",
		Read: func() (Reading, bool) {
			n := uint64(runtime.NumGoroutine()) //nolint:gosec // never negative
			return Reading{Used: n, Limit: maxGoroutines, Short: n >= maxGoroutines}, true
		},
	}
}

// DataDisk is the file system that the data directory is on.
func DataDisk(dir string) Resource {
	return disk("data disk", fmt.Sprintf("make room on the file system of %s; nothing can be stored when it is full", dir),
		func(fs *syscall.Statfs_t) error { return syscall.Statfs(dir, fs) })
}

// LogDisk is the file system that the log is on, when the standard error is a
// file; otherwise somebody else keeps the log, and nothing is read.
func LogDisk() Resource {
	var is syscall.Stat_t
	file := syscall.Fstat(syscall.Stderr, &is) == nil && is.Mode&syscall.S_IFMT == syscall.S_IFREG
	return disk("log disk", "make room on the file system of the log; what is logged is lost when it is full", func(fs *syscall.Statfs_t) error {
		if !file {
			return syscall.ENOTSUP
		}
		return syscall.Fstatfs(syscall.Stderr, fs)
	})
}

func disk(name, advice string, stat func(*syscall.Statfs_t) error) Resource {
	return Resource{
		Name:   name,
		Advice: advice,
		Read: func() (Reading, bool) {
			var fs syscall.Statfs_t
			if stat(&fs) != nil {
				return Reading{}, false
			}
			block := uint64(fs.Bsize) //nolint:gosec // never negative
			// What only root may use does not count, neither as used nor as free.
			free, used := fs.Bavail*block, (fs.Blocks-fs.Bfree)*block
			size := used + free
			return Reading{Used: used, Limit: size, Short: free < min(size/20, plenty)}, true
		},
	}
}
