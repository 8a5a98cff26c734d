package cli

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// RunnerUpdate changes a runner. Flags that are not given change nothing.
type RunnerUpdate struct {
	RunnerArg
	Name string `placeholder:"NAME" help:"New name, 3 to 127 characters."`
	Settings
	Metrics   MetricsFlags `embed:"" prefix:"metrics-"`
	NoMetrics bool         `help:"Stop sending metrics."`
	Honeycomb SecretFlags  `embed:"" prefix:"honeycomb-key-"`
	Output
	Remote
}

// MetricsFlags say where a runner sends its metrics.
type MetricsFlags struct {
	URL      *string     `name:"url" placeholder:"URL" help:"Send metrics to this remote-write URL; turns metrics on."`
	Username *string     `placeholder:"NAME" help:"User name for that URL."`
	Password SecretFlags `embed:"" prefix:"password-"`
	Managed  *bool       `negatable:"" help:"Send metrics to the managed service too."`
	Verbose  *bool       `negatable:"" help:"Include verbose metrics."`
}

// SecretFlags are the ways to give a secret: never as an argument, which others
// on the host can see.
type SecretFlags struct {
	File  string `placeholder:"FILE" help:"File with the secret; - for the standard input."`
	Env   string `placeholder:"VARIABLE" help:"Environment variable with the secret."`
	Clear bool   `help:"Forget the secret."`
}

// Help adds to the help of the command.
func (*RunnerUpdate) Help() string {
	return `Secrets are sealed to the runner's key; nobody can read them back.

For example, to set a password that a password manager prints:

    pass show metrics | muster runner update lab --metrics-url https://metrics.example.com/write --metrics-password-file -`
}

// Run runs the command.
func (cmd *RunnerUpdate) Run(ctx context.Context, env *Env) error {
	req, err := cmd.request(env)
	if err != nil {
		return err
	}
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	req.RunnerId = r.GetRunnerId()
	if _, err := c.Runners.UpdateRunner(ctx, connect.NewRequest(req)); err != nil {
		return err
	}
	r, err = c.GetRunner(ctx, r.GetRunnerId())
	if err != nil {
		return err
	}
	return cmd.one(env, r, func() error {
		_, err := fmt.Fprintf(env.Stdout, "Runner %q is updated.\n", r.GetName())
		return err
	})
}

// request is the change that the flags ask for, without the runner.
func (cmd *RunnerUpdate) request(env *Env) (*gitpodv1.UpdateRunnerRequest, error) {
	conf, err := cmd.change()
	if err != nil {
		return nil, err
	}
	if cmd.Metrics.Password.File == "-" && cmd.Honeycomb.File == "-" {
		return nil, usagef("only one secret can come from the standard input")
	}
	if conf.Metrics, err = cmd.metrics(env); err != nil {
		return nil, err
	}
	if conf.HoneycombApiKey, err = cmd.Honeycomb.read(env, "--honeycomb-key"); err != nil {
		return nil, err
	}
	req := &gitpodv1.UpdateRunnerRequest{}
	if cmd.Name != "" {
		req.Name = &cmd.Name
	}
	if proto.Size(conf) > 0 {
		req.Spec = &gitpodv1.UpdateRunnerRequest_Spec{Configuration: conf}
	}
	if req.Name == nil && req.Spec == nil {
		return nil, usagef("nothing to change: give at least one flag")
	}
	return req, nil
}

func (cmd *RunnerUpdate) metrics(env *Env) (*gitpodv1.UpdateRunnerRequest_MetricsConfiguration, error) {
	m := &gitpodv1.UpdateRunnerRequest_MetricsConfiguration{
		Url:                   cmd.Metrics.URL,
		Username:              cmd.Metrics.Username,
		ManagedMetricsEnabled: cmd.Metrics.Managed,
		IncludeVerboseMetrics: cmd.Metrics.Verbose,
	}
	switch {
	case cmd.NoMetrics && cmd.Metrics.URL != nil:
		return nil, usagef("--metrics-url and --no-metrics contradict each other")
	case cmd.NoMetrics:
		m.Enabled = proto.Bool(false)
	case cmd.Metrics.URL != nil:
		m.Enabled = proto.Bool(true)
	}
	var err error
	if m.Password, err = cmd.Metrics.Password.read(env, "--metrics-password"); err != nil {
		return nil, err
	}
	if proto.Size(m) == 0 {
		return nil, nil
	}
	return m, nil
}

// read returns the secret; nil when none was given, the empty one to clear it.
func (s SecretFlags) read(env *Env, flag string) (*string, error) {
	given := 0
	for _, set := range []bool{s.File != "", s.Env != "", s.Clear} {
		if set {
			given++
		}
	}
	if given > 1 {
		return nil, usagef("give only one of %s-file, %s-env and %s-clear", flag, flag, flag)
	}
	if s.Clear {
		return new(string), nil
	}
	secret, err := SecretSource{File: s.File, Env: s.Env}.take(env, flag)
	var empty *emptySecret
	if errors.As(err, &empty) {
		err = fmt.Errorf("%w; to forget the secret use %s-clear", err, flag)
	}
	return secret, err
}
