package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// Login remembers a control plane.
type Login struct {
	Server string `required:"" env:"MUSTER_SERVER" placeholder:"URL" help:"URL of the control plane."`
	CAFile string `env:"MUSTER_CA_FILE" name:"ca-file" placeholder:"FILE" help:"PEM file with the certificate authority of the control plane, when it is a private one."`
}

// Help adds to the help of the command.
func (*Login) Help() string {
	return `Asks for a personal access token, or reads it from the standard input, checks
it, and keeps it in $XDG_CONFIG_HOME/muster/credentials.json, readable by you
alone. "muster pat create" makes tokens; the first one is printed by the first
start of "muster serve".`
}

// Run runs the command.
func (cmd *Login) Run(ctx context.Context, env *Env) error {
	server, err := ServerURL(cmd.Server)
	if err != nil {
		return err
	}
	if exposed(server) {
		fmt.Fprintln(env.Stderr, "Warning: without https, everybody on the way can read the token.")
	}
	token, err := askSecret(ctx, env, "Personal access token for "+server+": ")
	if err != nil {
		return err
	}
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return errors.New("a token is one word; give it on the standard input")
	}
	credentials := Credentials{Server: server, Token: token}
	if cmd.CAFile != "" {
		// The file must be found from every directory.
		if credentials.CAFile, err = filepath.Abs(cmd.CAFile); err != nil {
			return fmt.Errorf("finding the certificate authority: %w", err)
		}
	}
	c, err := NewClient(env, credentials)
	if err != nil {
		return err
	}
	me, err := c.me(ctx)
	if err != nil {
		return err
	}
	path, err := saveLogin(credentials)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "Logged in to %s as %s. The token is in %s.\n", server, c.describe(ctx, me), path)
	return err
}

// exposed tells whether a token for that URL crosses a network in the open.
func exposed(server string) bool {
	u, err := url.Parse(server)
	if err != nil || u.Scheme == "https" || u.Hostname() == "localhost" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return ip == nil || !ip.IsLoopback()
}

// describe names whom a token belongs to.
func (c *Client) describe(ctx context.Context, me *gitpodv1.GetAuthenticatedIdentityResponse) string {
	if u := c.user(ctx, me); u.GetName() != "" {
		return out.Clean(u.GetName())
	}
	return strings.ToLower(short(prefixPrincipal, me.GetSubject().GetPrincipal())) + " " + me.GetSubject().GetId()
}

// user is the person that a token belongs to; nil when it belongs to no person.
// It is for show only, so that a failure is no more than an absent name.
func (c *Client) user(ctx context.Context, me *gitpodv1.GetAuthenticatedIdentityResponse) *gitpodv1.User {
	if me.GetSubject().GetPrincipal() != gitpodv1.Principal_PRINCIPAL_USER {
		return nil
	}
	resp, err := c.Users.GetAuthenticatedUser(ctx, connect.NewRequest(&gitpodv1.GetAuthenticatedUserRequest{}))
	if err != nil {
		return nil
	}
	return resp.Msg.GetUser()
}
