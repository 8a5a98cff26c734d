package cli

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// SCMOrgs lists organizations of a host.
type SCMOrgs struct {
	Host   string `arg:"" help:"Name of the host, such as github.com."`
	Query  string `placeholder:"TEXT" help:"Only those with this text in their name. Not every host can do that."`
	Runner string `placeholder:"RUNNER" help:"Runner to ask, by name or id. Without it: the one on which you have been signed in to the host for the longest time, or else one that is connected to it."`
	Output
	Remote
}

// Help adds to the help of the command.
func (*SCMOrgs) Help() string {
	return `Organizations are what repositories belong to: organizations of GitHub and Gitea,
groups of GitLab, workspaces of Bitbucket, projects of Bitbucket Data Center, and
projects, organizations or collections of Azure DevOps.`
}

// Run runs the command.
func (cmd *SCMOrgs) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	p, err := c.bestPlace(ctx, cmd.Runner, withHost(cmd.Host))
	if err != nil {
		return err
	}
	found, err := pages(func(page *gitpodv1.PaginationRequest) ([]*gitpodv1.ListSCMOrganizationsResponse_SCMOrganization, *gitpodv1.PaginationResponse, error) {
		resp, err := c.Runners.ListSCMOrganizations(ctx, connect.NewRequest(&gitpodv1.ListSCMOrganizationsRequest{
			RunnerId: p.runner.GetRunnerId(), ScmHost: cmd.Host, Query: cmd.Query, Pagination: page,
		}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetOrganizations(), resp.Msg.GetPagination(), nil
	})
	if err != nil {
		return c.howToSignIn(ctx, p, err)
	}
	return many(cmd.Output, env, found, func() error {
		if len(found) == 0 {
			_, err := fmt.Fprintf(env.Stdout, "Your account on %s is in no organization like this.\n", out.Clean(cmd.Host))
			return err
		}
		t := out.NewTable("NAME", "URL")
		for _, o := range found {
			t.Row(o.GetName(), o.GetUrl())
		}
		return t.Write(env.Stdout)
	})
}
