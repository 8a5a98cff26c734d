package retention

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
)

// Service is the domain of retention policies.
type Service struct {
	store     Store
	fleet     Fleet
	confirmed func() (time.Time, bool)
	log       *slog.Logger
}

// New makes the service. Run must run for anything to be removed. Ages are
// judged by the confirmed time, and nothing is removed while it says false.
func New(store Store, fleet Fleet, confirmed func() (now time.Time, ok bool), log *slog.Logger) *Service {
	return &Service{store: store, fleet: fleet, confirmed: confirmed, log: log}
}

const (
	// MaxDays bounds each number of days in a policy.
	MaxDays = 3650
	// MinAuditDays is how long audit entries are kept at least. Whoever sets the
	// policy could otherwise remove the traces of what they do.
	MinAuditDays = 30
)

func (p Policy) check() error {
	for field, days := range map[string]int32{
		"policy.never_connected_days": p.NeverConnectedDays, "policy.offline_days": p.OfflineDays, "policy.audit_days": p.AuditDays,
	} {
		if days < 0 || days > MaxDays {
			return fault.Invalid(field, "must be between 0 and %d, is %d; 0 keeps everything", MaxDays, days)
		}
	}
	if p.AuditDays > 0 && p.AuditDays < MinAuditDays {
		return fault.Invalid("policy.audit_days", "must be 0, which keeps everything, or at least %d, is %d: nobody removes the traces of what was done lately", MinAuditDays, p.AuditDays)
	}
	return nil
}

// Policy returns the policy of the caller's organization.
func (s *Service) Policy(ctx context.Context, c access.Caller) (Policy, error) {
	if err := access.Check(c, access.OrganizationRead, access.OrganizationObject(c.Organization)); err != nil {
		return Policy{}, err
	}
	return s.policyOf(ctx, c.Organization)
}

func (s *Service) policyOf(ctx context.Context, o id.Organization) (Policy, error) {
	p, found, err := s.store.Policy(ctx, o)
	if err != nil {
		return Policy{}, fault.Wrap(err, "reading the retention policy")
	}
	if !found {
		return Policy{}, fault.Missing("organization", string(o))
	}
	return p, nil
}

// SetPolicy replaces the policy of the caller's organization. It takes effect
// within an hour.
func (s *Service) SetPolicy(ctx context.Context, c access.Caller, p Policy) error {
	o := access.OrganizationObject(c.Organization)
	if err := access.Check(c, access.OrganizationUpdate, o); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	err := s.store.Write(ctx, func(tx Tx) error {
		found, err := tx.SetPolicy(ctx, c.Organization, p)
		if err != nil {
			return err
		}
		if !found {
			return fault.Missing("organization", string(c.Organization))
		}
		return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "retention_policy.update", Object: o, Event: event.Updated})
	})
	return fault.Wrap(err, "setting the retention policy")
}

// Preview is what a policy would remove now.
type Preview struct {
	// Runners is one page of them.
	Runners []StaleRunner
	// Next is the token of the next page; empty on the last.
	Next         string
	AuditEntries int64
}

// Preview tells what a policy would remove, and removes nothing. Without a
// policy it is the one in force.
func (s *Service) Preview(ctx context.Context, c access.Caller, try *Policy, p page.Request) (Preview, error) {
	if err := access.Check(c, access.OrganizationUpdate, access.OrganizationObject(c.Organization)); err != nil {
		return Preview{}, err
	}
	var policy Policy
	if try != nil {
		policy = *try
	} else {
		var err error
		if policy, err = s.policyOf(ctx, c.Organization); err != nil {
			return Preview{}, err
		}
	}
	if err := policy.check(); err != nil {
		return Preview{}, err
	}
	now, _ := s.confirmed()
	q := Query{Organization: c.Organization, Limits: policy.limits(now)}
	var err error
	if q.Page, err = page.Parse(p, fmt.Sprintf("stale runners\x00%s\x00%s\x00%v", c.Organization, c.ID, policy)); err != nil {
		return Preview{}, err
	}
	var out Preview
	if !q.none() {
		if out.Runners, err = s.store.StaleRunners(ctx, q); err != nil {
			return Preview{}, fault.Wrap(err, "listing stale runners")
		}
		out.Runners, out.Next = page.Cut(q.Page, out.Runners, position)
	}
	if limit := policy.AuditBefore(now); !limit.IsZero() {
		if out.AuditEntries, err = s.store.AuditEntriesBefore(ctx, c.Organization, limit); err != nil {
			return Preview{}, fault.Wrap(err, "counting audit entries")
		}
	}
	return out, nil
}

func position(r StaleRunner) page.Cursor {
	return page.Cursor{Key: page.TimeKey(r.CreatedAt), ID: string(r.ID)}
}
