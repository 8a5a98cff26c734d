package cli

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// RunnerTokens are the verbs for the tokens that runners hold.
type RunnerTokens struct {
	List   RunnerTokensList   `cmd:"" help:"List the access tokens of a runner, and its exchange tokens that were not used."`
	Expire RunnerTokensExpire `cmd:"" help:"End a token, now or later. A link that was opened with it is cut."`
	Rotate RunnerTokensRotate `cmd:"" help:"Make a connected runner take a new access token. Its older ones end."`
}

// listRunnerTokens returns the tokens of a runner, newest first.
func (c *Client) listRunnerTokens(ctx context.Context, r *gitpodv1.Runner) ([]*adminv1.RunnerToken, error) {
	resp, err := c.RunnerTokens.ListRunnerTokens(ctx, connect.NewRequest(&adminv1.ListRunnerTokensRequest{RunnerId: r.GetRunnerId()}))
	if err != nil {
		return nil, err
	}
	return resp.Msg.GetTokens(), nil
}

// RunnerTokensList lists tokens.
type RunnerTokensList struct {
	RunnerArg
	Output
	Remote
}

// Run runs the command.
func (cmd *RunnerTokensList) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	tokens, err := c.listRunnerTokens(ctx, r)
	if err != nil {
		return err
	}
	return many(cmd.Output, env, tokens, func() error {
		if len(tokens) == 0 {
			_, err := fmt.Fprintf(env.Stdout, "Runner %q has no tokens, so it cannot connect. Make an exchange token: muster runner token %s\n", r.GetName(), r.GetRunnerId())
			return err
		}
		t := out.NewTable("ID", "KIND", "AGE", "EXPIRES", "LAST USED", "CREATOR")
		creators := make([]*gitpodv1.Subject, len(tokens))
		for i, k := range tokens {
			creators[i] = k.GetCreator()
		}
		names := c.namesOf(ctx, creators...)
		for _, k := range tokens {
			expires, used := "never", "never"
			if at := k.GetExpiresAt(); at != nil {
				expires = "in " + out.Span(at.AsTime().Sub(env.Now()))
			}
			if at := k.GetLastUsedAt(); at != nil {
				used = out.Age(env.Now(), at) + " ago"
			}
			t.Row(k.GetId(), short(prefixTokenKind, k.GetKind()), out.Age(env.Now(), k.GetCreatedAt()), expires, used,
				names.subjectName(k.GetCreator()))
		}
		return t.Write(env.Stdout)
	})
}

// RunnerTokensExpire ends a token.
type RunnerTokensExpire struct {
	RunnerArg
	TokenID string `arg:"" name:"token-id" help:"Id of the token; \"muster runner tokens list\" shows it."`
	In      days   `placeholder:"TIME" help:"How long it still works, such as 12h or 7d. Without it the token ends now."`
	Confirmation
	Remote
}

// Help adds to the help of the command.
func (*RunnerTokensExpire) Help() string {
	return `A runner whose access token has ended stops. Join it again with a token from
"muster runner token". To replace the token of a runner that goes on, use
"muster runner tokens rotate".`
}

// Run runs the command.
func (cmd *RunnerTokensExpire) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	when := "now"
	if cmd.In > 0 {
		when = "in " + out.Span(time.Duration(cmd.In))
	}
	q := fmt.Sprintf("End the token %s of runner %q %s? A runner that has no other stops then.", cmd.TokenID, r.GetName(), when)
	if err := cmd.confirm(ctx, env, q); err != nil {
		return err
	}
	if _, err := c.RunnerTokens.ExpireRunnerToken(ctx, connect.NewRequest(&adminv1.ExpireRunnerTokenRequest{
		RunnerId: r.GetRunnerId(), TokenId: cmd.TokenID, ValidFor: durationpb.New(time.Duration(cmd.In)),
	})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "The token %s ends %s.\n", cmd.TokenID, when)
	return err
}

// RunnerTokensRotate replaces the access token of a connected runner.
type RunnerTokensRotate struct {
	RunnerArg
	ValidFor lifetime `placeholder:"TIME" help:"How long the new token works, such as 90d. Without it, until it is revoked."`
	Confirmation
	Remote
}

// Help adds to the help of the command.
func (*RunnerTokensRotate) Help() string {
	return `The runner stores the new token and connects with it; then all its older access
tokens end, also those that other hosts were given. Until then the old token
works, so nothing is lost when the runner or the network fails on the way.`
}

// Run runs the command.
func (cmd *RunnerTokensRotate) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	if err := cmd.confirm(ctx, env, fmt.Sprintf("Replace the access token of runner %q, and end all its older ones?", r.GetName())); err != nil {
		return err
	}
	if _, err := c.RunnerTokens.RotateRunnerToken(ctx, connect.NewRequest(&adminv1.RotateRunnerTokenRequest{
		RunnerId: r.GetRunnerId(), ValidFor: durationpb.New(time.Duration(cmd.ValidFor)),
	})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "Runner %q has stored a new access token. The older ones end when it connects with it, which it does now.\n", r.GetName())
	return err
}
