package agent

import (
	"math/rand/v2"
	"time"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
)

const (
	// maxDrainJitter spreads the runners of a control plane that stops.
	maxDrainJitter = 5 * time.Second
	// drainPatience is how long streams may take before a reconnect.
	drainPatience = 5 * time.Second
	// minDelete and maxDelete bound how long the work of a deleted runner may take
	// to finish, whatever the control plane says.
	minDelete = time.Second
	maxDelete = time.Minute
)

// leaving is how a link ends when the control plane asks for it. Nothing in it
// is set before.
type leaving struct {
	// at has a value when the streams are to end.
	at <-chan time.Time
	// reconnectAt is that time, after a drain.
	reconnectAt time.Time
	// forGood is set when the runner was deleted.
	forGood bool
	// limit is how long the streams may take.
	limit time.Duration
	// streamsEnded is closed when no stream is left, patience has a value when
	// they took too long.
	streamsEnded <-chan struct{}
	patience     <-chan time.Time
}

// drain arranges for a new link. Until then everything is served.
func (l *link) drain(d *linkv1.Drain) {
	if l.leaving.forGood || !l.leaving.reconnectAt.IsZero() {
		return
	}
	jitter := rand.N(maxDrainJitter) //nolint:gosec // jitter is no secret
	l.r.log.Info("the control plane asks to reconnect", "reason", printable(d.GetReason(), maxReason), "reconnect", jitter.String())
	l.leaving.reconnectAt = time.Now().Add(jitter)
	l.leaving.at = time.After(jitter)
	l.leaving.limit = drainPatience
}

// whenDrained is how long to wait when the control plane ends the link before this
// runner has left: for what is left of the time that was chosen, or as it says now.
// It tells all of them the same, so that takes a spread of its own.
func whenDrained(left, told time.Duration) time.Duration {
	if told <= left {
		return max(left, 0)
	}
	return told + spread()
}

// delete ends all work. It also takes the place of a drain.
func (l *link) delete(d *linkv1.Delete) {
	if l.leaving.forGood {
		return
	}
	l.r.log.Warn("this runner was deleted; finishing")
	l.leaving.forGood = true
	l.leaving.limit = min(max(d.GetPatience().AsDuration(), minDelete), maxDelete)
	l.leave()
}

// leave lets the streams end.
func (l *link) leave() {
	l.leaving.at = nil
	l.leaving.patience = time.After(l.leaving.limit)
	if l.leaving.streamsEnded == nil {
		l.leaving.streamsEnded = l.streams.finish()
	}
}

// depart ends the link, as the control plane asked. It can be told only while
// the link works.
func (l *link) depart(tell bool) ending {
	if !l.leaving.forGood {
		l.close()
		return ending{why: drained}
	}
	l.r.hold.release()
	if err := l.r.home.Remove(); err != nil {
		// Deleted would be a lie. The control plane goes on when it has waited.
		return ending{why: fatal, err: err}
	}
	if tell {
		l.lastWord(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Deleted{Deleted: &linkv1.Deleted{}}})
	}
	return ending{why: deleted}
}
