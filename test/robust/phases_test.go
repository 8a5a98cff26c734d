package robust_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/test/muster"
)

// What the control plane promises about leases.
const (
	lease = 30 * time.Second
	// inactiveWithin is when a runner that stopped to renew must be INACTIVE.
	inactiveWithin = lease + 5*time.Second
)

const (
	active   = gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE
	inactive = gitpodv1.RunnerPhase_RUNNER_PHASE_INACTIVE
	degraded = gitpodv1.RunnerPhase_RUNNER_PHASE_DEGRADED
	deleting = gitpodv1.RunnerPhase_RUNNER_PHASE_DELETING
)

// subject is a runner whose phase is looked at all the time, from when it is
// connected until the test ends.
type subject struct {
	id   string
	host *muster.Host
	api  *muster.API

	mu     sync.Mutex
	phases []gitpodv1.RunnerPhase // without repetitions
	last   *gitpodv1.Runner
}

// connected registers a runner, starts its host, and waits until the runner is
// ACTIVE and has its configuration, so that its status changes no more.
func connected(t *testing.T, s *muster.Server, name string) *subject {
	t.Helper()
	r := &subject{api: s.Admin()}
	var token string
	r.id, token = r.api.NewRunner(t, name)
	r.host = s.Join(t, token)
	muster.Until(t, muster.Patience, func() error {
		got, err := r.api.Runner(t, r.id)
		switch {
		case err != nil:
			return err
		case got.GetStatus().GetPhase() != active || fact(got, "configuration") != "revision 1 applied":
			return fmt.Errorf("runner %s is not ready: %v", name, got.GetStatus())
		}
		r.note(got)
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.observe(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return r
}

// observe reads the runner over and over. What cannot be read, because the
// control plane is down, is no phase.
func (r *subject) observe(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := r.api.Runners.GetRunner(ctx, connect.NewRequest(&gitpodv1.GetRunnerRequest{RunnerId: r.id}))
		if err == nil {
			r.note(got.Msg.GetRunner())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// note keeps what was read.
func (r *subject) note(got *gitpodv1.Runner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = got
	if phase := got.GetStatus().GetPhase(); len(r.phases) == 0 || r.phases[len(r.phases)-1] != phase {
		r.phases = append(r.phases, phase)
	}
}

// status is the runner's as it was last read.
func (r *subject) status() *gitpodv1.RunnerStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last.GetStatus()
}

// history is the row of phases so far.
func (r *subject) history() []gitpodv1.RunnerPhase {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.phases)
}

// is tells whether the runner was in these phases and no others, in this order.
func (r *subject) is(phases ...gitpodv1.RunnerPhase) error {
	if got := r.history(); !slices.Equal(got, phases) {
		return fmt.Errorf("the runner went through %v, want %v: %s", got, phases, r.status().GetMessage())
	}
	return nil
}

// fact is a piece of additional information of a runner.
func fact(r *gitpodv1.Runner, key string) string {
	for _, f := range r.GetStatus().GetAdditionalInfo() {
		if f.GetKey() == key {
			return f.GetValue()
		}
	}
	return ""
}

// statusUpdates counts the events that say that the runner's status changed, and
// fails the test when there are others.
func statusUpdates(t *testing.T, w *muster.Watcher, id string) int {
	t.Helper()
	events := w.Of(t, id)
	for _, e := range events {
		if e != gitpodv1.ResourceOperation_RESOURCE_OPERATION_UPDATE_STATUS {
			t.Errorf("an event that nobody asked for: %v", e)
		}
	}
	return len(events)
}
