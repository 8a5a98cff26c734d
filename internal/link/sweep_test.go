package link

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/id"
)

// strictFleet counts the sessions that end.
type strictFleet struct {
	calmFleet
	ended int
}

func (f *strictFleet) EndSession(context.Context, id.Runner, int64, string) error {
	f.ended++
	return nil
}

type countingReplica struct {
	calmReplica
	proofs int
}

func (r *countingReplica) Prove(context.Context) error {
	r.proofs++
	return nil
}

// A process that was stopped finds all leases expired when it wakes up. It must
// prove its own lease, and give the runners one lease to speak up.
func TestSweepAfterASleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := &strictFleet{}, &countingReplica{}
		h := New(Config{Fleet: f, Replica: r, Log: slog.New(slog.DiscardHandler)})
		s := &session{runner: "r", epoch: 1, replica: "replica"}
		s.deadline.set(time.Now().Add(Lease))
		h.install(s)
		h.lastSweep = time.Now()

		time.Sleep(10 * time.Minute) // nobody sweeps meanwhile
		h.sweep(t.Context())
		if f.ended != 0 || r.proofs != 1 {
			t.Errorf("on waking up: %d sessions ended, lease proven %d times", f.ended, r.proofs)
		}
		for range int(Lease.Seconds()) - 1 {
			time.Sleep(sweepEvery)
			h.sweep(t.Context())
		}
		if f.ended != 0 {
			t.Error("the grace was cut short")
		}
		time.Sleep(2 * sweepEvery)
		h.sweep(t.Context())
		if f.ended != 1 || r.proofs != 1 {
			t.Errorf("after the grace: %d sessions ended, lease proven %d times", f.ended, r.proofs)
		}
	})
}
