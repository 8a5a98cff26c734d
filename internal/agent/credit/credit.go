// Package credit cuts what is written to a stream into chunks that its reader
// has room for.
//
// It knows nothing of what the bytes are and of how a chunk travels.
package credit

import (
	"bytes"
	"context"
	"sync"
)

// MaxChunk is the size of the largest chunk.
const MaxChunk = 64 << 10

// Writer sends at most as many bytes as it was given credit for, and waits for
// more. Add may be called at any time; Write by one goroutine at a time.
type Writer struct {
	ctx  context.Context //nolint:containedctx // io.Writer has no room for one
	send func(ctx context.Context, chunk []byte) error

	mu    sync.Mutex
	left  uint64
	added chan struct{} // holds a value when left grew
}

// NewWriter makes a writer that gives up when ctx ends. Send may keep a chunk.
func NewWriter(ctx context.Context, initial uint32, send func(ctx context.Context, chunk []byte) error) *Writer {
	return &Writer{ctx: ctx, send: send, left: uint64(initial), added: make(chan struct{}, 1)}
}

// Add allows that many more bytes.
func (w *Writer) Add(n uint32) {
	w.mu.Lock()
	w.left += uint64(n)
	w.mu.Unlock()
	select {
	case w.added <- struct{}{}:
	default:
	}
}

// Write returns once all of p was sent.
func (w *Writer) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n := w.take(min(len(p)-written, MaxChunk))
		if n == 0 {
			select {
			case <-w.added:
				continue
			case <-w.ctx.Done():
				return written, w.ctx.Err()
			}
		}
		if err := w.send(w.ctx, bytes.Clone(p[written:written+n])); err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

// take uses up to n bytes of the credit.
func (w *Writer) take(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if uint64(n) > w.left { //nolint:gosec // n is not negative
		n = int(w.left) //nolint:gosec // left is less than n
	}
	w.left -= uint64(n) //nolint:gosec // n is not negative
	return n
}
