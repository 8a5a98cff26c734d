package link

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

// window is how many bytes a runner may send ahead of a reader.
const window = 256 << 10

// maxRelays is how many streams one runner serves at once.
const maxRelays = 16

// Source says what a stream carries: LogsSource or SupportBundleSource.
type Source func(*linkv1.StreamOpen)

// Logs asks for log lines.
func Logs(tail uint32, follow bool) Source {
	return func(o *linkv1.StreamOpen) {
		o.Source = &linkv1.StreamOpen_Logs{Logs: &linkv1.LogsSource{TailLines: tail, Follow: follow}}
	}
}

// SupportBundle asks for the support bundle.
func SupportBundle() Source {
	return func(o *linkv1.StreamOpen) {
		o.Source = &linkv1.StreamOpen_SupportBundle{SupportBundle: &linkv1.SupportBundleSource{}}
	}
}

// Stream is bytes from a runner. Read blocks until there are some.
type Stream struct {
	id   uint64
	conn *conn

	mu     sync.Mutex
	buf    []byte
	owed   uint32 // read but not yet given back as credit
	credit int    // what the runner may still send
	err    error  // why no more comes; io.EOF for a normal end
	signal chan struct{}
}

// OpenStream asks a connected runner for a stream on behalf of the holder of
// token, which the runner verifies. The stream must be closed.
func (h *Hub) OpenStream(ctx context.Context, r id.Runner, token string, source Source) (*Stream, error) {
	c := h.awaitConn(ctx, r)
	if c == nil {
		return nil, fault.New(fault.Unavailable, fault.RunnerOffline, "The runner is not connected right now, so it cannot be asked. \"muster runner get\" says since when.").
			WithRetryAfter(5 * time.Second)
	}
	s, err := c.relay()
	if err != nil {
		return nil, err
	}
	open := &linkv1.StreamOpen{StreamId: s.id, Token: token, InitialCredit: window}
	source(open)
	c.push(&planeFrame{Frame: &linkv1.PlaneFrame_StreamOpen{StreamOpen: open}})
	return s, nil
}

// relay makes room for a stream.
func (c *conn) relay() (*Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, runnerAway()
	}
	if len(c.relays) >= maxRelays {
		return nil, fault.New(fault.ResourceExhausted, fault.RunnerRefused, "%d streams of this runner are being read already. Close one of them.", maxRelays).WithRetryAfter(5 * time.Second)
	}
	c.lastID++
	s := &Stream{id: c.lastID, conn: c, credit: window, signal: make(chan struct{}, 1)}
	c.relays[s.id] = s
	return s, nil
}

// data takes bytes of a stream. Those of a stream that was closed here may
// still be under way and are dropped; more than the credit ends the link.
func (c *conn) data(d *linkv1.StreamData) error {
	c.mu.Lock()
	s := c.relays[d.GetStreamId()]
	c.mu.Unlock()
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(d.GetData()) > s.credit {
		return fault.New(fault.FailedPrecondition, fault.MalformedFrame, "The runner sent more of a stream than it had credit for.")
	}
	s.credit -= len(d.GetData())
	s.buf = append(s.buf, d.GetData()...)
	s.wake()
	return nil
}

// ended takes the runner's end of a stream.
func (c *conn) ended(d *linkv1.StreamClose) {
	c.mu.Lock()
	s := c.relays[d.GetStreamId()]
	delete(c.relays, d.GetStreamId())
	c.mu.Unlock()
	if s == nil {
		return
	}
	switch text := cutText(d.GetError()); {
	case d.GetTokenRefused():
		s.fail(fault.New(fault.Unauthenticated, fault.UnknownToken, "The runner says: %s", text))
	case text != "":
		s.fail(fault.New(fault.Unavailable, fault.RunnerRefused, "The runner says: %s", text))
	default:
		s.fail(io.EOF)
	}
}

func (s *Stream) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

func (s *Stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.wake()
}

// Wait blocks until there are bytes to read or the stream has ended, and
// returns why it ended when there are none.
func (s *Stream) Wait(ctx context.Context) error {
	for {
		s.mu.Lock()
		ready, err := len(s.buf) > 0, s.err
		s.mu.Unlock()
		if ready || err != nil {
			// Leave the signal for the next reader.
			s.wake()
			if ready {
				return nil
			}
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.signal:
		}
	}
}

// Read copies what there is, and gives the runner credit for it.
func (s *Stream) Read(ctx context.Context, p []byte) (int, error) {
	if err := s.Wait(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	n := copy(p, s.buf)
	s.buf = s.buf[n:]
	if len(s.buf) == 0 {
		s.buf = nil
	}
	s.owed += uint32(n) //nolint:gosec // at most window
	var credit uint32
	if s.owed >= window/2 && s.err == nil {
		credit, s.owed = s.owed, 0
		s.credit += int(credit)
	}
	s.mu.Unlock()
	if credit > 0 {
		s.conn.push(&planeFrame{Frame: &linkv1.PlaneFrame_StreamCredit{StreamCredit: &linkv1.StreamCredit{StreamId: s.id, Bytes: credit}}})
	}
	return n, nil
}

// Close tells the runner that nobody reads any more, unless it ended the
// stream itself.
func (s *Stream) Close() {
	s.conn.mu.Lock()
	_, open := s.conn.relays[s.id]
	delete(s.conn.relays, s.id)
	s.conn.mu.Unlock()
	if open {
		s.conn.push(&planeFrame{Frame: &linkv1.PlaneFrame_StreamClose{StreamClose: &linkv1.StreamClose{StreamId: s.id}}})
	}
}
