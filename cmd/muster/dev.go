package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/musterhq/muster/internal/agent"
	"github.com/musterhq/muster/internal/app"
	"github.com/musterhq/muster/internal/cli"
	"github.com/musterhq/muster/internal/fault"
)

// dev is a control plane and a runner in one process.
type dev struct {
	Listen string    `default:"127.0.0.1:7433" env:"MUSTER_LISTEN" placeholder:"ADDRESS" help:"Address to listen at; ${default} by default."`
	Hosts  hostFlags `embed:""`
	Logs   logFlags  `embed:"" prefix:"log-" set:"level=warn"`
}

// Help adds to the help of the command.
func (*dev) Help() string {
	return `Keeps everything in the directory .muster here: a second start goes on where the
first one stopped, and removing the directory forgets it all. The other commands
find this control plane by themselves when they are run here or below.`
}

// devPlane is the data directory of the control plane, in the state.
const devPlane = "control-plane"

// localName is the name of the runner that dev makes.
const localName = "local"

// Run runs the command.
func (cmd *dev) Run(ctx context.Context, env *cli.Env) error {
	terminal := cli.IsTerminal(env.Stdout)
	defer outlive(env)()
	handler, _, flushLog := cmd.Logs.lasting(env)
	defer flushLog()
	log := slog.New(handler)
	state, err := openState(env.Dir)
	if err != nil {
		return err
	}
	defer state.close()

	started := make(chan app.Started, 1)
	server := begin(ctx, func(ctx context.Context) error {
		return explain(log, app.Run(ctx, app.Config{
			DataDir: state.path(devPlane), Listen: cmd.Listen, BootstrapToken: state.bootstrap, Version: env.Version,
			Logger: log, Started: func(s app.Started) { started <- s },
		}))
	})
	// Leaving early stops it too, and waits.
	defer func() { _ = server.end() }()
	var url string
	select {
	case s := <-started:
		url = s.URL
	case <-server.ended:
		return server.err
	case <-ctx.Done():
		return server.end()
	}
	if err := state.setServer(url); err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "Muster is ready at %s\n", url)

	client, err := cli.NewClient(env, cli.Credentials{Server: url, Token: state.token})
	if err != nil {
		return err
	}
	runner, err := cmd.join(ctx, env, client, state, handler, !state.has("runner"))
	if err != nil {
		if ctx.Err() != nil {
			return server.end()
		}
		return err
	}
	defer func() { _ = runner.end() }()
	suggest(env, state, url, terminal)

	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-server.ended:
			return server.err
		case <-runner.ended:
			said := "The runner was deleted. The control plane goes on; another start makes a new runner."
			switch {
			case unaccepted(runner.err):
				fmt.Fprintln(env.Stdout, "\nThe runner's token was ended. It joins again with a new one.")
				again, err := cmd.join(ctx, env, client, state, handler, true)
				if err == nil {
					runner = again
					continue
				}
				said = fmt.Sprintf("The runner could not join again: %v. The control plane goes on; another start tries it once more.", err)
			case runner.err != nil:
				return explain(log, runner.err)
			}
			if ctx.Err() == nil {
				fmt.Fprintln(env.Stdout, "\n"+said)
				select {
				case <-ctx.Done():
				case <-server.ended:
				}
			}
			return server.end()
		}
	}
	return errors.Join(explain(log, runner.end()), server.end())
}

// unaccepted tells whether a runner ended because its token did.
func unaccepted(err error) bool {
	return fault.HasReason(err, fault.UnknownToken) || fault.HasReason(err, fault.ExpiredToken)
}

// join starts the runner and waits until it is connected. When its identity is
// lost, or not accepted any more, it gets another token.
func (cmd *dev) join(ctx context.Context, env *cli.Env, client *cli.Client, state *state, handler slog.Handler, lost bool) (*part, error) {
	known := state.runnerID()
	id, token, err := client.Enroll(ctx, known, localName, lost)
	if err != nil {
		return nil, err
	}
	if err := state.setRunnerID(id); err != nil {
		if id != known {
			_ = client.DeleteRunner(ctx, id) // the next start finds it if it stays
		}
		return nil, err
	}
	handler = handler.WithAttrs([]slog.Attr{slog.String("runner_name", localName)})
	runner := begin(ctx, func(ctx context.Context) error {
		return agent.Run(ctx, agent.Config{
			Server: client.Server, ExchangeToken: token, DataDir: state.path("runner"), Version: env.Version, LogHandler: handler,
			PrivateHosts: cmd.Hosts.Private, IssuerHosts: cmd.Hosts.Issuers,
		})
	})
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-runner.ended:
			cancel()
		case <-waiting.Done():
		}
	}()
	r, err := client.WaitRunner(waiting, id, cli.Connected)
	if err != nil {
		// A runner that failed is why the wait was given up.
		failed := runner.end()
		switch {
		case unaccepted(failed) && token == "" && ctx.Err() == nil:
			return cmd.join(ctx, env, client, state, handler, true)
		case failed != nil:
			return nil, explain(slog.New(handler), failed)
		}
		return nil, err
	}
	fmt.Fprintf(env.Stdout, "The runner %q is %s.\n", r.GetName(), cli.State(r))
	return runner, nil
}

// suggest says what to do next; every line works as it is. The token is for the eyes
// of somebody at a terminal only: elsewhere it would stay in a log.
func suggest(env *cli.Env, state *state, url string, terminal bool) {
	self, token := program(), "."
	if terminal {
		token = ": " + state.token
	}
	fmt.Fprintf(env.Stdout, `The admin's token is in %s%s

Try, from another terminal in this directory:

  %s runner list
  %s runner logs %s -f
  curl -H "Authorization: Bearer $(cat %s)" -H "Content-Type: application/json" -d '{}' %s/gitpod.v1.RunnerService/ListRunners

Ctrl-C stops all of it; another start goes on from here.
`,
		filepath.Join(cli.DevDir, cli.DevTokenFile), token, self, self, localName,
		filepath.Join(cli.DevDir, cli.DevTokenFile), url)
}

// program is how this program is called here.
func program() string {
	const name = "muster"
	found, err := exec.LookPath(name)
	if err != nil {
		return os.Args[0]
	}
	self, err := os.Executable()
	if err != nil {
		return name
	}
	a, errA := os.Stat(found)
	b, errB := os.Stat(self)
	if errA == nil && errB == nil && !os.SameFile(a, b) {
		return os.Args[0]
	}
	return name
}

// part is one of the servers in this process.
type part struct {
	stop  context.CancelFunc
	ended chan struct{}
	err   error // once ended is closed
}

// begin starts a part. It does not end with ctx, because parts end in order.
func begin(ctx context.Context, run func(context.Context) error) *part {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &part{stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.err = run(ctx)
	}()
	return p
}

// end asks the part to stop and waits until it has.
func (p *part) end() error {
	p.stop()
	<-p.ended
	return p.err
}
