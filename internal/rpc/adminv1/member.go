// Package adminv1 turns calls of the admin API into calls of the domain.
package adminv1

import (
	"context"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/rpc/gitpodv1"
)

// Members serves MemberService.
type Members struct{ Identity *identity.Service }

// AddMember makes a person with a first token.
func (s *Members) AddMember(ctx context.Context, req *connect.Request[adminv1.AddMemberRequest]) (*connect.Response[adminv1.AddMemberResponse], error) {
	m := req.Msg
	u, secret, err := s.Identity.AddMember(ctx, access.CallerOf(ctx), m.GetName(), m.GetEmail(), resource.Role(m.GetRole()))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminv1.AddMemberResponse{Member: gitpodv1.Member(u), Token: secret}), nil
}

// CreateMemberToken makes a token for a person who has none left.
func (s *Members) CreateMemberToken(ctx context.Context, req *connect.Request[adminv1.CreateMemberTokenRequest]) (*connect.Response[adminv1.CreateMemberTokenResponse], error) {
	secret, rec, err := s.Identity.CreateMemberToken(ctx, access.CallerOf(ctx), userID(req.Msg), req.Msg.GetValidFor().AsDuration())
	return answer(&adminv1.CreateMemberTokenResponse{Token: secret, TokenId: string(rec.ID)}, err)
}

// SuspendMember refuses a person's tokens.
func (s *Members) SuspendMember(ctx context.Context, req *connect.Request[adminv1.SuspendMemberRequest]) (*connect.Response[adminv1.SuspendMemberResponse], error) {
	return answer(&adminv1.SuspendMemberResponse{}, s.Identity.SuspendMember(ctx, access.CallerOf(ctx), userID(req.Msg)))
}

// ResumeMember lifts a suspension.
func (s *Members) ResumeMember(ctx context.Context, req *connect.Request[adminv1.ResumeMemberRequest]) (*connect.Response[adminv1.ResumeMemberResponse], error) {
	return answer(&adminv1.ResumeMemberResponse{}, s.Identity.ResumeMember(ctx, access.CallerOf(ctx), userID(req.Msg)))
}

// RemoveMember deletes a person's tokens for good.
func (s *Members) RemoveMember(ctx context.Context, req *connect.Request[adminv1.RemoveMemberRequest]) (*connect.Response[adminv1.RemoveMemberResponse], error) {
	return answer(&adminv1.RemoveMemberResponse{}, s.Identity.RemoveMember(ctx, access.CallerOf(ctx), userID(req.Msg)))
}

func userID(m interface{ GetUserId() string }) id.User { return id.User(id.Canonical(m.GetUserId())) }

func runnerID(m interface{ GetRunnerId() string }) id.Runner {
	return id.Runner(id.Canonical(m.GetRunnerId()))
}

func answer[T any](m *T, err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(m), nil
}
