package cli

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// ServiceAccountCommands are the verbs of the noun service-account.
type ServiceAccountCommands struct {
	Create      ServiceAccountCreate      `cmd:"" help:"Make a service account."`
	List        ServiceAccountList        `cmd:"" help:"List service accounts."`
	Get         ServiceAccountGet         `cmd:"" help:"Show a service account."`
	Update      ServiceAccountUpdate      `cmd:"" help:"Change the name or the description of a service account."`
	Delete      ServiceAccountDelete      `cmd:"" help:"Suspend a service account for good and revoke its tokens."`
	Token       ServiceAccountTokens      `cmd:"" help:"Long-lived tokens of service accounts."`
	AccessToken ServiceAccountAccessToken `cmd:"" help:"Print a token that acts as a service account for half an hour."`
}

// ServiceAccountCreate makes an account.
type ServiceAccountCreate struct {
	Name        string   `arg:"" help:"Name for people, at most 64 characters."`
	Description string   `placeholder:"TEXT" help:"What it is for."`
	ValidFor    lifetime `default:"365d" placeholder:"TIME" help:"How long it and all its tokens are valid, such as 90d or 12h; without the flag 365d. It cannot be changed later."`
	Output
	Remote
}

// Run runs the command.
func (cmd *ServiceAccountCreate) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	resp, err := c.ServiceAccounts.CreateServiceAccount(ctx, connect.NewRequest(&gitpodv1.CreateServiceAccountRequest{
		Name: cmd.Name, Description: cmd.Description, ValidUntil: timestamppb.New(env.Now().Add(time.Duration(cmd.ValidFor))),
	}))
	if err != nil {
		return err
	}
	a := resp.Msg.GetServiceAccount()
	return cmd.one(env, a, func() error {
		fmt.Fprintf(env.Stderr, "It may do what its groups may. Make a token for it: muster service-account token create %s DESCRIPTION\n", quote(a.GetName()))
		return c.printServiceAccount(ctx, a)
	})
}

func (c *Client) printServiceAccount(ctx context.Context, a *gitpodv1.ServiceAccount) error {
	env := c.env
	return out.Fields(
		env.Stdout,
		"Name", a.GetName(),
		"ID", a.GetId(),
		"Description", a.GetDescription(),
		"State", accountState(env, a),
		"Valid until", out.Time(env.Now(), a.GetValidUntil()),
		"Created", out.Time(env.Now(), a.GetCreatedAt()),
		"Creator", c.namesOf(ctx, a.GetCreator()).subjectName(a.GetCreator()),
	)
}

func accountState(env *Env, a *gitpodv1.ServiceAccount) string {
	switch {
	case a.GetSuspended():
		return "DELETED"
	case !env.Now().Before(a.GetValidUntil().AsTime()):
		return "EXPIRED"
	default:
		return "ACTIVE"
	}
}

// listServiceAccounts returns the accounts that a filter selects, oldest first.
func (c *Client) listServiceAccounts(ctx context.Context, f *gitpodv1.ListServiceAccountsRequest_Filter) ([]*gitpodv1.ServiceAccount, error) {
	return pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.ServiceAccount, *gitpodv1.PaginationResponse, error) {
		resp, err := c.ServiceAccounts.ListServiceAccounts(ctx, connect.NewRequest(&gitpodv1.ListServiceAccountsRequest{Pagination: p, Filter: f}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetServiceAccounts(), resp.Msg.GetPagination(), nil
	})
}

// ServiceAccountList lists accounts.
type ServiceAccountList struct {
	Search string `placeholder:"TEXT" help:"Only those with this in their name."`
	All    bool   `help:"Deleted ones, too."`
	Output
	Remote
}

