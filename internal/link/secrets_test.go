package link_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/seal"
)

// fakeSecrets delivers what a test says; what it does not name is missing.
type fakeSecrets struct {
	mu     sync.Mutex
	sealed map[string]string // by "runner name"
	// hold makes deliveries wait until it is closed.
	hold chan struct{}
}

func (f *fakeSecrets) Deliver(ctx context.Context, c access.Caller, name string) (seal.Secret, error) {
	f.mu.Lock()
	secret, ok := f.sealed[c.ID+" "+name]
	hold := f.hold
	f.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if !ok {
		return nil, fault.New(fault.NotFound, fault.ReasonNotFound, "Nothing of that name.")
	}
	return seal.Secret(secret), nil
}

func (r *runner) askSecret(request uint64, name string) {
	r.t.Helper()
	r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_SecretRequest{SecretRequest: &linkv1.SecretRequest{RequestId: request, Name: name}}})
}

func TestSecretsGoToTheRunnerThatTheyAreSealedTo(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		p.secrets.sealed = map[string]string{runnerA + " a/1/x": "sealed"}
		a, _ := p.join(t, runnerA, hello(bootOne))
		b, _ := p.join(t, runnerB, hello(bootTwo))
		a.askSecret(7, "a/1/x")
		if got := a.receive().GetSecretReply(); got.GetRequestId() != 7 || string(got.GetSealed()) != "sealed" || got.GetError() != "" {
			t.Errorf("the owner got %v", got)
		}
		b.askSecret(8, "a/1/x")
		if got := b.receive().GetSecretReply(); got.GetRequestId() != 8 || len(got.GetSealed()) != 0 || got.GetError() != "Nothing of that name." {
			t.Errorf("another runner got %v", got)
		}
		b.askSecret(9, strings.Repeat("x", 1000))
		if got := b.receive().GetSecretReply(); got.GetRequestId() != 9 || got.GetError() == "" {
			t.Errorf("a name without end got %v", got)
		}
	})
}

func TestSecretsThatAreWaitedForAreBounded(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		p.secrets.hold = make(chan struct{})
		p.secrets.sealed = map[string]string{runnerA + " x": "sealed"}
		r, _ := p.join(t, runnerA, hello(bootOne))
		for n := range uint64(64) {
			r.askSecret(n+1, "x")
		}
		r.askSecret(65, "x")
		if got := r.receive().GetSecretReply(); got.GetRequestId() != 65 || !strings.Contains(got.GetError(), "Too many") {
			t.Fatalf("the 65th: %v", got)
		}
		r.renew(1) // the link goes on
		close(p.secrets.hold)
		seen := map[uint64]bool{}
		for range 64 {
			got := r.receive().GetSecretReply()
			if seen[got.GetRequestId()] || got.GetError() != "" {
				t.Fatalf("got %v", got)
			}
			seen[got.GetRequestId()] = true
		}
		r.askSecret(66, "x")
		if got := r.receive().GetSecretReply(); got.GetRequestId() != 66 || got.GetError() != "" {
			t.Errorf("later: %v", got)
		}
	})
}

