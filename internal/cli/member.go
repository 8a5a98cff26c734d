package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// MemberCommands are the verbs of the noun member.
type MemberCommands struct {
	Add     MemberAdd     `cmd:"" help:"Add a member and print a first token for them, this once."`
	List    MemberList    `cmd:"" help:"List members."`
	Token   MemberToken   `cmd:"" help:"Make a token for a member who has none left, and print it, this once."`
	SetRole MemberSetRole `cmd:"" help:"Make a member an admin, or an admin a member."`
	Suspend MemberSuspend `cmd:"" help:"Refuse all tokens of a member until they are resumed."`
	Resume  MemberResume  `cmd:"" help:"Lift the suspension of a member."`
	Remove  MemberRemove  `cmd:"" help:"Remove a member and delete their tokens for good."`
}

// MemberAdd adds a member.
type MemberAdd struct {
	Name  string `arg:"" help:"Name for people."`
	Email string `required:"" placeholder:"ADDRESS" help:"Email address; no other member may have it."`
	Role  string `enum:"admin,member" default:"member" placeholder:"ROLE" help:"admin or member (the default)."`
	Output
	Remote
}

// Run runs the command.
func (cmd *MemberAdd) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	resp, err := c.Members.AddMember(ctx, connect.NewRequest(&adminv1.AddMemberRequest{
		Name: cmd.Name, Email: cmd.Email,
		Role: number[gitpodv1.OrganizationRole](gitpodv1.OrganizationRole_value, prefixRole, cmd.Role),
	}))
	if err != nil {
		return err
	}
	m := resp.Msg.GetMember()
	show := func() error {
		fmt.Fprintf(env.Stderr, "Added %s (%s) as %s. They log in with: muster login --server %s\n", m.GetFullName(), m.GetEmail(), cmd.Role, quote(c.Server))
		return printToken(env, resp.Msg.GetToken())
	}
	return handOver(ctx, env, "The member", resp.Msg.GetToken(), func() error { return cmd.one(env, resp.Msg, show) }, func(ctx context.Context) error {
		_, err := c.Members.RemoveMember(ctx, connect.NewRequest(&adminv1.RemoveMemberRequest{UserId: m.GetUserId()}))
		return err
	})
}

// listMembers returns the members of the caller's organization.
func (c *Client) listMembers(ctx context.Context) ([]*gitpodv1.OrganizationMember, error) {
	me, err := c.me(ctx)
	if err != nil {
		return nil, err
	}
	return pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.OrganizationMember, *gitpodv1.PaginationResponse, error) {
		resp, err := c.Organizations.ListMembers(ctx, connect.NewRequest(&gitpodv1.ListMembersRequest{
			Pagination: p, OrganizationId: me.GetOrganizationId(),
		}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetMembers(), resp.Msg.GetPagination(), nil
	})
}

// MemberList lists members.
type MemberList struct {
	Output
	Remote
}

// Run runs the command.
func (cmd *MemberList) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	members, err := c.listMembers(ctx)
	if err != nil {
		return err
	}
	return many(cmd.Output, env, members, func() error {
		t := out.NewTable("NAME", "EMAIL", "ROLE", "STATUS", "ID", "JOINED")
		for _, m := range members {
			t.Row(m.GetFullName(), m.GetEmail(), words(prefixRole, m.GetRole()), short(prefixStatus, m.GetStatus()), m.GetUserId(),
				out.Age(env.Now(), m.GetMemberSince()))
		}
		return t.Write(env.Stdout)
	})
}

// MemberArg names a member on the command line.
type MemberArg struct {
	Member string `arg:"" name:"member" help:"Name, email address or id of the member; of one who has left, the id."`
	Remote
}

