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
}

// adminReset lets in again who has lost every admin's token.
type adminReset struct {
	DataDir      string   `env:"MUSTER_DATA_DIR" placeholder:"DIR" help:"Data directory of the control plane. Without it: that of the nearest \"muster dev\", here or above."`
	DatabaseURL  string   `name:"database-url" env:"MUSTER_DATABASE_URL" placeholder:"URL" help:"PostgreSQL database of the control plane, when it uses one. Prefer the environment variable when it holds a password."`
	Organization string   `placeholder:"ORGANIZATION" help:"Name or id of the organization; the first one by default."`
	Logs         logFlags `embed:"" prefix:"log-" set:"level=warn"`
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
	if cmd.DataDir == "" && cmd.DatabaseURL == "" {
		dev, ok := cli.FindDev(env)
		if !ok {
			return cli.Usagef("say which control plane: --data-dir, or --database-url for one with PostgreSQL; there is no %s of a \"muster dev\" here or above", cli.DevDir)
		}
		cmd.DataDir = filepath.Join(dev, devPlane)
	}
	handler, _ := cmd.Logs.handler(env.Stderr)
	log := slog.New(handler)
	made, err := app.ResetAdmin(ctx, app.Config{DataDir: cmd.DataDir, DatabaseURL: cmd.DatabaseURL, Logger: log}, cmd.Organization)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		log.Debug("stopped by an error", "error", err)
		return errors.New(f.Message)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stderr, "A token for %s (%s), an admin of %q. It is shown this once; keep it like a password:\n", made.Name, made.Email, made.Organization)
	_, err = fmt.Fprintln(env.Stdout, made.Token)
	return err
}
