package app

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
)

// logReaders decides who may read the logs of runners now, of those who were
// given logs tokens.
type logReaders struct {
	runners fleet.Store
	people  people
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
	c, _, err := l.people.callerNow(ctx, r.Organization, reader)
	if err != nil {
		return err
	}
	return fleet.Check(c, access.RunnerLogs, &r, found, want)
}
