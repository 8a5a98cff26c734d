package link_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/link"
)

func TestARunnerThatRenewsStays(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, w := p.join(t, runnerA, hello(bootOne))
		if w.GetEpoch() != 1 || w.GetLease().AsDuration() != link.Lease || w.GetRenewEvery().AsDuration() >= link.Lease ||
			w.GetRunnerId() != runnerA || w.GetConfiguration().GetRevision() != 7 || len(w.GetGateways()) != 1 || w.GetIssuer() == "" {
			t.Errorf("Welcome = %v", w)
		}
		for i := range 60 {
			time.Sleep(link.RenewEvery)
			r.renew(uint64(i))
		}
		if got := p.fleet.endings(); len(got) != 0 {
			t.Errorf("a runner that renews was ended: %v", got)
		}
		r.kill()
	})
}

func TestARunnerThatIsKilledGoesInactiveOnceAfterItsLease(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		time.Sleep(5 * time.Second)
		r.renew(1)
		r.kill()
		time.Sleep(link.Lease - time.Second)
		synctest.Wait()
		if got := p.fleet.endings(); len(got) != 0 {
			t.Errorf("ended before its lease: %v", got)
		}
		time.Sleep(6 * time.Second) // lease + 5 s
		synctest.Wait()
		got := p.fleet.endings()
		if len(got) != 1 || !strings.Contains(got[0], "host-1") || !strings.Contains(got[0], "30 seconds") {
			t.Errorf("endings: %q", got)
		}
		time.Sleep(5 * time.Minute)
		if got := p.fleet.endings(); len(got) != 1 {
			t.Errorf("ended again: %q", got)
		}
	})
}

func TestAReconnectInTimeIsInvisible(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		for range 5 {
			r, _ := p.join(t, runnerA, hello(bootOne))
			r.kill()
			time.Sleep(link.Lease - 2*time.Second)
		}
		if got := p.fleet.endings(); len(got) != 0 {
			t.Errorf("ended: %v", got)
		}
	})
}

func TestGoodbyeEndsAtOnce(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Goodbye{Goodbye: &linkv1.Goodbye{Reason: "stopped by SIGTERM"}}})
		if code, _ := r.refused(); code != 0 {
			t.Errorf("the link ended with %v", code)
		}
		if got := p.fleet.endings(); len(got) != 1 || !strings.Contains(got[0], "SIGTERM") {
			t.Errorf("endings: %v", got)
		}
		if sessions, links := p.Counts(); sessions != 0 || links != 0 {
			t.Errorf("left: %d sessions, %d links", sessions, links)
		}
	})
}

func TestOfTwoHostsTheNewestWinsAndTheOlderWaits(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		older, _ := p.join(t, runnerA, hello(bootOne))
		newer, w := p.join(t, runnerA, hello(bootTwo))
		if w.GetEpoch() != 2 {
			t.Errorf("epoch %d", w.GetEpoch())
		}
		if s := older.receive().GetSuperseded(); s.GetHostName() != "host-2" || s.GetBootId() != bootTwo {
			t.Errorf("the older host was told %v", s)
		}
		if code, _ := older.refused(); code != connect.CodeAborted {
			t.Errorf("the older link ended with %v", code)
		}
		// It knocks as a standby, and is refused while the newer one lives.
		knock := func() {
			standby := hello(bootOne)
			standby.Standby = true
			r := p.dial(t, runnerA)
			r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: standby}})
			if code, _ := r.refused(); code != connect.CodeAborted {
				t.Errorf("a standby was answered %v", code)
			}
		}
		for i := range 6 {
			time.Sleep(link.RenewEvery)
			newer.renew(uint64(i))
			knock()
		}
		if n := p.fleet.notices; len(n) != 1 || !strings.Contains(n[0], "host-1") || !strings.Contains(n[0], "host-2") {
			t.Errorf("notices: %q", n)
		}
		// Once it is silent, the notice goes away.
		for i := range 12 {
			time.Sleep(link.RenewEvery)
			newer.renew(uint64(i))
		}
		synctest.Wait()
		if n := p.fleet.notices; len(n) != 2 || n[1] != "" {
			t.Errorf("notices: %q", n)
		}
		// When the newer one dies, the standby takes over.
		newer.kill()
		time.Sleep(link.Lease + 2*time.Second)
		standby := hello(bootOne)
		standby.Standby = true
		if _, w := p.join(t, runnerA, standby); w.GetEpoch() != 3 {
			t.Errorf("epoch %d", w.GetEpoch())
		}
	})
}

