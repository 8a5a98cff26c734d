package change

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/resource"
)

// WriteRole writes down that a group got or lost a role, of which r is the record,
// on a resource: once more for the group and for the resource, so that the audit
// log tells both, and lets those who see the resource know.
func WriteRole(ctx context.Context, tx Tx, r Record, on access.Object) error {
	group := access.Object{Type: resource.Group, ID: string(r.Object.Group), Organization: r.Object.Organization}
	for _, r := range []Record{r, {Actor: r.Actor, Action: r.Action, Object: group}, {Actor: r.Actor, Action: r.Action, Object: on}} {
		if err := Write(ctx, tx, r); err != nil {
			return err
		}
	}
	changed := on
	changed.Type, changed.On = resource.RoleAssignmentChanged, on.Type
	tx.Emit(event.Event{Operation: event.Updated, Object: changed})
	return nil
}
