package cli

import (
	"context"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// RunnerCreate registers a runner.
type RunnerCreate struct {
	Name      string `arg:"" help:"Name for people, 3 to 127 characters. It need not be unique."`
	Provider  string `enum:"aws-ec2,linux-host,desktop-mac,managed,gcp,dev-agent" default:"linux-host" placeholder:"PROVIDER" help:"Platform that it runs on: aws-ec2, linux-host (the default), desktop-mac, managed, gcp or dev-agent."`
	ManagerID string `name:"manager-id" placeholder:"ID" help:"Id of the runner manager; for the provider managed only."`
	Region    string `placeholder:"REGION" help:"Region that it runs in. It cannot be changed later."`
	Settings
	Output
	Remote
}

// Help adds to the help of the command.
func (*RunnerCreate) Help() string {
	return `The exchange token in the answer is shown this once. It is good for one join
within 24 hours; "muster runner token" makes another.`
}

// Run runs the command.
func (cmd *RunnerCreate) Run(ctx context.Context, env *Env) error {
	configuration, err := cmd.configuration()
	if err != nil {
		return err
	}
	configuration.Region = cmd.Region
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	resp, err := c.Runners.CreateRunner(ctx, connect.NewRequest(&gitpodv1.CreateRunnerRequest{
		Name:            cmd.Name,
		Provider:        number[gitpodv1.RunnerProvider](gitpodv1.RunnerProvider_value, prefixProvider, cmd.Provider),
		RunnerManagerId: cmd.ManagerID,
		Spec:            &gitpodv1.RunnerSpec{Configuration: configuration},
	}))
	if err != nil {
		return err
	}
	r := resp.Msg.GetRunner()
	return handOver(ctx, env, "The runner", resp.Msg.GetExchangeToken(), func() error {
		return cmd.one(env, resp.Msg, func() error {
			if err := out.Fields(env.Stdout, "Name", r.GetName(), "ID", r.GetRunnerId(), "Exchange token", resp.Msg.GetExchangeToken()); err != nil {
				return err
			}
			return printJoin(env, c, r.GetName(), resp.Msg.GetExchangeToken())
		})
	}, func(ctx context.Context) error { return c.DeleteRunner(ctx, r.GetRunnerId()) })
}

// DeleteRunner deletes a runner that has just been made, of which nobody knows.
func (c *Client) DeleteRunner(ctx context.Context, id string) error {
	_, err := c.Runners.DeleteRunner(ctx, connect.NewRequest(&gitpodv1.DeleteRunnerRequest{RunnerId: id}))
	return err
}

// printJoin prints what to run on the host of a runner.
func printJoin(env *Env, c *Client, name, token string) error {
	_, err := fmt.Fprintf(env.Stdout, "\nThe token is shown this once and works once, within 24 hours. Run on the runner's host:\n\n  %s\n",
		joinCommand(c, name, token))
	return err
}

func joinCommand(c *Client, name, token string) string {
	words := []string{"muster", "join", "--server", quote(c.Server), "--exchange-token", quote(token), "--data-dir", "./" + directoryName(name)}
	if c.CAFile != "" {
		words = append(words, "--ca-file", quote(c.CAFile))
	}
	return strings.Join(words, " ")
}

// directoryName makes a file name of the name of a runner.
func directoryName(name string) string {
	slug := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '-'
		}
	}, name)
	return "muster-" + strings.Trim(slug, "-")
}

// quote makes one word of a shell command.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+=,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// RunnerToken makes a new exchange token.
type RunnerToken struct {
	RunnerArg
	Output
	Remote
}

// Help adds to the help of the command.
func (*RunnerToken) Help() string {
	return `For a host that lost its data directory, or that joined too late. A host that
is connected keeps running; once the new token is redeemed, the newest host wins.`
}

// Run runs the command.
func (cmd *RunnerToken) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	resp, err := c.Runners.CreateRunnerToken(ctx, connect.NewRequest(&gitpodv1.CreateRunnerTokenRequest{RunnerId: r.GetRunnerId()}))
	if err != nil {
		return err
	}
	return handOver(ctx, env, "The token", resp.Msg.GetExchangeToken(), func() error {
		return cmd.one(env, resp.Msg, func() error {
			if err := out.Fields(env.Stdout, "Exchange token", resp.Msg.GetExchangeToken()); err != nil {
				return err
			}
			return printJoin(env, c, r.GetName(), resp.Msg.GetExchangeToken())
		})
	}, func(ctx context.Context) error {
		made, err := tokenMade(resp.Header())
		if err != nil {
			return err
		}
		_, err = c.RunnerTokens.ExpireRunnerToken(ctx, connect.NewRequest(&adminv1.ExpireRunnerTokenRequest{RunnerId: r.GetRunnerId(), TokenId: made}))
		return err
	})
}
