package cli

import (
	"context"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// SCMCreate makes an integration.
type SCMCreate struct {
	Runner            string       `required:"" placeholder:"RUNNER" help:"Runner to connect, by name or id."`
	Kind              string       `required:"" placeholder:"KIND" help:"Kind of host, such as github, gitlab, bitbucket, azuredevops_entra or azuredevops_server. \"muster runner schema\" shows what the runner knows."`
	Host              string       `required:"" placeholder:"HOST" help:"Name of the host, such as github.com."`
	PAT               bool         `name:"pat" help:"Let people sign in with personal access tokens of the host."`
	OAuthClientID     string       `name:"oauth-client-id" placeholder:"ID" help:"Id of the OAuth application; lets people sign in with OAuth."`
	OAuthClientSecret SecretSource `embed:"" prefix:"oauth-client-secret-"`
	IssuerURL         string       `name:"issuer-url" placeholder:"URL" help:"Where people sign in with OAuth, for azuredevops_entra."`
	VirtualDirectory  string       `placeholder:"PATH" help:"Path under which the host runs, for azuredevops_server."`
	NoProbe           bool         `help:"Do not let the runner try the integration."`
	Output
	Remote
}

// Help adds to the help of the command.
func (*SCMCreate) Help() string {
	return `At least one way to sign in is needed. For OAuth the runner must have connected
once: the client secret is sealed to its key, so that nobody else can read it.
When it is connected it tries the integration, and what it finds wrong is a
warning.

For example: muster scm create --runner lab --kind github --host github.com --oauth-client-id Iv1.0a1b --oauth-client-secret-file secret.txt`
}

// Run runs the command.
func (cmd *SCMCreate) Run(ctx context.Context, env *Env) error {
	req := &gitpodv1.CreateSCMIntegrationRequest{ScmId: cmd.Kind, Host: cmd.Host, Pat: cmd.PAT}
	switch {
	case cmd.OAuthClientID == "" && cmd.OAuthClientSecret.given():
		return usagef("a client secret is for OAuth: give --oauth-client-id too")
	case cmd.OAuthClientID == "" && !cmd.PAT:
		return usagef("nobody could sign in: give --pat, --oauth-client-id or both")
	case cmd.OAuthClientID != "":
		secret, err := readClientSecret(ctx, env, cmd.OAuthClientSecret)
		if err != nil {
			return err
		}
		req.OauthClientId, req.OauthPlaintextClientSecret = &cmd.OAuthClientID, &secret
	}
	if cmd.IssuerURL != "" {
		req.IssuerUrl = &cmd.IssuerURL
	}
	if cmd.VirtualDirectory != "" {
		req.VirtualDirectory = &cmd.VirtualDirectory
	}
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	req.RunnerId = r.GetRunnerId()
	if req.OauthPlaintextClientSecret != nil {
		c.warnOfPendingKey(ctx, r.GetRunnerId())
	}
	resp, err := c.Configuration.CreateSCMIntegration(ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	err = cmd.one(env, resp.Msg, func() error {
		_, err := fmt.Fprintf(env.Stdout, "Runner %q is connected to %s.\nID: %s\n", r.GetName(), cmd.Host, resp.Msg.GetId())
		return err
	})
	if err != nil || cmd.NoProbe {
		return err
	}
	if i, err := c.getSCM(ctx, resp.Msg.GetId()); err == nil {
		c.warnOfIntegration(ctx, i)
	}
	return nil
}

func readClientSecret(ctx context.Context, env *Env, from SecretSource) (string, error) {
	return from.read(ctx, env, "--oauth-client-secret", "OAuth client secret: ")
}

// SCMUpdate changes an integration. Flags that are not given change nothing.
type SCMUpdate struct {
	SCMArg
	PAT               *bool        `name:"pat" negatable:"" help:"Let people sign in with personal access tokens, or do not; without, those that are stored for the host are deleted."`
	OAuthClientID     string       `name:"oauth-client-id" xor:"oauth" placeholder:"ID" help:"Id of the OAuth application. The client secret stays, unless it is given too."`
	NoOAuth           bool         `name:"no-oauth" xor:"oauth" help:"Let nobody sign in with OAuth; the credentials that were obtained with it are deleted."`
	OAuthClientSecret SecretSource `embed:"" prefix:"oauth-client-secret-"`
	IssuerURL         *string      `name:"issuer-url" placeholder:"URL" help:"Where people sign in with OAuth, for azuredevops_entra; empty to clear it."`
	VirtualDirectory  *string      `placeholder:"PATH" help:"Path under which the host runs, for azuredevops_server."`
	NoProbe           bool         `help:"Do not let the runner try the integration."`
	Confirmation
	Output
}

// Help adds to the help of the command.
func (*SCMUpdate) Help() string {
	return `Kind, host and runner never change: delete the integration and make another.
"--oauth-client-secret-file -" asks for the secret on a terminal. A runner that is
connected tries the integration, and what it finds wrong is a warning.`
}

// Run runs the command.
func (cmd *SCMUpdate) Run(ctx context.Context, env *Env) error {
	req := &gitpodv1.UpdateSCMIntegrationRequest{Pat: cmd.PAT, IssuerUrl: cmd.IssuerURL, VirtualDirectory: cmd.VirtualDirectory}
	if cmd.OAuthClientID != "" || cmd.NoOAuth {
		req.OauthClientId = &cmd.OAuthClientID
	}
	if cmd.OAuthClientSecret.given() {
		if cmd.NoOAuth {
			return usagef("--no-oauth and a client secret contradict each other")
		}
		secret, err := readClientSecret(ctx, env, cmd.OAuthClientSecret)
		if err != nil {
			return err
		}
		req.OauthPlaintextClientSecret = &secret
	}
	if proto.Size(req) == 0 {
		return usagef("nothing to change: give at least one flag")
	}
	c, i, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	req.Id = i.GetId()
	if err := cmd.confirmEnd(ctx, env, c, i); err != nil {
		return err
	}
	if req.OauthPlaintextClientSecret != nil {
		c.warnOfPendingKey(ctx, i.GetRunnerId())
	}
	if _, err := c.Configuration.UpdateSCMIntegration(ctx, connect.NewRequest(req)); err != nil {
		return err
	}
	if i, err = c.getSCM(ctx, i.GetId()); err != nil {
		return err
	}
	err = cmd.one(env, i, func() error {
		_, err := fmt.Fprintf(env.Stdout, "The integration with %s is updated.\n", i.GetHost())
		return err
	})
	if err == nil && !cmd.NoProbe {
		c.warnOfIntegration(ctx, i)
	}
	return err
}

// confirmEnd asks before a way to sign in goes, and people's credentials with it.
func (cmd *SCMUpdate) confirmEnd(ctx context.Context, env *Env, c *Client, i *gitpodv1.SCMIntegration) error {
	var ends []string
	if i.GetPat() && cmd.PAT != nil && !*cmd.PAT {
		ends = append(ends, "personal access tokens")
	}
	if i.GetOauth() != nil && cmd.NoOAuth {
		ends = append(ends, "OAuth")
	}
	if len(ends) == 0 {
		return nil
	}
	return cmd.confirm(ctx, env, fmt.Sprintf("Let nobody sign in to %s on runner %q with %s any more, and delete everybody's credentials of that kind?",
		i.GetHost(), c.runnerNames(ctx)(i.GetRunnerId()), strings.Join(ends, " and ")))
}
