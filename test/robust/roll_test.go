package robust_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/musterhq/muster/test/muster"
)

// A control plane that comes back after an outage and is then replaced, as in a
// roll, has its runners back within what it asked for. The outage is over.
func TestARollAfterAnOutage(t *testing.T) {
	t.Parallel()
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := muster.Serve(t, options(t))
			const many = 6
			runners := make([]*subject, many)
			for i := range runners {
				runners[i] = connected(t, s, "rolled")
			}
			outage := time.After(40 * time.Second)
			s.Kill()
			<-outage
			s.Restart(t)
			muster.Until(t, muster.Patience, func() error { return links(t, s, many) })
			s.Stop(t)
			s.Restart(t)
			// Five seconds of spread, and what the first attempts wait for a process that
			// is starting.
			muster.Until(t, 15*time.Second, func() error { return links(t, s, many) })
			for _, r := range runners {
				asked := duration(t, r.host, "reconnect")
				if in := duration(t, r.host, "in"); in > max(asked, time.Second)+time.Second {
					t.Errorf("a runner said that it would reconnect in %s, and then in %s", asked, in)
				}
			}
			s.Stop(t)
		})
	}
}

// duration is the value that a host last logged under a key.
func duration(t *testing.T, h *muster.Host, key string) time.Duration {
	t.Helper()
	found := regexp.MustCompile(`"`+key+`":"([^"]+)"`).FindAllStringSubmatch(h.Printed(), -1)
	if len(found) == 0 {
		t.Errorf("%s did not log %q", h, key)
		return 0
	}
	d, err := time.ParseDuration(found[len(found)-1][1])
	if err != nil {
		t.Error(err)
	}
	return d
}
