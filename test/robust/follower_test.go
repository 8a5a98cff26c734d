package robust_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/test/muster"
)

// follower knows which runners somebody sees, by what a client does: it watches,
// lists once the stream stands, looks at what an event names, and begins anew
// when the stream ends.
type follower struct {
	api *muster.API

	mu     sync.Mutex
	known  map[string]bool
	opened int
}

func (f *follower) follow(ctx context.Context) error {
	stream, err := f.api.Events.WatchEvents(ctx, connect.NewRequest(&gitpodv1.WatchEventsRequest{
		Scope: &gitpodv1.WatchEventsRequest_Organization{Organization: true},
	}))
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	stream.ResponseHeader() // waits for it
	seen, err := f.list(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.known = seen
	f.opened++
	f.mu.Unlock()
	for stream.Receive() {
		id := stream.Msg().GetResourceId()
		_, err := f.api.Runners.GetRunner(ctx, connect.NewRequest(&gitpodv1.GetRunnerRequest{RunnerId: id}))
		f.mu.Lock()
		if err == nil {
			f.known[id] = true
		} else {
			delete(f.known, id)
		}
		f.mu.Unlock()
	}
	return stream.Err()
}

func (f *follower) list(ctx context.Context) (map[string]bool, error) {
	listed, err := f.api.Runners.ListRunners(ctx, connect.NewRequest(&gitpodv1.ListRunnersRequest{Pagination: &gitpodv1.PaginationRequest{PageSize: 100}}))
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, r := range listed.Msg.GetRunners() {
		seen[r.GetRunnerId()] = true
	}
	return seen, nil
}

// Whatever is done at once to groups and roles, who follows the events knows in
// the end what can be seen: a stream that goes on misses nothing.
func TestWhoFollowsTheEventsKnowsWhatCanBeSeen(t *testing.T) {
	t.Parallel()
	everyEngine(t, func(p *people) {
		var runners, groups []string
		for range 4 {
			r, _ := p.admin.NewRunner(p.t, p.name("runner"))
			runners = append(runners, r)
			groups = append(groups, p.group())
		}
		api, id := p.member()
		f := &follower{api: api}
		ctx, stop := context.WithCancel(p.t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				_ = f.follow(ctx) // however it ended, it begins anew
			}
		}()
		defer func() {
			stop()
			<-done
		}()
		for round := range 15 {
			var wg sync.WaitGroup
			for g, group := range groups {
				wg.Go(func() { p.churn(group, runners, id, uint64(round*len(groups)+g)) })
			}
			wg.Wait()
			muster.Until(p.t, muster.Patience, func() error {
				want, err := f.list(p.t.Context())
				if err != nil {
					return err
				}
				f.mu.Lock()
				defer f.mu.Unlock()
				if f.known == nil || !maps.Equal(f.known, want) {
					return fmt.Errorf("round %d: it knows %v, and sees %v", round, slices.Sorted(maps.Keys(f.known)), slices.Sorted(maps.Keys(want)))
				}
				return nil
			})
		}
		p.t.Logf("the stream was opened %d times", f.opened)
	})
}

// churn does to a group what comes to its mind. What is there already, or not any
// more, is refused; others do their part.
func (p *people) churn(group string, runners []string, user string, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // to do the same again
	ctx := p.t.Context()
	for range 6 {
		runner := runners[random.IntN(len(runners))]
		var err error
		switch random.IntN(4) {
		case 0:
			_, err = p.groups.CreateMembership(ctx, connect.NewRequest(&gitpodv1.CreateMembershipRequest{
				GroupId: group, Subject: &gitpodv1.Subject{Id: user, Principal: gitpodv1.Principal_PRINCIPAL_USER},
			}))
		case 1:
			var m *connect.Response[gitpodv1.GetMembershipResponse]
			m, err = p.groups.GetMembership(ctx, connect.NewRequest(&gitpodv1.GetMembershipRequest{
				GroupId: group, Subject: &gitpodv1.Subject{Id: user, Principal: gitpodv1.Principal_PRINCIPAL_USER},
			}))
			if err == nil && m.Msg.GetMember() != nil {
				_, err = p.groups.DeleteMembership(ctx, connect.NewRequest(&gitpodv1.DeleteMembershipRequest{MembershipId: m.Msg.GetMember().GetId()}))
			}
		case 2:
			_, err = p.admin.Runners.CreateRunnerPolicy(ctx, connect.NewRequest(&gitpodv1.CreateRunnerPolicyRequest{
				RunnerId: runner, GroupId: group, Role: gitpodv1.RunnerRole_RUNNER_ROLE_USER,
			}))
		case 3:
			_, err = p.admin.Runners.DeleteRunnerPolicy(ctx, connect.NewRequest(&gitpodv1.DeleteRunnerPolicyRequest{RunnerId: runner, GroupId: group}))
		}
		switch connect.CodeOf(err) {
		case connect.CodeAlreadyExists, connect.CodeNotFound, connect.CodeAborted:
		default:
			if err != nil {
				p.t.Error(err)
			}
		}
	}
}
