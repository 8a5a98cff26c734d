package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// RunnerWatch prints events.
type RunnerWatch struct {
	Runner string `arg:"" optional:"" name:"runner" help:"Name or id of the runner; all of them without it."`
	Output
	Remote
}

// Run runs the command.
func (cmd *RunnerWatch) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	id := ""
	if cmd.Runner != "" {
		r, err := c.FindRunner(ctx, cmd.Runner)
		if err != nil {
			return err
		}
		id = r.GetRunnerId()
	}
	t := out.NewTable("TIME", "EVENT", "NAME", "ID", "PHASE", "MESSAGE")
	row := func(ch change) []string {
		return []string{
			env.Now().Format(time.TimeOnly), short(prefixOperation, ch.operation), ch.runner.GetName(), ch.runner.GetRunnerId(),
			phaseName(ch.runner.GetStatus().GetPhase()), ch.runner.GetStatus().GetMessage(),
		}
	}
	return c.watchRunners(ctx, watch{
		id: id,
		listed: func(runners []*gitpodv1.Runner) error {
			fmt.Fprintf(env.Stderr, "Watching %s.\n", count(len(runners), "runner"))
			if cmd.Output.Output != out.FormatTable {
				return nil
			}
			// The rows come one by one, so the columns are made wide enough now.
			widest := &gitpodv1.Runner{RunnerId: anyID, Status: &gitpodv1.RunnerStatus{Phase: gitpodv1.RunnerPhase_RUNNER_PHASE_DEGRADED}}
			for _, r := range append(runners, widest) {
				t.Reserve(row(change{gitpodv1.ResourceOperation_RESOURCE_OPERATION_UPDATE_STATUS, r})...)
			}
			return t.Write(env.Stdout)
		},
		changed: func(ch change) error {
			if cmd.Output.Output == out.FormatTable {
				t.Row(row(ch)...)
				return t.Write(env.Stdout)
			}
			event := &gitpodv1.WatchEventsResponse{
				Operation:    ch.operation,
				ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER,
				ResourceId:   ch.runner.GetRunnerId(),
			}
			return out.Stream(env.Stdout, cmd.Output.Output, out.Part{Name: "event", Message: event}, out.Part{Name: "runner", Message: ch.runner})
		},
	})
}

// anyID is as wide as every id.
const anyID = "00000000-0000-0000-0000-000000000000"

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// RunnerWait waits for a phase.
type RunnerWait struct {
	RunnerArg
	For     anyCase       `enum:"active,degraded,connected,inactive,deleted" default:"active" placeholder:"STATE" help:"What to wait for: active (the default), degraded, connected (one of the two), inactive or deleted."`
	Timeout time.Duration `default:"5m" help:"Give up after this long; 0 never does."`
	Remote
}

// Help adds to the help of the command.
func (*RunnerWait) Help() string {
	return `Exits with 0 when the runner is there, and with 1 when the time is up.`
}

// anyCase is a word that may be typed in any case.
type anyCase string

// UnmarshalText reads a word.
func (w *anyCase) UnmarshalText(text []byte) error {
	*w = anyCase(strings.ToLower(string(text)))
	return nil
}

// Run runs the command.
func (cmd *RunnerWait) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	// A deadline would travel to the control plane, which would end the stream
	// before we do.
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	if cmd.Timeout > 0 {
		defer time.AfterFunc(cmd.Timeout, cancel).Stop()
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if isMissing(err) && cmd.For == "deleted" {
		_, err := fmt.Fprintf(env.Stdout, "There is no runner %q.\n", cmd.Runner)
		return err
	}
	if err != nil {
		return err
	}
	last := r
	reached, err := c.WaitRunner(limited, r.GetRunnerId(), func(r *gitpodv1.Runner) bool {
		if reached(string(cmd.For), r) {
			return true
		}
		last = r
		fmt.Fprintf(env.Stderr, "Runner %q is %s.\n", r.GetName(), State(r))
		return false
	})
	switch {
	case err == nil:
		_, err = fmt.Fprintf(env.Stdout, "Runner %q is %s.\n", r.GetName(), State(reached))
		return err
	case limited.Err() != nil && ctx.Err() == nil:
		return fmt.Errorf("after %s runner %q is not %s but %s", cmd.Timeout, r.GetName(), cmd.For, State(last))
	default:
		return err
	}
}

func reached(target string, r *gitpodv1.Runner) bool {
	switch p := r.GetStatus().GetPhase(); target {
	case "active":
		return p == gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE
	case "degraded":
		return p == gitpodv1.RunnerPhase_RUNNER_PHASE_DEGRADED
	case "connected":
		return Connected(r)
	case "inactive":
		return p == gitpodv1.RunnerPhase_RUNNER_PHASE_INACTIVE
	default:
		return p == gitpodv1.RunnerPhase_RUNNER_PHASE_DELETED
	}
}

// State is the phase of a runner, and why.
func State(r *gitpodv1.Runner) string {
	if m := r.GetStatus().GetMessage(); m != "" {
		return phaseName(r.GetStatus().GetPhase()) + " (" + out.Clean(m) + ")"
	}
	return phaseName(r.GetStatus().GetPhase())
}

// Connected tells whether a runner is connected, well or not.
func Connected(r *gitpodv1.Runner) bool {
	p := r.GetStatus().GetPhase()
	return p == gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE || p == gitpodv1.RunnerPhase_RUNNER_PHASE_DEGRADED
}

// errThere ends the watch of WaitRunner.
var errThere = errors.New("the wait is over")

// WaitRunner follows a runner until there is true for it, and returns it. A
// runner that is deleted meanwhile is in the phase DELETED, and an error unless
// there is true for that.
func (c *Client) WaitRunner(ctx context.Context, id string, there func(*gitpodv1.Runner) bool) (*gitpodv1.Runner, error) {
	var last *gitpodv1.Runner
	check := func(r *gitpodv1.Runner) error {
		last = r
		switch {
		case there(r):
			return errThere
		case r.GetStatus().GetPhase() == gitpodv1.RunnerPhase_RUNNER_PHASE_DELETED:
			return &missing{fmt.Sprintf("runner %q was deleted", r.GetName())}
		}
		return nil
	}
	err := c.watchRunners(ctx, watch{
		id: id,
		listed: func(runners []*gitpodv1.Runner) error {
			if len(runners) == 0 {
				return check(deleted(&gitpodv1.Runner{RunnerId: id, Name: id}).runner)
			}
			return check(runners[0])
		},
		changed: func(ch change) error { return check(ch.runner) },
	})
	switch {
	case errors.Is(err, errThere):
		return last, nil
	case err != nil:
		return nil, err
	default:
		return nil, ctx.Err()
	}
}
