package cli

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// SCMCheck tells whether a repository can be read.
type SCMCheck struct {
	URL    string `arg:"" name:"url" help:"URL of the repository, as people paste it."`
	Runner string `placeholder:"RUNNER" help:"Runner to ask, by name or id. Without it: the one on which you have been signed in to the host for the longest time, or else one that is connected to it."`
	Output
	Remote
}

// Help adds to the help of the command.
func (*SCMCheck) Help() string {
	return `The runner tries it with your own credential. The exit status is 1 when you cannot
read the repository.`
}

// Run runs the command.
func (cmd *SCMCheck) Run(ctx context.Context, env *Env) error {
	url, on, err := readURL(cmd.URL)
	if err != nil {
		return err
	}
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	p, err := c.bestPlace(ctx, cmd.Runner, on)
	if err != nil {
		return err
	}
	resp, err := c.Runners.CheckRepositoryAccess(ctx, connect.NewRequest(&gitpodv1.CheckRepositoryAccessRequest{RunnerId: p.runner.GetRunnerId(), RepositoryUrl: url}))
	if err != nil {
		return c.howToSignIn(ctx, p, err)
	}
	yes, runner := resp.Msg.GetHasAccess(), out.Clean(p.runner.GetName())
	err = cmd.one(env, resp.Msg, func() error {
		if !yes {
			return nil
		}
		_, err := fmt.Fprintf(env.Stdout, "You can read it through runner %q.\n", runner)
		return err
	})
	if err == nil && !yes {
		err = fmt.Errorf("you cannot read it through runner %q: %s", runner, out.Clean(resp.Msg.GetErrorMessage()))
	}
	return err
}
