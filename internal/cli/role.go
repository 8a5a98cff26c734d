package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/cli/out"
	"github.com/musterhq/muster/internal/resource"
)

const prefixResourceRole = "RESOURCE_ROLE_"

// RoleCommands are the verbs of the noun role.
type RoleCommands struct {
	List   RoleList   `cmd:"" help:"List the roles that groups have on resources."`
	Grant  RoleGrant  `cmd:"" help:"Give a group a role on a resource."`
	Revoke RoleRevoke `cmd:"" help:"Take a role on a resource away from a group."`
}

// roleName is how people type a role: "runner-admin".
func roleName(r gitpodv1.ResourceRole) string {
	return strings.ReplaceAll(words(prefixResourceRole, r), " ", "-")
}

// parseRole reads a role. An unknown one is answered with those for the type of
// resource, or for the beginning of what was typed.
func parseRole(typed string, t gitpodv1.ResourceType) (gitpodv1.ResourceRole, error) {
	if r := number[gitpodv1.ResourceRole](gitpodv1.ResourceRole_value, prefixResourceRole, typed); r != 0 {
		return r, nil
	}
	begin := typeName(t)
	if t == gitpodv1.ResourceType_RESOURCE_TYPE_ORGANIZATION {
		begin = "org"
	}
	var near []string
	for n := range gitpodv1.ResourceRole_name {
		if name := roleName(gitpodv1.ResourceRole(n)); strings.HasPrefix(name, begin+"-") && !strings.HasSuffix(name, "-identity") {
			near = append(near, name)
		}
	}
	slices.Sort(near)
	if len(near) == 0 {
		return 0, usagef("there is no role %q", typed)
	}
	return 0, usagef("there is no role %q; for this resource there are %s", typed, strings.Join(near, ", "))
}

// listRoles returns the role assignments that a filter selects.
func (c *Client) listRoles(ctx context.Context, f *gitpodv1.ListRoleAssignmentsRequest_Filter) ([]*gitpodv1.RoleAssignment, error) {
	return pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.RoleAssignment, *gitpodv1.PaginationResponse, error) {
		resp, err := c.Groups.ListRoleAssignments(ctx, connect.NewRequest(&gitpodv1.ListRoleAssignmentsRequest{Pagination: p, Filter: f}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetAssignments(), resp.Msg.GetPagination(), nil
	})
}

// RoleList lists role assignments.
type RoleList struct {
	Group    string `placeholder:"GROUP" help:"Only those of this group."`
	User     string `placeholder:"MEMBER" help:"Only those of the groups that this member is in."`
	Resource string `placeholder:"TYPE/NAME" help:"Only those on this resource, such as runner/web or organization."`
	Output
	Remote
}

// Run runs the command.
func (cmd *RoleList) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	f, err := cmd.filter(ctx, c)
	if err != nil {
		return err
	}
	roles, err := c.listRoles(ctx, f)
	if err != nil {
		return err
	}
	return many(cmd.Output, env, roles, func() error {
		if len(roles) == 0 {
			_, err := fmt.Fprintln(env.Stdout, "No roles that you can see. Give a group one: muster role grant GROUP ROLE RESOURCE")
			return err
		}
		names, err := c.resourceNames(ctx)
		if err != nil {
			return err
		}
		t := out.NewTable("GROUP", "ROLE", "RESOURCE", "ID")
		for _, a := range roles {
			resource := typeName(a.GetResourceType())
			if a.GetResourceType() != gitpodv1.ResourceType_RESOURCE_TYPE_ORGANIZATION {
				resource += "/" + cmp.Or(names[a.GetResourceId()], a.GetResourceId())
			}
			t.Row(cmp.Or(names[a.GetGroupId()], a.GetGroupId()), roleName(a.GetResourceRole()), resource, a.GetId())
		}
		return t.Write(env.Stdout)
	})
}

func (cmd *RoleList) filter(ctx context.Context, c *Client) (*gitpodv1.ListRoleAssignmentsRequest_Filter, error) {
	f := &gitpodv1.ListRoleAssignmentsRequest_Filter{}
	if cmd.Group != "" {
		g, err := c.findGroup(ctx, cmd.Group)
		if err != nil {
			return nil, err
		}
		f.GroupId = g.GetId()
	}
	if cmd.User != "" {
		u, err := c.findSubject(ctx, cmd.User, gitpodv1.Principal_PRINCIPAL_USER)
		if err != nil {
			return nil, err
		}
		f.UserId = u.id
	}
	if cmd.Resource != "" {
		r, err := c.findResource(ctx, cmd.Resource)
		if err != nil {
			return nil, err
		}
		f.ResourceTypes, f.ResourceId = []gitpodv1.ResourceType{r.typ}, r.id
	}
	return f, nil
}

