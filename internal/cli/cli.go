// Package cli is the command line of Muster: one file per noun.
//
// It talks to a control plane through the public API alone, and knows nothing
// of how the server or the runner work: the commands that run those (serve,
// join, dev) belong to the main package, which adds them to Commands.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// Groups of commands and flags in the help.
const (
	groupServers = "servers"
	groupNouns   = "nouns"
	groupClient  = "client"
	groupConnect = "connect"
)

// Env is the process around a command.
type Env struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Dir is the working directory; the search for .muster starts there.
	Dir string
	// Version is that of the program.
	Version string
	// Now is the clock that ages are counted by.
	Now func() time.Time
	// Pause waits between two attempts; it returns early, with an error, when ctx
	// ends.
	Pause func(ctx context.Context, d time.Duration) error

	// ends is when the token in use ends.
	ends tokenEnd
}

// OSEnv is the real process.
func OSEnv(version string) (*Env, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("finding the working directory: %w", err)
	}
	return &Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Dir: dir, Version: version, Now: time.Now, Pause: pause,
	}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Commands are the commands that talk to a control plane.
type Commands struct {
	Runner         RunnerCommands         `cmd:"" group:"nouns" help:"Runners: register, configure, watch, read logs."`
	Class          ClassCommands          `cmd:"" group:"nouns" help:"Environment classes: the kinds of environment that runners offer."`
	SCM            SCMCommands            `cmd:"" group:"nouns" name:"scm" help:"SCM integrations: which source code hosts runners talk to, and what is there."`
	Host           HostCommands           `cmd:"" group:"nouns" help:"Source code hosts: sign in, sign out."`
	HostToken      HostTokenCommands      `cmd:"" group:"nouns" help:"Host tokens: credentials for source code hosts."`
	LLM            LLMCommands            `cmd:"" group:"nouns" name:"llm" help:"LLM integrations: which language models a runner may use."`
	PAT            PATCommands            `cmd:"" group:"nouns" name:"pat" help:"Personal access tokens of your own."`
	Member         MemberCommands         `cmd:"" group:"nouns" help:"Members of the organization."`
	Group          GroupCommands          `cmd:"" group:"nouns" help:"Groups of members and service accounts."`
	Role           RoleCommands           `cmd:"" group:"nouns" help:"Roles of groups on runners, groups and the organization."`
	Policy         PolicyCommands         `cmd:"" group:"nouns" help:"Runner policies: which groups use or administer a runner."`
	Access         AccessCommands         `cmd:"" group:"nouns" help:"Explain who may do what, and why."`
	ServiceAccount ServiceAccountCommands `cmd:"" group:"nouns" help:"Service accounts: accounts of programs, and their tokens."`
	Org            OrgCommands            `cmd:"" group:"nouns" help:"Your organization; all of them, for whoever operates the control plane."`
	Export         Export                 `cmd:"" group:"nouns" help:"Write the whole configuration as YAML."`
	Apply          Apply                  `cmd:"" group:"nouns" help:"Make the configuration what a YAML file says."`
	Audit          AuditCommands          `cmd:"" group:"nouns" help:"The audit log: who did what; export and verify it."`
	Retention      RetentionCommands      `cmd:"" group:"nouns" help:"What is removed by age: stale runners, old audit entries."`
	Keys           KeysCommands           `cmd:"" group:"nouns" help:"Keys of the control plane itself, for whoever operates it."`
	IDToken        IDToken                `cmd:"" group:"client" name:"id-token" help:"Print a token that proves to others who you are (OpenID Connect)."`
	Login          Login                  `cmd:"" group:"client" help:"Remember a control plane and a token for it."`
	Whoami         Whoami                 `cmd:"" group:"client" help:"Show who you are to the control plane."`
	Version        Version                `cmd:"" group:"client" help:"Show the version of this program."`
}

const description = `Muster is a self-hosted control plane for runners.

Start one here with "muster dev". Exit status: 0 is success, 1 a failure, 2 a
command line that makes no sense.`

// New builds the parser for a grammar: a pointer to a struct that embeds
// Commands. helped is set to true when help was printed instead of parsing.
func New(grammar any, env *Env, helped *bool) (*kong.Kong, error) {
	return kong.New(
		grammar,
		kong.Name("muster"),
		kong.Description(description),
		kong.Writers(env.Stdout, env.Stderr),
		kong.Exit(func(int) { *helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{
			Compact: true, NoExpandSubcommands: true, NoAppDescFormat: true, FlagsLast: true, WrapUpperBound: 100,
		}),
		kong.ExplicitGroups([]kong.Group{
			{Key: groupServers, Title: "Run Muster:"},
			{Key: groupNouns, Title: "Manage a control plane:"},
			{Key: groupClient, Title: "This program:"},
			{Key: groupConnect, Title: "Control plane:"},
		}),
		kong.Bind(env),
		kong.Vars{"types": typesKept()},
	)
}

// Main parses the arguments, runs the command that they name and returns the
// exit code. It returns when the command does; ctx ends it early.
func Main(ctx context.Context, grammar any, env *Env, args []string) int {
	helped := false
	parser, err := New(grammar, env, &helped)
	if err != nil {
		fmt.Fprintf(env.Stderr, "muster: %v\n", err)
		return exitFailure
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if helped {
		return exitOK
	}
	if err != nil {
		return reportUsage(env, err)
	}
	command.BindTo(ctx, (*context.Context)(nil))
	err = command.Run()
	defer warnOfExpiry(env)
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(env.Stderr, "muster: %v\nSee \"muster %s --help\".\n", err, commandPath(command))
		return exitUsage
	default:
		report(ctx, env, err)
		return exitFailure
	}
}

// usageError is a mistake in the command line that the grammar cannot find.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usagef(format string, args ...any) error {
	return &usageError{message: fmt.Sprintf(format, args...)}
}

// Usagef is a mistake in the command line of a command that the main package
// adds.
func Usagef(format string, args ...any) error { return usagef(format, args...) }

// reportUsage explains an error of the parser.
func reportUsage(env *Env, err error) int {
	path := ""
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		path = commandPath(parse.Context)
	}
	if path != "" {
		path += " "
	}
	fmt.Fprintf(env.Stderr, "muster: %v\nSee \"muster %s--help\".\n", err, path)
	return exitUsage
}

// commandPath is the command that was chosen, without its arguments: "runner
// create".
func commandPath(c *kong.Context) string {
	path := ""
	for _, p := range c.Path {
		if p.Command == nil {
			continue
		}
		if path != "" {
			path += " "
		}
		path += p.Command.Name
	}
	return path
}
