package change

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/resource"
)

// WriteMembership writes down that a group got or lost a member: an audit entry
// for the group and one for the member, so that the log tells both, and an event
// for the group.
func WriteMembership(ctx context.Context, tx Tx, actor access.Subject, action string, group, member access.Object) error {
	for _, o := range []access.Object{group, member} {
		if err := Write(ctx, tx, Record{Actor: actor, Action: action, Object: o}); err != nil {
			return err
		}
	}
	EmitMembership(tx, group)
	return nil
}

// EmitMembership tells that the members of a group changed.
func EmitMembership(tx event.Tx, group access.Object) {
	group.Type = resource.GroupMembershipChanged
	tx.Emit(event.Event{Operation: event.Updated, Object: group})
}
