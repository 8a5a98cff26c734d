package cli

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// HostTokenCreate stores a credential.
type HostTokenCreate struct {
	Runner       string       `required:"" placeholder:"RUNNER" help:"Runner that is to use it, by name or id."`
	Host         string       `required:"" placeholder:"HOST" help:"Name of the host, such as github.com."`
	Secret       SecretSource `embed:"" prefix:"secret-"`
	Source       string       `enum:"pat,oauth" default:"pat" placeholder:"SOURCE" help:"How it was obtained: pat (a personal access token, the default) or oauth."`
	RefreshToken SecretSource `embed:"" prefix:"refresh-token-"`
	Scope        []string     `placeholder:"SCOPE" help:"Permission that it carries on the host. May be repeated."`
	ValidFor     lifetime     `placeholder:"TIME" help:"How long the host accepts it, such as 90d; without the flag that is not known."`
	Integration  string       `placeholder:"ID" help:"Integration of the runner that it belongs to, by id."`
	Output
	Remote
}

// Help adds to the help of the command.
func (*HostTokenCreate) Help() string {
	return `The credential is yours: nobody can store one for somebody else. It is sealed to
the runner's key, so that the runner alone can read it. There is one for each
runner and host.

For example: pass show github | muster host-token create --runner lab --host github.com --secret-file -`
}

// Run runs the command.
func (cmd *HostTokenCreate) Run(ctx context.Context, env *Env) error {
	secret, refresh, err := readCredential(ctx, env, cmd.Secret, cmd.RefreshToken.File == "-", func() (*string, error) {
		return cmd.RefreshToken.take(env, "--refresh-token")
	}, true)
	if err != nil {
		return err
	}
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	req := &gitpodv1.CreateHostAuthenticationTokenRequest{
		RunnerId: r.GetRunnerId(), Host: cmd.Host, Token: *secret, IntegrationId: cmd.Integration, Scopes: cmd.Scope,
		Source: number[gitpodv1.HostAuthenticationTokenSource](gitpodv1.HostAuthenticationTokenSource_value, prefixSource, cmd.Source),
	}
	if refresh != nil {
		req.RefreshToken = *refresh
	}
	if cmd.ValidFor > 0 {
		req.ExpiresAt = timestamppb.New(env.Now().Add(time.Duration(cmd.ValidFor)))
	}
	c.warnOfPendingKey(ctx, r.GetRunnerId())
	resp, err := c.Configuration.CreateHostAuthenticationToken(ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	return cmd.one(env, resp.Msg.GetToken(), func() error {
		_, err := fmt.Fprintf(env.Stdout, "Runner %q has your credential for %s.\nID: %s\n", r.GetName(), cmd.Host, resp.Msg.GetToken().GetId())
		return err
	})
}

// readCredential reads the secrets of a credential; what no flag names is nil,
// unless the secret is required.
func readCredential(ctx context.Context, env *Env, from SecretSource, refreshFromInput bool, takeRefresh func() (*string, error), required bool) (secret, refresh *string, err error) {
	if from.File == "-" && refreshFromInput {
		return nil, nil, usagef("only one secret can come from the standard input")
	}
	if from.given() || required {
		s, err := from.read(ctx, env, "--secret", "Credential: ")
		if err != nil {
			return nil, nil, err
		}
		secret = &s
	}
	refresh, err = takeRefresh()
	return secret, refresh, err
}

// HostTokenUpdate changes a credential. Flags that are not given change nothing.
type HostTokenUpdate struct {
	HostTokenArg
	Secret       SecretSource `embed:"" prefix:"secret-"`
	RefreshToken SecretFlags  `embed:"" prefix:"refresh-token-"`
	Scope        []string     `placeholder:"SCOPE" help:"Permission that it carries on the host. May be repeated; replaces all."`
	ValidFor     lifetime     `xor:"expiry" placeholder:"TIME" help:"How long the host accepts it from now on, such as 90d."`
	NoExpiry     bool         `xor:"expiry" help:"When the host stops accepting it is not known any more, or never."`
	Output
}

// Help adds to the help of the command.
func (*HostTokenUpdate) Help() string {
	return `"--secret-file -" asks for the credential on a terminal.`
}

// Run runs the command.
func (cmd *HostTokenUpdate) Run(ctx context.Context, env *Env) error {
	req := &gitpodv1.UpdateHostAuthenticationTokenRequest{Scopes: cmd.Scope}
	var err error
	if req.Token, req.RefreshToken, err = readCredential(ctx, env, cmd.Secret, cmd.RefreshToken.File == "-", func() (*string, error) {
		return cmd.RefreshToken.read(env, "--refresh-token")
	}, false); err != nil {
		return err
	}
	switch {
	case cmd.NoExpiry:
		req.ExpiresAt = &timestamppb.Timestamp{}
	case cmd.ValidFor > 0:
		req.ExpiresAt = timestamppb.New(env.Now().Add(time.Duration(cmd.ValidFor)))
	}
	if proto.Size(req) == 0 {
		return usagef("nothing to change: give at least one flag")
	}
	c, t, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	req.Id = t.GetId()
	if req.Token != nil || req.RefreshToken != nil {
		c.warnOfPendingKey(ctx, t.GetRunnerId())
	}
	if _, err := c.Configuration.UpdateHostAuthenticationToken(ctx, connect.NewRequest(req)); err != nil {
		return err
	}
	if t, err = c.getHostToken(ctx, t.GetId()); err != nil {
		return err
	}
	return cmd.one(env, t, func() error {
		_, err := fmt.Fprintf(env.Stdout, "The credential for %s is updated.\n", t.GetHost())
		return err
	})
}
