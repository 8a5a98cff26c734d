package cli

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// RunnerShareArg names a runner and somebody on the command line.
type RunnerShareArg struct {
	RunnerArg
	With string `required:"" placeholder:"WHO" help:"Name, email address or id of a member, or name or id of a service account. \"user/NAME\" and \"service-account/NAME\" say which."`
	Remote
}

func (a *RunnerShareArg) find(ctx context.Context, env *Env) (*Client, *gitpodv1.Runner, *named, error) {
	c, err := a.connect(env)
	if err != nil {
		return nil, nil, nil, err
	}
	r, err := c.FindRunner(ctx, a.Runner)
	if err != nil {
		return nil, nil, nil, err
	}
	s, err := c.findSubject(ctx, a.With, gitpodv1.Principal_PRINCIPAL_USER, gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT)
	return c, r, s, err
}

// RunnerShare shares a runner with a single one.
type RunnerShare struct {
	RunnerShareArg
	Role string `enum:"admin,user" default:"user" placeholder:"ROLE" help:"user (the default), or admin, who may also configure, share and delete it."`
}

// Run runs the command.
func (cmd *RunnerShare) Run(ctx context.Context, env *Env) error {
	c, r, s, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	if _, err := c.Groups.ShareResourceWithPrincipal(ctx, connect.NewRequest(&gitpodv1.ShareResourceWithPrincipalRequest{
		ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, ResourceId: r.GetRunnerId(), Principal: s.subject().GetPrincipal(), PrincipalId: s.id,
		Role: number[gitpodv1.ResourceRole](gitpodv1.ResourceRole_value, prefixResourceRole, "runner-"+cmd.Role),
	})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "The runner %q is shared with %s as %s.\n", r.GetName(), s.name, cmd.Role)
	return err
}

// RunnerUnshare takes that back.
type RunnerUnshare struct{ RunnerShareArg }

// Run runs the command.
func (cmd *RunnerUnshare) Run(ctx context.Context, env *Env) error {
	c, r, s, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	_, err = c.Groups.UnshareResourceWithPrincipal(ctx, connect.NewRequest(&gitpodv1.UnshareResourceWithPrincipalRequest{
		ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, ResourceId: r.GetRunnerId(), Principal: s.subject().GetPrincipal(), PrincipalId: s.id,
	}))
	if isMissing(err) {
		_, err = fmt.Fprintf(env.Stdout, "The runner %q is not shared with %s already. What %s has through a group is taken with \"muster policy remove\".\n", r.GetName(), s.name, s.name)
		return err
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "The runner %q is not shared with %s any more.\n", r.GetName(), s.name)
	return err
}
