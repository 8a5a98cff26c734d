// Package logbook keeps the newest log lines of a process in memory, so that
// people can read them back while it runs.
//
// It never holds up the process that logs: a reader that is too slow loses
// lines and is told how many. The package knows nothing of who reads and of
// what is logged.
package logbook

import (
	"bytes"
	"fmt"
	"sync"
	"time"
)

// MaxLine is the longest line that is kept; of a longer one only its length is.
const MaxLine = 64 << 10

// Book is a bounded list of log lines. It is safe for concurrent use.
type Book struct {
	mu       sync.Mutex
	lines    [][]byte // line n is at n % len(lines)
	first    uint64   // the number of the oldest line that is kept
	next     uint64   // the number that the next line gets
	size     int      // bytes in all lines that are kept
	maxBytes int
	changed  chan struct{} // closed with the next line; nil while nobody waits
}

// New makes a book that keeps at most so many lines and bytes.
func New(maxLines, maxBytes int) *Book {
	return &Book{lines: make([][]byte, maxLines), maxBytes: maxBytes}
}

// Write adds one line, with its line end. It never fails and never waits for a
// reader.
func (b *Book) Write(line []byte) (int, error) {
	kept := bytes.Clone(line)
	if len(kept) > MaxLine {
		kept = notice(fmt.Sprintf("a log line of %d bytes was too long to be kept", len(line)), "bytes", uint64(len(line)))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	full := uint64(len(b.lines))
	if b.next-b.first == full {
		b.drop()
	}
	b.lines[b.next%full] = kept
	b.next++
	b.size += len(kept)
	for b.size > b.maxBytes && b.first < b.next {
		b.drop()
	}
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
	return len(line), nil
}

func (b *Book) drop() {
	i := b.first % uint64(len(b.lines))
	b.size -= len(b.lines[i])
	b.lines[i] = nil
	b.first++
}

// notice is a line of the book's own, in the form of all others.
func notice(text, key string, n uint64) []byte {
	return fmt.Appendf(nil, `{"time":%q,"level":"WARN","msg":%q,%q:%d}`+"\n", time.Now().Format(time.RFC3339Nano), text, key, n)
}
