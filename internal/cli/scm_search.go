package cli

import (
	"context"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// SCMSearch looks for repositories.
type SCMSearch struct {
	Text   string `arg:"" help:"What to look for: part of a name."`
	Runner string `placeholder:"RUNNER" help:"Runner to ask, by name or id. Without it: the one on which you have been signed in for the longest time, or else one that is connected to a host."`
	Host   string `placeholder:"HOST" help:"Only on this host. Without it: on all to which you are signed in on the runner."`
	Native bool   `help:"The text is in the host's own query language."`
	Limit  int32  `default:"25" placeholder:"N" help:"How many to show, 1 to 100; 25 without the flag."`
	Page   int32  `default:"1" placeholder:"N" help:"Which page to show; the first without the flag."`
	Output
	Remote
}

// Run runs the command.
func (cmd *SCMSearch) Run(ctx context.Context, env *Env) error {
	if cmd.Limit < 1 || cmd.Limit > pageSize || cmd.Page < 1 {
		return usagef("--limit is from 1 to %d, and --page at least 1", pageSize)
	}
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	on := anyHost()
	if cmd.Host != "" {
		on = withHost(cmd.Host)
	}
	p, err := c.bestPlace(ctx, cmd.Runner, on)
	if err != nil {
		return err
	}
	req := &gitpodv1.SearchRepositoriesRequest{
		RunnerId: p.runner.GetRunnerId(), SearchString: cmd.Text, ScmHost: cmd.Host, SearchMode: gitpodv1.SearchMode_SEARCH_MODE_KEYWORD,
		Pagination: &gitpodv1.PaginationRequest{PageSize: cmd.Limit},
	}
	if cmd.Native {
		req.SearchMode = gitpodv1.SearchMode_SEARCH_MODE_NATIVE
	}
	if cmd.Page > 1 {
		req.Pagination.Token = fmt.Sprintf("%d/-1/-1", cmd.Page)
	}
	resp, err := c.Runners.SearchRepositories(ctx, connect.NewRequest(req))
	if err != nil {
		return c.howToSignIn(ctx, p, err)
	}
	found := resp.Msg.GetRepositories()
	if next, _, ok := strings.Cut(resp.Msg.GetPagination().GetNextToken(), "/"); ok {
		fmt.Fprintf(env.Stderr, "There is more: --page %s\n", out.Clean(next))
	}
	return many(cmd.Output, env, found, func() error {
		if len(found) == 0 {
			_, err := fmt.Fprintf(env.Stdout, "Runner %q finds no repository like this that you can read.\n", out.Clean(p.runner.GetName()))
			return err
		}
		t := out.NewTable("NAME", "URL")
		for _, r := range found {
			t.Row(r.GetName(), r.GetUrl())
		}
		return t.Write(env.Stdout)
	})
}
