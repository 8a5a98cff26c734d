package robust_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/musterhq/muster/test/muster"
)

// Two hosts with one identity: the newest has it, the status says that there are
// two, and they do not take it from each other over and over.
func TestTwoHostsWithOneIdentity(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	r := connected(t, s, "copied")
	events := s.Admin().Watch(t)

	second := r.host.Twin(t)
	r.host.Await(t, "standing by")
	// The first host knocks once a lease.
	muster.Until(t, 2*lease, func() error { return r.is(active, degraded) })
	message := r.status().GetMessage()
	if !strings.Contains(message, "Two hosts") || strings.Count(message, hostName(t)) != 2 {
		t.Errorf("the message does not name both hosts: %s", message)
	}
	muster.Throughout(t, lease+lease/2, func() error {
		if n := connections(s); n != 2 {
			return fmt.Errorf("%d connections of two hosts: they fight", n)
		}
		return r.is(active, degraded)
	})
	if !second.Running() || !r.host.Running() {
		t.Error("a host has given up")
	}

	second.Stop(t)
	muster.Until(t, 2*lease, func() error {
		if phase := r.status().GetPhase(); phase != active {
			return fmt.Errorf("the first host is alone and the runner is %v: %s", phase, r.status().GetMessage())
		}
		return nil
	})
	muster.Throughout(t, 10*time.Second, func() error {
		if n := connections(s); n != 3 {
			return fmt.Errorf("%d connections, want three", n)
		}
		if r.is(active, degraded, active) == nil {
			return nil // it was INACTIVE for too short a time to be seen
		}
		return r.is(active, degraded, inactive, active)
	})
	if n := statusUpdates(t, events, r.id); n > 10 {
		t.Errorf("%d events for a hand-over and back", n)
	}
}

// connections counts the sessions that the control plane has opened.
func connections(s *muster.Server) int {
	return strings.Count(s.Printed(), `"msg":"runner connected"`)
}
