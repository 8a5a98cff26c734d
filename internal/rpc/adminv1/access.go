package adminv1

import (
	"context"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// Access serves AccessService.
type Access struct {
	adminv1connect.UnimplementedAccessServiceHandler
	Groups *group.Service
}

// ExplainAccess tells whether a subject may do something, and why.
func (s *Access) ExplainAccess(ctx context.Context, req *connect.Request[adminv1.ExplainAccessRequest]) (*connect.Response[adminv1.ExplainAccessResponse], error) {
	m := req.Msg
	who := access.Subject{Principal: access.Principal(m.GetSubject().GetPrincipal()), ID: id.Canonical(m.GetSubject().GetId())}
	why, err := s.Groups.Explain(ctx, access.CallerOf(ctx), who, access.Permission(m.GetAction()), resource.Type(m.GetResourceType()), id.Canonical(m.GetResourceId()))
	return answer(&adminv1.ExplainAccessResponse{Allowed: why.Allowed, Reason: reason(why)}, err)
}

func reason(r access.Reason) *adminv1.AccessReason {
	out := &adminv1.AccessReason{Text: r.Text, Allowed: r.Allowed}
	for _, b := range r.Because {
		out.Because = append(out.Because, reason(b))
	}
	return out
}