// RoleArg names a group, a role and a resource on the command line.
type RoleArg struct {
	Group    string `arg:"" help:"Name or id of the group."`
	Role     string `arg:"" help:"The role, such as runner-admin, runner-user, group-admin or org-runners-admin."`
	Resource string `arg:"" help:"What the role is on: TYPE/NAME or TYPE/ID, such as runner/web or group/builders, or \"organization\"."`
}

func (a *RoleArg) find(ctx context.Context, c *Client) (*gitpodv1.CreateRoleAssignmentRequest, error) {
	on, err := c.findResource(ctx, a.Resource)
	if err != nil {
		return nil, err
	}
	role, err := parseRole(a.Role, on.typ)
	if err != nil {
		return nil, err
	}
	g, err := c.findGroup(ctx, a.Group)
	if err != nil {
		return nil, err
	}
	return &gitpodv1.CreateRoleAssignmentRequest{GroupId: g.GetId(), ResourceType: on.typ, ResourceId: on.id, ResourceRole: role}, nil
}

// sameRole returns the assignment that there is, if any.
func (c *Client) sameRole(ctx context.Context, req *gitpodv1.CreateRoleAssignmentRequest) ([]*gitpodv1.RoleAssignment, error) {
	return c.listRoles(ctx, &gitpodv1.ListRoleAssignmentsRequest_Filter{
		GroupId: req.GetGroupId(), ResourceTypes: []gitpodv1.ResourceType{req.GetResourceType()}, ResourceId: req.GetResourceId(),
		ResourceRoles: []gitpodv1.ResourceRole{req.GetResourceRole()},
	})
}

// RoleGrant gives a role.
type RoleGrant struct {
	RoleArg
	Output
	Remote
}

// Run runs the command.
func (cmd *RoleGrant) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	req, err := cmd.find(ctx, c)
	if err != nil {
		return err
	}
	var assignment *gitpodv1.RoleAssignment
	already := ""
	resp, err := c.Groups.CreateRoleAssignment(ctx, connect.NewRequest(req))
	switch {
	case err == nil:
		assignment = resp.Msg.GetAssignment()
	case isThere(err):
		// What is in the way may be another role: a group is either an admin or a
		// user of a runner.
		roles, listErr := c.sameRole(ctx, req)
		if listErr != nil || len(roles) == 0 {
			return err
		}
		assignment, already = roles[0], " already"
	default:
		return err
	}
	if !access.HasEffect(resource.Role(req.GetResourceRole())) {
		fmt.Fprintf(env.Stderr, "Note: the role %s is stored and has no effect in this control plane; it allows nothing that the members of the group could not do anyway.\n", roleName(req.GetResourceRole()))
	}
	return cmd.one(env, assignment, func() error {
		_, err := fmt.Fprintf(env.Stdout, "The group %q has the role %s on %s%s.\n", cmd.Group, roleName(req.GetResourceRole()), cmd.Resource, already)
		return err
	})
}

// RoleRevoke takes a role away.
type RoleRevoke struct {
	RoleArg
	Confirmation
	Remote
}

// Run runs the command.
func (cmd *RoleRevoke) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	req, err := cmd.find(ctx, c)
	if err != nil {
		return err
	}
	roles, err := c.sameRole(ctx, req)
	if err != nil {
		return err
	}
	role := roleName(req.GetResourceRole())
	if len(roles) == 0 {
		return &missing{fmt.Sprintf("the group %q has no role %s on %s that you can see", cmd.Group, role, cmd.Resource)}
	}
	if err := cmd.confirm(ctx, env, fmt.Sprintf("Take the role %s on %s away from the group %q?", role, cmd.Resource, cmd.Group)); err != nil {
		return err
	}
	if _, err := c.Groups.DeleteRoleAssignment(ctx, connect.NewRequest(&gitpodv1.DeleteRoleAssignmentRequest{AssignmentId: roles[0].GetId()})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "The group %q has the role %s on %s no more.\n", cmd.Group, role, cmd.Resource)
	return err
}
