package robust_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/musterhq/muster/test/muster"
)

// A runner that is killed is INACTIVE when its lease is over, not before; one
// event says so, and the message tells what is known.
func TestAKilledRunnerIsInactive(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	r := connected(t, s, "to be killed")
	events := s.Admin().Watch(t)

	killed := time.Now()
	r.host.Kill()
	muster.Until(t, inactiveWithin, func() error { return r.is(active, inactive) })
	if after := time.Since(killed); after < lease/2 {
		t.Errorf("it was INACTIVE after %s: the end of the connection is not the end of the lease", after)
	}
	message := r.status().GetMessage()
	for _, want := range []string{hostName(t), "renewal", fmt.Sprint(int(lease.Seconds()))} {
		if !strings.Contains(message, want) {
			t.Errorf("the message does not say %q: %s", want, message)
		}
	}
	muster.Throughout(t, 10*time.Second, func() error { return r.is(active, inactive) })
	if n := statusUpdates(t, events, r.id); n != 1 {
		t.Errorf("%d events, want one", n)
	}
}

// A runner that stops on purpose is INACTIVE at once.
func TestARunnerThatLeavesIsInactiveAtOnce(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	r := connected(t, s, "to be stopped")
	events := s.Admin().Watch(t)
	r.host.Stop(t)
	muster.Until(t, 5*time.Second, func() error { return r.is(active, inactive) })
	if message := r.status().GetMessage(); !strings.Contains(message, "goodbye") {
		t.Errorf("the message does not say why: %s", message)
	}
	r.host = r.host.Again(t)
	muster.Until(t, muster.Patience, func() error { return r.is(active, inactive, active) })
	if n := statusUpdates(t, events, r.id); n < 2 {
		t.Errorf("%d events for going and coming back", n)
	}
}

// A runner that is frozen for longer than its lease comes back by itself.
func TestAFrozenRunnerComesBack(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	r := connected(t, s, "to be frozen")
	r.host.Signal(t, syscall.SIGSTOP)
	muster.Until(t, inactiveWithin, func() error { return r.is(active, inactive) })
	r.host.Signal(t, syscall.SIGCONT)
	muster.Until(t, muster.Patience, func() error { return r.is(active, inactive, active) })
	muster.Throughout(t, 15*time.Second, func() error { return r.is(active, inactive, active) })
}

// A control plane that was frozen for longer than a lease blames nobody for it.
// It still notices who is really gone.
func TestAFrozenControlPlaneJudgesNobody(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	r, gone := connected(t, s, "innocent"), connected(t, s, "gone")
	events := s.Admin().Watch(t)

	s.Signal(t, syscall.SIGSTOP)
	gone.host.Kill()
	<-time.After(inactiveWithin)
	s.Signal(t, syscall.SIGCONT)

	// The grace is a whole lease, and after it the runners are judged again.
	muster.Until(t, lease+inactiveWithin, func() error { return gone.is(active, inactive) })
	muster.Throughout(t, 10*time.Second, func() error { return r.is(active) })
	if n := statusUpdates(t, events, gone.id); n != 1 {
		t.Errorf("%d events for the runner that is gone, want one", n)
	}
	if n := statusUpdates(t, events, r.id); n != 0 {
		t.Errorf("%d events for the runner that is well, want none", n)
	}
}

func hostName(t *testing.T) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name
}
