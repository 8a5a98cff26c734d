package cli

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/cli/out"
)

// RunnerCommands are the verbs of the noun runner.
type RunnerCommands struct {
	List          RunnerList          `cmd:"" help:"List runners."`
	Get           RunnerGet           `cmd:"" help:"Show one runner with all that is known of it."`
	Create        RunnerCreate        `cmd:"" help:"Register a runner and print how to join it."`
	Update        RunnerUpdate        `cmd:"" help:"Change the name or the configuration of a runner."`
	Share         RunnerShare         `cmd:"" help:"Share a runner with a single member or service account."`
	Unshare       RunnerUnshare       `cmd:"" help:"Take back what share gave."`
	Delete        RunnerDelete        `cmd:"" help:"Delete a runner."`
	Token         RunnerToken         `cmd:"" help:"Make a new exchange token for a runner that lost its identity."`
	Logs          RunnerLogs          `cmd:"" help:"Print the logs of a connected runner."`
	Watch         RunnerWatch         `cmd:"" help:"Print what happens to runners, as it happens."`
	Wait          RunnerWait          `cmd:"" help:"Wait until a runner is in a phase."`
	Keys          RunnerKeys          `cmd:"" help:"Show the public keys of a runner, approve a new one, or check its secrets."`
	Schema        RunnerSchema        `cmd:"" help:"Show the settings and the source code hosts that a runner understands."`
	Tokens        RunnerTokens        `cmd:"" help:"The tokens that runners hold: list, expire, rotate."`
	SupportBundle RunnerSupportBundle `cmd:"" help:"Download the support bundle of a connected runner."`
}

// RunnerArg names a runner on the command line.
type RunnerArg struct {
	Runner string `arg:"" name:"runner" help:"Name or id of the runner."`
}

// RunnerList lists runners.
type RunnerList struct {
	Provider []string `enum:"aws-ec2,linux-host,desktop-mac,managed,gcp,dev-agent" placeholder:"PROVIDER" help:"Only runners on this platform: aws-ec2, linux-host, desktop-mac, managed, gcp or dev-agent. May be repeated."`
	Watch    bool     `short:"w" help:"Go on printing runners as they change, until interrupted."`
	Output
	Remote
}

// Run runs the command.
func (cmd *RunnerList) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	filter := &gitpodv1.ListRunnersRequest_Filter{}
	for _, p := range cmd.Provider {
		filter.Providers = append(filter.Providers, number[gitpodv1.RunnerProvider](gitpodv1.RunnerProvider_value, prefixProvider, p))
	}
	if cmd.Watch {
		return cmd.watch(ctx, c, env, filter)
	}
	runners, err := c.ListRunners(ctx, filter)
	if err != nil {
		return err
	}
	return many(cmd.Output, env, runners, func() error {
		if len(runners) == 0 {
			return c.noRunners(ctx, len(filter.Providers) > 0)
		}
		t := runnerTable()
		for _, r := range runners {
			addRunner(t, env, r)
		}
		return t.Write(env.Stdout)
	})
}

// watch prints the list, and then every runner that changed.
func (cmd *RunnerList) watch(ctx context.Context, c *Client, env *Env, filter *gitpodv1.ListRunnersRequest_Filter) error {
	t := runnerTable()
	show := func(r *gitpodv1.Runner) error {
		if cmd.Output.Output == out.FormatTable {
			addRunner(t, env, r)
			return nil
		}
		return out.Stream(env.Stdout, cmd.Output.Output, out.Part{Name: "runner", Message: r})
	}
	flush := func() error {
		if cmd.Output.Output == out.FormatTable {
			return t.Write(env.Stdout)
		}
		return nil
	}
	return c.watchRunners(ctx, watch{
		filter: filter,
		listed: func(runners []*gitpodv1.Runner) error {
			for _, r := range runners {
				if err := show(r); err != nil {
					return err
				}
			}
			return flush()
		},
		changed: func(ch change) error {
			if err := show(ch.runner); err != nil {
				return err
			}
			return flush()
		},
	})
}

func (c *Client) noRunners(ctx context.Context, filtered bool) error {
	if filtered {
		_, err := fmt.Fprintln(c.env.Stdout, "No runner is on this platform. See all: muster runner list")
		return err
	}
	return c.empty(ctx, "runners", access.RunnerCreate, "muster runner create NAME")
}

