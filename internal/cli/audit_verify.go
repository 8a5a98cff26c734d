package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/musterhq/muster/internal/audit/chain"
	"github.com/musterhq/muster/internal/cli/out"
)

// AuditVerify verifies an export of the audit log.
type AuditVerify struct {
	File       string `arg:"" help:"The export; - for the standard input."`
	Keys       string `placeholder:"FILE" help:"Public keys to trust: an earlier export, or one of the keys only."`
	Checkpoint string `placeholder:"FILE" help:"An earlier state to compare with: an earlier export, or its last checkpoint line."`
}

// Help adds to the help of the command.
func (*AuditVerify) Help() string {
	return `Asks no control plane: it computes the chain anew and checks every signature.
Says what that proves and what it does not, or names the first broken place
and fails.`
}

// Run runs the command.
func (cmd *AuditVerify) Run(env *Env) error {
	var o chain.Options
	if cmd.Keys != "" {
		saved, err := loadSaved(env, cmd.Keys)
		if err != nil {
			return err
		}
		if o.Keys = saved.Keys; len(o.Keys) == 0 {
			return fmt.Errorf("%s has no keys; \"muster audit export --keys-only\" writes them", cmd.Keys)
		}
	}
	if cmd.Checkpoint != "" {
		saved, err := loadSaved(env, cmd.Checkpoint)
		if err != nil {
			return err
		}
		o.Earlier = &saved
	}
	file, err := openExport(env, cmd.File)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	report, err := chain.Verify(file, o)
	if err != nil {
		return auditBroken(cmd.File, err)
	}
	return cmd.print(env.Stdout, report)
}

// openExport opens a file, or the standard input for "-".
func openExport(env *Env, path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(env.Stdin), nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(env.Dir, path)
	}
	return os.Open(path) //nolint:gosec // the user names it
}

func loadSaved(env *Env, path string) (chain.Saved, error) {
	file, err := openExport(env, path)
	if err != nil {
		return chain.Saved{}, err
	}
	defer func() { _ = file.Close() }()
	saved, err := chain.Load(file)
	if err != nil {
		return saved, auditBroken(path, err)
	}
	return saved, nil
}

// auditBroken tells where a file is broken, with the reason that has a page in
// the documentation.
func auditBroken(path string, err error) error {
	err = fmt.Errorf("%s: %w", path, err)
	var b *chain.Broken
	if !errors.As(err, &b) {
		return err
	}
	return &refusal{message: out.Clean(err.Error()), info: &errdetails.ErrorInfo{Reason: "audit-log-broken"}}
}

func (cmd *AuditVerify) print(to io.Writer, r chain.Report) error {
	if r.Checkpoints == 0 {
		return fmt.Errorf("%s has no entries, so it proves nothing: it is an export of the keys only, or somebody emptied it. Every audit log has at least an entry of how its organization was made", out.Clean(cmd.File))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "The audit log of organization %s is intact.\n\n", out.Clean(r.Organization))
	span := "none"
	if r.Entries > 0 {
		span = fmt.Sprintf("%d to %d, %s to %s", r.First, r.Last, micros(r.FirstAt), micros(r.LastAt))
	}
	err := out.Fields(
		&b,
		"Entries", span,
		"Signatures", fmt.Sprintf("%d, the last of %s", r.Checkpoints, micros(r.SignedAt)),
		"Signed with", strings.Join(r.Keys, ", "),
	)
	if err != nil {
		return err
	}
	proven := []string{"Every entry is in its place and as the holder of the keys signed it, and none between them is missing."}
	missing := []string{fmt.Sprintf("That nothing was written after entry %d: later exports have it.", max(r.Last, r.Floor))}
	if r.Floor > 0 {
		missing = append(missing, fmt.Sprintf("What the entries up to %d said: they were removed by age.", r.Floor))
	}
	if cmd.Keys != "" {
		proven = append(proven, "The holder of the keys is the control plane whose keys you gave.")
	} else {
		missing = append(missing, "That the holder of the keys is your control plane: the keys are from the same file. Give keys that you saved earlier with --keys.")
	}
	if cmd.Checkpoint != "" {
		proven = append(proven, fmt.Sprintf("History was not rewritten since the earlier export (checkpoints in common: %d).", r.Compared))
	} else {
		missing = append(missing, "That the holder of the keys did not rewrite history. Give an earlier export with --checkpoint.")
	}
	fmt.Fprintf(&b, "\nProven:\n  %s\nNot proven:\n  %s\n", strings.Join(proven, "\n  "), strings.Join(missing, "\n  "))
	_, err = io.WriteString(to, b.String())
	return err
}
