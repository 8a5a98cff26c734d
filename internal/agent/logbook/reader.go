package logbook

import (
	"context"
	"fmt"
	"io"
)

// batchSize is about how many bytes Next returns at most.
const batchSize = 64 << 10

// Reader reads a book from a place on. It is not safe for concurrent use.
type Reader struct {
	book *Book
	// until is closed when the reader is to stop at the end of the book.
	until <-chan struct{}
	at    uint64 // the number of the line to return next
	end   uint64 // where to stop, once ending
	// ending is set when until was seen closed.
	ending bool
}

// Read starts with the newest tail lines, or with all that are kept when tail
// is 0, and goes on with new lines until the channel is closed. A channel that
// is closed already makes it return what is there now.
func (b *Book) Read(tail int, until <-chan struct{}) *Reader {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &Reader{book: b, until: until, at: b.first}
	if kept := b.next - b.first; tail > 0 && uint64(tail) < kept {
		r.at = b.next - uint64(tail)
	}
	r.observe()
	return r
}

// Next returns one or more whole lines. It waits for the next line when there
// is none and returns io.EOF at the end.
func (r *Reader) Next(ctx context.Context) ([]byte, error) {
	for {
		lines, changed := r.collect()
		if len(lines) > 0 {
			return lines, nil
		}
		if changed == nil {
			return nil, io.EOF
		}
		select {
		case <-changed:
		case <-r.until:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// collect returns the lines that are there, or a channel that is closed when
// there are more, or neither at the end.
func (r *Reader) collect() ([]byte, <-chan struct{}) {
	b := r.book
	b.mu.Lock()
	defer b.mu.Unlock()
	r.observe()
	var out []byte
	if r.at < b.first {
		lost := b.first - r.at
		out = notice(fmt.Sprintf("this reader was too slow and lost %d log lines", lost), "lost", lost)
		r.at = b.first
	}
	end := b.next
	if r.ending {
		end = min(end, r.end)
	}
	for r.at < end {
		line := b.lines[r.at%uint64(len(b.lines))]
		if len(out) > 0 && len(out)+len(line) > batchSize {
			break
		}
		out = append(out, line...)
		r.at++
	}
	if len(out) > 0 || r.ending {
		return out, nil
	}
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return nil, b.changed
}

// observe fixes the end once until is closed, so that a process that logs all
// the time cannot keep a reader from ending. The book is locked.
func (r *Reader) observe() {
	if r.ending {
		return
	}
	select {
	case <-r.until:
		r.ending, r.end = true, r.book.next
	default:
	}
}
