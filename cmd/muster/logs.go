package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lmittmann/tint"

	"github.com/musterhq/muster/internal/cli"
	"github.com/musterhq/muster/internal/clock"
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
	level := f.level()
	return f.format(w, cli.IsTerminal(w), level), level
}

func (f *logFlags) level() *slog.LevelVar {
	level := new(slog.LevelVar)
	// The grammar lets no other names pass.
	_ = level.UnmarshalText([]byte(f.Level))
	return level
}

// lasting logs to the standard error like handler, for a process that outlives
// whoever reads its output: from here on a broken pipe is the error of a write, and no
// signal. stop writes what waits; what is said afterwards, such as why the process
// ends, does not wait long for a reader either.
func (f *logFlags) lasting(env *cli.Env) (h slog.Handler, level *slog.LevelVar, stop func()) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	w := env.Stderr
	terminal := cli.IsTerminal(w)
	o := newOutlet(w, func(lost int) []byte {
		var line bytes.Buffer
		slog.New(f.format(&line, terminal, slog.LevelError)).Error("lines of this log are lost: nobody read them, or there was no room", "lines", lost)
		return line.Bytes()
	})
	level = f.level()
	env.Stderr = lastWords{w}
	return f.format(o, terminal, level), level, o.Close
}

func (f *logFlags) format(w io.Writer, terminal bool, level slog.Leveler) slog.Handler {
	if f.Format == "text" || f.Format == "auto" && terminal {
		return tint.NewTextHandler(w, &tint.Options{
			Level: level, TimeFormat: time.TimeOnly, ReplaceAttr: clock.WithUnits, NoColor: !terminal || os.Getenv("NO_COLOR") != "",
		})
	}
	return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: clock.WithUnits})
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
