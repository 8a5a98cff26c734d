package agent_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
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

// outage refuses a runner so often that its waits are long, and welcomes it then.
func (p *plane) outage(t *testing.T) *planeLink {
	t.Helper()
	for range 10 {
		p.accept(t).end(t, connect.NewError(connect.CodeUnavailable, errors.New("away")))
	}
	return p.welcomed(t)
}

// Asked to reconnect, a runner does so within what it was told: an outage that is
// over is no reason to wait.
func TestAnOldOutageIsNotWaitedOut(t *testing.T) {
	retryAfter := func(seconds string) error {
		err := connect.NewError(connect.CodeUnavailable, errors.New("reconnect"))
		err.Meta().Set("Retry-After", seconds)
		return err
	}
	for name, c := range map[string]struct {
		lived       time.Duration
		ask         func(t *testing.T, l *planeLink)
		least, most time.Duration
	}{
		"drained": {20 * time.Second, func(t *testing.T, l *planeLink) {
			l.send(t, drain())
			l.ended(t)
		}, 0, 5500 * time.Millisecond},
		"drained as soon as it was welcomed": {time.Second, func(t *testing.T, l *planeLink) {
			l.send(t, drain())
			l.ended(t)
		}, 0, 5500 * time.Millisecond},
		"drained and cut": {20 * time.Second, func(t *testing.T, l *planeLink) {
			l.send(t, drain())
			l.end(t, retryAfter("1"))
		}, time.Second, 5500 * time.Millisecond},
		"told when": {20 * time.Second, func(t *testing.T, l *planeLink) { l.end(t, retryAfter("3")) }, 3 * time.Second, 3500 * time.Millisecond},
		"told when, as soon as it was welcomed": {time.Second, func(t *testing.T, l *planeLink) {
			l.end(t, retryAfter("3"))
		}, 3 * time.Second, 3500 * time.Millisecond},
		"cut without a word, once it worked": {12 * time.Second, func(t *testing.T, l *planeLink) { l.end(t, nil) }, 0, 500 * time.Millisecond},
		"told a time that is none":           {20 * time.Second, func(t *testing.T, l *planeLink) { l.end(t, retryAfter("4000000000")) }, 5 * time.Minute, 5*time.Minute + 500*time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := inMemory(t)
				p.join(t, nil)
				for range 6 { // so often that no luck helps
					l := p.outage(t)
					<-time.After(c.lived)
					before := time.Now()
					c.ask(t, l)
					l = p.welcomed(t)
					if waited := time.Since(before); waited < c.least || waited > c.most {
						t.Errorf("the runner was back after %s", waited)
					}
					<-time.After(2 * lease)
					l.end(t, nil)
				}
			})
		})
	}
}

// What the log says of when is so.
func TestADrainSaysWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		l := p.outage(t)
		told := func(key string) time.Duration {
			t.Helper()
			found := regexp.MustCompile(`"`+key+`":"([^"]+)"`).FindAllStringSubmatch(pr.logs.String(), -1)
			if len(found) == 0 {
				t.Fatalf("the log does not have %q:\n%s", key, pr.logs)
			}
			d, err := time.ParseDuration(found[len(found)-1][1])
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		for round := range 10 {
			before := time.Now()
			l.send(t, drain())
			synctest.Wait()
			reconnect := told("reconnect")
			if round%2 == 0 {
				l.ended(t)
			} else {
				l.end(t, nil)
			}
			left := reconnect - time.Since(before)
			l = p.welcomed(t)
			waited := time.Since(before)
			if in := told("in"); (in-max(left, 0)).Abs() > time.Millisecond || (waited-reconnect).Abs() > time.Millisecond {
				t.Errorf("it said %s, then %s with %s to go, and was back after %s", reconnect, in, left, waited)
			}
		}
	})
}

