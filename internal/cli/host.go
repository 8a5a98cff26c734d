package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
	"github.com/musterhq/muster/internal/scmurl"
)

// HostCommands are the verbs of the noun host.
type HostCommands struct {
	Login  HostLogin  `cmd:"" help:"Sign in to a source code host, so that a runner can act for you there."`
	Logout HostLogout `cmd:"" help:"Sign out: delete your credential for a host."`
}

// HostLogin signs the caller in.
type HostLogin struct {
	Host       string `arg:"" help:"Name of the host, such as github.com."`
	Runner     string `placeholder:"RUNNER" help:"Runner that is to act for you, by name or id, when several are connected to the host."`
	TokenStdin bool   `help:"Sign in with a personal access token of the host from the standard input, also in the place of another credential. A terminal does not show what is typed."`
	Remote
}

// Help adds to the help of the command.
func (*HostLogin) Help() string {
	return `Where the host allows OAuth, a link is printed, and the command waits until you
have signed in with a browser, for ten minutes. Otherwise it says how to make a
personal access token, and asks for it. The credential is sealed to the runner's
key, so that the runner alone can read it.

"muster host-token list --mine" shows where you are signed in.`
}

// Run runs the command.
func (cmd *HostLogin) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	p, err := c.onlyPlace(ctx, cmd.Runner, cmd.Host)
	if err != nil {
		return err
	}
	l := &login{c, env, p.runner, cmd.Host, p.integration().GetId()}
	if host := p.integration().GetHost(); host != "" {
		l.host = host
	}
	now, err := l.check(ctx)
	switch {
	case unsure(err) && cmd.TokenStdin:
		return l.withToken(ctx, nil) // which takes the place of the one that cannot be tried
	case unsure(err):
		return &advised{err, fmt.Sprintf("A credential of yours for %s is stored, and whether it is accepted could not be found out. Another one takes its place with --token-stdin, or after: muster host logout %s --runner %s",
			l.host, l.host, c.runnerArg(ctx, p.runner))}
	case err != nil:
		return err
	case cmd.TokenStdin:
		return l.withToken(ctx, now)
	case now.GetAuthenticated():
		return l.say("You are signed in to %s on runner %q already.")
	case now.GetSupportsOauth2().GetAuthUrl() != "":
		return l.withBrowser(ctx, now.GetSupportsOauth2().GetAuthUrl())
	case now.GetSupportsPat() != nil:
		return l.withToken(ctx, now)
	default:
		return fmt.Errorf("you cannot sign in to %s on runner %q with this access token: a token that may only read cannot", l.host, out.Clean(p.runner.GetName()))
	}
}

// login is a sign-in to a host under way.
type login struct {
	*Client
	env         *Env
	runner      *gitpodv1.Runner
	host        string
	integration string
}

// say prints a sentence about the host and the runner.
func (l *login) say(format string) error {
	_, err := fmt.Fprintf(l.env.Stdout, format+"\n", l.host, out.Clean(l.runner.GetName()))
	return err
}

func (l *login) check(ctx context.Context) (*gitpodv1.CheckAuthenticationForHostResponse, error) {
	resp, err := l.Runners.CheckAuthenticationForHost(ctx, connect.NewRequest(&gitpodv1.CheckAuthenticationForHostRequest{
		RunnerId: l.runner.GetRunnerId(), Host: l.host,
	}))
	if err != nil {
		return nil, err
	}
	return resp.Msg, nil
}

// unsure tells whether an error of check is that the host could not say whether
// it accepts the credential that is stored. Without one no host is asked.
func unsure(err error) bool {
	return err != nil && strings.HasPrefix(detail(err).GetReason(), "host-") && !hasReason(err, "host-not-configured")
}

// stored adds to an error of check that the credential is stored nevertheless.
func (l *login) stored(err error, what string) error {
	return &advised{err, fmt.Sprintf("%s is stored. Whether %s accepts it could not be found out; run the command again to see.", what, l.host)}
}

// How long a person has to sign in with a browser, and how often is looked.
const (
	loginPatience = 10 * time.Minute
	loginPause    = 2 * time.Second
)

// withBrowser waits until the person has signed in.
func (l *login) withBrowser(ctx context.Context, link string) error {
	fmt.Fprintf(l.env.Stderr, "Open this link in a browser, and sign in. It is for you alone:\n")
	if _, err := fmt.Fprintln(l.env.Stdout, out.Clean(link)); err != nil {
		return err
	}
	fmt.Fprintln(l.env.Stderr, "Waiting until you have signed in ...")
	var last error
	for range int(loginPatience / loginPause) {
		if err := l.env.Pause(ctx, loginPause); err != nil {
			return err
		}
		var now *gitpodv1.CheckAuthenticationForHostResponse
		now, last = l.check(ctx)
		switch {
		case now.GetAuthenticated():
			return l.say("You are signed in to %s on runner %q.")
		case last == nil:
		case permanent(last) && unsure(last):
			return l.stored(last, "The credential")
		case permanent(last), ctx.Err() != nil:
			return last
		}
	}
	if unsure(last) {
		return l.stored(last, "The credential")
	}
	return errors.New("nobody signed in within ten minutes, and the link works no longer. Run the command again for a new one")
}

