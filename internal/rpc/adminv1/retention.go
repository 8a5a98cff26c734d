package adminv1

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpod "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/retention"
)

// Retention serves RetentionService.
type Retention struct{ Retention *retention.Service }

// GetRetentionPolicy returns the policy of the caller's organization.
func (s *Retention) GetRetentionPolicy(ctx context.Context, _ *connect.Request[adminv1.GetRetentionPolicyRequest]) (*connect.Response[adminv1.GetRetentionPolicyResponse], error) {
	p, err := s.Retention.Policy(ctx, access.CallerOf(ctx))
	return answer(&adminv1.GetRetentionPolicyResponse{Policy: &adminv1.RetentionPolicy{
		NeverConnectedDays: p.NeverConnectedDays, OfflineDays: p.OfflineDays, AuditDays: p.AuditDays,
	}}, err)
}

// SetRetentionPolicy replaces the policy.
func (s *Retention) SetRetentionPolicy(ctx context.Context, req *connect.Request[adminv1.SetRetentionPolicyRequest]) (*connect.Response[adminv1.SetRetentionPolicyResponse], error) {
	return answer(&adminv1.SetRetentionPolicyResponse{}, s.Retention.SetPolicy(ctx, access.CallerOf(ctx), retentionPolicy(req.Msg.GetPolicy())))
}

// PreviewRetentionPolicy returns what a policy would remove now.
func (s *Retention) PreviewRetentionPolicy(ctx context.Context, req *connect.Request[adminv1.PreviewRetentionPolicyRequest]) (*connect.Response[adminv1.PreviewRetentionPolicyResponse], error) {
	var try *retention.Policy
	if m := req.Msg.GetPolicy(); m != nil {
		p := retentionPolicy(m)
		try = &p
	}
	p := req.Msg.GetPagination()
	preview, err := s.Retention.Preview(ctx, access.CallerOf(ctx), try, page.Request{Size: p.GetPageSize(), Token: p.GetToken()})
	if err != nil {
		return nil, err
	}
	out := &adminv1.PreviewRetentionPolicyResponse{
		Pagination: &gitpod.PaginationResponse{NextToken: preview.Next}, AuditEntries: preview.AuditEntries,
	}
	for _, r := range preview.Runners {
		out.Runners = append(out.Runners, &adminv1.StaleRunner{
			RunnerId: string(r.ID), Name: r.Name, Phase: gitpod.RunnerPhase(r.Phase), Since: timestamppb.New(r.Since),
		})
	}
	return connect.NewResponse(out), nil
}

func retentionPolicy(m *adminv1.RetentionPolicy) retention.Policy {
	return retention.Policy{NeverConnectedDays: m.GetNeverConnectedDays(), OfflineDays: m.GetOfflineDays(), AuditDays: m.GetAuditDays()}
}
