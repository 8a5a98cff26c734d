package agent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent/home"
)

const (
	testLease      = 30 * time.Second
	testRenewEvery = 10 * time.Second
)

func TestOutboxSendsNoBytesWithoutTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHold()
		o := newOutbox(h)
		var sent []*linkv1.RunnerFrame
		done := make(chan error)
		go func() {
			done <- o.run(t.Context(), func(f *linkv1.RunnerFrame) error {
				sent = append(sent, f)
				return nil
			})
		}()
		expect := func(when string, want ...*linkv1.RunnerFrame) {
			t.Helper()
			synctest.Wait()
			if len(sent) != len(want) {
				t.Fatalf("%s: sent %v, want %v", when, sent, want)
			}
			for i := range want {
				if sent[i] != want[i] {
					t.Errorf("%s: sent %v, want %v", when, sent, want)
				}
			}
			sent = nil
		}
		bytes, renewal := new(linkv1.RunnerFrame), new(linkv1.RunnerFrame)
		send := func() {
			go func() {
				if err := o.stream(t.Context(), bytes); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
			o.put(renewal)
		}

		send()
		expect("before the first confirmation", renewal)
		h.confirm(time.Now(), testLease)
		expect("when it is confirmed", bytes)
		send()
		expect("while it is held", bytes, renewal)
		<-time.After(testLease)
		send()
		expect("when it has run out", renewal)
		h.confirm(time.Now().Add(-testLease), testLease)
		expect("after a confirmation of what was asked for too long ago")
		h.confirm(time.Now(), testLease)
		expect("when it is confirmed again", bytes)
		h.release()
		send()
		expect("when it was released", renewal)
		h.confirm(time.Now().Add(time.Nanosecond), testLease)
		expect("when it was won back", bytes)
		o.finish()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A stream that has ended has nothing on its way any more, and no bytes get in
// the way of a renewal.
func TestOutboxOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHold()
		h.confirm(time.Now(), testLease)
		o := newOutbox(h)
		wire := make(chan *linkv1.RunnerFrame)
		go func() {
			_ = o.run(t.Context(), func(f *linkv1.RunnerFrame) error {
				wire <- f
				return nil
			})
		}()
		first, bytes, renewal := new(linkv1.RunnerFrame), new(linkv1.RunnerFrame), new(linkv1.RunnerFrame)
		for range 30 {
			o.put(first)
			synctest.Wait() // it is being written
			returned := false
			go func() {
				_ = o.stream(t.Context(), bytes)
				returned = true
			}()
			synctest.Wait()
			o.put(renewal)
			for _, want := range []*linkv1.RunnerFrame{first, renewal, bytes} {
				synctest.Wait()
				if returned {
					t.Fatal("stream returned before its frame was sent")
				}
				if got := <-wire; got != want {
					t.Fatal("the frames were sent in another order")
				}
			}
			synctest.Wait()
			if !returned {
				t.Fatal("stream did not return")
			}
		}
		o.finish()
	})
}

func TestStreamsDoNotWaitForAnOutboxThatIsGone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if newOutbox(newHold()).stream(ctx, nil) == nil {
		t.Error("it was sent")
	}
}

// A pause shows in the time between two beats.
func TestKeeperAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := keptLink(t)
		keep := func() {
			t.Helper()
			if e := l.keep(time.Now()); e != nil {
				t.Fatalf("the link was given up: %v", e.err)
			}
		}
		renewal := func() uint64 {
			t.Helper()
			select {
			case f := <-l.out.control:
				return f.GetRenewal().GetSequence()
			default:
				t.Fatal("no renewal was sent")
				return 0
			}
		}
		<-time.After(testRenewEvery)
		keep()
		early := renewal()

		<-time.After(2 * testLease) // nobody calls keep
		if l.r.hold.held() {
			t.Error("the lease is held after the pause")
		}
		keep()
		late := renewal()
		l.renewed(early)
		if l.r.hold.held() {
			t.Error("an answer to what was asked before the pause counts")
		}
		<-time.After(time.Second)
		keep()
		l.renewed(late)
		if !l.r.hold.held() {
			t.Error("the answer does not count")
		}

		// No answer after the next pause: that shows soon.
		<-time.After(2 * testLease)
		keep()
		renewal()
		woken := time.Now()
		for l.keep(time.Now()) == nil {
			<-time.After(time.Second)
		}
		if waited := time.Since(woken); waited > testRenewEvery+time.Second {
			t.Errorf("the link was given up after %s", waited)
		}
	})
}

func keptLink(t *testing.T) *link {
	t.Helper()
	h, err := home.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	r, err := newRunner(Config{}, addresses{}, h)
	if err != nil {
		t.Fatal(err)
	}
	l := &link{r: r, out: newOutbox(r.hold)}
	l.keeper.start(testLease, testRenewEvery, time.Now(), time.Now())
	t.Cleanup(l.keeper.stop)
	r.hold.confirm(time.Now(), testLease)
	return l
}
