package gitpodv1

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/serviceaccount"
	"github.com/musterhq/muster/internal/token"
)

// ServiceAccounts serves ServiceAccountService.
type ServiceAccounts struct {
	gitpodv1connect.UnimplementedServiceAccountServiceHandler
	ServiceAccounts *serviceaccount.Service
}

// CreateServiceAccount makes an account.
func (s *ServiceAccounts) CreateServiceAccount(ctx context.Context, req *connect.Request[gitpodv1.CreateServiceAccountRequest]) (*connect.Response[gitpodv1.CreateServiceAccountResponse], error) {
	m := req.Msg
	if !m.GetValidUntil().IsValid() {
		return nil, fault.Invalid("valid_until", "must be a time between the years 1 and 9999")
	}
	a, err := s.ServiceAccounts.Create(ctx, access.CallerOf(ctx), serviceaccount.NewAccount{
		Name: m.GetName(), Description: m.GetDescription(), ValidUntil: m.GetValidUntil().AsTime(),
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.CreateServiceAccountResponse{ServiceAccount: serviceAccount(a)}), nil
}

// GetServiceAccount returns an account, a deleted one too.
func (s *ServiceAccounts) GetServiceAccount(ctx context.Context, req *connect.Request[gitpodv1.GetServiceAccountRequest]) (*connect.Response[gitpodv1.GetServiceAccountResponse], error) {
	a, err := s.ServiceAccounts.Get(ctx, access.CallerOf(ctx), serviceAccountID(req.Msg))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.GetServiceAccountResponse{ServiceAccount: serviceAccount(a)}), nil
}

// ListServiceAccounts lists accounts, oldest first.
func (s *ServiceAccounts) ListServiceAccounts(ctx context.Context, req *connect.Request[gitpodv1.ListServiceAccountsRequest]) (*connect.Response[gitpodv1.ListServiceAccountsResponse], error) {
	f := req.Msg.GetFilter()
	q := serviceaccount.Query{IDs: canonical(f.GetServiceAccountIds()), Search: f.GetSearch(), IncludeSuspended: f.GetIncludeSuspended()}
	rows, next, err := s.ServiceAccounts.List(ctx, access.CallerOf(ctx), q, pageOf(req.Msg.GetPagination()))
	if err != nil {
		return nil, err
	}
	out := &gitpodv1.ListServiceAccountsResponse{Pagination: &gitpodv1.PaginationResponse{NextToken: next}}
	for _, a := range rows {
		out.ServiceAccounts = append(out.ServiceAccounts, serviceAccount(a))
	}
	return connect.NewResponse(out), nil
}

// UpdateServiceAccount changes name and description.
func (s *ServiceAccounts) UpdateServiceAccount(ctx context.Context, req *connect.Request[gitpodv1.UpdateServiceAccountRequest]) (*connect.Response[gitpodv1.UpdateServiceAccountResponse], error) {
	m := req.Msg
	a, err := s.ServiceAccounts.Update(ctx, access.CallerOf(ctx), serviceAccountID(m), m.Name, m.Description)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.UpdateServiceAccountResponse{ServiceAccount: serviceAccount(a)}), nil
}

// DeleteServiceAccount suspends an account for good.
func (s *ServiceAccounts) DeleteServiceAccount(ctx context.Context, req *connect.Request[gitpodv1.DeleteServiceAccountRequest]) (*connect.Response[gitpodv1.DeleteServiceAccountResponse], error) {
	if err := s.ServiceAccounts.Delete(ctx, access.CallerOf(ctx), serviceAccountID(req.Msg)); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.DeleteServiceAccountResponse{}), nil
}

// CreateServiceAccountAccessToken makes a short-lived token that acts as the
// account.
func (s *ServiceAccounts) CreateServiceAccountAccessToken(ctx context.Context, req *connect.Request[gitpodv1.CreateServiceAccountAccessTokenRequest]) (*connect.Response[gitpodv1.CreateServiceAccountAccessTokenResponse], error) {
	secret, err := s.ServiceAccounts.CreateAccessToken(ctx, access.CallerOf(ctx), serviceAccountID(req.Msg))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.CreateServiceAccountAccessTokenResponse{Token: secret}), nil
}

