package agent_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent"
	"github.com/musterhq/muster/internal/fault"
)

func TestRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		l := p.accept(t)
		l.manual.Store(true)
		l.welcome(t, nil)
		start := time.Now()
		for n := uint64(1); n <= 12; n++ {
			r := expect(t, l, (*linkv1.RunnerFrame).GetRenewal)
			if due := time.Duration(n) * renewEvery; r.GetSequence() != n || time.Since(start) < due-time.Second || time.Since(start) > due+12*time.Second {
				t.Fatalf("renewal %d came after %s", r.GetSequence(), time.Since(start))
			}
			l.send(t, renewed(n))
		}

		// From now on nothing is confirmed.
		asked := time.Now()
		for n := uint64(13); ; n++ {
			f := l.next(t)
			if f == nil {
				break
			}
			if f.GetRenewal().GetSequence() != n {
				t.Fatalf("got %v", f)
			}
			l.send(t, renewed(1)) // an old answer is none
		}
		if gone := time.Since(asked); gone < lease-2*time.Second || gone > lease+2*time.Second {
			t.Errorf("the link was given up %s after the last confirmation was asked for", gone)
		}
		if l := p.welcomed(t); l.hello.GetStandby() {
			t.Error("the runner stands by although nobody superseded it")
		}
		pr.out.has(t, "lost the link: the control plane did not confirm the lease in time; next try in ")
	})
}

func TestSilentControlPlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		l := p.accept(t)
		start := time.Now()
		l.ended(t) // it never gets a welcome
		if waited := time.Since(start); waited != 15*time.Second {
			t.Errorf("the runner waited %s", waited)
		}
		p.welcomed(t)
		pr.out.has(t, "did not answer in time")
	})
}

func TestNonsenseFromTheControlPlane(t *testing.T) {
	for name, send := range map[string]func(t *testing.T, l *planeLink){
		"a frame before the welcome": func(t *testing.T, l *planeLink) { l.send(t, renewed(1)) },
		"no lease":                   func(t *testing.T, l *planeLink) { l.welcome(t, func(w *linkv1.Welcome) { w.Lease = nil }) },
		"renewals that come too late": func(t *testing.T, l *planeLink) {
			l.welcome(t, func(w *linkv1.Welcome) { w.RenewEvery = durationpb.New(lease) })
		},
		"no runner id": func(t *testing.T, l *planeLink) { l.welcome(t, func(w *linkv1.Welcome) { w.RunnerId = "" }) },
		"two welcomes": func(t *testing.T, l *planeLink) { l.welcome(t, nil); l.welcome(t, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := inMemory(t)
				p.join(t, nil)
				l := p.accept(t)
				send(t, l)
				l.ended(t)
				p.welcomed(t) // it tries again
			})
		})
	}
}

func TestFramesOfANewerControlPlaneAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, nil)
		l := p.welcomed(t)
		l.send(t, &linkv1.PlaneFrame{})
		l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_StreamCredit{StreamCredit: &linkv1.StreamCredit{StreamId: 99, Bytes: 1}}})
		l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_StreamClose{StreamClose: &linkv1.StreamClose{StreamId: 99}}})
		l.configure(t, &linkv1.Configuration{Revision: 1})
	})
}

func TestAnotherRunnersWelcomeIsFatal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		p.welcomed(t).end(t, nil)
		p.accept(t).welcome(t, func(w *linkv1.Welcome) { w.RunnerId = orgID })
		if err := pr.wait(); !fault.HasReason(err, fault.RunnerRefused) || !strings.Contains(fault.From(err).Message, runnerID) {
			t.Errorf("got %v", err)
		}
	})
}

func TestReconnectsWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, nil)
		unavailable := connect.NewError(connect.CodeUnavailable, errors.New("not now"))
		attempt := func(ceiling time.Duration, err error) time.Duration {
			t.Helper()
			before := time.Now()
			l := p.accept(t)
			waited := time.Since(before)
			if waited > ceiling {
				t.Fatalf("waited %s, more than %s", waited, ceiling)
			}
			if err != nil {
				l.end(t, err)
			} else {
				l.welcome(t, nil)
				<-time.After(2 * lease)
				l.end(t, nil)
			}
			return waited
		}
		attempt(0, unavailable)
		var total time.Duration
		for _, ceiling := range []float64{0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30} {
			total += attempt(time.Duration(ceiling*float64(time.Second)), unavailable)
		}
		if total < 30*time.Second { // the chance of that is about one in a billion
			t.Errorf("18 attempts took %s", total)
		}
		// A link that lasted makes up for the failures before.
		attempt(30*time.Second, nil)
		attempt(500*time.Millisecond, unavailable)
		attempt(time.Second, unavailable)

		// A link that is welcomed and breaks at once does not.
		for _, ceiling := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second} {
			before := time.Now()
			l := p.welcomed(t)
			if waited := time.Since(before); waited > ceiling {
				t.Fatalf("waited %s, more than %s", waited, ceiling)
			}
			l.end(t, nil)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, nil)
		busy := connect.NewError(connect.CodeUnavailable, errors.New("shutting down"))
		busy.Meta().Set("Retry-After", "40")
		p.accept(t).end(t, busy)
		before := time.Now()
		p.accept(t).end(t, connect.NewError(connect.CodeFailedPrecondition, errors.New("protocol version 1 is not spoken here")))
		if waited := time.Since(before); waited < 40*time.Second || waited > 40500*time.Millisecond {
			t.Errorf("waited %s", waited)
		}
		// That another version is spoken does not end by asking again soon.
		before = time.Now()
		p.welcomed(t)
		if waited := time.Since(before); waited < 30*time.Second || waited > 31*time.Second {
			t.Errorf("waited %s", waited)
		}
	})
}

func TestSupersededHostStandsBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		l := p.welcomed(t)
		boot := l.hello.GetBootId()
		l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Superseded{Superseded: &linkv1.Superseded{HostName: "host-b", BootId: orgID}}})
		l.ended(t)
		for range 5 {
			before := time.Now()
			l = p.accept(t)
			if waited := time.Since(before); waited < lease*3/4 || waited > lease*5/4 {
				t.Errorf("a host that stands by tried after %s", waited)
			}
			if !l.hello.GetStandby() || l.hello.GetBootId() != boot {
				t.Errorf("got %v", l.hello)
			}
			l.end(t, connect.NewError(connect.CodeAborted, errors.New("held by host-b")))
		}
		// Other troubles do not make it forget.
		p.accept(t).end(t, connect.NewError(connect.CodeUnavailable, errors.New("restarting")))
		l = p.accept(t)
		if !l.hello.GetStandby() {
			t.Error("it takes the identity back")
		}
		// The other host is gone.
		l.welcome(t, nil)
		l.end(t, nil)
		if p.accept(t).hello.GetStandby() {
			t.Error("it still stands by")
		}
		pr.out.has(t, `the host "host-b" took over`)
		pr.logs.has(t, `"level":"WARN"`, `"host":"host-b"`)
		if n := strings.Count(pr.out.String(), "took over"); n != 1 {
			t.Errorf("that was said %d times", n)
		}
	})
}

// When the other host is connected to another replica of the control plane, the
// stream just ends, with aborted.
func TestSupersededOnAnotherReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		p.welcomed(t).end(t, connect.NewError(connect.CodeAborted, errors.New("a newer connection has taken over")))
		if !p.accept(t).hello.GetStandby() {
			t.Error("the runner takes the identity back")
		}
		pr.out.has(t, "another host holds this runner's identity; standing by until it leaves: a newer connection has taken over. If both")
	})
}

