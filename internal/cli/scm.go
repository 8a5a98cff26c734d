package cli

import (
	"context"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/cli/out"
)

// SCMCommands are the verbs of the noun scm.
type SCMCommands struct {
	List   SCMList   `cmd:"" help:"List the integrations with source code hosts."`
	Get    SCMGet    `cmd:"" help:"Show an integration."`
	Create SCMCreate `cmd:"" help:"Connect a runner to a source code host."`
	Update SCMUpdate `cmd:"" help:"Change how people sign in to a host, or replace the OAuth secret."`
	Delete SCMDelete `cmd:"" help:"Delete an integration, with the credentials for its host."`
	Open   SCMOpen   `cmd:"" help:"Show what a URL points at, and through which runner."`
	Search SCMSearch `cmd:"" help:"Look for repositories that you can read."`
	Orgs   SCMOrgs   `cmd:"" help:"List your organizations on a host."`
	Check  SCMCheck  `cmd:"" help:"Tell whether you can read a repository."`
	Probe  SCMProbe  `cmd:"" help:"Try an integration: whether the host answers and knows the OAuth application."`
}

// SCMArg names an integration on the command line.
type SCMArg struct {
	Integration string `arg:"" name:"integration" help:"Host or id of the integration."`
	Runner      string `placeholder:"RUNNER" help:"Runner that it belongs to, by name or id, when several have one with the host."`
	Remote
}

// find connects and returns the integration that was named.
func (a *SCMArg) find(ctx context.Context, env *Env) (*Client, *gitpodv1.SCMIntegration, error) {
	c, err := a.connect(env)
	if err != nil {
		return nil, nil, err
	}
	if uuidPattern.MatchString(a.Integration) {
		i, err := c.getSCM(ctx, a.Integration)
		return c, i, err
	}
	var runners []string
	if a.Runner != "" {
		r, err := c.FindRunner(ctx, a.Runner)
		if err != nil {
			return nil, nil, err
		}
		runners = []string{r.GetRunnerId()}
	}
	all, err := c.listSCM(ctx, runners)
	if err != nil {
		return nil, nil, err
	}
	names := c.runnerNames(ctx)
	i, err := pick("integration", a.Integration, all,
		func(i *gitpodv1.SCMIntegration) bool { return strings.EqualFold(i.GetHost(), a.Integration) },
		func(i *gitpodv1.SCMIntegration) string {
			return fmt.Sprintf("%s  on %s", i.GetId(), names(i.GetRunnerId()))
		})
	return c, i, err
}

func (c *Client) getSCM(ctx context.Context, id string) (*gitpodv1.SCMIntegration, error) {
	resp, err := c.Configuration.GetSCMIntegration(ctx, connect.NewRequest(&gitpodv1.GetSCMIntegrationRequest{Id: id}))
	if err != nil {
		return nil, err
	}
	return resp.Msg.GetIntegration(), nil
}

// listSCM returns the integrations of these runners, or of all.
func (c *Client) listSCM(ctx context.Context, runners []string) ([]*gitpodv1.SCMIntegration, error) {
	filter := &gitpodv1.ListSCMIntegrationsRequest_Filter{RunnerIds: runners}
	return pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.SCMIntegration, *gitpodv1.PaginationResponse, error) {
		resp, err := c.Configuration.ListSCMIntegrations(ctx, connect.NewRequest(&gitpodv1.ListSCMIntegrationsRequest{Pagination: p, Filter: filter}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetIntegrations(), resp.Msg.GetPagination(), nil
	})
}

// needsSecretAgain is the state of what is sealed to an older key of its runner.
const needsSecretAgain = "NEEDS SECRET AGAIN"

// staleSecrets returns the state of what belongs to a runner: empty, or that its
// runner cannot open a secret of it any more. Who may not see the runner's keys
// is not told.
func (c *Client) staleSecrets(ctx context.Context) func(runner, object string) string {
	known := map[string][]*adminv1.RunnerSecret{}
	return func(runner, object string) string {
		stale, ok := known[runner]
		if !ok {
			if resp, err := c.Keys.GetRunnerKeys(ctx, connect.NewRequest(&adminv1.GetRunnerKeysRequest{RunnerId: runner})); err == nil {
				stale = resp.Msg.GetStale()
			}
			known[runner] = stale
		}
		for _, s := range stale {
			if s.GetResourceId() == object {
				return needsSecretAgain
			}
		}
		return ""
	}
}

