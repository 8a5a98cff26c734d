package cli

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// Whoami shows who the token belongs to.
type Whoami struct {
	Output
	Remote
}

// Run runs the command.
func (cmd *Whoami) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	me, err := c.me(ctx)
	if err != nil {
		return err
	}
	if end := env.ends.time(); cmd.Output.Output != out.FormatTable && !end.IsZero() {
		return out.MessageWith(env.Stdout, cmd.Output.Output, me, "tokenExpiresAt", end.UTC().Format(time.RFC3339))
	}
	return cmd.one(env, me, func() error {
		u := c.user(ctx, me)
		name, until := u.GetName(), ""
		if a := c.account(ctx, me); a != nil {
			name, until = a.GetName(), out.Time(env.Now(), a.GetValidUntil())
		}
		ends, next := "", ""
		if end := env.ends.time(); !end.IsZero() {
			ends = out.Time(env.Now(), timestamppb.New(end))
			next, _ = renewal(&env.ends)
		}
		return out.Fields(
			env.Stdout,
			"Server", c.Server,
			"Name", name,
			"Email", u.GetEmail(),
			"Principal", short(prefixPrincipal, me.GetSubject().GetPrincipal()),
			"ID", me.GetSubject().GetId(),
			"Organization", me.GetOrganizationId(),
			"Role", c.role(ctx, me),
			"Valid until", until,
			"Token ends", ends,
			"New token", next,
		)
	})
}

// account is the service account that a token belongs to; nil when it belongs to
// none. Like user it is for show only.
func (c *Client) account(ctx context.Context, me *gitpodv1.GetAuthenticatedIdentityResponse) *gitpodv1.ServiceAccount {
	if me.GetSubject().GetPrincipal() != gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT {
		return nil
	}
	resp, err := c.ServiceAccounts.GetServiceAccount(ctx, connect.NewRequest(&gitpodv1.GetServiceAccountRequest{ServiceAccountId: me.GetSubject().GetId()}))
	if err != nil {
		return nil
	}
	return resp.Msg.GetServiceAccount()
}

// role is the role of a person in the organization; empty for everybody else.
// Like user it is for show only.
func (c *Client) role(ctx context.Context, me *gitpodv1.GetAuthenticatedIdentityResponse) string {
	if me.GetSubject().GetPrincipal() != gitpodv1.Principal_PRINCIPAL_USER {
		return ""
	}
	resp, err := c.Organizations.ListMembers(ctx, connect.NewRequest(&gitpodv1.ListMembersRequest{
		OrganizationId: me.GetOrganizationId(), Filter: &gitpodv1.ListMembersRequest_Filter{UserIds: []string{me.GetSubject().GetId()}},
	}))
	if err != nil || len(resp.Msg.GetMembers()) != 1 {
		return ""
	}
	return short(prefixRole, resp.Msg.GetMembers()[0].GetRole())
}