// A stale stream of the same process is no other host.
func TestSupersededByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, nil)
		l := p.welcomed(t)
		l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Superseded{Superseded: &linkv1.Superseded{HostName: "host-a", BootId: l.hello.GetBootId()}}})
		l.ended(t)
		if p.accept(t).hello.GetStandby() {
			t.Error("the runner stands by for itself")
		}
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		l := p.welcomed(t)
		l.open(t, 1, p.token(t, nil), logs(0, true), 1<<30)
		l.text(t, 1, func(s string) bool { return strings.Contains(s, "connected") })
		drained := time.Now()
		l.send(t, drain())
		l.send(t, drain())
		// Until it reconnects it serves.
		l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Configuration{Configuration: &linkv1.Configuration{Revision: 7}}})
		var followed string
		for acked := false; ; {
			f := l.next(t)
			if f == nil {
				t.Fatalf("the link ended before the stream: %s", followed)
			}
			acked = acked || f.GetConfigurationAck().GetRevision() == 7
			followed += string(f.GetStreamData().GetData())
			if c := f.GetStreamClose(); c != nil {
				if !acked || c.GetError() != "" || !strings.Contains(followed, `"revision":7`) {
					t.Errorf("the reader was cut off with %v after %s", c, followed)
				}
				break
			}
		}
		l.ended(t)
		l = p.welcomed(t)
		if waited := time.Since(drained); waited > 6*time.Second || l.hello.GetStandby() {
			t.Errorf("reconnected after %s: %v", waited, l.hello)
		}
		if strings.Contains(pr.out.String(), "lost the link") {
			t.Errorf("a drain is no trouble: %s", pr.out)
		}

		// A control plane that does not wait is not stormed either.
		l.send(t, drain())
		l.end(t, connect.NewError(connect.CodeUnavailable, errors.New("stopping")))
		before := time.Now()
		p.welcomed(t)
		if waited := time.Since(before); waited > 7*time.Second {
			t.Errorf("reconnected after %s", waited)
		}
		if strings.Contains(pr.out.String(), "lost the link") {
			t.Errorf("a drain is no trouble: %s", pr.out)
		}
	})
}

func TestDelete(t *testing.T) {
	deletion := func() *linkv1.PlaneFrame {
		return &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Delete{Delete: &linkv1.Delete{Deadline: timestamppb.New(time.Now().Add(20 * time.Second))}}}
	}
	gone := func(t *testing.T, pr *process) {
		t.Helper()
		if err := pr.wait(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		if hasIdentity(pr.dir) {
			t.Error("the identity is still there")
		}
		pr.out.has(t, "this runner was deleted")
	}
	t.Run("finishes what runs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := inMemory(t)
			pr := p.join(t, nil)
			l := p.welcomed(t)
			l.open(t, 1, p.token(t, nil), logs(0, true), 1<<30)
			l.text(t, 1, func(s string) bool { return strings.Contains(s, "connected") })
			l.send(t, deletion())
			if c := l.rest(t, 1); c.GetError() != "" {
				t.Errorf("the reader was cut off: %v", c)
			}
			expect(t, l, (*linkv1.RunnerFrame).GetDeleted)
			if hasIdentity(pr.dir) {
				t.Error("Deleted was sent before the identity was removed")
			}
			l.ended(t)
			gone(t, pr)
		})
	})
	t.Run("does not wait for ever", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := inMemory(t)
			pr := p.join(t, nil)
			l := p.welcomed(t)
			l.open(t, 1, p.token(t, nil), logs(0, false), 1) // and no more credit comes
			expect(t, l, (*linkv1.RunnerFrame).GetStreamData)
			before := time.Now()
			l.send(t, deletion())
			l.open(t, 2, p.token(t, nil), logs(0, false), 1)
			if c := expect(t, l, (*linkv1.RunnerFrame).GetStreamClose); c.GetStreamId() != 2 || c.GetError() == "" {
				t.Errorf("a new stream while leaving: %v", c)
			}
			expect(t, l, (*linkv1.RunnerFrame).GetDeleted)
			if waited := time.Since(before); waited < 19*time.Second || waited > 21*time.Second {
				t.Errorf("waited %s", waited)
			}
			gone(t, pr)
		})
	})
	t.Run("on a control plane with another clock", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := inMemory(t)
			pr := p.join(t, nil)
			l := p.welcomed(t)
			l.open(t, 1, p.token(t, nil), logs(0, false), 1)
			expect(t, l, (*linkv1.RunnerFrame).GetStreamData)
			before := time.Now()
			l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Delete{Delete: &linkv1.Delete{Deadline: timestamppb.New(before.Add(24 * time.Hour))}}})
			for {
				if f := l.next(t); f == nil || f.GetDeleted() != nil {
					break
				}
			}
			if waited := time.Since(before); waited > 61*time.Second {
				t.Errorf("waited %s", waited)
			}
			gone(t, pr)
		})
	})
	t.Run("of a runner whose link breaks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := inMemory(t)
			pr := p.join(t, nil)
			l := p.welcomed(t)
			l.open(t, 1, p.token(t, nil), logs(0, false), 1)
			expect(t, l, (*linkv1.RunnerFrame).GetStreamData)
			l.send(t, deletion())
			l.end(t, nil)
			gone(t, pr)
		})
	})
	t.Run("of a runner that is stopped meanwhile", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := inMemory(t)
			pr := p.join(t, nil)
			l := p.welcomed(t)
			l.open(t, 1, p.token(t, nil), logs(0, false), 1)
			expect(t, l, (*linkv1.RunnerFrame).GetStreamData)
			l.send(t, deletion())
			synctest.Wait()
			pr.cancel(nil)
			expect(t, l, (*linkv1.RunnerFrame).GetDeleted)
			gone(t, pr)
		})
	})
}

func TestGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		l := p.welcomed(t)
		pr.cancel(errors.New("terminated signal received"))
		if g := expect(t, l, (*linkv1.RunnerFrame).GetGoodbye); g.GetReason() != "stopped: terminated signal received" {
			t.Errorf("got %v", g)
		}
		l.ended(t)
		if err := pr.wait(); err != nil {
			t.Error(err)
		}
		if !hasIdentity(pr.dir) {
			t.Error("the identity is gone")
		}
	})
}

func TestStopWhileNothingAnswers(t *testing.T) {
	for name, until := range map[string]func(t *testing.T, p *plane, pr *process){
		"before the welcome": func(t *testing.T, p *plane, _ *process) { p.accept(t) },
		"between two links": func(t *testing.T, p *plane, _ *process) {
			p.accept(t).end(t, connect.NewError(connect.CodeUnavailable, errors.New("x")))
		},
		"while redeeming": func(_ *testing.T, p *plane, _ *process) {
			<-time.After(time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := inMemory(t)
				if name == "while redeeming" {
					p.redeem = func(string) (string, error) { return "", connect.NewError(connect.CodeUnavailable, errors.New("x")) }
				}
				pr := p.join(t, nil)
				until(t, p, pr)
				before := time.Now()
				if err := pr.stop(nil); err != nil {
					t.Error(err)
				}
				if took := time.Since(before); took > 2*time.Second {
					t.Errorf("stopping took %s", took)
				}
			})
		})
	}
}

func TestDegradedWhileTheIdentityCannotBeCompleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		dir := t.TempDir()
		p.join(t, func(c *agent.Config) { c.DataDir = dir })
		l := p.accept(t)
		breakIdentity(t, dir)
		l.welcome(t, nil)
		if r := expect(t, l, (*linkv1.RunnerFrame).GetReport); r.GetPhase() != gitpodv1.RunnerPhase_RUNNER_PHASE_DEGRADED || !strings.Contains(r.GetMessage(), dir) {
			t.Errorf("got %v", r)
		}
		repairIdentity(t, dir)
		l.end(t, nil)
		l = p.accept(t)
		if l.hello.GetReport().GetPhase() != gitpodv1.RunnerPhase_RUNNER_PHASE_DEGRADED {
			t.Errorf("got %v", l.hello.GetReport())
		}
		l.welcome(t, nil)
		if r := expect(t, l, (*linkv1.RunnerFrame).GetReport); r.GetPhase() != gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE || r.GetMessage() != "" {
			t.Errorf("got %v", r)
		}
	})
}