func TestASupersededSessionIsNotConfirmed(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		older, _ := p.join(t, runnerA, hello(bootOne))
		p.join(t, runnerA, hello(bootOne)) // the same process, on a new connection
		if code, _ := older.refused(); code != connect.CodeAborted {
			t.Errorf("the older link ended with %v", code)
		}
		if got := p.fleet.endings(); len(got) != 0 {
			t.Errorf("ended: %v", got)
		}
	})
}

func TestBadBeginnings(t *testing.T) {
	change := func(fn func(*linkv1.Hello)) *linkv1.RunnerFrame {
		h := hello(bootOne)
		fn(h)
		return &linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: h}}
	}
	for name, tt := range map[string]struct {
		frame *linkv1.RunnerFrame
		code  connect.Code
		says  string
	}{
		"no Hello":        {&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Renewal{Renewal: &linkv1.Renewal{}}}, connect.CodeFailedPrecondition, "first frame"},
		"an empty frame":  {&linkv1.RunnerFrame{}, connect.CodeFailedPrecondition, "first frame"},
		"another version": {change(func(h *linkv1.Hello) { h.ProtocolVersion = 2 }), connect.CodeFailedPrecondition, "version 2"},
		"no boot id":      {change(func(h *linkv1.Hello) { h.BootId = "x" }), connect.CodeFailedPrecondition, "boot_id"},
		"a long name":     {change(func(h *linkv1.Hello) { h.HostName = strings.Repeat("x", 256) }), connect.CodeFailedPrecondition, "host_name"},
		"a false phase":   {change(func(h *linkv1.Hello) { h.Report.Phase = 5 }), connect.CodeFailedPrecondition, "ACTIVE or DEGRADED"},
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(t *testing.T, p *plane) {
				r := p.dial(t, runnerA)
				r.send(tt.frame)
				if code, text := r.refused(); code != tt.code || !strings.Contains(text, tt.says) {
					t.Errorf("refused with %v: %s", code, text)
				}
				if sessions, _ := p.Counts(); sessions != 0 {
					t.Error("a session was opened")
				}
			})
		})
	}
	t.Run("silence", func(t *testing.T) {
		test(t, func(t *testing.T, p *plane) {
			r := p.dial(t, runnerA)
			begun := time.Now()
			_ = r.stream.Send(nil)
			if code, _ := r.refused(); code != connect.CodeDeadlineExceeded || time.Since(begun) > 11*time.Second {
				t.Errorf("refused with %v after %v", code, time.Since(begun))
			}
		})
	})
	t.Run("a second Hello", func(t *testing.T) {
		test(t, func(t *testing.T, p *plane) {
			r, _ := p.join(t, runnerA, hello(bootOne))
			r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: hello(bootOne)}})
			if code, _ := r.refused(); code != connect.CodeFailedPrecondition {
				t.Errorf("refused with %v", code)
			}
		})
	})
}

func TestNewsReachTheRunner(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		p.join(t, runnerB, hello(bootTwo))
		p.fleet.revision = 8
		p.ConfigurationChanged(runnerA)
		if c := r.receive().GetConfiguration(); c.GetRevision() != 8 || c.GetSpec().GetLogLevel() != 1 {
			t.Errorf("Configuration = %v", c)
		}
		r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_ConfigurationAck{ConfigurationAck: &linkv1.ConfigurationAck{Revision: 8}}})
		r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Report{Report: &linkv1.Report{Phase: 6, Message: "disk full"}}})
		r.renew(1) // answered in order, so the two before it were handled
		if p.fleet.applied[0] != 8 || !p.fleet.reports[0].Degraded || p.fleet.reports[0].Message != "disk full" {
			t.Errorf("applied %v, reports %v", p.fleet.applied, p.fleet.reports)
		}
		p.Delete(runnerA, time.Now().Add(time.Minute))
		if d := r.receive().GetDelete(); d.GetPatience().AsDuration() <= 0 {
			t.Error("the runner was not told of its deletion")
		}
		r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Deleted{Deleted: &linkv1.Deleted{}}})
		r.refused()
		if len(p.fleet.finished) != 1 || p.fleet.finished[0] != runnerA {
			t.Errorf("finished: %v", p.fleet.finished)
		}
	})
}

