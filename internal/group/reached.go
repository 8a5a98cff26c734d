package group

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// maxReached bounds what is looked at to find out what the members of a group
// see through it.
const maxReached = 100

// roles are the look-ups that Reached needs.
type roles interface {
	AssignmentsOf(ctx context.Context, g id.Group, most int) ([]Assignment, error)
	Object(ctx context.Context, o id.Organization, t resource.Type, resourceID string) (access.Object, bool, error)
}

// Reached returns what a group has roles on, and those roles, as permissions see
// them; false when that is more than a few.
func Reached(ctx context.Context, from roles, g id.Group) ([]access.Object, bool, error) {
	own, err := from.AssignmentsOf(ctx, g, maxReached+1)
	if err != nil || len(own) > maxReached {
		return nil, false, err
	}
	var objects []access.Object
	for _, a := range own {
		on, err := resourceOf(ctx, from, a)
		if err != nil {
			return nil, false, err
		}
		objects = append(objects, on, a.Object(on))
	}
	return objects, true, nil
}

// departed is a group that somebody left, or that is gone.
type departed struct {
	// subject left the group; when it is zero, all its members did.
	subject access.Subject
	group   id.Group
	// reached is what the group had roles on, and those roles.
	reached []access.Object
}

// leave notes what a group reaches before a subject leaves it. Of a group that
// reaches more than is looked at it notes nothing, not even the group, so that
// the subject counts as one that sees something else now.
func leave(ctx context.Context, tx Tx, subject access.Subject, g id.Group) (departed, error) {
	reached, all, err := Reached(ctx, tx, g)
	d := departed{subject: subject}
	if all {
		d.group, d.reached = g, reached
	}
	return d, err
}

// changed makes a change of what a subject, or every member of a group, is take
// effect; err is that of the transaction, after which it was made or may have
// been.
func (s *Service) changed(ctx context.Context, err error, subject access.Subject, g id.Group, left []access.Object) {
	switch {
	case err == nil:
		s.identities.Changed(ctx, subject, g, left)
	case subject.ID != "":
		s.identities.Doubted("", subject)
	default:
		s.identities.DoubtedOf(g)
	}
}

// left is changed for those who left a group.
func (s *Service) left(ctx context.Context, err error, d departed) {
	s.changed(ctx, err, d.subject, d.group, d.reached)
}