// warnOfPendingKey warns that a secret is about to be sealed to a key that the
// runner may not have any more. Who may not see the runner's keys is not told.
func (c *Client) warnOfPendingKey(ctx context.Context, runner string) {
	resp, err := c.Keys.GetRunnerKeys(ctx, connect.NewRequest(&adminv1.GetRunnerKeysRequest{RunnerId: runner}))
	if err != nil || resp.Msg.GetPending() == nil {
		return
	}
	fmt.Fprintf(c.env.Stderr, "Warning: the runner has come with a new key that waits for approval, and the secret is sealed to the old one. If the runner lost that, approve the new key (muster runner keys %s) and set the secret again.\n", runner)
}

// signIn is how people can sign in to a host.
func signIn(i *gitpodv1.SCMIntegration) string {
	var ways []string
	if i.GetOauth() != nil {
		ways = append(ways, "OAuth")
	}
	if i.GetPat() {
		ways = append(ways, "PAT")
	}
	return strings.Join(ways, ", ")
}

// SCMList lists integrations.
type SCMList struct {
	Runner []string `placeholder:"RUNNER" help:"Only those of this runner, by name or id. May be repeated."`
	Output
	Remote
}

// Run runs the command.
func (cmd *SCMList) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	runners, err := c.runnerIDs(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	integrations, err := c.listSCM(ctx, runners)
	if err != nil {
		return err
	}
	return many(cmd.Output, env, integrations, func() error {
		if len(integrations) == 0 {
			if len(runners) > 0 {
				_, err := fmt.Fprintln(env.Stdout, "No integration with a source code host is on it. See all: muster scm list")
				return err
			}
			return c.empty(ctx, "integrations with source code hosts", access.ConfigurationWrite,
				"muster scm create --runner RUNNER --kind github --host github.com --pat")
		}
		names, stale := c.runnerNames(ctx), c.staleSecrets(ctx)
		t := out.NewTable("HOST", "ID", "KIND", "RUNNER", "SIGN-IN", "STATE")
		for _, i := range integrations {
			state := ""
			if i.GetOauth() != nil {
				state = stale(i.GetRunnerId(), i.GetId())
			}
			t.Row(i.GetHost(), i.GetId(), i.GetScmId(), names(i.GetRunnerId()), signIn(i), state)
		}
		return t.Write(env.Stdout)
	})
}

// SCMGet shows an integration.
type SCMGet struct {
	SCMArg
	Output
}

// Run runs the command.
func (cmd *SCMGet) Run(ctx context.Context, env *Env) error {
	c, i, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	return cmd.one(env, i, func() error {
		fields := []string{
			"Host", i.GetHost(),
			"ID", i.GetId(),
			"Kind", i.GetScmId(),
			"Runner", c.runnerNames(ctx)(i.GetRunnerId()),
			"Sign-in", signIn(i),
			"Virtual directory", i.GetVirtualDirectory(),
		}
		if o := i.GetOauth(); o != nil {
			secret := "set"
			if state := c.staleSecrets(ctx)(i.GetRunnerId(), i.GetId()); state != "" {
				secret = state + ": muster scm update " + i.GetId() + " --oauth-client-secret-file FILE"
			}
			fields = append(fields, "OAuth client id", o.GetClientId(), "OAuth secret", secret, "Issuer URL", o.GetIssuerUrl())
		}
		return out.Fields(env.Stdout, fields...)
	})
}

// SCMDelete deletes an integration.
type SCMDelete struct {
	SCMArg
	Confirmation
}

// Run runs the command.
func (cmd *SCMDelete) Run(ctx context.Context, env *Env) error {
	c, i, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	runner := c.runnerNames(ctx)(i.GetRunnerId())
	q := fmt.Sprintf("Delete the integration of runner %q with %s, and everybody's credentials for that host on it?", runner, i.GetHost())
	if err := cmd.confirm(ctx, env, q); err != nil {
		return err
	}
	if _, err := c.Configuration.DeleteSCMIntegration(ctx, connect.NewRequest(&gitpodv1.DeleteSCMIntegrationRequest{Id: i.GetId()})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "The integration of runner %q with %s is deleted.\n", runner, i.GetHost())
	return err
}
