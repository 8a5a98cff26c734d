package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// SCMOpen shows what a URL points at.
type SCMOpen struct {
	URL    string `arg:"" name:"url" help:"URL of a repository, a branch, a commit, a pull request or an issue, as people paste it."`
	Runner string `placeholder:"RUNNER" help:"Runner to ask, by name or id. Without it: the one on which you have been signed in to the host for the longest time, or else one that is connected to it."`
	Output
	Remote
}

// Help adds to the help of the command.
func (*SCMOpen) Help() string {
	return `Shows what would be opened, through which runner, and why through that one. The
runner asks the host with your own credential.

For example: muster scm open https://github.com/acme/web/tree/main, or
git@github.com:acme/web.git.`
}

// Run runs the command.
func (cmd *SCMOpen) Run(ctx context.Context, env *Env) error {
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
	resp, err := c.Runners.ParseContextURL(ctx, connect.NewRequest(&gitpodv1.ParseContextURLRequest{RunnerId: p.runner.GetRunnerId(), ContextUrl: url}))
	if err != nil {
		return c.howToSignIn(ctx, p, err)
	}
	return cmd.one(env, resp.Msg, func() error {
		return out.Fields(env.Stdout, append(contextFields(resp.Msg),
			"Classes", c.classNames(ctx, resp.Msg.GetRecommendedEnvironmentClasses()),
			"Runner", p.runner.GetName()+", because "+p.why)...)
	})
}

// contextFields are what a URL points at, for people.
func contextFields(m *gitpodv1.ParseContextURLResponse) []string {
	g := m.GetGit()
	fields := []string{
		"Repository", g.GetOwner() + "/" + g.GetRepo(),
		"Host", g.GetHost() + " (" + m.GetScmId() + ")",
		"Branch", g.GetBranch(),
		"Tag", g.GetTag(),
		"Commit", g.GetCommit(),
		"Clone URL", g.GetCloneUrl(),
		"Upstream", g.GetUpstreamRemoteUrl(),
	}
	if p := m.GetPullRequest(); p != nil {
		fields = append(fields, "Pull request", changeLine(p), "Author", p.GetAuthor(), "From", p.GetFromBranch(), "Into", p.GetToBranch(), "Page", p.GetUrl())
	}
	if i := m.GetIssue(); i != nil {
		fields = append(fields, "Issue", strings.TrimSpace("#"+i.GetId()+" "+i.GetTitle()))
	}
	return fields
}

// changeLine is a pull request in a line: "#7 Mend it (open, draft)".
func changeLine(p *gitpodv1.PullRequest) string {
	var states []string
	if p.GetState() != gitpodv1.PullRequest_STATE_UNSPECIFIED {
		states = append(states, strings.ToLower(short("STATE_", p.GetState())))
	}
	if p.GetDraft() {
		states = append(states, "draft")
	}
	line := strings.TrimSpace("#" + p.GetId() + " " + p.GetTitle())
	if len(states) > 0 {
		line += " (" + strings.Join(states, ", ") + ")"
	}
	return line
}

// classNames are the names of environment classes, or their ids where the names
// cannot be found out.
func (c *Client) classNames(ctx context.Context, ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	names := make([]string, len(ids))
	copy(names, ids)
	if classes, err := c.listClasses(ctx, nil); err == nil {
		for _, class := range classes {
			for n, id := range ids {
				if class.GetId() == id {
					names[n] = class.GetDisplayName()
				}
			}
		}
	}
	return strings.Join(names, ", ")
}

// advised is an error with what to do about it.
type advised struct {
	error
	advice string
}

func (e *advised) Unwrap() error { return e.error }

// howToSignIn adds to an error that wants the caller to sign in how that is done.
func (c *Client) howToSignIn(ctx context.Context, p place, err error) error {
	if !hasReason(err, "sign-in-required") {
		return err
	}
	host := p.integration().GetHost()
	if host == "" {
		host = "HOST"
	}
	advice := fmt.Sprintf("Sign in: muster host login %s --runner %s", out.Clean(host), c.runnerArg(ctx, p.runner))
	var wire *connect.Error
	if errors.As(err, &wire) {
		for _, d := range wire.Details() {
			m, derr := d.Value()
			if need, ok := m.(*gitpodv1.ParseContextURLPreconditionFailureDetails); derr == nil && ok && need.GetAuthenticationRequiredUrl() != "" {
				advice += "\nOr open this link, which is for you alone, in a browser:\n" + out.Clean(need.GetAuthenticationRequiredUrl())
			}
		}
	}
	return &advised{err, advice}
}
