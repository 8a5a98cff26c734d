package cli

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// change is something that happened to a runner.
type change struct {
	operation gitpodv1.ResourceOperation
	// runner is as it is now; a deleted one as it last was, in the phase DELETED.
	runner *gitpodv1.Runner
}

// watch says what to watch and what to do about it. An error of either function
// ends the watch.
type watch struct {
	// id limits the watch to one runner; empty watches all that filter selects.
	id     string
	filter *gitpodv1.ListRunnersRequest_Filter
	// listed is told the runners at the start. A single runner that does not exist
	// is none.
	listed func([]*gitpodv1.Runner) error
	// changed is told of every change since then.
	changed func(change) error
}

// watchRunners watches until ctx ends, which is no error. Events say what
// changed and not how, and some are lost when the stream breaks: so the runners
// are listed once each stream stands, and what differs counts as changed.
func (c *Client) watchRunners(ctx context.Context, w watch) error {
	f := &follower{client: c, watch: w}
	for {
		err := f.follow(ctx)
		var stop *stopped
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &stop):
			return stop.why
		case permanent(err):
			return err
		case err == nil:
			err = errors.New("the control plane closed the stream")
		}
		f.settle()
		wait := untilNext(f.attempt, err)
		f.attempt++
		retrying(c.env, err, wait)
		if c.env.Pause(ctx, wait) != nil {
			return nil
		}
	}
}

// backoff is how long to wait before another attempt: from half a second to
// half a minute, less up to a quarter so that clients do not come in step.
func backoff(attempt int) time.Duration {
	wait := min(500*time.Millisecond<<min(attempt, 10), 30*time.Second)
	return wait - rand.N(wait/4) //nolint:gosec // jitter is no secret
}

const (
	// maxTold bounds what a server, or something in front of it, may ask for.
	maxTold = 5 * time.Minute
	// steadyAfter is how long a stream on which nothing comes must have stood to be
	// no failure. One that is refused stands, too, until it is read from.
	steadyAfter = 2 * time.Second
)

// untilNext is how long to wait before another attempt: the backoff, or as long as
// the server says if that is longer.
func untilNext(attempt int, err error) time.Duration {
	wait := backoff(attempt)
	if told := toldToWait(err); told > wait {
		return told + rand.N(500*time.Millisecond) //nolint:gosec // jitter is no secret
	}
	return wait
}

// stopped carries the error of a watch's own function through the follower.
type stopped struct{ why error }

func (s *stopped) Error() string { return s.why.Error() }

func stop(err error) error {
	if err == nil {
		return nil
	}
	return &stopped{err}
}

// follower is a watch under way.
type follower struct {
	client *Client
	watch
	// known is every runner as it was last seen; nil before the first list.
	known   map[string]*gitpodv1.Runner
	attempt int
	// stood is when the last stream stood and the list had come; zero when it never
	// did.
	stood time.Time
}

// settle forgets the failures in a row when the last stream was none.
func (f *follower) settle() {
	if !f.stood.IsZero() && time.Since(f.stood) >= steadyAfter {
		f.attempt = 0
	}
}

// follow opens one stream and follows it to its end.
func (f *follower) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.stood = time.Time{}
	types := &gitpodv1.WatchEventsRequest_ResourceTypeFilter{ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER}
	if f.id != "" {
		types.ResourceIds = []string{f.id}
	}
	stream, err := f.client.Events.WatchEvents(ctx, connect.NewRequest(&gitpodv1.WatchEventsRequest{
		Scope:               &gitpodv1.WatchEventsRequest_Organization{Organization: true},
		ResourceTypeFilters: []*gitpodv1.WatchEventsRequest_ResourceTypeFilter{types},
	}))
	if err != nil {
		return unreachable(f.client.Server, err)
	}
	defer func() { _ = stream.Close() }()
	// The headers arrive once the control plane watches for us: what changes from
	// here on is an event, and the list has all that was before.
	stream.ResponseHeader()
	if err := f.list(ctx); err != nil {
		return err
	}
	f.stood = time.Now()
	for stream.Receive() {
		f.attempt = 0
		if err := f.event(ctx, stream.Msg()); err != nil {
			return err
		}
	}
	return unreachable(f.client.Server, stream.Err())
}

// list brings known up to date.
func (f *follower) list(ctx context.Context) error {
	runners, err := f.current(ctx)
	if err != nil {
		return err
	}
	before := f.known
	f.known = make(map[string]*gitpodv1.Runner, len(runners))
	for _, r := range runners {
		f.known[r.GetRunnerId()] = r
	}
	if before == nil {
		return stop(f.listed(runners))
	}
	for _, r := range runners {
		old, ok := before[r.GetRunnerId()]
		operation := gitpodv1.ResourceOperation_RESOURCE_OPERATION_CREATE
		switch {
		case ok && proto.Equal(old, r):
			continue
		case ok && proto.Equal(old.GetStatus(), r.GetStatus()):
			operation = gitpodv1.ResourceOperation_RESOURCE_OPERATION_UPDATE
		case ok:
			operation = gitpodv1.ResourceOperation_RESOURCE_OPERATION_UPDATE_STATUS
		}
		if err := f.changed(change{operation, r}); err != nil {
			return stop(err)
		}
	}
	for id, old := range before {
		if _, ok := f.known[id]; !ok {
			if err := f.changed(deleted(old)); err != nil {
				return stop(err)
			}
		}
	}
	return nil
}

func (f *follower) current(ctx context.Context) ([]*gitpodv1.Runner, error) {
	if f.id == "" {
		return f.client.ListRunners(ctx, f.filter)
	}
	r, err := f.client.GetRunner(ctx, f.id)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []*gitpodv1.Runner{r}, nil
}

// event looks up what an event is about.
func (f *follower) event(ctx context.Context, e *gitpodv1.WatchEventsResponse) error {
	id := e.GetResourceId()
	if e.GetResourceType() != gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER || id == "" {
		return nil
	}
	old := f.known[id]
	if e.GetOperation() == gitpodv1.ResourceOperation_RESOURCE_OPERATION_DELETE {
		if old == nil {
			return nil
		}
		delete(f.known, id)
		return stop(f.changed(deleted(old)))
	}
	r, err := f.client.GetRunner(ctx, id)
	if isMissing(err) {
		// Its DELETE is on the way.
		return nil
	}
	if err != nil {
		return err
	}
	if !f.selects(r) {
		return nil
	}
	f.known[id] = r
	return stop(f.changed(change{e.GetOperation(), r}))
}

// selects tells whether the filter has a runner.
func (f *follower) selects(r *gitpodv1.Runner) bool {
	for _, p := range f.filter.GetProviders() {
		if p == r.GetProvider() {
			return true
		}
	}
	return len(f.filter.GetProviders()) == 0
}

func deleted(r *gitpodv1.Runner) change {
	gone := proto.CloneOf(r)
	if gone.Status == nil {
		gone.Status = &gitpodv1.RunnerStatus{}
	}
	gone.Status.Phase = gitpodv1.RunnerPhase_RUNNER_PHASE_DELETED
	gone.Status.Message = ""
	return change{gitpodv1.ResourceOperation_RESOURCE_OPERATION_DELETE, gone}
}