// Run runs the command.
func (cmd *ServiceAccountList) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	accounts, err := c.listServiceAccounts(ctx, &gitpodv1.ListServiceAccountsRequest_Filter{Search: cmd.Search, IncludeSuspended: cmd.All})
	if err != nil {
		return err
	}
	return many(cmd.Output, env, accounts, func() error {
		if len(accounts) == 0 {
			text := "No service accounts. Make one: muster service-account create NAME"
			if cmd.Search != "" {
				text = fmt.Sprintf("No service account has %q in its name.", cmd.Search)
			}
			_, err := fmt.Fprintln(env.Stdout, text)
			return err
		}
		t := out.NewTable("NAME", "ID", "STATE", "AGE", "EXPIRES", "DESCRIPTION")
		for _, a := range accounts {
			t.Row(a.GetName(), a.GetId(), accountState(env, a), out.Age(env.Now(), a.GetCreatedAt()), expiry(env, a.GetValidUntil()), a.GetDescription())
		}
		return t.Write(env.Stdout)
	})
}

// ServiceAccountArg names an account on the command line.
type ServiceAccountArg struct {
	ServiceAccount string `arg:"" name:"service-account" help:"Name or id of the service account; of a deleted one, the id."`
}

// find returns the account that was named.
func (a *ServiceAccountArg) find(ctx context.Context, c *Client) (*gitpodv1.ServiceAccount, error) {
	if uuidPattern.MatchString(a.ServiceAccount) {
		resp, err := c.ServiceAccounts.GetServiceAccount(ctx, connect.NewRequest(&gitpodv1.GetServiceAccountRequest{ServiceAccountId: a.ServiceAccount}))
		if err != nil {
			return nil, err
		}
		return resp.Msg.GetServiceAccount(), nil
	}
	all, err := c.listServiceAccounts(ctx, nil)
	if err != nil {
		return nil, err
	}
	return pick("service account", a.ServiceAccount, all,
		func(s *gitpodv1.ServiceAccount) bool { return s.GetName() == a.ServiceAccount },
		func(s *gitpodv1.ServiceAccount) string {
			return fmt.Sprintf("%s  made %s ago", s.GetId(), out.Age(c.env.Now(), s.GetCreatedAt()))
		})
}

// ServiceAccountGet shows an account.
type ServiceAccountGet struct {
	ServiceAccountArg
	Output
	Remote
}

// Run runs the command.
func (cmd *ServiceAccountGet) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	a, err := cmd.find(ctx, c)
	if err != nil {
		return err
	}
	return cmd.one(env, a, func() error { return c.printServiceAccount(ctx, a) })
}

// ServiceAccountUpdate changes an account.
type ServiceAccountUpdate struct {
	ServiceAccountArg
	Name        *string `placeholder:"NAME" help:"Another name."`
	Description *string `placeholder:"TEXT" help:"Another description; empty removes it."`
	Output
	Remote
}

// Run runs the command.
func (cmd *ServiceAccountUpdate) Run(ctx context.Context, env *Env) error {
	if cmd.Name == nil && cmd.Description == nil {
		return usagef("nothing to change: give --name or --description")
	}
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	a, err := cmd.find(ctx, c)
	if err != nil {
		return err
	}
	resp, err := c.ServiceAccounts.UpdateServiceAccount(ctx, connect.NewRequest(&gitpodv1.UpdateServiceAccountRequest{
		ServiceAccountId: a.GetId(), Name: cmd.Name, Description: cmd.Description,
	}))
	if err != nil {
		return err
	}
	return cmd.one(env, resp.Msg.GetServiceAccount(), func() error { return c.printServiceAccount(ctx, resp.Msg.GetServiceAccount()) })
}

// ServiceAccountDelete deletes an account.
type ServiceAccountDelete struct {
	ServiceAccountArg
	Confirmation
	Remote
}

// Run runs the command.
func (cmd *ServiceAccountDelete) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	a, err := cmd.find(ctx, c)
	if err != nil {
		return err
	}
	q := fmt.Sprintf("Delete the service account %q (%s) and revoke its tokens for good?", a.GetName(), a.GetId())
	if err := cmd.confirm(ctx, env, q); err != nil {
		return err
	}
	if _, err := c.ServiceAccounts.DeleteServiceAccount(ctx, connect.NewRequest(&gitpodv1.DeleteServiceAccountRequest{ServiceAccountId: a.GetId()})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "The service account %q is deleted.\n", a.GetName())
	return err
}
