package cli

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// OrgCommands are the verbs of the noun org.
type OrgCommands struct {
	Create OrgCreate `cmd:"" help:"Make another organization and print a token for its first admin, this once."`
	List   OrgList   `cmd:"" help:"List all organizations of the control plane."`
	Show   OrgShow   `cmd:"" help:"Show your organization."`
	Rename OrgRename `cmd:"" help:"Give your organization another name."`
}

// OrgCreate makes an organization.
type OrgCreate struct {
	Name       string `arg:"" help:"Name for people, at least 3 characters."`
	AdminName  string `required:"" placeholder:"NAME" help:"Name of its first admin."`
	AdminEmail string `required:"" placeholder:"ADDRESS" help:"Email address of its first admin."`
	Output
	Remote
}

// Help adds to the help of the command.
func (*OrgCreate) Help() string {
	return "Nothing is visible from one organization to another. Only an admin of the first\norganization may make others."
}

// Run runs the command.
func (cmd *OrgCreate) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	resp, err := c.Installation.CreateOrganization(ctx, connect.NewRequest(&adminv1.CreateOrganizationRequest{
		Name: cmd.Name, AdminName: cmd.AdminName, AdminEmail: cmd.AdminEmail,
	}))
	if err != nil {
		return err
	}
	return cmd.one(env, resp.Msg, func() error {
		o, m := resp.Msg.GetOrganization(), resp.Msg.GetAdmin()
		fmt.Fprintf(env.Stderr, "Made the organization %q (%s) with the admin %s (%s). They log in with: muster login --server %s\n",
			o.GetName(), o.GetId(), m.GetFullName(), m.GetEmail(), quote(c.Server))
		return printToken(env, resp.Msg.GetToken())
	})
}

// OrgList lists organizations.
type OrgList struct {
	Output
	Remote
}

// Run runs the command.
func (cmd *OrgList) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	all, err := pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.Organization, *gitpodv1.PaginationResponse, error) {
		resp, err := c.Installation.ListOrganizations(ctx, connect.NewRequest(&adminv1.ListOrganizationsRequest{Pagination: p}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetOrganizations(), resp.Msg.GetPagination(), nil
	})
	if err != nil {
		return err
	}
	return many(cmd.Output, env, all, func() error {
		t := out.NewTable("NAME", "ID", "AGE")
		for _, o := range all {
			t.Row(o.GetName(), o.GetId(), out.Age(env.Now(), o.GetCreatedAt()))
		}
		return t.Write(env.Stdout)
	})
}

// OrgShow shows the organization of the caller.
type OrgShow struct {
	Output
	Remote
}

// Run runs the command.
func (cmd *OrgShow) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	me, err := c.me(ctx)
	if err != nil {
		return err
	}
	resp, err := c.Organizations.GetOrganization(ctx, connect.NewRequest(&gitpodv1.GetOrganizationRequest{OrganizationId: me.GetOrganizationId()}))
	if err != nil {
		return err
	}
	o := resp.Msg.GetOrganization()
	return cmd.one(env, o, func() error {
		return out.Fields(
			env.Stdout,
			"Name", o.GetName(),
			"ID", o.GetId(),
			"Created", out.Time(env.Now(), o.GetCreatedAt()),
			"Updated", out.Time(env.Now(), o.GetUpdatedAt()),
		)
	})
}

// OrgRename renames the organization of the caller.
type OrgRename struct {
	Name string `arg:"" help:"The new name, at least 3 characters."`
	Remote
}

// Run runs the command.
func (cmd *OrgRename) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	me, err := c.me(ctx)
	if err != nil {
		return err
	}
	_, err = c.Organizations.UpdateOrganization(ctx, connect.NewRequest(&gitpodv1.UpdateOrganizationRequest{
		OrganizationId: me.GetOrganizationId(), Name: &cmd.Name,
	}))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "The organization is called %q now.\n", cmd.Name)
	return err
}
