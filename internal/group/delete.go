package group

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

// Delete removes a group with its memberships, its roles and the roles on it.
func (s *Service) Delete(ctx context.Context, c access.Caller, want id.Group) error {
	all := departed{group: want}
	var few bool
	var gone departure.Gone
	err := s.store.Write(ctx, func(tx Tx) error {
		g, err := ordinary(ctx, tx, c, access.GroupDelete, want)
		if err != nil {
			return err
		}
		if all.reached, few, err = Reached(ctx, tx, want); err != nil {
			return err
		}
		gone, err = remove(ctx, tx, c, &g)
		return err
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "deleting the group")
	}
	if few {
		s.left(ctx, err, all)
	} else {
		s.identities.ChangedMuch(want)
	}
	for _, subject := range gone.Shares() {
		s.changed(ctx, err, subject, "", nil)
	}
	return err
}

// remove deletes a group that is locked with all that hangs on it, and tells of
// each.
func remove(ctx context.Context, tx Tx, c access.Caller, g *Group) (departure.Gone, error) {
	gone, err := departure.Group(ctx, tx, c.Subject, g.Object())
	if err != nil {
		return gone, err
	}
	return gone, change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "group.delete", Object: g.Object(), Event: event.Deleted})
}
