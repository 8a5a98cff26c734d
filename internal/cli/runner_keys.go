package cli

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// fingerprintPattern is what the fingerprint of a key looks like.
var fingerprintPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// RunnerKeys shows and approves the public keys of a runner.
type RunnerKeys struct {
	RunnerArg
	Approve string `xor:"do" placeholder:"FINGERPRINT" help:"Make the waiting key with this fingerprint the one that secrets are sealed to."`
	Check   bool   `xor:"do" help:"Ask the connected runner to open every secret that is sealed to it, and show those that it cannot open."`
	Output
	Remote
}

// Help adds to the help of the command.
func (*RunnerKeys) Help() string {
	return `Secrets are sealed to a runner's key. A runner that comes with another key is
DEGRADED until an admin approves the key, unless its old key has signed the new
one ("muster join --rotate-key"): compare the fingerprint with the one in the
runner's own log first. What is sealed to an older key must be set again.`
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
	if cmd.Check {
		return cmd.check(ctx, c, env, r.GetRunnerId())
	}
	if cmd.Approve != "" {
		cmd.Approve = strings.ToLower(strings.TrimSpace(cmd.Approve))
		if !fingerprintPattern.MatchString(cmd.Approve) {
			return usagef("a fingerprint has 32 hexadecimal digits; \"muster runner keys %s\" shows that of the waiting key", quote(cmd.Runner))
		}
		if _, err := c.Keys.ApproveRunnerKey(ctx, connect.NewRequest(&adminv1.ApproveRunnerKeyRequest{
			RunnerId: r.GetRunnerId(), Fingerprint: cmd.Approve,
		})); err != nil {
			return err
		}
		fmt.Fprintf(env.Stderr, "The key is approved. If the old host was lost, its access token still works: end it with \"muster runner tokens expire %s TOKEN-ID\"; \"muster runner tokens list %s\" shows the tokens.\n", quote(cmd.Runner), quote(cmd.Runner))
	}
	resp, err := c.Keys.GetRunnerKeys(ctx, connect.NewRequest(&adminv1.GetRunnerKeysRequest{RunnerId: r.GetRunnerId()}))
	if err != nil {
		return err
	}
	return cmd.one(env, resp.Msg, func() error {
		if resp.Msg.GetCurrent() == nil && resp.Msg.GetPending() == nil {
			_, err := fmt.Fprintf(env.Stdout, "Runner %q has no key yet: it makes one when it joins.\n", r.GetName())
			return err
		}
		return c.printKeys(ctx, r.GetRunnerId(), resp.Msg)
	})
}

// printKeys prints the keys of a runner, their log, and what must be set again.
func (c *Client) printKeys(ctx context.Context, runner string, keys *adminv1.GetRunnerKeysResponse) error {
	env := c.env
	t := out.NewTable("STATE", "FINGERPRINT", "PUBLIC KEY")
	for _, k := range []struct {
		state string
		key   *adminv1.RunnerKey
	}{{"in use", keys.GetCurrent()}, {"waiting for approval", keys.GetPending()}} {
		if k.key != nil {
			t.Row(k.state, k.key.GetFingerprint(), base64.StdEncoding.EncodeToString(k.key.GetPublicKey()))
		}
	}
	if err := t.Write(env.Stdout); err != nil {
		return err
	}
	if p := keys.GetPending(); p != nil {
		if _, err := fmt.Fprintf(env.Stdout, "\nApprove the waiting key: muster runner keys %s --approve %s\n", runner, p.GetFingerprint()); err != nil {
			return err
		}
	}
	if len(keys.GetLog()) > 0 {
		log := out.NewTable("AGE", "WHAT", "FINGERPRINT", "BY")
		actors := make([]*gitpodv1.Subject, len(keys.GetLog()))
		for i, e := range keys.GetLog() {
			actors[i] = e.GetActor()
		}
		names := c.namesOf(ctx, actors...)
		for _, e := range keys.GetLog() {
			by := names.subjectName(e.GetActor())
			if e.GetActor().GetId() == runner {
				by = "the runner"
			}
			log.Row(out.Age(env.Now(), e.GetCreatedAt()), short(prefixKeyOperation, e.GetOperation()), e.GetKey().GetFingerprint(), by)
		}
		if _, err := fmt.Fprintln(env.Stdout); err != nil {
			return err
		}
		if err := log.Write(env.Stdout); err != nil {
			return err
		}
	}
	return printSecrets(env, keys.GetStale(), "\nSealed to an older key, and to be set again:\n")
}

// printSecrets prints secrets under a title; nothing when there are none.
func printSecrets(env *Env, secrets []*adminv1.RunnerSecret, title string) error {
	if len(secrets) == 0 {
		return nil
	}
	if _, err := fmt.Fprint(env.Stdout, title); err != nil {
		return err
	}
	t := out.NewTable("NAME", "WHAT IT IS")
	for _, s := range secrets {
		t.Row(s.GetName(), s.GetDescription())
	}
	return t.Write(env.Stdout)
}

func (cmd *RunnerKeys) check(ctx context.Context, c *Client, env *Env, runner string) error {
	resp, err := c.Keys.CheckRunnerSecrets(ctx, connect.NewRequest(&adminv1.CheckRunnerSecretsRequest{RunnerId: runner}))
	if err != nil {
		return err
	}
	return cmd.one(env, resp.Msg, func() error {
		unreadable := resp.Msg.GetUnreadable()
		switch n := resp.Msg.GetChecked(); {
		case n == 0:
			_, err = fmt.Fprintln(env.Stdout, "Nothing is sealed to this runner.")
		case len(unreadable) == 0:
			_, err = fmt.Fprintf(env.Stdout, "The runner can open all that is sealed to it: %s.\n", counted(int(n), "secret", "secrets"))
		default:
			_, err = fmt.Fprintf(env.Stdout, "The runner cannot open %d of %s sealed to it. Set again:\n", len(unreadable), counted(int(n), "secret", "secrets"))
		}
		if err != nil {
			return err
		}
		return printSecrets(env, unreadable, "")
	})
}