// withToken stores a personal access token. Without an answer of check it does not
// say how to make one.
func (l *login) withToken(ctx context.Context, now *gitpodv1.CheckAuthenticationForHostResponse) error {
	if now != nil {
		if err := l.explain(now); err != nil {
			return err
		}
	}
	token, err := askSecret(ctx, l.env, "Personal access token: ")
	if err != nil {
		return err
	}
	if token == "" {
		return usagef("there is no token on the standard input")
	}
	l.warnOfPendingKey(ctx, l.runner.GetRunnerId())
	if err := l.store(ctx, token); err != nil {
		return err
	}
	if now, err = l.check(ctx); err != nil {
		return l.stored(err, "The token")
	}
	if !now.GetAuthenticated() {
		return fmt.Errorf("the token is stored, and %s does not accept it. It may be mistyped, expired or without a permission; make another and run the command again with --token-stdin", l.host)
	}
	return l.say("You are signed in to %s on runner %q.")
}

// explain says how to make a personal access token, where they are taken.
func (l *login) explain(now *gitpodv1.CheckAuthenticationForHostResponse) error {
	pat := now.GetSupportsPat()
	if pat == nil {
		return fmt.Errorf("%s takes no personal access tokens on runner %q; run the command without --token-stdin", l.host, out.Clean(l.runner.GetName()))
	}
	fmt.Fprintf(l.env.Stderr, "%s wants a personal access token.\n", out.Clean(now.GetScmName()))
	return out.Fields(l.env.Stderr,
		"Make one at", pat.GetCreateUrl(), "It must allow", strings.Join(pat.GetRequiredScopes(), ", "),
		"It looks like", pat.GetExample(), "More", pat.GetDocsUrl())
}

// store stores a personal access token, in the place of what the caller has for
// the host.
func (l *login) store(ctx context.Context, token string) error {
	filter := &gitpodv1.ListHostAuthenticationTokensRequest_Filter{RunnerId: &l.runner.RunnerId}
	if err := l.onlyMine(ctx, filter); err != nil {
		return err
	}
	mine, err := l.listHostTokens(ctx, filter)
	if err != nil {
		return err
	}
	deleted := false
	for _, t := range mine {
		switch {
		case !scmurl.SameHost(t.GetHost(), l.host):
			continue
		case t.GetSource() != gitpodv1.HostAuthenticationTokenSource_HOST_AUTHENTICATION_TOKEN_SOURCE_OAUTH:
			none := ""
			_, err := l.Configuration.UpdateHostAuthenticationToken(ctx, connect.NewRequest(&gitpodv1.UpdateHostAuthenticationTokenRequest{
				Id: t.GetId(), Token: &token, RefreshToken: &none, ExpiresAt: &timestamppb.Timestamp{},
			}))
			return err
		}
		// How a credential was obtained never changes.
		if _, err := l.Configuration.DeleteHostAuthenticationToken(ctx, connect.NewRequest(&gitpodv1.DeleteHostAuthenticationTokenRequest{Id: t.GetId()})); err != nil {
			return err
		}
		deleted = true
	}
	_, err = l.Configuration.CreateHostAuthenticationToken(ctx, connect.NewRequest(&gitpodv1.CreateHostAuthenticationTokenRequest{
		RunnerId: l.runner.GetRunnerId(), Host: l.host, Token: token, IntegrationId: l.integration,
		Source: gitpodv1.HostAuthenticationTokenSource_HOST_AUTHENTICATION_TOKEN_SOURCE_PAT,
	}))
	if err != nil && deleted {
		return &advised{err, fmt.Sprintf("The credential of yours for %s that was in its place is deleted, so you are not signed in there now. Run the command again.", l.host)}
	}
	return err
}

// HostLogout deletes the caller's credential for a host.
type HostLogout struct {
	Host   string `arg:"" help:"Name of the host, such as github.com."`
	Runner string `placeholder:"RUNNER" help:"Runner on which you are signed in, by name or id, when there are several."`
	Remote
}

// Run runs the command.
func (cmd *HostLogout) Run(ctx context.Context, env *Env) error {
	c, t, err := (&HostTokenArg{cmd.Host, cmd.Runner, cmd.Remote}).find(ctx, env)
	if err != nil {
		return err
	}
	if _, err := c.Configuration.DeleteHostAuthenticationToken(ctx, connect.NewRequest(&gitpodv1.DeleteHostAuthenticationTokenRequest{Id: t.GetId()})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "Runner %q has forgotten your credential for %s.\n", c.runnerNames(ctx)(t.GetRunnerId()), t.GetHost())
	return err
}
