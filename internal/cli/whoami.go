package cli

import (
	"context"

	"github.com/musterhq/muster/internal/cli/out"
)

// Whoami shows who the token belongs to.
type Whoami struct {
	Output
	Remote
}

// Run runs the command.
func (cmd *Whoami) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	me, err := c.me(ctx)
	if err != nil {
		return err
	}
	return cmd.one(env, me, func() error {
		u := c.user(ctx, me)
		return out.Fields(
			env.Stdout,
			"Server", c.Server,
			"Name", u.GetName(),
			"Email", u.GetEmail(),
			"Principal", short(prefixPrincipal, me.GetSubject().GetPrincipal()),
			"ID", me.GetSubject().GetId(),
			"Organization", me.GetOrganizationId(),
		)
	})
}
