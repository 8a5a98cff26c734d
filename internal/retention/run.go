package retention

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
)

const (
	// firstRound is how long after the start the first round begins: runners that
	// were connected have come back by then.
	firstRound = 2 * time.Minute
	// everyRound is the time between rounds.
	everyRound = time.Hour
)

// Run removes what is to be removed, once an hour, until ctx ends. Several
// replicas may do so at once.
func (s *Service) Run(ctx context.Context) {
	timer := time.NewTimer(firstRound)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		s.removeRunners(ctx)
		s.removeTokens(ctx)
		timer.Reset(everyRound)
	}
}

func (s *Service) removeRunners(ctx context.Context) {
	policies, err := s.store.Policies(ctx)
	if err != nil {
		s.failed(ctx, "the retention policies could not be read", err)
		return
	}
	for o := range policies {
		removed, err := s.removeRunnersOf(ctx, o)
		if removed > 0 {
			s.log.Info("stale runners were removed", "organization_id", o, "runners", removed)
		}
		if err != nil {
			s.failed(ctx, "stale runners could not be removed", err, "organization_id", o)
		}
	}
}

// removeRunnersOf goes through the stale runners of an organization, page by
// page. One that cannot be removed is skipped, and met again in the next round.
func (s *Service) removeRunnersOf(ctx context.Context, o id.Organization) (removed int, err error) {
	p, err := page.Parse(page.Request{Size: page.MaxSize}, "")
	if err != nil {
		return 0, err
	}
	for {
		// Read anew: whoever changes the policy in the middle means it.
		policy, err := s.policyOf(ctx, o)
		if err != nil {
			return removed, err
		}
		now, ok := s.confirmed()
		limits := policy.limits(now)
		if !ok || limits.none() {
			return removed, nil
		}
		rows, err := s.store.StaleRunners(ctx, Query{Organization: o, Limits: limits, Page: p})
		if err != nil {
			return removed, fault.Wrap(err, "listing stale runners")
		}
		more := len(rows) > p.Limit
		rows = rows[:min(len(rows), p.Limit)]
		for _, r := range rows {
			ok, err := s.fleet.Expire(ctx, r.ID, limits.stale)
			if err != nil {
				s.failed(ctx, "a stale runner could not be removed", err, "runner_id", r.ID)
			}
			if ok {
				removed++
			}
		}
		if !more || ctx.Err() != nil {
			return removed, nil
		}
		last := position(rows[len(rows)-1])
		p.After = &last
	}
}

// failed logs what did not work; the next round tries again.
func (s *Service) failed(ctx context.Context, what string, err error, args ...any) {
	if ctx.Err() == nil {
		s.log.Error(what+"; trying again in an hour", append(args, "error", err)...)
	}
}
