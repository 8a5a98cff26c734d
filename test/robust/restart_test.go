package robust_test

import (
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/musterhq/muster/test/muster"
)

// takeover is how long a start needs at most to end what a control plane before
// it left. On PostgreSQL it first watches for 15 seconds whether the other one
// lives, and it looks every 5 seconds only.
const takeover = 15*time.Second + 5*time.Second + inactiveWithin + 5*time.Second

// A restart makes nobody INACTIVE who comes back, and finds out who does not.
func TestARestartMakesNobodyInactive(t *testing.T) {
	t.Parallel()
	for engine, options := range engines {
		for how, signal := range map[string]syscall.Signal{"stopped": syscall.SIGTERM, "killed": syscall.SIGKILL} {
			t.Run(engine+"/"+how, func(t *testing.T) {
				t.Parallel()
				s := muster.Serve(t, options(t))
				r, gone := connected(t, s, "comes back"), connected(t, s, "does not come back")
				gone.host.Signal(t, syscall.SIGSTOP)
				if signal == syscall.SIGTERM {
					s.Stop(t)
				} else {
					s.Kill()
				}
				gone.host.Kill()
				s.Restart(t)
				events := s.Admin().Watch(t)

				muster.Until(t, muster.Patience, func() error { return links(t, s, 1) })
				muster.Until(t, takeover, func() error { return gone.is(active, inactive) })
				if message := gone.status().GetMessage(); !strings.Contains(message, "restart") {
					t.Errorf("the message does not say why: %s", message)
				}
				muster.Throughout(t, 5*time.Second, func() error { return r.is(active) })
				if n := statusUpdates(t, events, gone.id); n != 1 {
					t.Errorf("%d events for the runner that did not come back, want one", n)
				}
				if n := statusUpdates(t, events, r.id); n != 0 {
					t.Errorf("%d events for the runner that came back, want none", n)
				}
			})
		}
	}
}

// links tells whether that many links are open.
func links(t *testing.T, s *muster.Server, want int) error {
	t.Helper()
	res, err := s.Admin().HTTP.Get(s.URL + "/metrics")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), fmt.Sprintf("\nmuster_links %d\n", want)) {
		return fmt.Errorf("not %d links are open", want)
	}
	return nil
}
