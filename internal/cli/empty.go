package cli

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/resource"
)

// empty says that a list is empty, and what to do about it: make something, for
// those who may, and otherwise get somebody's leave to see more.
func (c *Client) empty(ctx context.Context, what string, may access.Permission, create string) error {
	text := fmt.Sprintf("No %s. Make one: %s\n", what, create)
	if !c.mayHave(ctx, may) {
		text = fmt.Sprintf("No %s that you can see. An admin can let you use a runner: muster runner share RUNNER --with YOU\n", what)
	}
	_, err := fmt.Fprint(c.env.Stdout, text)
	return err
}

// mayHave tells whether a role of the caller's, on anything, gives a permission.
// It is for show only, and true when that cannot be found out.
func (c *Client) mayHave(ctx context.Context, p access.Permission) bool {
	me, err := c.me(ctx)
	if err != nil {
		return true
	}
	f := &gitpodv1.ListRoleAssignmentsRequest_Filter{}
	if me.GetSubject().GetPrincipal() == gitpodv1.Principal_PRINCIPAL_USER {
		f.UserId = me.GetSubject().GetId()
		resp, err := c.Organizations.ListMembers(ctx, connect.NewRequest(&gitpodv1.ListMembersRequest{
			OrganizationId: me.GetOrganizationId(), Filter: &gitpodv1.ListMembersRequest_Filter{UserIds: []string{f.UserId}},
		}))
		if err != nil || len(resp.Msg.GetMembers()) != 1 {
			return true
		}
		if resp.Msg.GetMembers()[0].GetRole() == gitpodv1.OrganizationRole_ORGANIZATION_ROLE_ADMIN && access.Allows(resource.RoleOrgAdmin, p) {
			return true
		}
	}
	roles, err := c.listRoles(ctx, f)
	if err != nil {
		return true
	}
	for _, a := range roles {
		if r := resource.Role(a.GetResourceRole()); access.HasEffect(r) && access.Allows(r, p) {
			return true
		}
	}
	return false
}
