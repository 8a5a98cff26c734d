package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/musterhq/muster/internal/app"
	"github.com/musterhq/muster/internal/cli"
	"github.com/musterhq/muster/internal/confirmed"
)

// adminClock is about the confirmed time. It asks no control plane, since no token
// is valid on one whose clock is far ahead.
type adminClock struct {
	Show    clockShow    `cmd:"" help:"Compare this host's clock with the confirmed time."`
	Confirm clockConfirm `cmd:"" help:"Say that this host's clock is right."`
}

// Help adds to the help of the command.
func (*adminClock) Help() string {
	return `A control plane removes by age only what is old by the confirmed time, which moves
forward by running time. While the clock is more than an hour ahead of that time
or five minutes behind, nothing is removed, until they have agreed for a day of
running time. These commands work on the database itself, with or without a
control plane running. Use the program of the version that serves.`
}

type clockShow struct {
	Plane planeFlags `embed:""`
}

// Run runs the command.
func (cmd *clockShow) Run(ctx context.Context, env *cli.Env) error {
	cfg, err := cmd.Plane.config(env)
	if err != nil {
		return err
	}
	s, err := app.ShowClock(ctx, cfg)
	if err != nil {
		return plainly(cfg.Logger, err)
	}
	removal := "goes on"
	if s.Paused {
		removal = fmt.Sprintf("paused; goes on after %s of running time with a right clock, or when it is confirmed", s.Left.Round(time.Minute))
	}
	_, err = fmt.Fprintf(env.Stdout, "Confirmed time:  %s\nClock here:      %s (%s)\nRemoval by age:  %s\n",
		second(s.Confirmed), second(s.Clock), confirmed.Difference(s.Ahead), removal)
	if err != nil {
		return err
	}
	return listDoubted(env.Stdout, s.Credentials)
}

type clockConfirm struct {
	Plane planeFlags `embed:""`
}

// Help adds to the help of the command.
func (*clockConfirm) Help() string {
	return `The clock of this host becomes the confirmed time, and removal by age goes on at
once, or within a minute where a control plane is running. Look at "muster admin
clock show" first: what is removed then is gone.`
}

// Run runs the command.
func (cmd *clockConfirm) Run(ctx context.Context, env *cli.Env) error {
	cfg, err := cmd.Plane.config(env)
	if err != nil {
		return err
	}
	s, err := app.ConfirmClock(ctx, cfg)
	if err != nil {
		return plainly(cfg.Logger, err)
	}
	_, err = fmt.Fprintf(env.Stdout, "Confirmed: %s. It was %s.\n", second(s.Clock), second(s.Confirmed))
	if err != nil {
		return err
	}
	return listDoubted(env.Stdout, s.Credentials)
}

func second(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// listDoubted names what was made by a clock that was far off.
func listDoubted(w io.Writer, made []confirmed.Credential) error {
	if len(made) == 0 {
		return nil
	}
	text := "\nMade, or taken out of use, while the clock was far off; look at when they end:\n"
	for _, c := range made {
		text += fmt.Sprintf("  %s %s", c.Kind, c.ID)
		if c.Owner != "" {
			text += " of " + c.Owner
		}
		if c.Description != "" {
			text += fmt.Sprintf(" (%s)", c.Description)
		}
		text += ", " + second(c.MadeAt)
		if !c.EndsAt.IsZero() {
			text += " to " + second(c.EndsAt)
		}
		text += "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}