// CreateServiceAccountToken makes a long-lived token for the calling account.
func (s *ServiceAccounts) CreateServiceAccountToken(ctx context.Context, req *connect.Request[gitpodv1.CreateServiceAccountTokenRequest]) (*connect.Response[gitpodv1.CreateServiceAccountTokenResponse], error) {
	m := req.Msg
	if err := bounded("description", m.GetDescription(), 255); err != nil {
		return nil, err
	}
	secret, rec, err := s.ServiceAccounts.CreateToken(ctx, access.CallerOf(ctx), serviceaccount.NewToken{
		Description: m.GetDescription(), ValidFor: m.GetValidFor().AsDuration(),
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.CreateServiceAccountTokenResponse{Token: secret, ServiceAccountToken: serviceAccountToken(rec)}), nil
}

// GetServiceAccountToken returns what is known of a token, never the token.
func (s *ServiceAccounts) GetServiceAccountToken(ctx context.Context, req *connect.Request[gitpodv1.GetServiceAccountTokenRequest]) (*connect.Response[gitpodv1.GetServiceAccountTokenResponse], error) {
	rec, err := s.ServiceAccounts.Token(ctx, access.CallerOf(ctx), serviceAccountTokenID(req.Msg))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.GetServiceAccountTokenResponse{Token: serviceAccountToken(rec)}), nil
}

// ListServiceAccountTokens lists tokens, oldest first.
func (s *ServiceAccounts) ListServiceAccountTokens(ctx context.Context, req *connect.Request[gitpodv1.ListServiceAccountTokensRequest]) (*connect.Response[gitpodv1.ListServiceAccountTokensResponse], error) {
	rows, next, err := s.ServiceAccounts.Tokens(ctx, access.CallerOf(ctx), pageOf(req.Msg.GetPagination()))
	if err != nil {
		return nil, err
	}
	out := &gitpodv1.ListServiceAccountTokensResponse{Pagination: &gitpodv1.PaginationResponse{NextToken: next}}
	for _, rec := range rows {
		out.Tokens = append(out.Tokens, serviceAccountToken(rec))
	}
	return connect.NewResponse(out), nil
}

// DeleteServiceAccountToken revokes a token at once.
func (s *ServiceAccounts) DeleteServiceAccountToken(ctx context.Context, req *connect.Request[gitpodv1.DeleteServiceAccountTokenRequest]) (*connect.Response[gitpodv1.DeleteServiceAccountTokenResponse], error) {
	if err := s.ServiceAccounts.DeleteToken(ctx, access.CallerOf(ctx), serviceAccountTokenID(req.Msg)); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.DeleteServiceAccountTokenResponse{}), nil
}

func serviceAccountID(m interface{ GetServiceAccountId() string }) id.ServiceAccount {
	return id.ServiceAccount(id.Canonical(m.GetServiceAccountId()))
}

func serviceAccountTokenID(m interface{ GetServiceAccountTokenId() string }) id.Token {
	return id.Token(id.Canonical(m.GetServiceAccountTokenId()))
}

func serviceAccount(a serviceaccount.Account) *gitpodv1.ServiceAccount {
	return &gitpodv1.ServiceAccount{
		Id: string(a.ID), OrganizationId: string(a.Organization), Name: a.Name, Description: a.Description, Creator: subject(a.Creator),
		CreatedAt: timestamppb.New(a.CreatedAt), ValidUntil: timestamppb.New(a.ValidUntil), Suspended: a.Suspended(),
	}
}

func serviceAccountToken(r token.Record) *gitpodv1.ServiceAccountToken {
	t := &gitpodv1.ServiceAccountToken{
		Id: string(r.ID), ServiceAccountId: r.Subject.ID, Description: r.Description, Creator: subject(r.Creator),
		CreatedAt: timestamppb.New(r.CreatedAt), ExpiresAt: timestamppb.New(r.ExpiresAt),
	}
	if !r.LastUsedAt.IsZero() {
		t.LastUsed = timestamppb.New(r.LastUsedAt)
	}
	return t
}
