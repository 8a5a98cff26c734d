package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/seal"
)

// maxSecretRequests is how many secrets are asked for at once; the control plane
// refuses more than a few times that.
const maxSecretRequests = 16

// secrets asks for secrets over one link. Its methods are safe for all.
type secrets struct {
	ctx   context.Context //nolint:containedctx // the link's: requests end with it
	out   *outbox
	slots chan struct{}

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan *linkv1.SecretReply
}

func newSecrets(ctx context.Context, out *outbox) *secrets {
	return &secrets{ctx: ctx, out: out, slots: make(chan struct{}, maxSecretRequests), waiting: map[uint64]chan *linkv1.SecretReply{}}
}

var errLinkEnded = errors.New("the link ended before the secret came")

// maxSecretWait bounds how long it takes until a secret that was asked for too
// soon is asked for again, whatever the control plane says.
const maxSecretWait = 10 * time.Second

// ask fetches a sealed secret by its name. When the control plane has delivered
// many in a short time, that may take until ctx ends.
func (s *secrets) ask(ctx context.Context, name string) (seal.Secret, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.ctx.Done():
		return nil, errLinkEnded
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	for {
		r, err := s.askOnce(ctx, name)
		later := r.GetRetryAfter().AsDuration()
		switch {
		case err == nil && r.GetError() == "":
			return r.GetSealed(), nil
		case err == nil && later <= 0:
			return nil, errors.New(printable(r.GetError(), maxMessage))
		case err == nil:
			select {
			case <-time.After(min(later, maxSecretWait)):
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		if s.ctx.Err() != nil {
			return nil, errLinkEnded
		}
		return nil, err
	}
}

// askOnce asks for a secret and waits for the answer.
func (s *secrets) askOnce(ctx context.Context, name string) (*linkv1.SecretReply, error) {
	reply := make(chan *linkv1.SecretReply, 1)
	s.mu.Lock()
	s.last++
	request := s.last
	s.waiting[request] = reply
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, request)
		s.mu.Unlock()
	}()
	err := s.out.stream(ctx, &linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_SecretRequest{
		SecretRequest: &linkv1.SecretRequest{RequestId: request, Name: name},
	}})
	if err != nil {
		return nil, err
	}
	select {
	case r := <-reply:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// reply hands an answer to whoever asked; nobody may any more.
func (s *secrets) reply(r *linkv1.SecretReply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if waiting := s.waiting[r.GetRequestId()]; waiting != nil {
		delete(s.waiting, r.GetRequestId())
		waiting <- r // the only value that it ever gets
	}
}
