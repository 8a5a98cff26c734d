package cli

import (
	"cmp"
	"context"
	"fmt"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

const prefixRunnerRole = "RUNNER_ROLE_"

// PolicyCommands are the verbs of the noun policy.
type PolicyCommands struct {
	List   PolicyList   `cmd:"" help:"List the groups that may use or administer a runner."`
	Set    PolicySet    `cmd:"" help:"Let a group use or administer a runner."`
	Remove PolicyRemove `cmd:"" help:"Take a runner away from a group."`
}

// PolicyList lists policies of a runner.
type PolicyList struct {
	RunnerArg
	Output
	Remote
}

// Run runs the command.
func (cmd *PolicyList) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	policies, err := c.listPolicies(ctx, r.GetRunnerId())
	if err != nil {
		return err
	}
	return many(cmd.Output, env, policies, func() error {
		if len(policies) == 0 {
			_, err := fmt.Fprintf(env.Stdout, "No group has a role on the runner. Let one use it: muster policy set %s GROUP\n", quote(cmd.Runner))
			return err
		}
		names, err := c.resourceNames(ctx)
		if err != nil {
			return err
		}
		t := out.NewTable("GROUP", "ROLE", "GROUP ID")
		for _, p := range policies {
			t.Row(cmp.Or(names[p.GetGroupId()], p.GetGroupId()), words(prefixRunnerRole, p.GetRole()), p.GetGroupId())
		}
		return t.Write(env.Stdout)
	})
}

func (c *Client) listPolicies(ctx context.Context, runner string) ([]*gitpodv1.RunnerPolicy, error) {
	return pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.RunnerPolicy, *gitpodv1.PaginationResponse, error) {
		resp, err := c.Runners.ListRunnerPolicies(ctx, connect.NewRequest(&gitpodv1.ListRunnerPoliciesRequest{Pagination: p, RunnerId: runner}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetPolicies(), resp.Msg.GetPagination(), nil
	})
}

// shared is the one that a group shares something with, as people type it.
func (c *Client) shared(ctx context.Context, g *gitpodv1.Group) string {
	resp, err := c.Groups.ListMemberships(ctx, connect.NewRequest(&gitpodv1.ListMembershipsRequest{GroupId: g.GetId()}))
	if err != nil || len(resp.Msg.GetMembers()) != 1 {
		return "WHO"
	}
	s := resp.Msg.GetMembers()[0].GetSubject()
	return typeName(typeOfPrincipal[s.GetPrincipal()]) + "/" + s.GetId()
}

// PolicyArg names a runner and a group on the command line.
type PolicyArg struct {
	RunnerArg
	GroupArg
}

func (a *PolicyArg) find(ctx context.Context, c *Client) (runner *gitpodv1.Runner, group *gitpodv1.Group, err error) {
	if runner, err = c.FindRunner(ctx, a.Runner); err != nil {
		return nil, nil, err
	}
	group, err = c.findGroup(ctx, a.Group)
	return runner, group, err
}

// PolicySet makes a group a user or an admin of a runner.
type PolicySet struct {
	PolicyArg
	Role string `enum:"admin,user" default:"user" placeholder:"ROLE" help:"user (the default), or admin, who may also configure, share and delete it."`
	Output
	Remote
}

// Run runs the command.
func (cmd *PolicySet) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, g, err := cmd.find(ctx, c)
	if err != nil {
		return err
	}
	role := number[gitpodv1.RunnerRole](gitpodv1.RunnerRole_value, prefixRunnerRole, cmd.Role)
	var policy *gitpodv1.RunnerPolicy
	changed, err := c.Runners.UpdateRunnerPolicy(ctx, connect.NewRequest(&gitpodv1.UpdateRunnerPolicyRequest{RunnerId: r.GetRunnerId(), GroupId: g.GetId(), Role: role}))
	switch {
	case err == nil:
		policy = changed.Msg.GetPolicy()
	case isMissing(err):
		made, err := c.Runners.CreateRunnerPolicy(ctx, connect.NewRequest(&gitpodv1.CreateRunnerPolicyRequest{RunnerId: r.GetRunnerId(), GroupId: g.GetId(), Role: role}))
		if err != nil {
			return err
		}
		policy = made.Msg.GetPolicy()
	default:
		return err
	}
	return cmd.one(env, policy, func() error {
		what := "use"
		if role == gitpodv1.RunnerRole_RUNNER_ROLE_ADMIN {
			what = "administer"
		}
		_, err := fmt.Fprintf(env.Stdout, "The group %q may %s the runner %q.\n", g.GetName(), what, r.GetName())
		return err
	})
}

// PolicyRemove takes a runner away from a group.
type PolicyRemove struct {
	PolicyArg
	Confirmation
	Remote
}

// Run runs the command.
func (cmd *PolicyRemove) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, g, err := cmd.find(ctx, c)
	if err != nil {
		return err
	}
	if g.GetDirectShare() {
		return usagef("the group %q stands for a share with a single one; take it back with \"muster runner unshare %s --with %s\"", g.GetName(), quote(r.GetName()), quote(c.shared(ctx, g)))
	}
	if err := cmd.confirm(ctx, env, fmt.Sprintf("Take the runner %q away from the group %q?", r.GetName(), g.GetName())); err != nil {
		return err
	}
	if _, err := c.Runners.DeleteRunnerPolicy(ctx, connect.NewRequest(&gitpodv1.DeleteRunnerPolicyRequest{RunnerId: r.GetRunnerId(), GroupId: g.GetId()})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "The group %q has the runner %q no more.\n", g.GetName(), r.GetName())
	return err
}
