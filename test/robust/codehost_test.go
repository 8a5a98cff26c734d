package robust_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/test/muster"
)

// A thousand callers ask fifty runners at once. One runner's host is dead, and
// one runner goes away while it is asked: that is for their own callers, and for
// nobody else. The runners are made up; that a real one is done with a dead host in
// time is for the tests of package scmhost.
func TestADeadHostIsNobodyElsesWait(t *testing.T) {
	t.Parallel()
	const runnerCount, callers = 50, 20
	const dead, leaving = 7, 8
	s := muster.Serve(t, muster.ServerOptions{})
	crowd := &crowd{api: s.Admin(), release: make(chan struct{})}
	for n := range runnerCount {
		crowd.join(t, &witness{url: s.URL, token: s.Token}, n)
	}
	for n, r := range crowd.runners {
		switch n {
		case dead:
			go r.holdBack(callers, crowd.release)
		case leaving:
			go r.leaveAfter(callers)
		default:
			go r.answer(callers)
		}
	}
	var others, waiting sync.WaitGroup
	outcomes := make([][callers]error, runnerCount)
	for n := range crowd.runners {
		for c := range callers {
			group := &others
			if n == dead {
				group = &waiting
			}
			group.Go(func() { outcomes[n][c] = crowd.ask(t, n, c%2 == 0) })
		}
	}
	others.Wait() // while those of the dead host wait
	close(crowd.release)
	waiting.Wait()
	for n := range outcomes {
		for _, err := range outcomes[n] {
			switch n {
			case dead:
				refusedWith(t, err, connect.CodeDeadlineExceeded, fault.HostUnavailable)
			case leaving:
				refusedWith(t, err, connect.CodeUnavailable, fault.RunnerOffline)
			default:
				if err != nil {
					t.Errorf("runner %d: %v", n, err)
				}
			}
		}
	}
}

// crowd is many runners, and those who ask them.
type crowd struct {
	api     *muster.API
	runners []*answering
	// release lets the dead host's callers go.
	release chan struct{}
}

// answering is a runner that answers for its host.
type answering struct {
	*ownLink
	id string
}

// join adds a connected runner with a host of its own, to which the admin is
// signed in.
func (c *crowd) join(t *testing.T, w *witness, n int) {
	t.Helper()
	runner, exchange := c.api.NewRunner(t, fmt.Sprintf("runner %d", n))
	token := w.call(t, identities+"ExchangeToken", object{"exchangeToken": exchange}).text("accessToken")
	r := &answering{openLink(t, w.url, token), runner}
	c.runners = append(c.runners, r)
	w.call(t, config+"CreateSCMIntegration", object{"runnerId": runner, "scmId": "gitea", "host": r.host(), "pat": true})
	w.call(t, config+"CreateHostAuthenticationToken", object{
		"runnerId": runner, "host": r.host(), "token": "t", "source": "HOST_AUTHENTICATION_TOKEN_SOURCE_PAT",
	})
}

func (r *answering) host() string { return "git-" + r.id + ".example.com" }

func (r *answering) repository() string { return "https://" + r.host() + "/acme/app" }

// ask asks about a repository of a runner's host. Only some callers say which
// runner has it.
func (c *crowd) ask(t *testing.T, n int, named bool) error {
	r := c.runners[n]
	q := &gitpodv1.ParseContextURLRequest{ContextUrl: r.repository()}
	if named {
		q.RunnerId = r.id
	}
	got, err := c.api.Runners.ParseContextURL(t.Context(), connect.NewRequest(q))
	if err == nil && got.Msg.GetGit().GetCloneUrl() != r.repository()+".git" {
		return fmt.Errorf("%s is %v", r.repository(), got.Msg)
	}
	return err
}

// requests receives so many questions about URLs, and calls fn with each; false
// means that the link has ended.
func (r *answering) requests(count int, fn func(*linkv1.Request)) bool {
	for count > 0 {
		f, err := r.stream.Receive()
		if err != nil {
			return false
		}
		if f.GetRequest().GetParseContext() != nil {
			count--
			fn(f.GetRequest())
		}
	}
	return true
}

func (r *answering) reply(reply *linkv1.Reply) {
	_ = r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Reply{Reply: reply}}) // whoever waits for it says if it did not come
}

func (r *answering) answer(count int) {
	r.requests(count, func(q *linkv1.Request) {
		r.reply(&linkv1.Reply{RequestId: q.GetRequestId(), Reply: &linkv1.Reply_ContextParsed{ContextParsed: &linkv1.ContextParsed{
			Context: &gitpodv1.ParseContextURLResponse{Git: &gitpodv1.ParseContextURLResponse_GitContext{
				CloneUrl: q.GetParseContext().GetUrl() + ".git", Host: r.host(), Owner: "acme", Repo: "app",
			}},
		}}})
	})
}

// holdBack answers nothing until the release, and then that the host is dead.
func (r *answering) holdBack(count int, release <-chan struct{}) {
	var held []uint64
	r.requests(count, func(q *linkv1.Request) { held = append(held, q.GetRequestId()) })
	<-release
	for _, request := range held {
		r.reply(&linkv1.Reply{RequestId: request, Failure: &linkv1.Failure{Code: 4, Reason: "host-unavailable", Message: "It did not answer in time."}})
	}
}

// leaveAfter goes away when all callers wait for it.
func (r *answering) leaveAfter(count int) {
	if r.requests(count, func(*linkv1.Request) {}) {
		r.sending.Lock()
		defer r.sending.Unlock()
		_ = r.stream.CloseRequest()
	}
}

// refusedWith checks the code and the reason of a refusal, and that it says when
// to come back.
func refusedWith(t *testing.T, err error, code connect.Code, reason fault.Reason) {
	t.Helper()
	e, ok := errors.AsType[*connect.Error](err)
	if !ok || e.Code() != code || e.Meta().Get("Retry-After") == "" {
		t.Errorf("got %v, want %s, with a time to come back", err, code)
		return
	}
	for _, d := range e.Details() {
		if v, _ := d.Value(); v != nil {
			if info, ok := v.(*errdetails.ErrorInfo); ok && info.GetReason() != string(reason) {
				t.Errorf("the reason of %v is %s, want %s", err, info.GetReason(), reason)
			}
		}
	}
}
