package link

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/seal"
)

const (
	// maxAsked is how many requests one runner may have to answer at once.
	maxAsked = 64
	// askPatience is how long a runner may take for a request that does not say.
	askPatience = 30 * time.Second
)

// Ask sends a request to a connected runner and waits for its reply, for as long
// as the request's patience says (30 seconds when it says nothing) and ctx lasts.
// The request id is set here.
//
// Errors: unavailable when the runner is not connected or goes offline, and when
// it says that it could not do it; deadline_exceeded when it does not answer in
// time; resource_exhausted when it has too much to answer already.
func (h *Hub) Ask(ctx context.Context, r id.Runner, q *linkv1.Request) (*linkv1.Reply, error) {
	patience := q.GetPatience().AsDuration()
	if patience <= 0 {
		patience = askPatience
	}
	if until, ok := ctx.Deadline(); ok {
		patience = min(patience, max(time.Until(until), 0))
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	c := h.awaitConn(ctx, r)
	if c == nil {
		return nil, fault.New(fault.Unavailable, fault.RunnerOffline, "The runner is not connected right now, so it cannot be asked. \"muster runner get\" says since when.").
			WithRetryAfter(5 * time.Second)
	}
	request, replies, err := c.ask()
	if err != nil {
		return nil, err
	}
	defer c.forget(request)
	q.RequestId, q.Patience = request, durationpb.New(patience)
	c.push(&planeFrame{Frame: &linkv1.PlaneFrame_Request{Request: q}})
	select {
	case reply, ok := <-replies:
		switch {
		case !ok:
			return nil, runnerAway()
		case reply.GetError() != "":
			return nil, fault.New(fault.Unavailable, fault.RunnerRefused, "The runner says: %s", cutText(reply.GetError()))
		}
		return reply, nil
	case <-late.C:
		return nil, fault.New(fault.DeadlineExceeded, fault.ReasonDeadline, "The runner is connected and did not answer within %s.", patience.Round(time.Second))
	case <-ctx.Done():
		return nil, fault.Wrap(context.Cause(ctx), "waiting for the runner's answer")
	}
}

// ask makes room for a request. The channel is closed when the link ends.
func (c *conn) ask() (request uint64, replies <-chan *linkv1.Reply, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, nil, runnerAway()
	}
	if len(c.asked) >= maxAsked {
		return 0, nil, fault.New(fault.ResourceExhausted, fault.RunnerRefused, "The runner has %d requests to answer already. Try again soon.", maxAsked).WithRetryAfter(time.Second)
	}
	c.lastID++
	waiting := make(chan *linkv1.Reply, 1)
	c.asked[c.lastID] = waiting
	return c.lastID, waiting, nil
}

// forget takes a request back: its reply, if it still comes, is dropped.
func (c *conn) forget(request uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.asked, request)
}

// replied hands a reply to whoever waits for it.
func (c *conn) replied(r *linkv1.Reply) {
	c.mu.Lock()
	waiting := c.asked[r.GetRequestId()]
	delete(c.asked, r.GetRequestId())
	c.mu.Unlock()
	if waiting != nil {
		waiting <- r // the only value that it ever gets
	}
}

// checkPatience is how long a runner may take to fetch and open the secrets of
// one question, at the pace that it gets them.
const checkPatience = time.Minute

// CheckSecrets implements sealed.Asker.
func (h *Hub) CheckSecrets(ctx context.Context, r id.Runner, names []string) ([]string, error) {
	reply, err := h.Ask(ctx, r, &linkv1.Request{
		Patience: durationpb.New(checkPatience), Request: &linkv1.Request_CheckSecrets{CheckSecrets: &linkv1.CheckSecrets{Names: names}},
	})
	if err != nil {
		return nil, err
	}
	if reply.GetSecretsChecked() == nil {
		return nil, wrongReply()
	}
	return reply.GetSecretsChecked().GetUnreadable(), nil
}

// RotateToken implements fleet.Asker.
func (h *Hub) RotateToken(ctx context.Context, r id.Runner, exchangeToken seal.Secret) error {
	reply, err := h.Ask(ctx, r, &linkv1.Request{
		Request: &linkv1.Request_RotateToken{RotateToken: &linkv1.RotateToken{SealedExchangeToken: exchangeToken}},
	})
	if err == nil && reply.GetTokenRotated() == nil {
		return wrongReply()
	}
	return err
}

func wrongReply() *fault.Error {
	return fault.New(fault.Unavailable, fault.RunnerRefused, "The runner answered something else than it was asked. Run the same version of muster on both sides.")
}
