package link

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
)

type (
	stream       = connect.BidiStream[linkv1.RunnerFrame, linkv1.PlaneFrame]
	runnerFrame  = linkv1.RunnerFrame
	planeFrame   = linkv1.PlaneFrame
	controlKey   struct{}
	relayStreams = map[uint64]*Stream
)

// maxQueue is how many frames may wait for a slow runner before its link is cut.
const maxQueue = 256

var (
	errTooSlow    = fault.New(fault.Unavailable, fault.ShuttingDown, "The runner reads too slowly; reconnect.")
	errLeaseEnded = fault.New(fault.Unavailable, fault.ShuttingDown, "The lease ran out; reconnect.")
)

// conn is one stream to a runner. Frames that the control plane sends by itself
// are queued; a goroutine exists only while there are some, since most links
// are idle most of the time.
type conn struct {
	stream  *stream
	control *http.ResponseController
	cancel  context.CancelCauseFunc

	sending sync.Mutex // held while a frame is written

	mu       sync.Mutex
	queue    []*planeFrame
	flushing bool
	relays   relayStreams
	lastID   uint64
	closed   error
}

// push queues a frame. It never blocks; a runner that does not read is cut.
func (c *conn) push(f *planeFrame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed != nil {
		return
	}
	if len(c.queue) >= maxQueue {
		go c.cut(errTooSlow)
		return
	}
	c.queue = append(c.queue, f)
	if !c.flushing {
		c.flushing = true
		go c.flush()
	}
}

func (c *conn) flush() {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.flushing = false
			c.mu.Unlock()
			return
		}
		batch := c.queue
		c.queue = nil
		c.mu.Unlock()
		for _, f := range batch {
			if err := c.send(f); err != nil {
				c.cut(err)
				return
			}
		}
	}
}

// send writes a frame now.
func (c *conn) send(f *planeFrame) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.stream.Send(f)
}

// cut ends the stream: the handler's Receive fails and it returns cause.
func (c *conn) cut(cause error) { c.cancel(cause) }

// last sends a final frame and then ends the stream.
func (c *conn) last(f *planeFrame, cause error) {
	go func() {
		// A runner that does not read must not keep the frame's sender waiting.
		timer := time.AfterFunc(5*time.Second, func() { c.cut(cause) })
		defer timer.Stop()
		_ = c.send(f)
		c.cut(cause)
	}()
}

// unblock makes a blocked Receive or Send fail. There is no other way to end
// them than through the connection.
func (c *conn) unblock() {
	past := time.Unix(1, 0)
	_ = c.control.SetReadDeadline(past)
	_ = c.control.SetWriteDeadline(past.Add(0))
}

// close fails everything that is waiting for this stream.
func (c *conn) close(cause error) {
	c.mu.Lock()
	c.closed = cause
	relays := c.relays
	c.relays, c.queue = nil, nil
	c.mu.Unlock()
	for _, r := range relays {
		r.fail(runnerAway())
	}
}

func runnerAway() *fault.Error {
	return fault.New(fault.Unavailable, fault.RunnerOffline, "The runner went offline. Try again when it is back.").WithRetryAfter(5 * time.Second)
}

// WithControl gives the handlers of h the means to end a stream that waits for
// its peer. Every handler of the link must run under it.
func WithControl(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), controlKey{}, http.NewResponseController(w))))
	})
}

func controlOf(ctx context.Context) (*http.ResponseController, error) {
	rc, ok := ctx.Value(controlKey{}).(*http.ResponseController)
	if !ok {
		return nil, errors.New("link: the handler does not run under WithControl")
	}
	return rc, nil
}
