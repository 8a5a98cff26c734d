package link

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/seal"
)

const (
	// maxErrands is how many requests about itself one runner may have to answer at
	// once, and maxQuestions how many of other kinds, which wait for hosts that may
	// be slow. Neither keeps the other waiting.
	maxErrands   = 64
	maxQuestions = 256
	// maxAsking is how many questions of one caller a runner may have at once, so
	// that nobody takes all of its places.
	maxAsking = 64
	// askPatience is how long a request that does not say may take.
	askPatience = 30 * time.Second
	// onTheWay is how much sooner than the control plane a runner gives up, so that
	// its own words arrive; leastPatience is what it has at least.
	onTheWay      = 2 * time.Second
	leastPatience = time.Second
)

// request is one that waits for its reply.
type request struct {
	purpose purpose
	// asker is the id of the caller; empty when nobody called.
	asker string
	// replies gets one reply, or is closed when the link ends.
	replies chan *linkv1.Reply
}

// purpose is what a request is for.
type purpose int

const (
	errand   purpose = iota // about the runner itself
	question                // about the world
)

var atOnce = [...]int{errand: maxErrands, question: maxQuestions}

func purposeOf(q *linkv1.Request) purpose {
	switch q.GetRequest().(type) {
	case *linkv1.Request_CheckSecrets, *linkv1.Request_RotateToken:
		return errand
	default:
		return question
	}
}

// Ask sends a request to a connected runner and waits for its reply, for as long
// as the request's patience says (30 seconds when it says nothing) and ctx lasts.
// The runner is told a little less, and the request id is set here.
//
// Errors: unavailable when the runner is not connected or goes offline, and when
// it says that it could not do it; deadline_exceeded when it does not answer in
// time; resource_exhausted when it has too much to answer already; and what the
// runner gives as a Failure.
func (h *Hub) Ask(ctx context.Context, r id.Runner, q *linkv1.Request) (*linkv1.Reply, error) {
	patience := q.GetPatience().AsDuration()
	if patience <= 0 {
		patience = askPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience) // which waits for a stream to come, too
	defer cancel()
	until, _ := ctx.Deadline()
	patience = time.Until(until)
	c := h.awaitConn(ctx, r)
	if c == nil {
		return nil, fault.New(fault.Unavailable, fault.RunnerOffline, "The runner is not connected right now, so it cannot be asked. \"muster runner get\" says since when.").
			WithRetryAfter(5 * time.Second)
	}
	number, replies, err := c.ask(purposeOf(q), access.CallerOf(ctx).ID)
	if err != nil {
		return nil, err
	}
	defer c.forget(number)
	q.RequestId, q.Patience = number, durationpb.New(max(time.Until(until)-onTheWay, leastPatience))
	c.push(&planeFrame{Frame: &linkv1.PlaneFrame_Request{Request: q}})
	select {
	case reply, ok := <-replies:
		switch {
		case !ok:
			return nil, runnerAway()
		case reply.GetFailure() != nil:
			return nil, failed(reply.GetFailure())
		case reply.GetError() != "":
			return nil, fault.New(fault.Unavailable, fault.RunnerRefused, "The runner says: %s", printable(reply.GetError(), maxText))
		}
		return reply, nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, fault.New(fault.DeadlineExceeded, fault.ReasonDeadline, "The runner is connected and did not answer within %s.", patience.Round(time.Second))
		}
		return nil, fault.Wrap(context.Cause(ctx), "waiting for the runner's answer")
	}
}

// ask makes room for a request. The channel is closed when the link ends.
func (c *conn) ask(p purpose, asker string) (number uint64, replies <-chan *linkv1.Reply, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return 0, nil, runnerAway()
	case c.waiting[p] >= atOnce[p]:
		return 0, nil, fault.New(fault.ResourceExhausted, fault.RunnerRefused, "The runner has %d requests to answer already. Try again soon.", atOnce[p]).WithRetryAfter(time.Second)
	case p == question && c.asking[asker] >= maxAsking:
		return 0, nil, fault.New(fault.ResourceExhausted, fault.RunnerRefused, "The runner has %d questions of yours to answer already. Wait for some of the answers.", maxAsking).WithRetryAfter(time.Second)
	}
	c.waiting[p]++
	if p == question {
		c.asking[asker]++
	}
	c.lastID++
	r := request{p, asker, make(chan *linkv1.Reply, 1)}
	c.asked[c.lastID] = r
	return c.lastID, r.replies, nil
}

// take returns a request that waits, and lets it wait no more. The mutex is held.
func (c *conn) take(number uint64) (r request, ok bool) {
	if r, ok = c.asked[number]; ok {
		delete(c.asked, number)
		c.waiting[r.purpose]--
		if r.purpose == question {
			if c.asking[r.asker]--; c.asking[r.asker] == 0 {
				delete(c.asking, r.asker)
			}
		}
	}
	return r, ok
}

// forget takes a request back: its reply, if it still comes, is dropped.
func (c *conn) forget(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.take(number)
}

// replied hands a reply to whoever waits for it.
func (c *conn) replied(reply *linkv1.Reply) {
	c.mu.Lock()
	r, ok := c.take(reply.GetRequestId())
	c.mu.Unlock()
	if ok {
		r.replies <- reply // the only value that it ever gets
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
