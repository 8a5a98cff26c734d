package cli

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// GroupMembers lists members of a group.
type GroupMembers struct {
	GroupArg
	Output
	Remote
}

// Run runs the command.
func (cmd *GroupMembers) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	g, err := c.findGroup(ctx, cmd.Group)
	if err != nil {
		return err
	}
	members, err := pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.GroupMembership, *gitpodv1.PaginationResponse, error) {
		resp, err := c.Groups.ListMemberships(ctx, connect.NewRequest(&gitpodv1.ListMembershipsRequest{Pagination: p, GroupId: g.GetId()}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetMembers(), resp.Msg.GetPagination(), nil
	})
	if err != nil {
		return err
	}
	return many(cmd.Output, env, members, func() error {
		if len(members) == 0 {
			_, err := fmt.Fprintf(env.Stdout, "Nobody is in the group. Add somebody: muster group add %s MEMBER\n", quote(g.GetName()))
			return err
		}
		t := out.NewTable("NAME", "KIND", "ID")
		for _, m := range members {
			t.Row(m.GetName(), words(prefixPrincipal, m.GetSubject().GetPrincipal()), m.GetSubject().GetId())
		}
		return t.Write(env.Stdout)
	})
}

// GroupMemberArg names a group and somebody on the command line.
type GroupMemberArg struct {
	GroupArg
	Subject string `arg:"" name:"member" help:"Name, email address or id of a member, or name or id of a service account. \"user/NAME\" and \"service-account/NAME\" say which."`
}

func (a *GroupMemberArg) find(ctx context.Context, c *Client) (*gitpodv1.Group, *named, error) {
	g, err := c.findGroup(ctx, a.Group)
	if err != nil {
		return nil, nil, err
	}
	s, err := c.findSubject(ctx, a.Subject, gitpodv1.Principal_PRINCIPAL_USER, gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT)
	return g, s, err
}

// GroupAdd adds a member.
type GroupAdd struct {
	GroupMemberArg
	Remote
}

// Run runs the command.
func (cmd *GroupAdd) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	g, s, err := cmd.find(ctx, c)
	if err != nil {
		return err
	}
	already := ""
	_, err = c.Groups.CreateMembership(ctx, connect.NewRequest(&gitpodv1.CreateMembershipRequest{GroupId: g.GetId(), Subject: s.subject()}))
	if isThere(err) {
		already, err = " already", nil
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "%s is in the group %q%s.\n", s.name, g.GetName(), already)
	return err
}

// GroupRemove removes a member.
type GroupRemove struct {
	GroupMemberArg
	Confirmation
	Remote
}

// Run runs the command.
func (cmd *GroupRemove) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	g, s, err := cmd.find(ctx, c)
	if err != nil {
		return err
	}
	m, err := c.Groups.GetMembership(ctx, connect.NewRequest(&gitpodv1.GetMembershipRequest{GroupId: g.GetId(), Subject: s.subject()}))
	if err != nil {
		return err
	}
	if m.Msg.GetMember() == nil {
		return &missing{fmt.Sprintf("%s is not in the group %q", s.name, g.GetName())}
	}
	if err := cmd.confirm(ctx, env, fmt.Sprintf("Take %s out of the group %q?", s.name, g.GetName())); err != nil {
		return err
	}
	if _, err := c.Groups.DeleteMembership(ctx, connect.NewRequest(&gitpodv1.DeleteMembershipRequest{MembershipId: m.Msg.GetMember().GetId()})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "%s is out of the group %q.\n", s.name, g.GetName())
	return err
}
