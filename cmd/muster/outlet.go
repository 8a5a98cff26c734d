package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/musterhq/muster/internal/cli"
)

const (
	// outletRoom is how much waits for a reader that is slow, in bytes.
	outletRoom = 1 << 20
	// outletRetry is how often an outlet that lost something looks whether the way
	// is free again.
	outletRetry = time.Second
	// outletLast is how long what waits may take to be written when the process
	// ends.
	outletLast = time.Second
)

// outlet is an output that a process outlives: whoever reads it may be gone,
// stand still, or be a disk that is full. Write neither fails nor waits. What
// cannot be written is lost; its lines are counted, and said once the way is
// free again.
type outlet struct {
	to     io.Writer
	notice func(lost int) []byte
	ended  chan struct{}
	more   chan struct{} // has a value when there is something to do

	mu     sync.Mutex
	queue  [][]byte
	size   int // of the queue, in bytes
	lost   int // lines that found no room behind the queue
	closed bool
}

// newOutlet starts an outlet that Close ends. notice says how many lines were
// lost.
func newOutlet(to io.Writer, notice func(lost int) []byte) *outlet {
	o := &outlet{to: to, notice: notice, ended: make(chan struct{}), more: make(chan struct{}, 1)}
	go o.run()
	return o
}

// Write takes whole lines.
func (o *outlet) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.lost > 0 || o.size+len(b) > outletRoom {
		o.lost += lines(b)
		return len(b), nil
	}
	o.queue = append(o.queue, bytes.Clone(b))
	o.size += len(b)
	o.wake()
	return len(b), nil
}

func (o *outlet) wake() {
	select {
	case o.more <- struct{}{}:
	default:
	}
}

// Close writes what waits. It gives up soon when that does not go.
func (o *outlet) Close() {
	o.mu.Lock()
	o.closed = true
	o.wake()
	o.mu.Unlock()
	select {
	case <-o.ended:
	case <-time.After(outletLast):
	}
}

func (o *outlet) run() {
	defer close(o.ended)
	w := &lineWriter{to: o.to}
	lost := 0 // lines, and not said yet
	for {
		batch, after, closed := o.take()
		say := func() bool {
			if lost > 0 && w.write(o.notice(lost)) {
				lost = 0
			}
			return lost == 0
		}
		for free := say(); len(batch) > 0; batch = batch[1:] {
			if free = free && w.write(batch[0]); !free {
				lost += lines(batch[0])
			}
		}
		if lost += after; after > 0 {
			say()
		}
		if closed {
			return
		}
		var retry <-chan time.Time
		if lost > 0 {
			retry = time.After(outletRetry)
		}
		select {
		case <-o.more:
		case <-retry:
		}
	}
}

// take returns what there is to write, and how many lines were lost after it.
func (o *outlet) take() (batch [][]byte, after int, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	batch, after, closed = o.queue, o.lost, o.closed
	o.queue, o.size, o.lost = nil, 0, 0
	return batch, after, closed
}

func lines(b []byte) int { return bytes.Count(b, []byte{'\n'}) }

// lineWriter writes whole lines: after one that was cut it begins a new one.
type lineWriter struct {
	to  io.Writer
	cut bool
}

func (w *lineWriter) write(b []byte) bool {
	if w.cut {
		b = append([]byte{'\n'}, b...)
	}
	n, err := w.to.Write(b)
	if err != nil {
		w.cut = w.cut && n == 0 || n > 0 && b[n-1] != '\n'
		return false
	}
	w.cut = false
	return true
}

// lastWords is an output that a process waits for no longer than a moment.
type lastWords struct{ to io.Writer }

// Write gives up what nobody reads.
func (w lastWords) Write(b []byte) (int, error) {
	b = bytes.Clone(b) // whoever writes it may be told that it is written before it is
	written := make(chan error, 1)
	go func() {
		_, err := w.to.Write(b)
		written <- err
	}()
	select {
	case err := <-written:
		return len(b), err
	case <-time.After(outletLast):
		return len(b), nil
	}
}

// outlive gives a command that runs long an outlet as standard output, until
// stop; the log has its own. A command that runs once has none: in a pipe it ends
// with its reader.
func outlive(env *cli.Env) (stop func()) {
	o := newOutlet(env.Stdout, func(lost int) []byte { return fmt.Appendf(nil, "(%d lines were lost here: nobody read them)\n", lost) })
	env.Stdout = o
	return o.Close
}
