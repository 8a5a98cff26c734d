package agent_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
)

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

// What a host gave is not lost because another host has the identity for a while.
func TestSupersededWithATokenThatIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		h := renewing()
		_, l := asking(t, p, h)
		l.tell(t, 1, parse(signedIn(0), "u"))
		for range 2 {
			l.await(t, allSecrets())
		}
		l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Superseded{Superseded: &linkv1.Superseded{HostName: "host-b", BootId: orgID}}})
		l.ended(t)
		l = p.welcomed(t)
		if r := l.refreshed(t, nil); r.GetTokenId() != tokenID || len(r.GetRefreshTokenSha256()) == 0 {
			t.Errorf("got %v", r)
		}
	})
}
