package adminv1

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpod "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit/chain"
	"github.com/musterhq/muster/internal/auditlog"
)

// Audit serves AuditService.
type Audit struct{ Log *auditlog.Service }

// ExportAuditLog returns a part of the audit log with its proof.
func (s *Audit) ExportAuditLog(ctx context.Context, req *connect.Request[adminv1.ExportAuditLogRequest]) (*connect.Response[adminv1.ExportAuditLogResponse], error) {
	e, err := s.Log.Export(ctx, access.CallerOf(ctx), req.Msg.GetAfterSequence(), int(req.Msg.GetLimit()))
	if err != nil {
		return nil, err
	}
	out := &adminv1.ExportAuditLogResponse{OrganizationId: string(e.Organization), More: e.More}
	for _, row := range e.Entries {
		out.Entries = append(out.Entries, chainedEntry(row))
	}
	for _, c := range e.Checkpoints {
		out.Checkpoints = append(out.Checkpoints, &adminv1.AuditCheckpoint{
			Sequence: c.Sequence, Hash: c.Hash[:], Floor: c.Floor, SignedAt: timestamppb.New(time.UnixMicro(c.SignedAt)), KeyId: c.KeyID, Signature: c.Signature,
		})
	}
	for _, k := range e.Keys {
		out.Keys = append(out.Keys, &adminv1.AuditKey{Id: k.ID, PublicKey: k.PublicKey})
	}
	return connect.NewResponse(out), nil
}

func chainedEntry(e chain.Entry) *adminv1.ChainedEntry {
	out := &adminv1.ChainedEntry{
		Sequence: e.Sequence, Hash: e.Hash[:], Id: e.ID, SubjectId: e.SubjectID, SubjectType: gitpod.ResourceType(e.SubjectType),
		Action: e.Action, Kind: gitpod.AuditLogEntryKind(e.Kind), RequestId: e.RequestID, CreatedAtMicros: e.CreatedAt,
	}
	if e.ActorPrincipal != 0 || e.ActorID != "" {
		out.Actor = &gitpod.Subject{Id: e.ActorID, Principal: gitpod.Principal(e.ActorPrincipal)}
	}
	return out
}
