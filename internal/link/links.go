package link

import (
	"context"
	"time"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

// ConfigurationChanged implements fleet.Links.
func (h *Hub) ConfigurationChanged(r id.Runner) {
	c := h.connOf(r)
	if c == nil {
		return
	}
	// Not under the caller's context: the change is committed and must go out.
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), Lease)
		defer cancel()
		d, err := h.cfg.Fleet.Desired(ctx, r)
		if err != nil {
			// The next connection brings it.
			c.cut(err)
			return
		}
		c.push(&linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Configuration{Configuration: configuration(d)}})
	}()
}

// Delete implements fleet.Links.
func (h *Hub) Delete(r id.Runner, deadline time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.sessions[r]; s != nil && s.conn != nil {
		s.conn.push(deleteFrame(deadline))
	}
}

// Cut implements fleet.Links.
func (h *Hub) Cut(r id.Runner, cause error) {
	h.mu.Lock()
	s := h.sessions[r]
	delete(h.sessions, r)
	var c *conn
	if s != nil {
		c = s.conn
	}
	h.mu.Unlock()
	if c != nil {
		c.cut(cause)
	}
}

// Lost closes every stream, because this replica may not hold sessions any
// more. The runners reconnect.
func (h *Hub) Lost(cause error) {
	for _, c := range h.conns() {
		c.cut(fault.New(fault.Unavailable, fault.ShuttingDown, "The control plane lost its own lease; reconnect.").WithCause(cause))
	}
}

// KeysChanged sends the keys of now to every connected runner. One that is
// connecting gets them with Welcome, or after it.
func (h *Hub) KeysChanged() {
	for _, c := range h.conns() {
		c.push(&linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_VerificationKeys{VerificationKeys: h.keys()}})
	}
}

func (h *Hub) conns() []*conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	conns := make([]*conn, 0, len(h.sessions))
	for _, s := range h.sessions {
		if s.conn != nil {
			conns = append(conns, s.conn)
		}
	}
	return conns
}

// Drain asks every runner to reconnect and refuses new streams. The sessions
// stay: a restart makes nobody INACTIVE.
func (h *Hub) Drain(reason string) {
	h.mu.Lock()
	h.draining = true
	h.mu.Unlock()
	for _, c := range h.conns() {
		c.push(&linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Drain{Drain: &linkv1.Drain{Reason: reason}}})
	}
}

// WaitEmpty waits until no stream is left, or ctx ends.
func (h *Hub) WaitEmpty(ctx context.Context) {
	for {
		h.mu.Lock()
		changed := h.changed // before the count, so that no change is missed
		h.mu.Unlock()
		if len(h.conns()) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// Close ends every stream.
func (h *Hub) Close() {
	for _, c := range h.conns() {
		c.cut(stopping())
	}
}

func stopping() *fault.Error {
	return fault.New(fault.Unavailable, fault.ShuttingDown, "The control plane is stopping; reconnect.").WithRetryAfter(time.Second)
}
