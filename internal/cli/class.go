package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/cli/out"
)

// ClassCommands are the verbs of the noun class.
type ClassCommands struct {
	List    ClassList    `cmd:"" help:"List environment classes."`
	Get     ClassGet     `cmd:"" help:"Show one environment class with its settings."`
	Create  ClassCreate  `cmd:"" help:"Add an environment class to a runner."`
	Update  ClassUpdate  `cmd:"" help:"Rename or describe an environment class."`
	Enable  ClassEnable  `cmd:"" help:"Allow new environments of a class."`
	Disable ClassDisable `cmd:"" help:"Allow no new environments of a class, and keep it."`
}

// ClassArg names an environment class on the command line.
type ClassArg struct {
	Class  string `arg:"" name:"class" help:"Display name or id of the environment class."`
	Runner string `placeholder:"RUNNER" help:"Runner that it belongs to, by name or id, when several have one of that name."`
	Remote
}

// find connects and returns the class that was named.
func (a *ClassArg) find(ctx context.Context, env *Env) (*Client, *gitpodv1.EnvironmentClass, error) {
	c, err := a.connect(env)
	if err != nil {
		return nil, nil, err
	}
	if uuidPattern.MatchString(a.Class) {
		class, err := c.getClass(ctx, a.Class)
		return c, class, err
	}
	filter := &gitpodv1.ListEnvironmentClassesRequest_Filter{}
	if a.Runner != "" {
		r, err := c.FindRunner(ctx, a.Runner)
		if err != nil {
			return nil, nil, err
		}
		filter.RunnerIds = []string{r.GetRunnerId()}
	}
	all, err := c.listClasses(ctx, filter)
	if err != nil {
		return nil, nil, err
	}
	names := c.runnerNames(ctx)
	class, err := pick("class", a.Class, all,
		func(class *gitpodv1.EnvironmentClass) bool { return class.GetDisplayName() == a.Class },
		func(class *gitpodv1.EnvironmentClass) string {
			return fmt.Sprintf("%s  on %s, %s", class.GetId(), names(class.GetRunnerId()), ability(class))
		})
	return c, class, err
}

func (c *Client) getClass(ctx context.Context, id string) (*gitpodv1.EnvironmentClass, error) {
	resp, err := c.Configuration.GetEnvironmentClass(ctx, connect.NewRequest(&gitpodv1.GetEnvironmentClassRequest{EnvironmentClassId: id}))
	if err != nil {
		return nil, err
	}
	return resp.Msg.GetEnvironmentClass(), nil
}

// listClasses returns the classes that the filter selects, oldest first.
func (c *Client) listClasses(ctx context.Context, filter *gitpodv1.ListEnvironmentClassesRequest_Filter) ([]*gitpodv1.EnvironmentClass, error) {
	return pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.EnvironmentClass, *gitpodv1.PaginationResponse, error) {
		resp, err := c.Configuration.ListEnvironmentClasses(ctx, connect.NewRequest(&gitpodv1.ListEnvironmentClassesRequest{Pagination: p, Filter: filter}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetEnvironmentClasses(), resp.Msg.GetPagination(), nil
	})
}

func ability(c *gitpodv1.EnvironmentClass) string {
	if c.GetEnabled() {
		return "enabled"
	}
	return "disabled"
}

// settingsText is a class's settings on one line, sorted.
func settingsText(values []*gitpodv1.FieldValue) string {
	pairs := make([]string, len(values))
	for i, v := range values {
		pairs[i] = v.GetKey() + "=" + v.GetValue()
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ", ")
}

// ClassList lists environment classes.
type ClassList struct {
	Runner   []string `placeholder:"RUNNER" help:"Only classes of this runner, by name or id. May be repeated."`
	Enabled  bool     `xor:"enabled" help:"Only classes that are enabled."`
	Disabled bool     `xor:"enabled" help:"Only classes that are disabled."`
	Usable   bool     `help:"Only classes of which you can make environments: enabled, on a runner that you may use."`
	Output
	Remote
}

