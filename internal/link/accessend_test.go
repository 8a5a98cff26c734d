package link_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
)

// A session that nothing can renew any more does not wait for its deadline.
func TestASessionEndsWithTheRightToConnect(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		p.revoke(fault.New(fault.Unauthenticated, fault.UnknownToken, "The token was revoked."))
		if code, _ := r.refused(); code != connect.CodeUnauthenticated {
			t.Errorf("the link ended with %v", code)
		}
		synctest.Wait()
		if got := p.fleet.endings(); len(got) != 1 || !strings.Contains(got[0], "The token was revoked.") {
			t.Errorf("endings: %q", got)
		}
		if sessions, links := p.Counts(); sessions != 0 || links != 0 {
			t.Errorf("left: %d sessions, %d links", sessions, links)
		}
	})
}

// So it is when the right ends between the session in the database and the
// welcome, and when the database does not answer at first.
func TestASessionEndsWithTheRightToConnectWhateverHappens(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		p.fleet.opened = func() { p.revoke(fault.New(fault.Unauthenticated, fault.ExpiredToken, "The token expired.")) }
		p.fleet.endFails = 1
		r := p.dial(t, runnerA)
		r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: hello(bootOne)}})
		if code, _ := r.refused(); code != connect.CodeUnauthenticated {
			t.Errorf("the link ended with %v", code)
		}
		time.Sleep(40 * time.Second) // the sweep tries again at the deadline
		synctest.Wait()
		if got := p.fleet.endings(); len(got) != 1 {
			t.Errorf("endings: %q", got)
		}
	})
}

// What only makes the runner connect again ends nothing.
func TestASessionOutlivesALinkThatIsToBeginAgain(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		p.revoke(fault.New(fault.Unavailable, fault.AccessChanged, "Reconnect."))
		if code, _ := r.refused(); code != connect.CodeUnavailable {
			t.Errorf("the link ended with %v", code)
		}
		time.Sleep(20 * time.Second)
		if got := p.fleet.endings(); len(got) != 0 {
			t.Errorf("endings: %q", got)
		}
	})
}