func runnerTable() *out.Table {
	return out.NewTable("NAME", "ID", "PHASE", "PROVIDER", "REGION", "VERSION", "AGE", "MESSAGE")
}

func addRunner(t *out.Table, env *Env, r *gitpodv1.Runner) {
	t.Row(
		r.GetName(),
		r.GetRunnerId(),
		phaseName(r.GetStatus().GetPhase()),
		short(prefixProvider, r.GetProvider()),
		region(r),
		r.GetStatus().GetVersion(),
		out.Age(env.Now(), r.GetCreatedAt()),
		r.GetStatus().GetMessage(),
	)
}

// region is where a runner says that it is, and until it has said so, where it
// was asked to be.
func region(r *gitpodv1.Runner) string {
	if s := r.GetStatus().GetRegion(); s != "" {
		return s
	}
	return r.GetSpec().GetConfiguration().GetRegion()
}

// RunnerGet shows one runner.
type RunnerGet struct {
	RunnerArg
	Output
	Remote
}

// Run runs the command.
func (cmd *RunnerGet) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	return cmd.one(env, r, func() error { return c.describeRunner(ctx, r) })
}

func (c *Client) describeRunner(ctx context.Context, r *gitpodv1.Runner) error {
	now := c.env.Now()
	status, conf := r.GetStatus(), r.GetSpec().GetConfiguration()
	capabilities := make([]string, len(status.GetCapabilities()))
	for i, a := range status.GetCapabilities() {
		capabilities[i] = short(prefixAbility, a)
	}
	gateway := ""
	if g := status.GetGatewayInfo(); g != nil {
		gateway = fmt.Sprintf("%s (%s)", g.GetGateway().GetName(), g.GetLatency().AsDuration())
	}
	fields := []string{
		"Name", r.GetName(),
		"ID", r.GetRunnerId(),
		"Phase", phaseName(status.GetPhase()),
		"Message", status.GetMessage(),
		"Provider", short(prefixProvider, r.GetProvider()),
		"Kind", short(prefixKind, r.GetKind()),
		"Region", region(r),
		"Version", status.GetVersion(),
		"System", status.GetSystemDetails(),
		"Capabilities", strings.Join(capabilities, ", "),
		"Gateway", gateway,
		"Public key", base64.StdEncoding.EncodeToString(status.GetPublicKey()),
		"Created", out.Time(now, r.GetCreatedAt()),
		"Creator", c.namesOf(ctx, r.GetCreator()).subjectName(r.GetCreator()),
		"Changed", out.Time(now, r.GetUpdatedAt()),
		"Status changed", out.Time(now, status.GetUpdatedAt()),
	}
	for _, info := range status.GetAdditionalInfo() {
		fields = append(fields, out.Clean(info.GetKey()), info.GetValue())
	}
	fields = append(fields,
		"Release channel", short(prefixChannel, conf.GetReleaseChannel()),
		"Auto-update", yesNo(conf.GetAutoUpdate()),
		"Update window", windowText(conf.GetUpdateWindow()),
		"Log level", short(prefixLogLevel, conf.GetLogLevel()),
		"Image cache", yesNo(conf.GetDevcontainerImageCacheEnabled()),
		"Profiling", yesNo(conf.GetContinuousProfiling()),
		"Metrics", metricsText(conf.GetMetrics()),
		"Honeycomb", map[bool]string{true: "key set"}[len(conf.GetEncryptedHoneycombApiKey()) > 0],
	)
	return out.Fields(c.env.Stdout, fields...)
}

func yesNo(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func metricsText(m *gitpodv1.MetricsConfiguration) string {
	if !m.GetEnabled() && !m.GetManagedMetricsEnabled() {
		return "off"
	}
	var parts []string
	if m.GetEnabled() {
		parts = append(parts, "to "+m.GetUrl())
	}
	if m.GetUsername() != "" {
		parts = append(parts, "as "+m.GetUsername())
	}
	if m.GetManagedMetricsEnabled() {
		parts = append(parts, "managed")
	}
	if m.GetIncludeVerboseMetrics() {
		parts = append(parts, "verbose")
	}
	return strings.Join(parts, ", ")
}
