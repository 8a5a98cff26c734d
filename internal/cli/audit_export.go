package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/audit/chain"
)

// AuditExport writes the audit log with its proof.
type AuditExport struct {
	File     string `short:"f" placeholder:"FILE" help:"Where to write it; without the flag, to the standard output."`
	KeysOnly bool   `help:"Write only the public keys, for the --keys of a later verification."`
	Remote
}

// Help adds to the help of the command.
func (*AuditExport) Help() string {
	return `Writes JSON lines: the public keys, and every entry with its place in the chain
and the signed checkpoints. "muster audit verify" reads them, now or in years.`
}

// Run runs the command.
func (cmd *AuditExport) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	e := &auditExport{client: c, keysOnly: cmd.KeysOnly, progress: IsTerminal(env.Stderr), known: map[string]bool{}}
	if cmd.File == "" {
		to := bufio.NewWriter(env.Stdout)
		err := e.write(ctx, to)
		return errors.Join(err, to.Flush())
	}
	path := cmd.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(env.Dir, path)
	}
	from, to := io.Pipe()
	go func() {
		buffered := bufio.NewWriter(to)
		err := e.write(ctx, buffered)
		_ = to.CloseWithError(errors.Join(err, buffered.Flush()))
	}()
	_, err = writeFile(path, from)
	_ = from.CloseWithError(errors.New("the file cannot be written"))
	return err
}

// auditExport is an export under way.
type auditExport struct {
	client   *Client
	keysOnly bool
	progress bool

	to    *chain.Writer
	known map[string]bool // keys that were written
	first int64
	last  int64
}

// write writes the whole export.
func (e *auditExport) write(ctx context.Context, to io.Writer) error {
	for {
		req := &adminv1.ExportAuditLogRequest{AfterSequence: e.last}
		if e.keysOnly {
			req.Limit = 1
		}
		resp, err := e.client.Audit.ExportAuditLog(ctx, connect.NewRequest(req))
		if err != nil {
			return err
		}
		if e.to == nil {
			if e.to, err = chain.NewWriter(to, resp.Msg.GetOrganizationId()); err != nil {
				return err
			}
		}
		if err := e.keys(resp.Msg.GetKeys()); err != nil {
			return err
		}
		if e.keysOnly {
			return e.to.Close()
		}
		if err := e.page(resp.Msg); err != nil {
			return err
		}
		if e.progress {
			fmt.Fprintf(e.client.env.Stderr, "\r%d entries", e.last)
		}
		if !resp.Msg.GetMore() {
			break
		}
	}
	if e.progress {
		fmt.Fprint(e.client.env.Stderr, "\r")
	}
	if e.last == 0 {
		fmt.Fprintln(e.client.env.Stderr, "The audit log has no entries.")
	} else {
		fmt.Fprintf(e.client.env.Stderr, "Exported the audit log, entries %d to %d.\n", e.first, e.last)
	}
	return e.to.Close()
}

func (e *auditExport) keys(keys []*adminv1.AuditKey) error {
	for _, k := range keys {
		if e.known[k.GetId()] {
			continue
		}
		e.known[k.GetId()] = true
		if err := e.to.Key(chain.Key{ID: k.GetId(), PublicKey: k.GetPublicKey()}); err != nil {
			return err
		}
	}
	return nil
}

// page writes the entries of one answer, each followed by its checkpoint.
func (e *auditExport) page(m *adminv1.ExportAuditLogResponse) error {
	checkpoints := m.GetCheckpoints()
	// upTo writes the checkpoints of the entries up to a sequence number.
	upTo := func(sequence int64) error {
		for len(checkpoints) > 0 && checkpoints[0].GetSequence() <= sequence {
			c, err := checkpoint(checkpoints[0])
			if err == nil {
				err = e.to.Checkpoint(c)
			}
			if err != nil {
				return err
			}
			checkpoints = checkpoints[1:]
		}
		return nil
	}
	if e.last > 0 && len(checkpoints) > 0 && checkpoints[0].GetFloor() {
		if checkpoints[0].GetSequence() > e.last {
			return errors.New("old entries were removed by age while the log was read; export it again")
		}
		checkpoints = checkpoints[1:]
	}
	for _, row := range m.GetEntries() {
		entry, err := chainEntry(row)
		if err != nil {
			return err
		}
		if e.first == 0 {
			e.first = entry.Sequence
		}
		if err := upTo(entry.Sequence - 1); err != nil {
			return err
		}
		if err := e.to.Entry(entry); err != nil {
			return err
		}
		e.last = entry.Sequence
	}
	if len(checkpoints) == 0 {
		return nil
	}
	return upTo(checkpoints[len(checkpoints)-1].GetSequence())
}

var errNotAHash = errors.New("the control plane sent a hash that is none")

func chainEntry(m *adminv1.ChainedEntry) (chain.Entry, error) {
	h, err := chainHash(m.GetHash())
	return chain.Entry{
		Sequence: m.GetSequence(), Hash: h, ID: m.GetId(), ActorPrincipal: int32(m.GetActor().GetPrincipal()), ActorID: m.GetActor().GetId(),
		SubjectType: int32(m.GetSubjectType()), SubjectID: m.GetSubjectId(), Action: m.GetAction(), Kind: int32(m.GetKind()),
		RequestID: m.GetRequestId(), CreatedAt: m.GetCreatedAtMicros(),
	}, err
}

func checkpoint(m *adminv1.AuditCheckpoint) (chain.Checkpoint, error) {
	h, err := chainHash(m.GetHash())
	return chain.Checkpoint{
		Sequence: m.GetSequence(), Hash: h, Floor: m.GetFloor(), SignedAt: m.GetSignedAt().AsTime().UnixMicro(), KeyID: m.GetKeyId(), Signature: m.GetSignature(),
	}, err
}

func chainHash(b []byte) (chain.Hash, error) {
	if len(b) != len(chain.Hash{}) {
		return chain.Hash{}, errNotAHash
	}
	return chain.Hash(b), nil
}

// micros is a time of an export for people.
func micros(t int64) string { return time.UnixMicro(t).UTC().Format("2006-01-02 15:04:05 UTC") }
