package agent_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
)

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
		return &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Delete{Delete: &linkv1.Delete{Patience: durationpb.New(20 * time.Second)}}}
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
			l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Delete{Delete: &linkv1.Delete{Patience: durationpb.New(24 * time.Hour)}}})
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
