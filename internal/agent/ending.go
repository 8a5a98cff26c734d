package agent

import "time"

// ending says how a link ended.
type ending struct {
	why why
	err error
	// host is who took over.
	host string
	// retryAfter is how long to wait at least.
	retryAfter time.Duration
	// welcomed is set when the link had a lease, which it held for lived.
	welcomed     bool
	lived, lease time.Duration
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

// lasted tells whether the link was good for long enough to forget the
// failures before it.
func (e ending) lasted() bool { return e.welcomed && e.lived >= e.lease }
