package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/agent/vault"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/seal"
)

const (
	// maxRequests is how many requests are worked on at once, without questions
	// about source code hosts, and maxQuestions is how many of those are.
	maxRequests  = 16
	maxQuestions = 256
	// maxPatience bounds how long a request may take, whatever the control plane
	// says.
	maxPatience = 5 * time.Minute
	// maxCheckNames is how many secrets one request may ask about.
	maxCheckNames = 1000
)

// requests are those of the control plane on one link. start is called by the
// goroutine of the link.
type requests struct {
	r       *runner
	ctx     context.Context //nolint:containedctx // the link's: requests end with it
	out     *outbox
	running sync.WaitGroup
	// slots and questions have a value for everything that is worked on.
	slots, questions chan struct{}
	// rotating is set while a token is being redeemed.
	rotating bool
	// rotated gets what became of that.
	rotated chan rotated
}

// rotated is an access token that a rotation brought, or why it brought none.
type rotated struct {
	request uint64
	token   string
	err     error
}

func newRequests(ctx context.Context, r *runner, out *outbox) *requests {
	return &requests{
		r: r, ctx: ctx, out: out, rotated: make(chan rotated, 1),
		slots: make(chan struct{}, maxRequests), questions: make(chan struct{}, maxQuestions),
	}
}

// start works on a request. One that cannot be worked on is answered at once;
// false means that not even that could be said.
func (q *requests) start(in *linkv1.Request) bool {
	refuse := func(why string) bool {
		return q.out.put(replied(&linkv1.Reply{RequestId: in.GetRequestId(), Error: why}))
	}
	var work func(ctx context.Context)
	switch asked := in.GetRequest().(type) {
	case *linkv1.Request_CheckSecrets:
		names := asked.CheckSecrets.GetNames()
		if len(names) > maxCheckNames {
			return refuse("too many secrets were asked about at once")
		}
		work = func(ctx context.Context) {
			reply := q.r.checkSecrets(ctx, names)
			reply.RequestId = in.GetRequestId()
			_ = q.out.stream(ctx, replied(reply))
		}
	case *linkv1.Request_RotateToken:
		if q.rotating {
			return refuse("this runner is taking a new token already")
		}
		q.rotating = true
		keys, purpose := q.r.identity.KeyPair, seal.Name("runner", q.r.standing.runnerID, "rotation")
		work = func(ctx context.Context) {
			var token string
			exchange, err := keys.Open(asked.RotateToken.GetSealedExchangeToken(), purpose)
			if err != nil {
				err = errors.New("it was sealed to another key than this runner's")
			} else {
				token, _, err = q.r.redeemOnce(ctx, string(exchange))
			}
			q.rotated <- rotated{in.GetRequestId(), token, err}
		}
	default:
		q.ask(in)
		return true
	}
	select {
	case q.slots <- struct{}{}:
	default:
		q.rotating = q.rotating && in.GetRotateToken() == nil
		return refuse("this runner already has as much to do as it can; try again when some of it is done")
	}
	q.running.Go(func() {
		defer func() { <-q.slots }()
		ctx, cancel := q.within(in, maxPatience)
		defer cancel()
		work(ctx)
	})
	return true
}

// within is the context of a request: the control plane's patience, within
// limits.
func (q *requests) within(in *linkv1.Request, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(q.ctx, min(max(in.GetPatience().AsDuration(), time.Second), limit))
}

// ask answers a question about source code hosts. Those wait for hosts, so that
// they may be many, and do not take the place of others.
func (q *requests) ask(in *linkv1.Request) {
	reply := func(r *linkv1.Reply) {
		r.RequestId = in.GetRequestId()
		_ = q.out.stream(q.ctx, replied(r))
	}
	select {
	case q.questions <- struct{}{}:
	default:
		busy := fault.New(fault.ResourceExhausted, fault.RunnerRefused, "This runner answers %d questions about source code hosts already. Try again soon.", maxQuestions).
			WithRetryAfter(time.Second)
		q.running.Go(func() { reply(&linkv1.Reply{Failure: q.r.codeHosts.failure(q.ctx, busy)}) })
		return
	}
	q.running.Go(func() {
		defer func() { <-q.questions }()
		ctx, cancel := q.within(in, scmhost.Patience)
		defer cancel()
		reply(q.r.codeHosts.answer(ctx, in))
	})
}

func replied(r *linkv1.Reply) *linkv1.RunnerFrame {
	return &linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Reply{Reply: r}}
}

// checkSecrets tries to open secrets. The answer is an error when one does not
// come, such as one that was deleted meanwhile: nothing is known of it.
func (r *runner) checkSecrets(ctx context.Context, names []string) *linkv1.Reply {
	var mu sync.Mutex
	var failed error
	checked := &linkv1.SecretsChecked{}
	var workers sync.WaitGroup
	next := make(chan string)
	for range min(maxSecretRequests, len(names)) {
		workers.Go(func() {
			for name := range next {
				plain, _, err := r.vault.Get(ctx, name)
				clear(plain)
				mu.Lock()
				switch {
				case errors.Is(err, vault.ErrSealed):
					checked.Unreadable = append(checked.Unreadable, name)
				case err != nil:
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	for _, name := range names {
		next <- name
	}
	close(next)
	workers.Wait()
	if failed != nil {
		return &linkv1.Reply{Error: printable("not all secrets came: "+failed.Error(), maxMessage)}
	}
	r.log.Info("the secrets were checked", "asked", len(names), "unreadable", len(checked.GetUnreadable()))
	return &linkv1.Reply{Reply: &linkv1.Reply_SecretsChecked{SecretsChecked: checked}}
}
