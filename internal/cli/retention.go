package cli

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// RetentionCommands are the verbs of the noun retention.
type RetentionCommands struct {
	Show    RetentionShow    `cmd:"" help:"Show what is removed by age."`
	Set     RetentionSet     `cmd:"" help:"Change what is removed by age."`
	Preview RetentionPreview `cmd:"" help:"Show what a policy would remove now, and remove nothing."`
}

// RetentionFlags change a policy. Flags that are not given change nothing.
type RetentionFlags struct {
	NeverConnectedDays *int32 `placeholder:"DAYS" help:"Delete runners that never connected this long after they were created; 0 keeps them."`
	OfflineDays        *int32 `placeholder:"DAYS" help:"Delete runners that are offline this long after they were last connected; 0 keeps them."`
	AuditDays          *int32 `placeholder:"DAYS" help:"Delete audit entries that are older, at least 30; 0 keeps them."`
}

// given tells whether there is a flag at all.
func (f *RetentionFlags) given() bool {
	return f.NeverConnectedDays != nil || f.OfflineDays != nil || f.AuditDays != nil
}

// change returns the policy in force with what the flags change.
func (f *RetentionFlags) change(ctx context.Context, c *Client) (*adminv1.RetentionPolicy, error) {
	p, err := c.retentionPolicy(ctx)
	if err != nil {
		return nil, err
	}
	for to, from := range map[*int32]*int32{
		&p.NeverConnectedDays: f.NeverConnectedDays, &p.OfflineDays: f.OfflineDays, &p.AuditDays: f.AuditDays,
	} {
		if from != nil {
			*to = *from
		}
	}
	return p, nil
}

func (c *Client) retentionPolicy(ctx context.Context) (*adminv1.RetentionPolicy, error) {
	resp, err := c.Retention.GetRetentionPolicy(ctx, connect.NewRequest(&adminv1.GetRetentionPolicyRequest{}))
	if err != nil {
		return nil, err
	}
	return proto.CloneOf(resp.Msg.GetPolicy()), nil
}

// previewRetention returns all that a policy would remove.
func (c *Client) previewRetention(ctx context.Context, policy *adminv1.RetentionPolicy) (*adminv1.PreviewRetentionPolicyResponse, error) {
	all := &adminv1.PreviewRetentionPolicyResponse{}
	var err error
	all.Runners, err = pages(func(p *gitpodv1.PaginationRequest) ([]*adminv1.StaleRunner, *gitpodv1.PaginationResponse, error) {
		resp, err := c.Retention.PreviewRetentionPolicy(ctx, connect.NewRequest(&adminv1.PreviewRetentionPolicyRequest{Policy: policy, Pagination: p}))
		if err != nil {
			return nil, nil, err
		}
		all.AuditEntries = resp.Msg.GetAuditEntries()
		return resp.Msg.GetRunners(), resp.Msg.GetPagination(), nil
	})
	return all, err
}

// RetentionShow shows the policy.
type RetentionShow struct {
	Output
	Remote
}

// Run runs the command.
func (cmd *RetentionShow) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	p, err := c.retentionPolicy(ctx)
	if err != nil {
		return err
	}
	return cmd.one(env, p, func() error {
		return out.Fields(
			env.Stdout,
			"Runners that never connected", kept(p.GetNeverConnectedDays()),
			"Runners that are offline", kept(p.GetOfflineDays()),
			"Audit entries", kept(p.GetAuditDays()),
		)
	})
}

func kept(days int32) string {
	switch days {
	case 0:
		return "kept"
	case 1:
		return "deleted after 1 day"
	default:
		return fmt.Sprintf("deleted after %d days", days)
	}
}

// RetentionSet changes the policy.
type RetentionSet struct {
	RetentionFlags
	Confirmation
	Remote
}

// Help adds to the help of the command.
func (*RetentionSet) Help() string {
	return `What the policy reaches is removed within an hour, and cannot be restored.
"muster retention preview" with the same flags lists it first.`
}

// Run runs the command.
func (cmd *RetentionSet) Run(ctx context.Context, env *Env) error {
	if !cmd.given() {
		return usagef("nothing to change: give at least one flag")
	}
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	p, err := cmd.change(ctx, c)
	if err != nil {
		return err
	}
	removes, err := c.previewRetention(ctx, p)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s and %s", counted(len(removes.GetRunners()), "runner", "runners"),
		counted(int(removes.GetAuditEntries()), "audit entry", "audit entries"))
	if len(removes.GetRunners())+int(removes.GetAuditEntries()) > 0 {
		if err := cmd.confirm(ctx, env, fmt.Sprintf("Delete %s within the next hour, and what gets as old later?", text)); err != nil {
			return err
		}
	}
	if _, err := c.Retention.SetRetentionPolicy(ctx, connect.NewRequest(&adminv1.SetRetentionPolicyRequest{Policy: p})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "The policy is set. It reaches %s now, which are removed within an hour.\n", text)
	return err
}

func counted(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}

// RetentionPreview shows what a policy would remove.
type RetentionPreview struct {
	RetentionFlags
	Output
	Remote
}

// Help adds to the help of the command.
func (*RetentionPreview) Help() string {
	return `Without flags it is the policy in force; flags change it for the preview alone.`
}

// Run runs the command.
func (cmd *RetentionPreview) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	var p *adminv1.RetentionPolicy
	if cmd.given() {
		if p, err = cmd.change(ctx, c); err != nil {
			return err
		}
	}
	removes, err := c.previewRetention(ctx, p)
	if err != nil {
		return err
	}
	return cmd.one(env, removes, func() error {
		if len(removes.GetRunners()) > 0 {
			t := out.NewTable("NAME", "ID", "PHASE", "SINCE")
			for _, r := range removes.GetRunners() {
				t.Row(r.GetName(), r.GetRunnerId(), phaseName(r.GetPhase()), out.Age(env.Now(), r.GetSince())+" ago")
			}
			if err := t.Write(env.Stdout); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintf(env.Stdout, "%s and %s would be deleted.\n", counted(len(removes.GetRunners()), "runner", "runners"),
			counted(int(removes.GetAuditEntries()), "audit entry", "audit entries"))
		return err
	})
}
