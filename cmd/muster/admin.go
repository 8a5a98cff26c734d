package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/musterhq/muster/internal/app"
	"github.com/musterhq/muster/internal/cli"
	"github.com/musterhq/muster/internal/fault"
)

// admin has what only somebody on the control plane's host can do.
type admin struct {
	Reset adminReset `cmd:"" help:"Make a new token for an admin and print it, this once."`
	Clock adminClock `cmd:"" help:"Look at the confirmed time, by which things are removed by age, and confirm it."`
}

// planeFlags say on which control plane's database a command works.
type planeFlags struct {
	DataDir     string   `env:"MUSTER_DATA_DIR" placeholder:"DIR" help:"Data directory of the control plane. Without it: that of the nearest \"muster dev\", here or above."`
	DatabaseURL string   `name:"database-url" env:"MUSTER_DATABASE_URL" placeholder:"URL" help:"PostgreSQL database of the control plane, when it uses one. Prefer the environment variable when it holds a password."`
	Logs        logFlags `embed:"" prefix:"log-" set:"level=warn"`
}

func (f planeFlags) config(env *cli.Env) (app.Config, error) {
	handler, _ := f.Logs.handler(env.Stderr)
	cfg := app.Config{DataDir: f.DataDir, DatabaseURL: f.DatabaseURL, Logger: slog.New(handler)}
	if cfg.DataDir == "" && cfg.DatabaseURL == "" {
		dev, ok := cli.FindDev(env)
		if !ok {
			return cfg, cli.Usagef("say which control plane: --data-dir, or --database-url for one with PostgreSQL; there is no %s of a \"muster dev\" here or above", cli.DevDir)
		}
		cfg.DataDir = filepath.Join(dev, devPlane)
	}
	return cfg, nil
}

// plainly is the text of an error alone.
func plainly(log *slog.Logger, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		log.Debug("stopped by an error", "error", err)
		return errors.New(f.Message)
	}
	return err
}

// adminReset lets in again who has lost every admin's token.
type adminReset struct {
	Plane        planeFlags `embed:""`
	Organization string     `placeholder:"ORGANIZATION" help:"Name or id of the organization; the first one by default."`
}

// Help adds to the help of the command.
func (*adminReset) Help() string {
	return `It works on the database itself: with SQLite, stop the control plane first. The
token is for the oldest active admin of the organization; when there is none,
the oldest suspended one is resumed, or a new one is made. It is valid for 90
days, and the audit log tells of it. Use the program of the version that serves.`
}

// Run runs the command.
func (cmd *adminReset) Run(ctx context.Context, env *cli.Env) error {
	cfg, err := cmd.Plane.config(env)
	if err != nil {
		return err
	}
	made, err := app.ResetAdmin(ctx, cfg, cmd.Organization)
	if err != nil {
		return plainly(cfg.Logger, err)
	}
	fmt.Fprintf(env.Stderr, "A token for %s (%s), an admin of %q. It is shown this once; keep it like a password:\n", made.Name, made.Email, made.Organization)
	_, err = fmt.Fprintln(env.Stdout, made.Token)
	return err
}
