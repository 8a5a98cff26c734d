package link

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
)

type planeFrame = linkv1.PlaneFrame

// frames is the stream of a link as the hub sees it.
type frames interface {
	Receive() (*linkv1.RunnerFrame, error)
	Send(f *planeFrame) error
}

// deadlines end what waits on a connection; see http.ResponseController.
type deadlines interface {
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// maxQueue is how many frames may wait for a slow runner before its link is cut:
// more than the requests that it may have to answer, so that a crowd of callers
// alone cuts nobody.
const maxQueue = 2 * (maxQuestions + maxErrands)

var (
	errRetired    = errors.New("link: the stream has ended")
	errTooSlow    = fault.New(fault.Unavailable, fault.ShuttingDown, "The runner reads too slowly; reconnect.")
	errLeaseEnded = fault.New(fault.Unavailable, fault.ShuttingDown, "The lease ran out; reconnect.")
)

// conn is one stream to a runner. Frames that the control plane sends by itself
// are queued; a goroutine exists only while there are some, since most links
// are idle most of the time.
type conn struct {
	// caller is the runner.
	caller  access.Caller
	stream  frames
	control deadlines
	cancel  context.CancelCauseFunc

	sending sync.Mutex // held while a frame is written
	retired bool       // guarded by sending: the handler has returned

	mu       sync.Mutex
	queue    []*planeFrame
	begun    bool // Welcome is sent, and the queue may follow
	flushing bool
	relays   map[uint64]*Stream
	asked    map[uint64]request
	// waiting counts the requests by what they are for.
	waiting [2]int
	// asking counts the questions by the caller that has them.
	asking map[string]int
	lastID uint64
	// delivering counts the secrets that are being delivered.
	delivering int
	// storing counts the renewed host tokens that are being stored.
	storing int
	closed  bool
}

func newConn(caller access.Caller, stream frames, control deadlines, cancel context.CancelCauseFunc) *conn {
	return &conn{
		caller: caller, stream: stream, control: control, cancel: cancel, relays: map[uint64]*Stream{}, asked: map[uint64]request{}, asking: map[string]int{},
	}
}

// push queues a frame. It never blocks; a runner that does not read is cut.
func (c *conn) push(f *planeFrame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if len(c.queue) >= maxQueue {
		go c.cut(errTooSlow)
		return
	}
	c.queue = append(c.queue, f)
	c.startFlush()
}

// begin lets the queue go out, after Welcome.
func (c *conn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = true
	c.startFlush()
}

// startFlush starts to write the queue. The mutex is held.
func (c *conn) startFlush() {
	if c.begun && !c.flushing && len(c.queue) > 0 {
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
	if c.retired {
		return errRetired
	}
	return c.stream.Send(f)
}

// retire waits for a frame that is being written, and lets no other follow.
func (c *conn) retire() {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.retired = true
}

// cut ends the stream: the handler's Receive fails and it returns cause.
func (c *conn) cut(cause error) { c.cancel(cause) }

// last sends a final frame and then ends the stream.
func (c *conn) last(f *planeFrame, cause error) {
	go func() {
		// A runner that does not read must not keep the frame's sender waiting.
		timer := time.AfterFunc(lastWrite, func() { c.cut(cause) })
		defer timer.Stop()
		_ = c.send(f)
		c.cut(cause)
	}()
}

// lastWrite is how long the end of a stream may take to be written.
const lastWrite = 5 * time.Second

// unblock makes a blocked Receive fail at once, and a blocked Send soon: the
// reason for the end is still to be written. There is no other way to end them
// than through the connection.
func (c *conn) unblock() {
	_ = c.control.SetReadDeadline(time.Unix(1, 0))
	_ = c.control.SetWriteDeadline(time.Now().Add(lastWrite))
}

// close fails everything that is waiting for this stream.
func (c *conn) close() {
	c.mu.Lock()
	c.closed = true
	relays, asked := c.relays, c.asked
	c.relays, c.asked, c.queue = nil, nil, nil
	c.mu.Unlock()
	for _, r := range relays {
		r.fail(runnerAway())
	}
	for _, r := range asked {
		close(r.replies)
	}
}

func runnerAway() *fault.Error {
	return fault.New(fault.Unavailable, fault.RunnerOffline, "The runner went offline. Try again when it is back.").WithRetryAfter(5 * time.Second)
}

type controlKey struct{}

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
