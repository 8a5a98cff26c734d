package group

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/resource"
)

// guard keeps roles from being given or taken by way of the group that has them:
// nobody gives more than they have. A group with a role on the organization, or
// with one that lets its members give roles on a runner or a group, is changed
// only by who may give that role.
func guard(ctx context.Context, tx Tx, c access.Caller, g *Group) error {
	everything := access.OrganizationObject(c.Organization)
	if !access.May(c, access.OrganizationShare, everything) {
		n, err := tx.OrganizationRoles(ctx, g.ID)
		if err != nil {
			return err
		}
		if n > 0 {
			return guarded(g, "a role on the organization", access.OrganizationShare, "on the organization, such as an admin,")
		}
	}
	var sharing []resource.Role
	for _, kind := range shareKinds {
		if !access.May(c, kind.share, everything) {
			sharing = append(sharing, access.RolesAllowing(kind.on, kind.share)...)
		}
	}
	if len(sharing) == 0 {
		return nil
	}
	a, found, err := tx.AssignmentBeyond(ctx, g.ID, sharing, c.Groups)
	if err != nil || !found {
		return err
	}
	what := a.Type.Words()
	for _, kind := range shareKinds {
		if kind.on == a.Type {
			err = guarded(g, "the role "+a.Role.Words()+" on a "+what, kind.share, "on that "+what)
		}
	}
	return err
}

// shareKinds are the resources whose roles others than admins of the
// organization give and take, and the permission for that.
var shareKinds = []struct {
	on    resource.Type
	share access.Permission
}{{resource.Runner, access.RunnerShare}, {resource.Group, access.GroupShare}}

func guarded(g *Group, has string, p access.Permission, where string) error {
	return fault.New(fault.PermissionDenied, fault.NotAllowed,
		"The group %q has %s, so its members get that role, too, and nobody gives more than they have. Only who has the permission %q %s may change the group or its members, or delete it.", g.Name, has, p, where)
}