// find connects and returns the member that was named.
func (a *MemberArg) find(ctx context.Context, env *Env) (*Client, *gitpodv1.OrganizationMember, error) {
	c, err := a.connect(env)
	if err != nil {
		return nil, nil, err
	}
	all, err := c.listMembers(ctx)
	if err != nil {
		return nil, nil, err
	}
	m, err := pick("member", a.Member, all,
		func(m *gitpodv1.OrganizationMember) bool {
			if m.GetStatus() == gitpodv1.UserStatus_USER_STATUS_LEFT {
				return strings.EqualFold(m.GetUserId(), a.Member)
			}
			return strings.EqualFold(m.GetFullName(), a.Member) || strings.EqualFold(m.GetEmail(), a.Member) || strings.EqualFold(m.GetUserId(), a.Member)
		},
		func(m *gitpodv1.OrganizationMember) string {
			return fmt.Sprintf("%s  %s  %s", m.GetUserId(), m.GetEmail(), short(prefixStatus, m.GetStatus()))
		})
	return c, m, err
}

// MemberToken makes a token for a member.
type MemberToken struct {
	MemberArg
	ValidFor lifetime `placeholder:"TIME" help:"How long it works, such as 30d; 90d at most and by default."`
	Output
}

// Help adds to the help of the command.
func (*MemberToken) Help() string {
	return `For a member whose last token is lost or has ended. What they have stays as it is:
"muster member suspend" refuses tokens that somebody else may have, and "muster
pat delete ID" ends one. The audit log says who made it.`
}

// Run runs the command.
func (cmd *MemberToken) Run(ctx context.Context, env *Env) error {
	c, m, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	req := &adminv1.CreateMemberTokenRequest{UserId: m.GetUserId()}
	if cmd.ValidFor > 0 {
		req.ValidFor = durationpb.New(time.Duration(cmd.ValidFor))
	}
	resp, err := c.Members.CreateMemberToken(ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	return handOver(ctx, env, "The token", resp.Msg.GetToken(), func() error {
		return cmd.one(env, resp.Msg, func() error {
			fmt.Fprintf(env.Stderr, "A token of %s (%s). They log in with: muster login --server %s\n", m.GetFullName(), m.GetEmail(), quote(c.Server))
			return printToken(env, resp.Msg.GetToken())
		})
	}, func(ctx context.Context) error { return c.deleteToken(ctx, resp.Msg.GetTokenId()) })
}

// MemberSetRole gives a member another role.
type MemberSetRole struct {
	MemberArg
	Role string `arg:"" enum:"admin,member" help:"admin or member."`
}

// Run runs the command.
func (cmd *MemberSetRole) Run(ctx context.Context, env *Env) error {
	c, m, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	me, err := c.me(ctx)
	if err != nil {
		return err
	}
	_, err = c.Organizations.SetRole(ctx, connect.NewRequest(&gitpodv1.SetRoleRequest{
		OrganizationId: me.GetOrganizationId(), UserId: m.GetUserId(),
		Role: number[gitpodv1.OrganizationRole](gitpodv1.OrganizationRole_value, prefixRole, cmd.Role),
	}))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "%s has the role %s now.\n", m.GetFullName(), cmd.Role)
	return err
}

// MemberSuspend suspends a member.
type MemberSuspend struct{ MemberArg }

// Run runs the command.
func (cmd *MemberSuspend) Run(ctx context.Context, env *Env) error {
	c, m, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	if _, err := c.Members.SuspendMember(ctx, connect.NewRequest(&adminv1.SuspendMemberRequest{UserId: m.GetUserId()})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "%s is suspended.\n", m.GetFullName())
	return err
}

// MemberResume lifts a suspension.
type MemberResume struct{ MemberArg }

// Run runs the command.
func (cmd *MemberResume) Run(ctx context.Context, env *Env) error {
	c, m, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	if _, err := c.Members.ResumeMember(ctx, connect.NewRequest(&adminv1.ResumeMemberRequest{UserId: m.GetUserId()})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "%s is active again.\n", m.GetFullName())
	return err
}

// MemberRemove removes a member.
type MemberRemove struct {
	MemberArg
	Confirmation
}

// Run runs the command.
func (cmd *MemberRemove) Run(ctx context.Context, env *Env) error {
	c, m, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	q := fmt.Sprintf("Remove %s (%s) and delete their tokens for good?", m.GetFullName(), m.GetEmail())
	if err := cmd.confirm(ctx, env, q); err != nil {
		return err
	}
	if _, err := c.Members.RemoveMember(ctx, connect.NewRequest(&adminv1.RemoveMemberRequest{UserId: m.GetUserId()})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "%s is removed.\n", m.GetFullName())
	return err
}
