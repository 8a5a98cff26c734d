package cli

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// ServiceAccountAccessToken prints a short-lived token.
type ServiceAccountAccessToken struct {
	ServiceAccountArg
	Output
	Remote
}

// Run runs the command.
func (cmd *ServiceAccountAccessToken) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	a, err := cmd.find(ctx, c)
	if err != nil {
		return err
	}
	resp, err := c.accessToken(ctx, a)
	if err != nil {
		return err
	}
	return cmd.one(env, resp, func() error { return printToken(env, resp.GetToken()) })
}

func (c *Client) accessToken(ctx context.Context, a *gitpodv1.ServiceAccount) (*gitpodv1.CreateServiceAccountAccessTokenResponse, error) {
	resp, err := c.ServiceAccounts.CreateServiceAccountAccessToken(ctx, connect.NewRequest(&gitpodv1.CreateServiceAccountAccessTokenRequest{ServiceAccountId: a.GetId()}))
	if err != nil {
		return nil, err
	}
	return resp.Msg, nil
}

// ServiceAccountTokens are the verbs for tokens of service accounts.
type ServiceAccountTokens struct {
	Create ServiceAccountTokenCreate `cmd:"" help:"Make a token for a service account and print it, this once."`
	List   ServiceAccountTokenList   `cmd:"" help:"List the tokens of service accounts: all, or your own as one."`
	Delete ServiceAccountTokenDelete `cmd:"" help:"Revoke a token at once."`
}

// ServiceAccountTokenCreate makes a token.
type ServiceAccountTokenCreate struct {
	ServiceAccountArg
	Description string   `arg:"" help:"What the token is for."`
	ValidFor    lifetime `placeholder:"TIME" help:"How long it is valid, such as 30d or 12h; without the flag, and at most, as long as the account."`
	Output
	Remote
}

// Help adds to the help of the command.
func (*ServiceAccountTokenCreate) Help() string {
	return "Only a service account can make a token for itself. This command first gets an\naccess token that acts as it, for which it takes an organization admin."
}

// Run runs the command.
func (cmd *ServiceAccountTokenCreate) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	a, err := cmd.find(ctx, c)
	if err != nil {
		return err
	}
	short, err := c.accessToken(ctx, a)
	if err != nil {
		return err
	}
	itself, err := NewClient(env, Credentials{Server: c.Server, Token: short.GetToken(), CAFile: c.CAFile})
	if err != nil {
		return err
	}
	resp, err := itself.ServiceAccounts.CreateServiceAccountToken(ctx, connect.NewRequest(&gitpodv1.CreateServiceAccountTokenRequest{
		Description: cmd.Description, ValidFor: durationpb.New(time.Duration(cmd.ValidFor)),
	}))
	if err != nil {
		return err
	}
	return handOver(ctx, env, "The token", resp.Msg.GetToken(), func() error {
		return cmd.one(env, resp.Msg, func() error {
			fmt.Fprintf(env.Stderr, "It expires %s.\n", expiry(env, resp.Msg.GetServiceAccountToken().GetExpiresAt()))
			return printToken(env, resp.Msg.GetToken())
		})
	}, func(ctx context.Context) error {
		return itself.deleteServiceAccountToken(ctx, resp.Msg.GetServiceAccountToken().GetId())
	})
}

func (c *Client) deleteServiceAccountToken(ctx context.Context, id string) error {
	_, err := c.ServiceAccounts.DeleteServiceAccountToken(ctx, connect.NewRequest(&gitpodv1.DeleteServiceAccountTokenRequest{ServiceAccountTokenId: id}))
	return err
}

func (c *Client) listServiceAccountTokens(ctx context.Context) ([]*gitpodv1.ServiceAccountToken, error) {
	return pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.ServiceAccountToken, *gitpodv1.PaginationResponse, error) {
		resp, err := c.ServiceAccounts.ListServiceAccountTokens(ctx, connect.NewRequest(&gitpodv1.ListServiceAccountTokensRequest{Pagination: p}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetTokens(), resp.Msg.GetPagination(), nil
	})
}

// ServiceAccountTokenList lists tokens.
type ServiceAccountTokenList struct {
	Output
	Remote
}

// Run runs the command.
func (cmd *ServiceAccountTokenList) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	tokens, err := c.listServiceAccountTokens(ctx)
	if err != nil {
		return err
	}
	return many(cmd.Output, env, tokens, func() error {
		if len(tokens) == 0 {
			_, err := fmt.Fprintln(env.Stdout, "No tokens. Make one: muster service-account token create SERVICE-ACCOUNT DESCRIPTION")
			return err
		}
		accounts, err := c.listServiceAccounts(ctx, nil)
		if err != nil {
			return err
		}
		names := map[string]string{}
		for _, a := range accounts {
			names[a.GetId()] = a.GetName()
		}
		t := out.NewTable("DESCRIPTION", "ID", "SERVICE ACCOUNT", "AGE", "EXPIRES", "LAST USED")
		for _, k := range tokens {
			t.Row(k.GetDescription(), k.GetId(), names[k.GetServiceAccountId()], out.Age(env.Now(), k.GetCreatedAt()), expiry(env, k.GetExpiresAt()), ago(env, k.GetLastUsed()))
		}
		return t.Write(env.Stdout)
	})
}

// ServiceAccountTokenDelete revokes a token.
type ServiceAccountTokenDelete struct {
	Which string `arg:"" name:"service-account-token" help:"Description or id of the token."`
	Confirmation
	Remote
}

// Run runs the command.
func (cmd *ServiceAccountTokenDelete) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	k, err := c.findServiceAccountToken(ctx, cmd.Which)
	if err != nil {
		return err
	}
	if err := cmd.confirm(ctx, env, fmt.Sprintf("Revoke the token %q (%s)?", k.GetDescription(), k.GetId())); err != nil {
		return err
	}
	if err := c.deleteServiceAccountToken(ctx, k.GetId()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "Token %q is revoked.\n", k.GetDescription())
	return err
}

// findServiceAccountToken returns the token with the given id or description.
func (c *Client) findServiceAccountToken(ctx context.Context, descriptionOrID string) (*gitpodv1.ServiceAccountToken, error) {
	if uuidPattern.MatchString(descriptionOrID) {
		resp, err := c.ServiceAccounts.GetServiceAccountToken(ctx, connect.NewRequest(&gitpodv1.GetServiceAccountTokenRequest{ServiceAccountTokenId: descriptionOrID}))
		if err != nil {
			return nil, err
		}
		return resp.Msg.GetToken(), nil
	}
	all, err := c.listServiceAccountTokens(ctx)
	if err != nil {
		return nil, err
	}
	return pick("token", descriptionOrID, all,
		func(k *gitpodv1.ServiceAccountToken) bool { return k.GetDescription() == descriptionOrID },
		func(k *gitpodv1.ServiceAccountToken) string {
			return fmt.Sprintf("%s  of the service account %s, made %s ago", k.GetId(), k.GetServiceAccountId(), out.Age(c.env.Now(), k.GetCreatedAt()))
		})
}