// A runner that was broken into must not fill the audit log.
func TestSecretsComeAtAPace(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		p.secrets.sealed = map[string]string{runnerA + " x": "sealed", runnerB + " x": "sealed"}
		r, _ := p.join(t, runnerA, hello(bootOne))
		request := uint64(0)
		ask := func(r *runner) *linkv1.SecretReply {
			t.Helper()
			request++
			r.askSecret(request, "x")
			return r.receive().GetSecretReply()
		}
		// comes asks until nothing comes any more, and returns how often it came.
		comes := func(r *runner) (n int) {
			t.Helper()
			for {
				got := ask(r)
				if got.GetError() != "" {
					if wait := got.GetRetryAfter().AsDuration(); wait <= 0 || wait > 100*time.Millisecond || len(got.GetSealed()) > 0 {
						t.Fatalf("got %v", got)
					}
					return n
				}
				n++
			}
		}
		if n := comes(r); n != 200 {
			t.Errorf("%d secrets came at once", n)
		}
		time.Sleep(time.Second)
		if n := comes(r); n != 10 {
			t.Errorf("%d secrets came in a second", n)
		}
		// A new link changes nothing, and it is nobody else's pace.
		r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Goodbye{Goodbye: &linkv1.Goodbye{}}})
		r.refused()
		r, _ = p.join(t, runnerA, hello(bootTwo))
		if n := comes(r); n != 0 {
			t.Errorf("%d secrets came over a new link", n)
		}
		other, _ := p.join(t, runnerB, hello(bootOne))
		if got := ask(other); got.GetError() != "" {
			t.Errorf("another runner got %v", got)
		}
		for n := range uint64(2) {
			time.Sleep(10 * time.Second)
			r.renew(n + 1)
		}
		if n := comes(r); n != 200 {
			t.Errorf("%d secrets came after a pause", n)
		}
	})
}

func TestARunnerIsToldWhatToForget(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		p.SecretsChanged(runnerA, "a/1/x") // not connected
		r, _ := p.join(t, runnerA, hello(bootOne))
		p.SecretsChanged(runnerA)
		p.SecretsChanged(runnerB, "b/1/x")
		p.SecretsChanged(runnerA, "a/1/x", "a/2/")
		if diff := cmp.Diff([]string{"a/1/x", "a/2/"}, r.receive().GetSecretsChanged().GetNames()); diff != "" {
			t.Error(diff)
		}
	})
}

// What changes between the session and the stream is told behind Welcome, which
// tells the runner to forget everything.
func TestASecretThatChangesWhileTheLinkOpens(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		p.fleet.opened = func() { p.SecretsChanged(runnerA, "a/1/x") }
		r, w := p.join(t, runnerA, hello(bootOne))
		if w == nil {
			t.Fatal("no welcome")
		}
		p.SecretsChanged(runnerA, "a/2/x")
		if got := r.receive().GetSecretsChanged().GetNames(); len(got) != 1 || got[0] != "a/2/x" {
			t.Errorf("got %v", got)
		}
	})
}

// asked is what became of a question.
type asked struct {
	reply *linkv1.Reply
	err   error
}

func (p *plane) ask(ctx context.Context, q *linkv1.Request) <-chan asked {
	done := make(chan asked, 1)
	go func() {
		reply, err := p.Ask(ctx, runnerA, q)
		done <- asked{reply, err}
	}()
	return done
}

func check(names ...string) *linkv1.Request {
	return &linkv1.Request{Request: &linkv1.Request_CheckSecrets{CheckSecrets: &linkv1.CheckSecrets{Names: names}}}
}

func (r *runner) reply(reply *linkv1.Reply) {
	r.t.Helper()
	r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Reply{Reply: reply}})
}

func TestAsk(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		if got := <-p.ask(t.Context(), check()); !fault.HasReason(got.err, fault.RunnerOffline) || fault.From(got.err).RetryAfter == 0 {
			t.Errorf("a runner that is not connected: %v", got.err)
		}
		r, _ := p.join(t, runnerA, hello(bootOne))
		first, second := p.ask(t.Context(), check("a")), p.ask(t.Context(), check("b"))
		one, two := r.receive().GetRequest(), r.receive().GetRequest()
		if one.GetPatience().AsDuration() != 28*time.Second || one.GetRequestId() == two.GetRequestId() {
			t.Errorf("got %v and %v", one, two)
		}
		if one.GetCheckSecrets().GetNames()[0] != "a" {
			one, two = two, one
		}
		// In any order; of what nobody asked, nothing comes.
		r.reply(&linkv1.Reply{RequestId: 99})
		r.reply(&linkv1.Reply{RequestId: two.GetRequestId(), Reply: &linkv1.Reply_SecretsChecked{SecretsChecked: &linkv1.SecretsChecked{Unreadable: []string{"b"}}}})
		r.reply(&linkv1.Reply{RequestId: two.GetRequestId(), Error: "again"})
		r.reply(&linkv1.Reply{RequestId: one.GetRequestId(), Error: "the disk is full"})
		if got := <-second; got.err != nil || got.reply.GetSecretsChecked().GetUnreadable()[0] != "b" {
			t.Errorf("the second: %v, %v", got.reply, got.err)
		}
		if got := <-first; !fault.HasReason(got.err, fault.RunnerRefused) || !strings.Contains(got.err.Error(), "the disk is full") {
			t.Errorf("the first: %v", got.err)
		}
	})
}

