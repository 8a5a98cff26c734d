package app

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/serviceaccount"
)

// logReaders knows what those are now who were given logs tokens: a token says
// only what its holder was when it was made.
type logReaders struct {
	runners  fleet.Store
	people   identity.Store
	accounts serviceaccount.Store
	standing *identity.Service
}

// mayRead returns nil when somebody may read the logs of a runner now.
func (l logReaders) mayRead(ctx context.Context, want id.Runner, reader string) error {
	r, found, err := l.runners.Runner(ctx, want)
	if err != nil {
		return fault.Wrap(err, "reading the runner")
	}
	if !found {
		return fault.Missing("runner", string(want))
	}
	subject, err := l.active(ctx, r.Organization, reader)
	if err != nil {
		return err
	}
	c := access.Caller{Subject: subject, Organization: r.Organization}
	if c.Standing, err = l.standing.StandingOf(ctx, r.Organization, subject); err != nil {
		return err
	}
	return fleet.Check(c, access.RunnerLogs, &r, found, want)
}

// active returns the user or the service account of that id, whose own tokens
// would be accepted now.
func (l logReaders) active(ctx context.Context, o id.Organization, reader string) (access.Subject, error) {
	u, found, err := l.people.User(ctx, o, id.User(reader))
	if err != nil {
		return access.Subject{}, fault.Wrap(err, "reading the user")
	}
	if found && u.Status == identity.StatusActive {
		return u.Subject(), nil
	}
	if !found {
		a, found, err := l.accounts.ServiceAccount(ctx, o, id.ServiceAccount(reader))
		if err != nil {
			return access.Subject{}, fault.Wrap(err, "reading the service account")
		}
		if found && !a.Suspended() && time.Now().Before(a.ValidUntil) {
			return a.Subject(), nil
		}
	}
	return access.Subject{}, fault.New(fault.Unauthenticated, fault.SuspendedPrincipal,
		"Whoever this logs token was made for is not active in this organization any more. An organization admin can lift a suspension with \"muster member resume\".")
}
