package agent

import (
	"context"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
)

// controlFrames is how many frames may wait. They are few and small, so a full
// outbox means that the control plane has stopped to read.
const controlFrames = 64

// outbox puts the frames of all goroutines of a link in a row, since only one
// may send. Frames that keep the link alive overtake the bytes of streams, and
// no byte leaves unless the lease is held.
type outbox struct {
	control chan *linkv1.RunnerFrame
	streams chan streamFrame
	hold    *hold
}

// streamFrame is a frame of a stream; sent is closed when it was sent.
type streamFrame struct {
	frame *linkv1.RunnerFrame
	sent  chan struct{}
}

func newOutbox(h *hold) *outbox {
	return &outbox{control: make(chan *linkv1.RunnerFrame, controlFrames), streams: make(chan streamFrame), hold: h}
}

// put queues a frame that keeps the link alive. It never waits; false means
// that nobody reads at the other end.
func (o *outbox) put(f *linkv1.RunnerFrame) bool {
	select {
	case o.control <- f:
		return true
	default:
		return false
	}
}

// stream sends a frame of a stream. It waits until that is done, so that no
// frame of a stream that has ended is still on its way.
func (o *outbox) stream(ctx context.Context, f *linkv1.RunnerFrame) error {
	s := streamFrame{frame: f, sent: make(chan struct{})}
	select {
	case o.streams <- s:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-s.sent:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// finish lets run return once what was put before is sent. Nothing may be put
// afterwards.
func (o *outbox) finish() { close(o.control) }

// run sends until finish, the end of ctx, or an error.
func (o *outbox) run(ctx context.Context, send func(*linkv1.RunnerFrame) error) error {
	var next streamFrame
	for {
		held, confirmed := o.hold.state()
		streams := o.streams
		if next.frame != nil {
			if held && len(o.control) == 0 {
				if err := send(next.frame); err != nil {
					return err
				}
				close(next.sent)
				next = streamFrame{}
				continue
			}
			streams = nil // one at a time
		}
		select {
		case f, more := <-o.control:
			if !more {
				return nil
			}
			if err := send(f); err != nil {
				return err
			}
		case next = <-streams: // the hold is looked at again before it is sent
		case <-confirmed:
		case <-ctx.Done():
			return nil
		}
	}
}