func TestAskEnds(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		start := time.Now()
		late := p.ask(t.Context(), check())
		id := r.receive().GetRequest().GetRequestId()
		for n := range uint64(3) {
			time.Sleep(9 * time.Second)
			r.renew(n + 1)
		}
		if got := <-late; !fault.Is(got.err, fault.DeadlineExceeded) || time.Since(start) != 30*time.Second {
			t.Errorf("after %s: %v", time.Since(start), got.err)
		}
		r.reply(&linkv1.Reply{RequestId: id}) // too late, and dropped

		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		got := <-p.ask(ctx, check())
		if patience := r.receive().GetRequest().GetPatience().AsDuration(); !fault.Is(got.err, fault.DeadlineExceeded) || patience != time.Second {
			t.Errorf("a caller with less patience: %v, told %s", got.err, patience)
		}

		gone := p.ask(t.Context(), check())
		r.receive()
		r.kill()
		if got := <-gone; !fault.HasReason(got.err, fault.RunnerOffline) {
			t.Errorf("the runner goes away: %v", got.err)
		}
	})
}

func TestQuestionsAreBounded(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		var waiting []<-chan asked
		for range 64 {
			waiting = append(waiting, p.ask(t.Context(), check()))
		}
		synctest.Wait()
		if got := <-p.ask(t.Context(), check()); !fault.Is(got.err, fault.ResourceExhausted) {
			t.Errorf("the 65th: %v", got.err)
		}
		for range waiting {
			r.reply(&linkv1.Reply{RequestId: r.receive().GetRequest().GetRequestId()})
		}
		for _, w := range waiting {
			if got := <-w; got.err != nil {
				t.Error(got.err)
			}
		}
	})
}

func TestWhatRunnersAreAsked(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		errs := make(chan error, 1)
		go func() { errs <- p.RotateToken(t.Context(), runnerA, seal.Secret("exchange")) }()
		q := r.receive().GetRequest()
		if string(q.GetRotateToken().GetSealedExchangeToken()) != "exchange" {
			t.Errorf("got %v", q)
		}
		r.reply(&linkv1.Reply{RequestId: q.GetRequestId(), Reply: &linkv1.Reply_TokenRotated{TokenRotated: &linkv1.TokenRotated{}}})
		if err := <-errs; err != nil {
			t.Error(err)
		}
		var unreadable []string
		go func() {
			var err error
			unreadable, err = p.CheckSecrets(t.Context(), runnerA, []string{"a", "b"})
			errs <- err
		}()
		q = r.receive().GetRequest()
		r.reply(&linkv1.Reply{RequestId: q.GetRequestId(), Reply: &linkv1.Reply_SecretsChecked{SecretsChecked: &linkv1.SecretsChecked{Unreadable: q.GetCheckSecrets().GetNames()[1:]}}})
		if err := <-errs; err != nil || len(unreadable) != 1 || unreadable[0] != "b" {
			t.Errorf("unreadable %v, %v", unreadable, err)
		}
		go func() { errs <- p.RotateToken(t.Context(), runnerA, seal.Secret("exchange")) }()
		r.reply(&linkv1.Reply{RequestId: r.receive().GetRequest().GetRequestId()})
		if err := <-errs; !fault.HasReason(err, fault.RunnerRefused) {
			t.Errorf("an empty reply: %v", err)
		}
	})
}
