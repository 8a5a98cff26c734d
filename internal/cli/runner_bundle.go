package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
)

// RunnerSupportBundle downloads a support bundle.
type RunnerSupportBundle struct {
	RunnerArg
	File string `short:"o" name:"out" placeholder:"FILE" help:"Where to write it; - for the standard output. Without it: a file named after the runner, here."`
	Remote
}

// Help adds to the help of the command.
func (*RunnerSupportBundle) Help() string {
	return `The bundle is a tar.gz of the runner's logs, configuration and state,
without secrets. Read it before you hand it on.`
}

// Run runs the command.
func (cmd *RunnerSupportBundle) Run(ctx context.Context, env *Env) error {
	if cmd.File == "-" && IsTerminal(env.Stdout) {
		return usagef("the bundle is binary and not for a terminal: redirect it, or name a file with --out")
	}
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stderr, "Collecting the support bundle of runner %q.\n", r.GetName())
	body, err := c.openRunnerURL(ctx, r, "support bundle", r.GetStatus().GetSupportBundleUrl(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if cmd.File == "-" {
		if _, err := io.Copy(env.Stdout, body); err != nil {
			return fmt.Errorf("downloading the support bundle: %w", err)
		}
		return nil
	}
	path := cmd.File
	if path == "" {
		path = directoryName(r.GetName()) + "-support-bundle.tar.gz"
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(env.Dir, path)
	}
	n, err := writeFile(path, body)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "Wrote %s (%d bytes).\n", path, n)
	return err
}
