package cli

import (
	"context"
	"fmt"
	"strconv"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// GroupCommands are the verbs of the noun group.
type GroupCommands struct {
	List    GroupList    `cmd:"" help:"List groups."`
	Get     GroupGet     `cmd:"" help:"Show a group."`
	Create  GroupCreate  `cmd:"" help:"Make a group."`
	Update  GroupUpdate  `cmd:"" help:"Change the name or the description of a group."`
	Delete  GroupDelete  `cmd:"" help:"Delete a group, its memberships and its roles."`
	Members GroupMembers `cmd:"" help:"List the members of a group."`
	Add     GroupAdd     `cmd:"" help:"Put a member or a service account into a group."`
	Remove  GroupRemove  `cmd:"" help:"Take a member or a service account out of a group."`
}

// GroupList lists groups.
type GroupList struct {
	Search string `placeholder:"TEXT" help:"Only those with this in their name."`
	All    bool   `help:"Those that exist to share something with a single one, too."`
	Output
	Remote
}

// Run runs the command.
func (cmd *GroupList) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	f := &gitpodv1.ListGroupsRequest_Filter{Search: cmd.Search}
	if !cmd.All {
		f.DirectShare = new(bool)
	}
	groups, err := c.listGroups(ctx, f)
	if err != nil {
		return err
	}
	return many(cmd.Output, env, groups, func() error {
		if len(groups) == 0 {
			text := "No groups. Make one: muster group create NAME"
			if cmd.Search != "" {
				text = fmt.Sprintf("No group has %q in its name.", cmd.Search)
			}
			_, err := fmt.Fprintln(env.Stdout, text)
			return err
		}
		t := out.NewTable("NAME", "ID", "MEMBERS", "AGE", "DESCRIPTION")
		for _, g := range groups {
			t.Row(g.GetName(), g.GetId(), strconv.Itoa(int(g.GetMemberCount())), out.Age(env.Now(), g.GetCreatedAt()), g.GetDescription())
		}
		return t.Write(env.Stdout)
	})
}

func (c *Client) listGroups(ctx context.Context, f *gitpodv1.ListGroupsRequest_Filter) ([]*gitpodv1.Group, error) {
	return pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.Group, *gitpodv1.PaginationResponse, error) {
		resp, err := c.Groups.ListGroups(ctx, connect.NewRequest(&gitpodv1.ListGroupsRequest{Pagination: p, Filter: f}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetGroups(), resp.Msg.GetPagination(), nil
	})
}

// GroupArg names a group on the command line.
type GroupArg struct {
	Group string `arg:"" name:"group" help:"Name or id of the group."`
}

// findGroup returns the group with the given id or name.
func (c *Client) findGroup(ctx context.Context, nameOrID string) (*gitpodv1.Group, error) {
	req := &gitpodv1.GetGroupRequest{Group: &gitpodv1.GetGroupRequest_Name{Name: nameOrID}}
	if uuidPattern.MatchString(nameOrID) {
		req.Group = &gitpodv1.GetGroupRequest_Id{Id: nameOrID}
	}
	resp, err := c.Groups.GetGroup(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	return resp.Msg.GetGroup(), nil
}

// GroupGet shows a group.
type GroupGet struct {
	GroupArg
	Output
	Remote
}

// Run runs the command.
func (cmd *GroupGet) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	g, err := c.findGroup(ctx, cmd.Group)
	if err != nil {
		return err
	}
	return cmd.one(env, g, func() error { return printGroup(env, g) })
}

func printGroup(env *Env, g *gitpodv1.Group) error {
	purpose := ""
	if g.GetDirectShare() {
		purpose = "exists to share something with its one member"
	}
	return out.Fields(
		env.Stdout,
		"Name", g.GetName(),
		"ID", g.GetId(),
		"Description", g.GetDescription(),
		"Purpose", purpose,
		"Members", strconv.Itoa(int(g.GetMemberCount())),
		"Created", out.Time(env.Now(), g.GetCreatedAt()),
		"Updated", out.Time(env.Now(), g.GetUpdatedAt()),
	)
}

// GroupCreate makes a group.
type GroupCreate struct {
	Name        string `arg:"" help:"Name, 3 to 80 characters; no other group may have it."`
	Description string `placeholder:"TEXT" help:"What it is for."`
	Output
	Remote
}

// Run runs the command.
func (cmd *GroupCreate) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	me, err := c.me(ctx)
	if err != nil {
		return err
	}
	resp, err := c.Groups.CreateGroup(ctx, connect.NewRequest(&gitpodv1.CreateGroupRequest{
		OrganizationId: me.GetOrganizationId(), Name: cmd.Name, Description: cmd.Description,
	}))
	if err != nil {
		return err
	}
	g := resp.Msg.GetGroup()
	return cmd.one(env, g, func() error {
		fmt.Fprintf(env.Stderr, "Put somebody into it: muster group add %s MEMBER\nLet it use a runner: muster policy set RUNNER %s\n", quote(g.GetName()), quote(g.GetName()))
		return printGroup(env, g)
	})
}

// GroupUpdate changes name and description.
type GroupUpdate struct {
	GroupArg
	Name        *string `placeholder:"NAME" help:"The new name."`
	Description *string `placeholder:"TEXT" help:"The new description; empty clears it."`
	Output
	Remote
}

// Run runs the command.
func (cmd *GroupUpdate) Run(ctx context.Context, env *Env) error {
	if cmd.Name == nil && cmd.Description == nil {
		return usagef("nothing to change; give --name or --description")
	}
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	g, err := c.findGroup(ctx, cmd.Group)
	if err != nil {
		return err
	}
	req := &gitpodv1.UpdateGroupRequest{GroupId: g.GetId(), Name: g.GetName(), Description: g.GetDescription()}
	if cmd.Name != nil {
		req.Name = *cmd.Name
	}
	if cmd.Description != nil {
		req.Description = *cmd.Description
	}
	resp, err := c.Groups.UpdateGroup(ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	return cmd.one(env, resp.Msg.GetGroup(), func() error { return printGroup(env, resp.Msg.GetGroup()) })
}

// GroupDelete deletes a group.
type GroupDelete struct {
	GroupArg
	Confirmation
	Remote
}

// Run runs the command.
func (cmd *GroupDelete) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	g, err := c.findGroup(ctx, cmd.Group)
	if err != nil {
		return err
	}
	q := fmt.Sprintf("Delete group %q with its roles? It has %d members.", g.GetName(), g.GetMemberCount())
	if err := cmd.confirm(ctx, env, q); err != nil {
		return err
	}
	if _, err := c.Groups.DeleteGroup(ctx, connect.NewRequest(&gitpodv1.DeleteGroupRequest{GroupId: g.GetId()})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "Group %q is deleted.\n", g.GetName())
	return err
}
