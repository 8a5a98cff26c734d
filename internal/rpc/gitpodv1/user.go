package gitpodv1

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/token"
)

// Users serves UserService.
type Users struct {
	gitpodv1connect.UnimplementedUserServiceHandler
	Identity *identity.Service
}

// GetAuthenticatedUser returns the calling person.
func (s *Users) GetAuthenticatedUser(ctx context.Context, _ *connect.Request[gitpodv1.GetAuthenticatedUserRequest]) (*connect.Response[gitpodv1.GetAuthenticatedUserResponse], error) {
	c := access.CallerOf(ctx)
	u, err := s.Identity.User(ctx, c, id.User(c.ID))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.GetAuthenticatedUserResponse{User: user(u)}), nil
}

// GetUser returns a person of the caller's organization.
func (s *Users) GetUser(ctx context.Context, req *connect.Request[gitpodv1.GetUserRequest]) (*connect.Response[gitpodv1.GetUserResponse], error) {
	u, err := s.Identity.User(ctx, access.CallerOf(ctx), userID(req.Msg))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.GetUserResponse{User: user(u)}), nil
}

// SetSuspended refuses a person's tokens, or accepts them again.
func (s *Users) SetSuspended(ctx context.Context, req *connect.Request[gitpodv1.SetSuspendedRequest]) (*connect.Response[gitpodv1.SetSuspendedResponse], error) {
	set := s.Identity.ResumeMember
	if req.Msg.GetSuspended() {
		set = s.Identity.SuspendMember
	}
	if err := set(ctx, access.CallerOf(ctx), userID(req.Msg)); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.SetSuspendedResponse{}), nil
}

// DeleteUser takes a person out of the organization.
func (s *Users) DeleteUser(ctx context.Context, req *connect.Request[gitpodv1.DeleteUserRequest]) (*connect.Response[gitpodv1.DeleteUserResponse], error) {
	if err := s.Identity.RemoveMember(ctx, access.CallerOf(ctx), userID(req.Msg)); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.DeleteUserResponse{}), nil
}

func user(u identity.User) *gitpodv1.User {
	return &gitpodv1.User{
		Id: string(u.ID), OrganizationId: string(u.Organization), Name: u.Name, Email: u.Email,
		CreatedAt: timestamppb.New(u.CreatedAt), Status: gitpodv1.UserStatus(u.Status),
	}
}

// CreatePersonalAccessToken makes a token for the calling person.
func (s *Users) CreatePersonalAccessToken(ctx context.Context, req *connect.Request[gitpodv1.CreatePersonalAccessTokenRequest]) (*connect.Response[gitpodv1.CreatePersonalAccessTokenResponse], error) {
	m := req.Msg
	if err := bounded("description", m.GetDescription(), 255); err != nil {
		return nil, err
	}
	secret, rec, err := s.Identity.CreatePersonalToken(ctx, access.CallerOf(ctx), identity.NewPersonalToken{
		User: userID(m), Description: m.GetDescription(), ValidFor: m.GetValidFor().AsDuration(), ReadOnly: m.GetReadOnly(),
	})
	if err != nil {
		return nil, err
	}
	return made(&gitpodv1.CreatePersonalAccessTokenResponse{Token: secret}, rec.ID), nil
}

// GetPersonalAccessToken returns what is known of a token, never the token.
func (s *Users) GetPersonalAccessToken(ctx context.Context, req *connect.Request[gitpodv1.GetPersonalAccessTokenRequest]) (*connect.Response[gitpodv1.GetPersonalAccessTokenResponse], error) {
	rec, err := s.Identity.PersonalToken(ctx, access.CallerOf(ctx), tokenID(req.Msg))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.GetPersonalAccessTokenResponse{Pat: personalToken(rec)}), nil
}

// ListPersonalAccessTokens lists tokens, newest first.
func (s *Users) ListPersonalAccessTokens(ctx context.Context, req *connect.Request[gitpodv1.ListPersonalAccessTokensRequest]) (*connect.Response[gitpodv1.ListPersonalAccessTokensResponse], error) {
	rows, next, err := s.Identity.PersonalTokens(ctx, access.CallerOf(ctx), canonical(req.Msg.GetFilter().GetUserIds()), pageOf(req.Msg.GetPagination()))
	if err != nil {
		return nil, err
	}
	out := &gitpodv1.ListPersonalAccessTokensResponse{Pagination: &gitpodv1.PaginationResponse{NextToken: next}}
	for _, r := range rows {
		out.PersonalAccessTokens = append(out.PersonalAccessTokens, personalToken(r))
	}
	return connect.NewResponse(out), nil
}

// DeletePersonalAccessToken revokes a token at once.
func (s *Users) DeletePersonalAccessToken(ctx context.Context, req *connect.Request[gitpodv1.DeletePersonalAccessTokenRequest]) (*connect.Response[gitpodv1.DeletePersonalAccessTokenResponse], error) {
	if err := s.Identity.DeletePersonalToken(ctx, access.CallerOf(ctx), tokenID(req.Msg)); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.DeletePersonalAccessTokenResponse{}), nil
}

func tokenID(m interface{ GetPersonalAccessTokenId() string }) id.Token {
	return id.Token(id.Canonical(m.GetPersonalAccessTokenId()))
}

func personalToken(r token.Record) *gitpodv1.PersonalAccessToken {
	p := &gitpodv1.PersonalAccessToken{
		Id: string(r.ID), UserId: r.Subject.ID, Description: r.Description, Creator: subject(r.Creator),
		CreatedAt: timestamppb.New(r.CreatedAt), ReadOnly: r.ReadOnly,
	}
	if !r.ExpiresAt.IsZero() {
		p.ExpiresAt = timestamppb.New(r.ExpiresAt)
	}
	if !r.LastUsedAt.IsZero() {
		p.LastUsed = timestamppb.New(r.LastUsedAt)
	}
	return p
}
