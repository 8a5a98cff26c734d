package cli

import (
	"context"
	"encoding/base64"
	"fmt"

	"connectrpc.com/connect"

	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// RunnerKeys shows and approves the public keys of a runner.
type RunnerKeys struct {
	RunnerArg
	Approve string `placeholder:"FINGERPRINT" help:"Make the waiting key with this fingerprint the one that secrets are sealed to."`
	Output
	Remote
}

// Help adds to the help of the command.
func (*RunnerKeys) Help() string {
	return `Secrets are sealed to a runner's key. A runner that comes with another key is
DEGRADED until an admin approves the key: compare the fingerprint with the one
in the runner's own log first.`
}

// Run runs the command.
func (cmd *RunnerKeys) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	if cmd.Approve != "" {
		if _, err := c.Keys.ApproveRunnerKey(ctx, connect.NewRequest(&adminv1.ApproveRunnerKeyRequest{
			RunnerId: r.GetRunnerId(), Fingerprint: cmd.Approve,
		})); err != nil {
			return err
		}
	}
	resp, err := c.Keys.GetRunnerKeys(ctx, connect.NewRequest(&adminv1.GetRunnerKeysRequest{RunnerId: r.GetRunnerId()}))
	if err != nil {
		return err
	}
	return cmd.one(env, resp.Msg, func() error {
		current, pending := resp.Msg.GetCurrent(), resp.Msg.GetPending()
		if current == nil && pending == nil {
			_, err := fmt.Fprintf(env.Stdout, "Runner %q has no key yet: it makes one when it joins.\n", r.GetName())
			return err
		}
		t := out.NewTable("STATE", "FINGERPRINT", "PUBLIC KEY")
		for _, k := range []struct {
			state string
			key   *adminv1.RunnerKey
		}{{"in use", current}, {"waiting for approval", pending}} {
			if k.key != nil {
				t.Row(k.state, k.key.GetFingerprint(), base64.StdEncoding.EncodeToString(k.key.GetPublicKey()))
			}
		}
		if err := t.Write(env.Stdout); err != nil || pending == nil {
			return err
		}
		_, err := fmt.Fprintf(env.Stdout, "\nApprove the waiting key: muster runner keys %s --approve %s\n", r.GetRunnerId(), pending.GetFingerprint())
		return err
	})
}
