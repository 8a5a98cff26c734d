package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/manifest"
)

// Apply makes the configuration plane what a file says.
type Apply struct {
	File    string `short:"f" required:"" placeholder:"FILE" help:"The file; \"-\" is the standard input."`
	DryRun  bool   `help:"Print the plan and change nothing."`
	Prune   bool   `help:"Delete what the file does not have. Without it that is kept."`
	Secrets bool   `help:"Set the secrets that the file names on what exists, too."`
	Confirmation
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
	if cmd.Prune && (want.Partial || have.Partial) {
		return errors.New("--prune would delete what whoever wrote the file, or you, cannot see; both must be organization admins")
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
	// Without a terminal a plan that only adds and changes needs nobody's word.
	if IsTerminal(env.Stdin) || plan.Destroys() {
		if err := cmd.confirm(ctx, env, "Apply this plan?"); err != nil {
			return err
		}
	}
	return a.carryOut(ctx, env, plan.Steps)
}

// carryOut does one step after the other. What needs the key of a runner that
// has not joined is left for later, and the rest goes on.
func (a *applier) carryOut(ctx context.Context, env *Env, steps []manifest.Step) error {
	var waiting []manifest.Step
	for i, s := range steps {
		err := a.do(ctx, s)
		switch {
		case hasReason(err, "runner-has-no-key"):
			waiting = append(waiting, s)
			fmt.Fprintf(env.Stderr, "[%d/%d] %s %q waits until its runner has joined\n", i+1, len(steps), s.Kind, s.Name)
			continue
		case err != nil:
			fmt.Fprintf(env.Stderr, "[%d/%d] %s %s %q failed; what comes before it is done. Apply the file again to go on.\n", i+1, len(steps), s.Verb, s.Kind, s.Name)
			return err
		}
		fmt.Fprintf(env.Stderr, "[%d/%d] %sd %s %q\n", i+1, len(steps), s.Verb, s.Kind, s.Name)
	}
	if len(waiting) == 0 {
		_, err := fmt.Fprintln(env.Stdout, "Done.")
		return err
	}
	for _, s := range waiting {
		fmt.Fprintf(env.Stderr, "%s %q needs the key of its runner: join it (muster runner token %s), then apply the file again.\n", s.Kind, s.Name, quote(a.ids["runner "+s.Parent]))
	}
	return fmt.Errorf("all but %d of %d steps are done; those wait for runners that have not joined", len(waiting), len(steps))
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
		a.ids[asAccount+s.Key()] = s.ID
	}
	for _, g := range have.Groups {
		a.ids["group "+g.Name] = g.ID
	}
	for _, r := range have.Runners {
		a.ids["runner "+r.Key()] = r.ID
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
		for _, problem := range shape(s) {
			problems = append(problems, fmt.Errorf("%s %q: %s", s.Kind, s.Name, problem))
		}
		switch w := s.Want.(type) {
		case manifest.ServiceAccount:
			coming[asAccount+w.Key()] = true
		case manifest.Group:
			coming["group "+w.Name] = true
		case manifest.Member:
			known(s, w.Subject)
		case manifest.Policy:
			known(s, "group "+w.Group)
		case manifest.RunnerRole:
			known(s, "group "+w.Group)
		case manifest.GroupRole:
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
			for _, h := range w.Headers {
				secret(s, h.Value)
			}
		}
	}
	return errors.Join(problems...)
}

// shape says what the API would refuse of a new thing, as far as that can be
// seen in the file.
func shape(s manifest.Step) []string {
	var problems []string
	length := func(field, value string, least, most int) {
		if n := utf8.RuneCountInString(value); n < least || n > most {
			problems = append(problems, fmt.Sprintf("%s must have %d to %d characters, has %d", field, least, most, n))
		}
	}
	switch w := s.Want.(type) {
	case manifest.ServiceAccount:
		length("name", w.Name, 1, 64)
		length("description", w.Description, 0, 500)
		until, err := time.Parse(time.RFC3339, w.ValidUntil)
		if err != nil {
			problems = append(problems, fmt.Sprintf("validUntil must be a time such as 2030-01-01T00:00:00Z, is %q", w.ValidUntil))
		} else if s.Verb == manifest.Create && time.Now().After(until) {
			problems = append(problems, "validUntil is in the past")
		}
	case manifest.Group:
		length("name", w.Name, 3, 80)
		length("description", w.Description, 0, 255)
	case manifest.Runner:
		length("name", w.Name, 3, 127)
		if number[gitpodv1.RunnerProvider](gitpodv1.RunnerProvider_value, prefixProvider, w.Provider) == 0 {
			problems = append(problems, fmt.Sprintf("there is no provider %q; one is linux-host", w.Provider))
		}
	case manifest.Class:
		length("name", w.Name, 3, 127)
		length("description", w.Description, 3, 200)
	case manifest.SCM:
		if !w.PAT && w.OAuth == nil {
			problems = append(problems, "nobody could sign in: set pat, or oauth, or both")
		}
	case manifest.LLM:
		if len(w.Models) == 0 {
			problems = append(problems, "models must name at least one")
		}
	}
	return problems
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
