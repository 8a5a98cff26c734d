package cli

import (
	"context"
	"fmt"
	"io"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// AccessCommands are the verbs of the noun access.
type AccessCommands struct {
	Explain AccessExplain `cmd:"" help:"Tell whether somebody may do something, and why."`
}

// AccessExplain explains a yes or a no.
type AccessExplain struct {
	Subject  string `arg:"" help:"Who: name, email address or id of a member, or name or id of a service account or a runner. \"user/NAME\", \"service-account/NAME\" and \"runner/NAME\" say which."`
	Action   string `arg:"" help:"What, such as runner.update or runner_configuration.write."`
	Resource string `arg:"" help:"To what: TYPE/NAME or TYPE/ID, such as runner/web or group/builders, or \"organization\"."`
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
		Subject: who.subject(), Action: cmd.Action, ResourceType: on.typ, ResourceId: on.id,
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
