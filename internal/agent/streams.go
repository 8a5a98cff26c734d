package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent/credit"
)

var errTooMany = errors.New("this runner already serves as many readers as it can; try again when one of them has finished")

// streams are those that the control plane opened on one link. Its methods are
// called by the goroutine of the link.
type streams struct {
	r   *runner
	ctx context.Context //nolint:containedctx // the link's: streams end with it
	out *outbox
	log *slog.Logger

	// finishing is closed when the streams are to come to an end.
	finishing chan struct{}
	running   sync.WaitGroup

	mu   sync.Mutex
	open map[uint64]*stream
}

type stream struct {
	writer *credit.Writer
	cancel context.CancelFunc
}

func newStreams(ctx context.Context, r *runner, out *outbox) *streams {
	return &streams{r: r, ctx: ctx, out: out, log: r.log, finishing: make(chan struct{}), open: make(map[uint64]*stream)}
}

// start serves a stream. A stream that cannot be served is closed; false means
// that not even that could be said.
func (s *streams) start(open *linkv1.StreamOpen) bool {
	id := open.GetStreamId()
	select {
	case <-s.finishing:
		return s.out.put(closed(id, errors.New("the runner is about to close its link; try again")))
	default:
	}
	if s.close(id) {
		s.log.Warn("the control plane used a stream id twice", "stream", id)
		return s.out.put(closed(id, errors.New("the stream id is already in use")))
	}
	select {
	case s.r.readers <- struct{}{}:
	default:
		return s.out.put(closed(id, errTooMany))
	}
	ctx, cancel := context.WithCancel(s.ctx)
	st := &stream{cancel: cancel}
	st.writer = credit.NewWriter(ctx, open.GetInitialCredit(), func(ctx context.Context, chunk []byte) error {
		return s.out.stream(ctx, &linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_StreamData{StreamData: &linkv1.StreamData{StreamId: id, Data: chunk}}})
	})
	s.mu.Lock()
	s.open[id] = st
	s.mu.Unlock()
	s.running.Go(func() {
		defer func() { <-s.r.readers }()
		defer cancel()
		f := s.serve(ctx, open, st.writer)
		// A stream that the other side closed is not answered.
		if s.forget(id, st) && ctx.Err() == nil {
			_ = s.out.stream(s.ctx, f)
		}
	})
	return true
}

// serve sends what was asked for and returns the frame that ends the stream.
func (s *streams) serve(ctx context.Context, open *linkv1.StreamOpen, w io.Writer) *linkv1.RunnerFrame {
	reader, err := s.r.trust.Load().Verify(open.GetToken())
	if err != nil {
		f := closed(open.GetStreamId(), err)
		f.GetStreamClose().TokenRefused = true
		return f
	}
	switch source := open.GetSource().(type) {
	case *linkv1.StreamOpen_Logs:
		until := nothingMore()
		if source.Logs.GetFollow() {
			var stop func()
			until, stop = followUntil(s.finishing, reader.Until)
			defer stop()
		}
		s.log.Info("the logs are read", "by", reader.Person)
		err = s.r.writeLogs(ctx, w, int(source.Logs.GetTailLines()), until)
	case *linkv1.StreamOpen_SupportBundle:
		s.log.Info("a support bundle is made", "for", reader.Person)
		err = s.r.writeBundle(ctx, w)
	default:
		err = errors.New("this version of the runner does not know what was asked for; update the runner")
	}
	return closed(open.GetStreamId(), err)
}

// add gives credit. Of a stream that has ended meanwhile nothing is known.
func (s *streams) add(c *linkv1.StreamCredit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.open[c.GetStreamId()]; st != nil {
		st.writer.Add(c.GetBytes())
	}
}

// close ends a stream without a word; false means that there is none.
func (s *streams) close(id uint64) bool {
	s.mu.Lock()
	st := s.open[id]
	delete(s.open, id)
	s.mu.Unlock()
	if st == nil {
		return false
	}
	st.cancel()
	return true
}

// forget removes a stream; false means that somebody closed it.
func (s *streams) forget(id uint64, st *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[id] != st {
		return false
	}
	delete(s.open, id)
	return true
}

// finish ends those streams that would go on for ever and returns a channel
// that is closed when all have ended. It may be called once.
func (s *streams) finish() <-chan struct{} {
	close(s.finishing)
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	return done
}

func closed(id uint64, err error) *linkv1.RunnerFrame {
	c := &linkv1.StreamClose{StreamId: id}
	if err != nil {
		c.Error = err.Error()
	}
	return &linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_StreamClose{StreamClose: c}}
}
