package agent_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/rpc/rpcerr"
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
		pr := p.join(t, nil)
		busy := connect.NewError(connect.CodeUnavailable, errors.New("shutting down"))
		busy.Meta().Set("Retry-After", "40")
		p.accept(t).end(t, busy)
		before := time.Now()
		p.accept(t).end(t, rpcerr.New(fault.New(fault.FailedPrecondition, fault.ProtocolVersion, "protocol version 1 is not spoken here"), ""))
		if waited := time.Since(before); waited < 40*time.Second || waited > 40500*time.Millisecond {
			t.Errorf("waited %s", waited)
		}
		// That another version is spoken does not end by asking again soon.
		before = time.Now()
		l := p.accept(t)
		if waited := time.Since(before); waited < 30*time.Second || waited > 31*time.Second {
			t.Errorf("waited %s", waited)
		}
		pr.out.has(t, "not spoken here. Update this runner, or the control plane")
		// An update is no help against anything else.
		l.end(t, rpcerr.New(fault.New(fault.FailedPrecondition, fault.KeyMismatch, "This runner came with 20 other keys."), ""))
		p.welcomed(t)
		if out := pr.out.String(); !strings.Contains(out, "20 other keys") || strings.Count(out, "Update this runner") != 1 {
			t.Errorf("it says %s", out)
		}
	})
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