// Run runs the command.
func (cmd *ClassList) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	filter := &gitpodv1.ListEnvironmentClassesRequest_Filter{}
	if filter.RunnerIds, err = c.runnerIDs(ctx, cmd.Runner); err != nil {
		return err
	}
	if cmd.Enabled || cmd.Disabled {
		filter.Enabled = &cmd.Enabled
	}
	if cmd.Usable {
		filter.CanCreateEnvironments = &cmd.Usable
	}
	classes, err := c.listClasses(ctx, filter)
	if err != nil {
		return err
	}
	return many(cmd.Output, env, classes, func() error {
		if len(classes) == 0 {
			return cmd.none(ctx, c, env)
		}
		names := c.runnerNames(ctx)
		t := out.NewTable("NAME", "ID", "RUNNER", "STATE", "SETTINGS")
		for _, class := range classes {
			t.Row(class.GetDisplayName(), class.GetId(), names(class.GetRunnerId()), ability(class), settingsText(class.GetConfiguration()))
		}
		return t.Write(env.Stdout)
	})
}

func (cmd *ClassList) none(ctx context.Context, c *Client, env *Env) error {
	if len(cmd.Runner) > 0 || cmd.Enabled || cmd.Disabled || cmd.Usable {
		_, err := fmt.Fprintln(env.Stdout, "No environment class is like that. See all: muster class list")
		return err
	}
	return c.empty(ctx, "environment classes", access.ConfigurationWrite, "muster class create NAME --runner RUNNER --description TEXT")
}

// ClassGet shows one environment class.
type ClassGet struct {
	ClassArg
	Output
}

// Run runs the command.
func (cmd *ClassGet) Run(ctx context.Context, env *Env) error {
	c, class, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	return cmd.one(env, class, func() error {
		return out.Fields(env.Stdout,
			"Name", class.GetDisplayName(),
			"ID", class.GetId(),
			"Runner", c.runnerNames(ctx)(class.GetRunnerId()),
			"State", ability(class),
			"Description", class.GetDescription(),
			"Settings", settingsText(class.GetConfiguration()),
		)
	})
}

