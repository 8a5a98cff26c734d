package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/musterhq/muster/internal/cli/manifest"
)

// Apply makes the configuration plane what a file says.
type Apply struct {
	File    string `short:"f" required:"" placeholder:"FILE" help:"The file; \"-\" is the standard input."`
	DryRun  bool   `help:"Print the plan and change nothing."`
	Prune   bool   `help:"Delete what the file does not have. Without it that is kept."`
	Secrets bool   `help:"Set the secrets that the file names on what exists, too."`
	Yes     bool   `short:"y" help:"Do not ask. Without a terminal nothing is asked anyway."`
	Remote
}

// Run runs the command.
func (cmd *Apply) Run(ctx context.Context, env *Env) error {
	want, err := cmd.read(env)
	if err != nil {
		return err
	}
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	have, err := c.gather(ctx)
	if err != nil {
		return err
	}
	plan, err := manifest.NewPlan(have, want, manifest.Options{Prune: cmd.Prune, Secrets: cmd.Secrets})
	if err != nil {
		return err
	}
	a, err := c.applier(ctx, have)
	if err != nil {
		return err
	}
	if err := a.check(plan); err != nil {
		return err
	}
	if err := printPlan(env.Stdout, plan); err != nil || len(plan.Steps) == 0 || cmd.DryRun {
		return err
	}
	if !cmd.Yes {
		if err := confirm(ctx, env, "Apply this plan?"); err != nil {
			return err
		}
	}
	for i, s := range plan.Steps {
		if err := a.do(ctx, s); err != nil {
			fmt.Fprintf(env.Stderr, "%d of %d steps were done; apply the file again to go on.\n", i, len(plan.Steps))
			return fmt.Errorf("%s %s %q: %w", s.Verb, s.Kind, s.Name, err)
		}
		fmt.Fprintf(env.Stderr, "[%d/%d] %sd %s %q\n", i+1, len(plan.Steps), s.Verb, s.Kind, s.Name)
	}
	_, err = fmt.Fprintln(env.Stdout, "Done.")
	return err
}

func (cmd *Apply) read(env *Env) (*manifest.Manifest, error) {
	if cmd.File == "-" {
		return manifest.Read(env.Stdin)
	}
	f, err := os.Open(cmd.File)
	if err != nil {
		return nil, fmt.Errorf("the file cannot be read: %w", err)
	}
	defer func() { _ = f.Close() }()
	return manifest.Read(f)
}

var signs = map[manifest.Verb]string{manifest.Create: "+", manifest.Update: "~", manifest.Delete: "-"}

func printPlan(w io.Writer, p manifest.Plan) error {
	count := map[manifest.Verb]int{}
	var b strings.Builder
	for _, s := range p.Steps {
		count[s.Verb]++
		fmt.Fprintf(&b, "%s %s %q\n", signs[s.Verb], s.Kind, s.Name)
		for _, change := range s.Changes {
			fmt.Fprintf(&b, "    %s\n", change)
		}
	}
	for _, k := range p.Kept {
		fmt.Fprintf(&b, "  %s is not in the file and is kept; --prune deletes it\n", k)
	}
	if len(p.Steps) == 0 {
		b.WriteString("Nothing to do: everything is as the file says.\n")
	} else {
		fmt.Fprintf(&b, "Plan: %d to create, %d to update, %d to delete.\n", count[manifest.Create], count[manifest.Update], count[manifest.Delete])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// applier carries out plans.
type applier struct {
	*Client
	organization string
	// ids are those of groups, runners, and subjects, by "group NAME",
	// "runner NAME", and the name in the manifest.
	ids map[string]string
}

func (c *Client) applier(ctx context.Context, have *manifest.Manifest) (*applier, error) {
	me, err := c.me(ctx)
	if err != nil {
		return nil, err
	}
	a := &applier{Client: c, organization: me.GetOrganizationId(), ids: map[string]string{}}
	people, err := c.listMembers(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range people {
		a.ids[asUser+p.GetEmail()] = p.GetUserId()
	}
	for _, s := range have.ServiceAccounts {
		a.ids[asAccount+s.Name] = s.ID
	}
	for _, g := range have.Groups {
		a.ids["group "+g.Name] = g.ID
	}
	for _, r := range have.Runners {
		a.ids["runner "+r.Name] = r.ID
	}
	return a, nil
}

// check finds what would stop a plan halfway: subjects and groups that there
// are not, and secrets that are not set.
func (a *applier) check(p manifest.Plan) error {
	var problems []error
	coming := map[string]bool{}
	known := func(s manifest.Step, what string) {
		if a.ids[what] == "" && !coming[what] {
			problems = append(problems, fmt.Errorf("%s %q: there is no %s", s.Kind, s.Name, what))
		}
	}
	secret := func(s manifest.Step, from *manifest.Secret) {
		if _, err := valueOf(from); err != nil {
			problems = append(problems, fmt.Errorf("%s %q: %w", s.Kind, s.Name, err))
		}
	}
	for _, s := range p.Steps {
		switch w := s.Want.(type) {
		case manifest.ServiceAccount:
			coming[asAccount+w.Name] = true
		case manifest.Group:
			coming["group "+w.Name] = true
		case manifest.Member:
			known(s, w.Subject)
		case manifest.Policy:
			known(s, "group "+w.Group)
		case manifest.Share:
			known(s, w.With)
		case manifest.Runner:
			secret(s, w.MetricsPassword)
			secret(s, w.HoneycombAPIKey)
		case manifest.SCM:
			if w.OAuth != nil {
				secret(s, w.OAuth.ClientSecret)
			}
		case manifest.LLM:
			secret(s, w.APIKey)
		}
	}
	return errors.Join(problems...)
}

// valueOf reads a secret; empty when the file names none.
func valueOf(s *manifest.Secret) (string, error) {
	if s == nil {
		return "", nil
	}
	value := os.Getenv(s.Env)
	if value == "" {
		return "", fmt.Errorf("the environment variable %s, which the file names, is not set", s.Env)
	}
	return value, nil
}
