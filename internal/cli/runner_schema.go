package cli

import (
	"context"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// RunnerSchema shows the configuration schema of a runner.
type RunnerSchema struct {
	RunnerArg
	Output
	Remote
}

// Help adds to the help of the command.
func (*RunnerSchema) Help() string {
	return `It is what the runner last published. A runner that names no settings for
classes takes any; one that names no kinds of host takes any.`
}

// Run runs the command.
func (cmd *RunnerSchema) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	resp, err := c.Configuration.GetRunnerConfigurationSchema(ctx, connect.NewRequest(&gitpodv1.GetRunnerConfigurationSchemaRequest{RunnerId: r.GetRunnerId()}))
	if err != nil {
		return err
	}
	schema := resp.Msg.GetSchema()
	return cmd.one(env, schema, func() error {
		fields := len(schema.GetRunnerConfig()) + len(schema.GetEnvironmentClasses())
		if fields+len(schema.GetScm()) == 0 {
			_, err := fmt.Fprintf(env.Stdout, "Runner %q has published no schema yet: it does when it connects.\n", r.GetName())
			return err
		}
		if fields > 0 {
			t := out.NewTable("OF", "KEY", "TYPE", "DEFAULT", "REQUIRED", "DESCRIPTION")
			addFields(t, "runner", schema.GetRunnerConfig())
			addFields(t, "class", schema.GetEnvironmentClasses())
			if err := t.Write(env.Stdout); err != nil {
				return err
			}
		}
		if len(schema.GetScm()) == 0 {
			return nil
		}
		if fields > 0 {
			if _, err := fmt.Fprintln(env.Stdout); err != nil {
				return err
			}
		}
		t := out.NewTable("HOST KIND", "NAME", "DEFAULT HOSTS", "SIGN IN WITH", "CALLBACK URL")
		for _, k := range schema.GetScm() {
			var ways []string
			if k.GetOauth() != nil {
				ways = append(ways, "oauth")
			}
			if k.GetPat() != nil {
				ways = append(ways, "pat")
			}
			t.Row(k.GetScmId(), k.GetName(), strings.Join(k.GetDefaultHosts(), ", "), strings.Join(ways, ", "), k.GetOauth().GetCallbackUrl())
		}
		return t.Write(env.Stdout)
	})
}

func addFields(t *out.Table, of string, fields []*gitpodv1.RunnerConfigurationSchema_Field) {
	for _, f := range fields {
		kind, usual := fieldType(f)
		required := ""
		if f.GetRequired() {
			required = "yes"
		}
		t.Row(of, f.GetId(), kind, usual, required, f.GetDescription())
	}
}

// fieldType is what a field takes, and what it is when it is not set.
func fieldType(f *gitpodv1.RunnerConfigurationSchema_Field) (kind, usual string) {
	switch t := f.GetType().(type) {
	case *gitpodv1.RunnerConfigurationSchema_Field_String_:
		kind, usual = "text", t.String_.GetDefault()
		if p := t.String_.GetPattern(); p != "" {
			kind += " like " + p
		}
	case *gitpodv1.RunnerConfigurationSchema_Field_Bool:
		kind, usual = "true or false", fmt.Sprint(t.Bool.GetDefault())
	case *gitpodv1.RunnerConfigurationSchema_Field_Int:
		kind, usual = "number", fmt.Sprint(t.Int.GetDefault())
		switch least, most := t.Int.GetMin(), t.Int.GetMax(); {
		case least == 0 && most == 0:
		case most < least:
			kind += fmt.Sprintf(" from %d", least)
		default:
			kind += fmt.Sprintf(" from %d to %d", least, most)
		}
	case *gitpodv1.RunnerConfigurationSchema_Field_Enum:
		titles := make([]string, len(t.Enum.GetPossibleValues()))
		for i, v := range t.Enum.GetPossibleValues() {
			titles[i] = v.GetTitle()
		}
		kind, usual = strings.Join(titles, " | "), t.Enum.GetDefaultValue().GetTitle()
	case *gitpodv1.RunnerConfigurationSchema_Field_Display:
		return "shown only", t.Display.GetDefault()
	}
	if f.GetSecret() {
		kind += ", secret"
	}
	return kind, usual
}
