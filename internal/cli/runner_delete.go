package cli

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// RunnerDelete deletes a runner.
type RunnerDelete struct {
	RunnerArg
	Force bool `help:"Do not wait for the runner to finish its work."`
	Confirmation
	Remote
}

// Help adds to the help of the command.
func (*RunnerDelete) Help() string {
	return `A connected runner is given up to a minute to finish. "muster runner wait
NAME --for deleted" waits until it is gone.`
}

// Run runs the command.
func (cmd *RunnerDelete) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	q := fmt.Sprintf("Delete runner %q (%s, %s)?", r.GetName(), r.GetRunnerId(), phaseName(r.GetStatus().GetPhase()))
	if err := cmd.confirm(ctx, env, q); err != nil {
		return err
	}
	if _, err := c.Runners.DeleteRunner(ctx, connect.NewRequest(&gitpodv1.DeleteRunnerRequest{RunnerId: r.GetRunnerId(), Force: cmd.Force})); err != nil {
		return err
	}
	switch _, err := c.GetRunner(ctx, r.GetRunnerId()); {
	case isMissing(err):
		_, err = fmt.Fprintf(env.Stdout, "Runner %q is deleted.\n", r.GetName())
		return err
	case err != nil:
		return err
	default:
		_, err = fmt.Fprintf(env.Stdout, "Runner %q is finishing its work and will be gone within a minute. Wait for it: muster runner wait %s --for deleted\n",
			r.GetName(), r.GetRunnerId())
		return err
	}
}
