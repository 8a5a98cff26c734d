package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"

	"github.com/musterhq/muster/internal/cli"
	"github.com/musterhq/muster/internal/fault"
)

// logFlags say what a process logs, to the standard error. The command gives
// the usual level as the variable level.
type logFlags struct {
	Level  string `enum:"debug,info,warn,error" default:"${level}" env:"MUSTER_LOG_LEVEL" placeholder:"LEVEL" help:"Log from this level on: debug, info, warn or error; ${level} by default."`
	Format string `enum:"auto,text,json" default:"auto" env:"MUSTER_LOG_FORMAT" placeholder:"FORMAT" help:"text, json, or by default auto: text on a terminal and JSON elsewhere."`
}

// handler logs to w; the returned level can be changed while it does.
func (f *logFlags) handler(w io.Writer) (slog.Handler, *slog.LevelVar) {
	level := new(slog.LevelVar)
	// The grammar lets no other names pass.
	_ = level.UnmarshalText([]byte(f.Level))
	if f.Format == "text" || f.Format == "auto" && cli.IsTerminal(w) {
		return tint.NewTextHandler(w, &tint.Options{
			Level: level, TimeFormat: time.TimeOnly,
			NoColor: !cli.IsTerminal(w) || os.Getenv("NO_COLOR") != "",
		}), level
	}
	return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}), level
}

// explain makes the error of a server fit for a terminal: a fault shows its
// sentence, and its cause goes to the log.
func explain(log *slog.Logger, err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return err
	}
	if f.Unwrap() != nil {
		log.Error("stopped by an error", "error", err)
	}
	return errors.New(f.Message)
}