// Who welcomes a runner and sends it away at once, over and over, is not stormed.
func TestAWelcomeAloneEndsNoBackoff(t *testing.T) {
	for name, end := range map[string]func() error{
		"without a word": func() error { return nil },
		"with a time": func() error {
			err := connect.NewError(connect.CodeUnavailable, errors.New("reconnect"))
			err.Meta().Set("Retry-After", "1")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := inMemory(t)
				p.join(t, nil)
				before := time.Now()
				const links = 20
				for range links {
					l := p.accept(t)
					// Renewals that are answered at once are no proof either.
					l.welcome(t, func(w *linkv1.Welcome) { w.RenewEvery = durationpb.New(time.Millisecond) })
					<-time.After(100 * time.Millisecond)
					l.end(t, end())
				}
				if took := time.Since(before); took < (links+20)*time.Second {
					t.Errorf("%d links took %s", links, took)
				}
			})
		})
	}
}

// A hint that comes without the header is one, too.
func TestALimitIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, nil)
		for told, most := range map[time.Duration]time.Duration{7 * time.Second: 7 * time.Second, 1000 * time.Hour: 5 * time.Minute} {
			busy := connect.NewError(connect.CodeResourceExhausted, errors.New("too many links"))
			detail, err := connect.NewErrorDetail(&errdetails.RetryInfo{RetryDelay: durationpb.New(told)})
			if err != nil {
				t.Fatal(err)
			}
			busy.AddDetail(detail)
			before := time.Now()
			p.accept(t).end(t, busy)
			l := p.welcomed(t)
			if waited := time.Since(before); waited < most || waited > most+2*time.Second {
				t.Errorf("told %s, it was back after %s", told, waited)
			}
			<-time.After(lease)
			l.end(t, nil)
		}
	})
}

// A control plane that answers after an outage, and says when to come back, is not
// told of the outage: no back-off is added to what it says.
func TestNoBackoffIsAddedToWhatWasTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, nil)
		for range 6 { // so often that no luck helps
			for range 10 {
				p.accept(t).end(t, connect.NewError(connect.CodeUnavailable, errors.New("away")))
			}
			l := p.accept(t)
			for _, most := range []time.Duration{2500 * time.Millisecond, 3 * time.Second, 4 * time.Second, 4 * time.Second} {
				before := time.Now()
				busy := connect.NewError(connect.CodeUnavailable, errors.New("not ready"))
				busy.Meta().Set("Retry-After", "2")
				l.end(t, busy)
				l = p.accept(t)
				if waited := time.Since(before); waited < 2*time.Second || waited > most+10*time.Millisecond {
					t.Errorf("told 2 s, it was back after %s", waited)
				}
			}
			l.welcome(t, nil)
			<-time.After(2 * lease)
			l.end(t, nil)
		}
	})
}

// Nor is one added before the runner has joined.
func TestNoBackoffIsAddedToWhatWasToldWhileJoining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		var last time.Time
		calls := 0
		p.redeem = func(string) (string, error) {
			waited := time.Since(last)
			calls, last = calls+1, time.Now()
			err := connect.NewError(connect.CodeUnavailable, errors.New("away"))
			switch {
			case calls <= 20:
				return "", err
			case calls > 22 && (waited < 2*time.Second || waited > 4*time.Second+10*time.Millisecond):
				t.Errorf("told 2 s, it was back after %s", waited)
			}
			if calls < 40 {
				err.Meta().Set("Retry-After", "2")
				return "", err
			}
			return "", connect.NewError(connect.CodeUnimplemented, errors.New("the test has seen enough"))
		}
		_ = p.join(t, nil).wait()
	})
}

// A runner that waits because it was told to can be stopped.
func TestStopWhileToldToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		err := connect.NewError(connect.CodeUnavailable, errors.New("reconnect"))
		err.Meta().Set("Retry-After", "200")
		p.welcomed(t).end(t, err)
		synctest.Wait()
		before := time.Now()
		if err := pr.stop(nil); err != nil || time.Since(before) > time.Second {
			t.Errorf("stopping took %s, %v", time.Since(before), err)
		}
	})
}