// What happens while a session is opened, between its row and its place in the
// hub, reaches the runner, and not before Welcome.
func TestNothingIsLostWhileALinkOpens(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		streams := make(chan *link.Stream, 1)
		p.fleet.opened = func() {
			p.fleet.revision = 8
			p.fleet.deleting = true
			p.ConfigurationChanged(runnerA)
			p.Delete(runnerA, time.Now().Add(time.Minute))
			go func() {
				s, err := p.OpenStream(t.Context(), runnerA, "token", link.Logs(1, false))
				if err != nil {
					t.Error(err)
				}
				streams <- s
			}()
		}
		r, w := p.join(t, runnerA, hello(bootOne))
		if w.GetConfiguration().GetRevision() != 8 {
			t.Errorf("Welcome brings revision %d", w.GetConfiguration().GetRevision())
		}
		var deleted, opened bool
		for !deleted || !opened {
			switch f := r.receive(); {
			case f.GetDelete() != nil:
				deleted = true
			case f.GetStreamOpen() != nil:
				opened = true
			default:
				t.Fatalf("in place of Delete and StreamOpen came %v", f)
			}
		}
		(<-streams).Close()
	})
}

func TestADeletedRunnerIsToldWhenItConnects(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		p.fleet.deleting = true
		r, _ := p.join(t, runnerA, hello(bootOne))
		if r.receive().GetDelete() == nil {
			t.Error("the runner was not told")
		}
	})
}

func TestRevocationCutsTheLink(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		p.revoke(fault.New(fault.Unauthenticated, fault.UnknownToken, "The token was revoked."))
		if code, text := r.refused(); code != connect.CodeUnauthenticated || !strings.Contains(text, "revoked") {
			t.Errorf("the link ended with %v: %s", code, text)
		}
	})
}

func TestAProcessThatSleptGivesGrace(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		// A replica that lost its lease judges nobody, and gives everybody a lease
		// of grace when it has it back.
		r, _ := p.join(t, runnerA, hello(bootOne))
		p.replica.set(true)
		p.Lost(errors.New("test"))
		if code, _ := r.refused(); code != connect.CodeUnavailable {
			t.Errorf("the link ended with %v", code)
		}
		time.Sleep(5 * time.Minute)
		late := p.dial(t, runnerB)
		late.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: hello(bootTwo)}})
		if code, _ := late.refused(); code != connect.CodeUnavailable {
			t.Errorf("a runner was answered %v without a lease", code)
		}
		if got := p.fleet.endings(); len(got) != 0 {
			t.Errorf("judged without a lease: %v", got)
		}
		p.replica.set(false)
		time.Sleep(link.Lease - 2*time.Second)
		synctest.Wait()
		if got := p.fleet.endings(); len(got) != 0 {
			t.Errorf("no grace: %v", got)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := p.fleet.endings(); len(got) != 1 {
			t.Errorf("endings: %v", got)
		}
	})
}

func TestAnEndingIsTriedAgain(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		p.fleet.mu.Lock()
		p.fleet.endFails = 3
		p.fleet.mu.Unlock()
		r.kill()
		time.Sleep(link.Lease + 6*time.Second)
		synctest.Wait()
		if got := p.fleet.endings(); len(got) != 1 {
			t.Errorf("endings: %v", got)
		}
	})
}

func TestDrain(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		p.Drain("restart")
		if d := r.receive().GetDrain(); d.GetReason() != "restart" {
			t.Errorf("Drain = %v", d)
		}
		late := p.dial(t, runnerB)
		late.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: hello(bootTwo)}})
		if code, _ := late.refused(); code != connect.CodeUnavailable {
			t.Errorf("a new link was answered %v", code)
		}
		p.Hub.Close()
		if code, _ := r.refused(); code != connect.CodeUnavailable {
			t.Errorf("the link ended with %v", code)
		}
		p.WaitEmpty(t.Context())
		if got := p.fleet.endings(); len(got) != 0 {
			t.Errorf("a restart made a runner inactive: %v", got)
		}
	})
}
