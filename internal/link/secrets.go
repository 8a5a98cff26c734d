package link

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

// maxDelivering is how many secrets a runner may wait for at once.
const maxDelivering = 64

// maxSecretName bounds the names that a runner may ask for, in bytes.
const maxSecretName = 512

// Each delivery of a secret leaves an audit entry, so a runner gets so many a
// second, and so many at once when it was quiet before: one that was broken into
// must not bury what happened in the audit log. The limit outlives links, so that
// nothing is gained by connecting anew.
const (
	deliveriesPerSecond = 10
	deliveriesAtOnce    = 200
)

// deliver answers a request for a secret, soon and in any order.
func (h *Hub) deliver(ctx context.Context, c *conn, q *linkv1.SecretRequest) {
	reply := &linkv1.SecretReply{RequestId: q.GetRequestId()}
	c.mu.Lock()
	switch {
	case c.delivering >= maxDelivering:
		reply.Error = "Too many secrets were asked for at once. Ask again when some have come."
	case len(q.GetName()) > maxSecretName:
		reply.Error = "This is no name of a secret: it is too long."
	default:
		if wait := h.deliveries.Take(id.Runner(c.caller.ID), time.Now()); wait > 0 {
			reply.Error = "Too many secrets were asked for in a short time. Ask again a little later."
			reply.RetryAfter = durationpb.New(wait)
			break
		}
		c.delivering++
	}
	c.mu.Unlock()
	if reply.GetError() != "" {
		c.push(secretReply(reply))
		return
	}
	go func() {
		secret, err := h.cfg.Secrets.Deliver(ctx, c.caller, q.GetName())
		c.mu.Lock()
		c.delivering--
		c.mu.Unlock()
		if reply.Sealed = secret; err != nil {
			f := fault.From(err)
			reply.Sealed, reply.Error = nil, f.Message
			if f.Code != fault.NotFound && ctx.Err() == nil {
				h.cfg.Log.Warn("a secret could not be delivered", "runner_id", c.caller.ID, "secret", q.GetName(), "error", err)
			}
		}
		c.push(secretReply(reply))
	}()
}

func secretReply(r *linkv1.SecretReply) *planeFrame {
	return &planeFrame{Frame: &linkv1.PlaneFrame_SecretReply{SecretReply: r}}
}

// SecretsChanged tells a connected runner to forget what it has opened of these
// secrets. A name that ends with "/" stands for all that begin with it. It is
// called after the commit, and returns at once. A runner that is not connected
// forgets everything when it connects.
func (h *Hub) SecretsChanged(r id.Runner, names ...string) {
	if c := h.connOf(r); c != nil && len(names) > 0 {
		c.push(&planeFrame{Frame: &linkv1.PlaneFrame_SecretsChanged{SecretsChanged: &linkv1.SecretsChanged{Names: names}}})
	}
}
