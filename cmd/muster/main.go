// Muster is a self-hosted control plane for runners, the runner itself, and the
// command line to both.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/musterhq/muster/internal/cli"
)

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version string

// commands is the whole command line.
type commands struct {
	Serve serve `cmd:"" group:"servers" help:"Run the control plane."`
	Join  join  `cmd:"" group:"servers" help:"Be a runner on this host."`
	Admin admin `cmd:"" group:"servers" help:"What only somebody on the control plane's host can do."`
	Dev   dev   `cmd:"" group:"servers" help:"Run a control plane with one runner, all here, to try things out."`
	cli.Commands
}

func main() {
	env, err := cli.OSEnv(cli.BuildVersion(version))
	if err != nil {
		fmt.Fprintln(os.Stderr, "muster:", err)
		os.Exit(1)
	}
	os.Exit(cli.Main(untilSignal(), &commands{}, env, os.Args[1:]))
}

// sameOrder is how long after a signal another one is still the same order to
// stop.
const sameOrder = 500 * time.Millisecond

// untilSignal returns a context that the first SIGINT or SIGTERM ends, so that
// the command stops in an orderly way. The second one ends the process. A
// terminal that is closed counts as a first one, unless nohup said otherwise.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals, hangup := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(hangup, syscall.SIGHUP)
	}
	go func() {
		select {
		case <-signals:
		case <-hangup:
		}
		cancel()
		// Who signals a process and its group means one order.
		for begun := time.Now(); time.Since(begun) < sameOrder; {
			<-signals
		}
		os.Exit(1)
	}()
	return ctx
}
