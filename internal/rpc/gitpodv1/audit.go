package gitpodv1

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/auditlog"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// ListAuditLogs lists entries of the audit log.
func (s *Events) ListAuditLogs(ctx context.Context, req *connect.Request[gitpodv1.ListAuditLogsRequest]) (*connect.Response[gitpodv1.ListAuditLogsResponse], error) {
	q, err := auditQuery(req.Msg)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.Audit.Entries(ctx, access.CallerOf(ctx), q, pageOf(req.Msg.GetPagination()))
	if err != nil {
		return nil, err
	}
	out := &gitpodv1.ListAuditLogsResponse{Pagination: &gitpodv1.PaginationResponse{NextToken: next}}
	for _, e := range rows {
		out.Entries = append(out.Entries, auditEntry(e))
	}
	return connect.NewResponse(out), nil
}

// GetAuditLog returns one entry of the audit log.
func (s *Events) GetAuditLog(ctx context.Context, req *connect.Request[gitpodv1.GetAuditLogRequest]) (*connect.Response[gitpodv1.GetAuditLogResponse], error) {
	e, err := s.Audit.Entry(ctx, access.CallerOf(ctx), id.Canonical(req.Msg.GetAuditLogEntryId()))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.GetAuditLogResponse{Entry: auditEntry(e)}), nil
}

func auditQuery(m *gitpodv1.ListAuditLogsRequest) (auditlog.Query, error) {
	f := m.GetFilter()
	q := auditlog.Query{
		Actors:       canonical(f.GetActorIds()),
		Principals:   numbers[access.Principal](f.GetActorPrincipals()),
		Subjects:     canonical(f.GetSubjectIds()),
		SubjectTypes: numbers[resource.Type](f.GetSubjectTypes()),
		OldestFirst:  m.GetSort().GetOrder() == gitpodv1.SortOrder_SORT_ORDER_ASC,
	}
	// Clients name fields as in JSON or as in the proto files.
	switch field := m.GetSort().GetField(); field {
	case "", "created_at", "createdAt":
	default:
		return q, fault.Invalid("sort.field", "must be \"created_at\" or empty; the audit log has no other order")
	}
	var err error
	// Entries are stored to the microsecond: what is finer is rounded towards the
	// inside, so that nothing outside of the times is returned.
	if q.From, err = moment("filter.from", f.GetFrom(), time.Microsecond-time.Nanosecond); err != nil {
		return q, err
	}
	q.To, err = moment("filter.to", f.GetTo(), 0)
	return q, err
}

// moment reads a time after adding to it, down to the microsecond. No time is
// the zero time.
func moment(field string, t *timestamppb.Timestamp, add time.Duration) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, fault.Invalid(field, "must be a time of the years 1 to 9999")
	}
	at := t.AsTime().Add(add).Truncate(time.Microsecond)
	if at.IsZero() {
		at = at.Add(time.Microsecond)
	}
	return at, nil
}

func auditEntry(e audit.Entry) *gitpodv1.ListAuditLogsResponse_AuditLogEntry {
	return &gitpodv1.ListAuditLogsResponse_AuditLogEntry{
		Id: e.ID, ActorId: e.Actor.ID, ActorPrincipal: gitpodv1.Principal(e.Actor.Principal),
		SubjectId: e.SubjectID, SubjectType: gitpodv1.ResourceType(e.SubjectType), Action: e.Action,
		CreatedAt: timestamppb.New(e.CreatedAt), Kind: gitpodv1.AuditLogEntryKind(e.Kind),
	}
}
