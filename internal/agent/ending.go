package agent

import "time"

// ending says how a link ended.
type ending struct {
	why why
	err error
	// host is who took over.
	host string
	// installation is that of the control plane that refused; empty when it names
	// none.
	installation string
	// retryAfter is how long to wait at least.
	retryAfter time.Duration
	// welcomed is set when the link had a lease, and confirmed when the control
	// plane then also renewed it: the link worked.
	welcomed, confirmed bool
}

type why uint8

const (
	// lost: it broke, or could not be opened.
	lost why = iota
	// drained: the control plane asked to reconnect.
	drained
	// rotatedToken: there is a new access token to connect with.
	rotatedToken
	// superseded: another host took the identity.
	superseded
	// held: standing by, and another host still holds the identity.
	held
	// refused: the control plane does not know the identity any more.
	refused
	// deleted: the runner was deleted, and nothing is left to do.
	deleted
	// stopped: this process was asked to stop.
	stopped
	// fatal: going on makes no sense.
	fatal
)

// confirmedAfter is how long a link must have lived at least to be confirmed,
// however often its lease is renewed.
const confirmedAfter = 5 * time.Second

// asked tells whether a control plane that had welcomed this runner asked it to
// reconnect, and when.
func (e ending) asked() bool { return e.welcomed && (e.why == drained || e.retryAfter > 0) }
