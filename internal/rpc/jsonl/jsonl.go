// Package jsonl writes a stream of messages as lines of JSON, the way the older
// SDKs read WatchEvents.
//
// Their decoders shape it. They wait for the headers before they do anything,
// give up on a stream that is silent for a minute, take a blank line or spaces
// at the end of the stream for an error, and know no errors inside a stream.
// So the headers go out at once, a space keeps an idle stream alive, and a line
// that spaces have begun is completed with an empty object before the end.
//
// It knows nothing of the messages.
package jsonl

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// ContentType is the content type of such a stream.
const ContentType = "application/jsonl"

// Stream is an open stream. Its methods may be called concurrently.
type Stream struct {
	w    http.ResponseWriter
	ctrl *http.ResponseController
	opts Options

	mu    sync.Mutex
	timer *time.Timer
	begun bool // the current line holds spaces
	ended bool
	err   error
}

// Options are the times of a stream and what ends it.
type Options struct {
	// KeepAlive is how long the stream may be silent.
	KeepAlive time.Duration
	// WriteTimeout is how long a reader may make one write wait.
	WriteTimeout time.Duration
	// Broken is called once, when the reader turns out to be gone.
	Broken context.CancelCauseFunc
}

// Open sends the headers and starts the keep-alive. Close must be called.
func Open(w http.ResponseWriter, opts Options) *Stream {
	s := &Stream{w: w, ctrl: http.NewResponseController(w), opts: opts}
	h := w.Header()
	h.Set("Content-Type", ContentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	s.mu.Lock()
	defer s.mu.Unlock()
	w.WriteHeader(http.StatusOK)
	s.write(nil)
	s.timer = time.AfterFunc(opts.KeepAlive, s.keepAlive)
	return s
}

// Send writes one line. The object must not hold a line break.
func (s *Stream) Send(object []byte) error {
	line := make([]byte, 0, len(object)+1)
	line = append(append(line, object...), '\n')
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(line)
	s.begun = false
	if s.err == nil {
		s.timer.Reset(s.opts.KeepAlive)
	}
	return s.err
}

func (s *Stream) keepAlive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.write([]byte{' '})
	s.begun = true
	if s.err == nil {
		s.timer.Reset(s.opts.KeepAlive)
	}
}

// Close completes the current line. Nothing is written after it.
func (s *Stream) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer.Stop()
	if s.begun {
		s.write([]byte("{}\n"))
	}
	s.ended = true
}

// write sends bytes on their way, and remembers when that fails. The deadline
// is for this write alone: a stream may be idle for as long as it likes.
func (s *Stream) write(b []byte) {
	if s.ended {
		s.err = net.ErrClosed
	}
	if s.err != nil {
		return
	}
	// Not every writer has deadlines; those of net/http have.
	_ = s.ctrl.SetWriteDeadline(time.Now().Add(s.opts.WriteTimeout))
	if len(b) > 0 {
		_, s.err = s.w.Write(b)
	}
	if s.err == nil {
		s.err = s.ctrl.Flush()
	}
	if s.err != nil {
		s.opts.Broken(s.err)
		return
	}
	_ = s.ctrl.SetWriteDeadline(time.Time{})
}