// ClassCreate adds an environment class to a runner.
type ClassCreate struct {
	Name        string            `arg:"" help:"Display name, 3 to 127 characters. It need not be unique."`
	Runner      string            `required:"" placeholder:"RUNNER" help:"Runner that it belongs to, by name or id."`
	Description string            `required:"" placeholder:"TEXT" help:"What it is good for, 3 to 200 characters."`
	Set         map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"A setting. May be repeated. It cannot be changed later; \"muster runner schema\" shows what there is."`
	DryRun      bool              `help:"Only check it against what the runner understands."`
	Output
	Remote
}

// Run runs the command.
func (cmd *ClassCreate) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	var configuration []*gitpodv1.FieldValue
	for _, key := range slices.Sorted(maps.Keys(cmd.Set)) {
		configuration = append(configuration, &gitpodv1.FieldValue{Key: key, Value: cmd.Set[key]})
	}
	unchecked := c.takesAnySettings(ctx, r)
	if cmd.DryRun {
		return cmd.check(ctx, env, c, r, configuration, unchecked)
	}
	resp, err := c.Configuration.CreateEnvironmentClass(ctx, connect.NewRequest(&gitpodv1.CreateEnvironmentClassRequest{
		RunnerId: r.GetRunnerId(), DisplayName: cmd.Name, Description: cmd.Description, Configuration: configuration,
	}))
	if err != nil {
		return err
	}
	if unchecked {
		sayUnchecked(env)
	}
	return cmd.one(env, resp.Msg, func() error {
		return out.Fields(env.Stdout, "Name", cmd.Name, "ID", resp.Msg.GetId(), "Runner", r.GetName())
	})
}

// takesAnySettings tells whether a runner says nothing of settings for classes,
// so that theirs cannot be checked. It is for show only.
func (c *Client) takesAnySettings(ctx context.Context, r *gitpodv1.Runner) bool {
	resp, err := c.Configuration.GetRunnerConfigurationSchema(ctx, connect.NewRequest(&gitpodv1.GetRunnerConfigurationSchemaRequest{RunnerId: r.GetRunnerId()}))
	return err == nil && len(resp.Msg.GetSchema().GetEnvironmentClasses()) == 0
}

func sayUnchecked(env *Env) {
	fmt.Fprintln(env.Stderr, "The runner publishes no settings for classes, so the settings were not checked.")
}

// check asks what the runner's schema has against the class.
func (cmd *ClassCreate) check(ctx context.Context, env *Env, c *Client, r *gitpodv1.Runner, configuration []*gitpodv1.FieldValue, unchecked bool) error {
	resp, err := c.Configuration.ValidateRunnerConfiguration(ctx, connect.NewRequest(&gitpodv1.ValidateRunnerConfigurationRequest{
		RunnerId: r.GetRunnerId(),
		Config: &gitpodv1.ValidateRunnerConfigurationRequest_EnvironmentClass{EnvironmentClass: &gitpodv1.EnvironmentClass{
			DisplayName: cmd.Name, Description: cmd.Description, Configuration: configuration,
		}},
	}))
	if err != nil {
		return err
	}
	result := resp.Msg.GetEnvironmentClass()
	if err := cmd.one(env, resp.Msg, func() error {
		if !result.GetValid() {
			return nil
		}
		if unchecked {
			sayUnchecked(env)
		}
		_, err := fmt.Fprintf(env.Stdout, "The class %q would be valid on %q. Nothing was made.\n", cmd.Name, r.GetName())
		return err
	}); err != nil || result.GetValid() {
		return err
	}
	problems := []string{fmt.Sprintf("the class %q is not valid on %q:", cmd.Name, r.GetName())}
	if result.DisplayNameError != nil {
		problems = append(problems, "the name "+result.GetDisplayNameError())
	}
	if result.DescriptionError != nil {
		problems = append(problems, "the description "+result.GetDescriptionError())
	}
	for _, e := range result.GetConfigurationErrors() {
		problems = append(problems, fmt.Sprintf("%q %s", e.GetKey(), e.GetError()))
	}
	return fmt.Errorf("%s", strings.Join(problems, "\n  "))
}

// ClassUpdate renames or describes an environment class.
type ClassUpdate struct {
	ClassArg
	Name        *string `placeholder:"NAME" help:"New display name."`
	Description *string `placeholder:"TEXT" help:"New description."`
}

// Run runs the command.
func (cmd *ClassUpdate) Run(ctx context.Context, env *Env) error {
	if cmd.Name == nil && cmd.Description == nil {
		return usagef("nothing to change: give --name or --description")
	}
	c, class, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	if cmd.Name != nil {
		class.DisplayName = *cmd.Name
	}
	return c.updateClass(ctx, env, class, "updated", &gitpodv1.UpdateEnvironmentClassRequest{DisplayName: cmd.Name, Description: cmd.Description})
}

// updateClass changes a class and says so.
func (c *Client) updateClass(ctx context.Context, env *Env, class *gitpodv1.EnvironmentClass, done string, m *gitpodv1.UpdateEnvironmentClassRequest) error {
	m.EnvironmentClassId = class.GetId()
	if _, err := c.Configuration.UpdateEnvironmentClass(ctx, connect.NewRequest(m)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(env.Stdout, "The class %q is %s.\n", class.GetDisplayName(), done)
	return err
}

// ClassEnable allows new environments of a class.
type ClassEnable struct{ ClassArg }

// Run runs the command.
func (cmd *ClassEnable) Run(ctx context.Context, env *Env) error {
	return cmd.set(ctx, env, true, "enabled")
}

// ClassDisable allows no new environments of a class.
type ClassDisable struct{ ClassArg }

// Run runs the command.
func (cmd *ClassDisable) Run(ctx context.Context, env *Env) error {
	return cmd.set(ctx, env, false, "disabled")
}

func (a *ClassArg) set(ctx context.Context, env *Env, enabled bool, done string) error {
	c, class, err := a.find(ctx, env)
	if err != nil {
		return err
	}
	return c.updateClass(ctx, env, class, done, &gitpodv1.UpdateEnvironmentClassRequest{Enabled: &enabled})
}
