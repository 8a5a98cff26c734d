package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/cli/out"
	"github.com/musterhq/muster/internal/resource"
)

// AccessCommands are the verbs of the noun access.
type AccessCommands struct {
	Explain AccessExplain `cmd:"" help:"Tell whether somebody may do something, and why."`
	Actions AccessActions `cmd:"" help:"List the actions that there are, and which roles allow them."`
}

// AccessActions lists the actions.
type AccessActions struct{}

// Help adds to the help of the command.
func (*AccessActions) Help() string {
	return `These are the actions of this version, without asking a control plane. What can be
done to a resource can be asked for the organization too: to all of them.`
}

// Run runs the command.
func (*AccessActions) Run(env *Env) error {
	t := out.NewTable("ACTION", "ON", "ROLES THAT ALLOW IT", "ALSO")
	for _, a := range access.Actions() {
		var on, roles []string
		for _, of := range a.On {
			if of != resource.Organization || len(a.On) == 1 {
				on = append(on, actionType(of))
			}
		}
		for _, r := range a.Roles {
			roles = append(roles, r.Words())
		}
		t.Row(string(a.Permission), strings.Join(on, ", "), strings.Join(roles, ", "), strings.Join(a.Others, ", "))
	}
	return t.Write(env.Stdout)
}

// actionType is how people type a type of resource.
func actionType(t resource.Type) string {
	for noun, of := range nouns {
		if of == gitpodv1.ResourceType(t) && of != gitpodv1.ResourceType_RESOURCE_TYPE_USER {
			return noun
		}
	}
	return typeName(gitpodv1.ResourceType(t))
}

// AccessExplain explains a yes or a no.
type AccessExplain struct {
	Subject  string `arg:"" help:"Who: name, email address or id of a member, or name or id of a service account or a runner. \"user/NAME\", \"service-account/NAME\" and \"runner/NAME\" say which."`
	Action   string `arg:"" help:"What, such as runner.update or runner-configuration.write; \"muster access actions\" lists them."`
	Resource string `arg:"" help:"To what: TYPE/NAME or TYPE/ID, such as runner/web, class/large or group/builders, or \"organization\"."`
	Output
	Remote
}

// Help adds to the help of the command.
func (*AccessExplain) Help() string {
	return `"muster access explain ann runner.create organization" asks about what is done to
the organization as a whole. Only its admins may ask.`
}

// Run runs the command.
func (cmd *AccessExplain) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	who, err := c.findSubject(ctx, cmd.Subject,
		gitpodv1.Principal_PRINCIPAL_USER, gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT, gitpodv1.Principal_PRINCIPAL_RUNNER)
	if err != nil {
		return err
	}
	on, err := c.findResource(ctx, cmd.Resource)
	if err != nil {
		return err
	}
	resp, err := c.Access.ExplainAccess(ctx, connect.NewRequest(&adminv1.ExplainAccessRequest{
		Subject: who.subject(), Action: strings.ToLower(strings.ReplaceAll(cmd.Action, "-", "_")), ResourceType: on.typ, ResourceId: on.id,
	}))
	if err != nil {
		return err
	}
	return cmd.one(env, resp.Msg, func() error { return printReason(env.Stdout, resp.Msg.GetReason(), "", "") })
}

// printReason prints a tree: first is before the line of its root, and rest
// before all lines below.
func printReason(w io.Writer, r *adminv1.AccessReason, first, rest string) error {
	verdict := "no "
	if r.GetAllowed() {
		verdict = "yes"
	}
	if _, err := fmt.Fprintf(w, "%s%s  %s\n", first, verdict, out.Clean(r.GetText())); err != nil {
		return err
	}
	because := r.GetBecause()
	for i, b := range because {
		branch, trunk := "├─ ", "│  "
		if i == len(because)-1 {
			branch, trunk = "└─ ", "   "
		}
		if err := printReason(w, b, rest+branch, rest+trunk); err != nil {
			return err
		}
	}
	return nil
}
