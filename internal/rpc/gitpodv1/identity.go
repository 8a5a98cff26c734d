package gitpodv1

import (
	"context"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/idtoken"
)

// tier is the only tier of a self-hosted control plane: nothing is held back.
const tier = gitpodv1.OrganizationTier_ORGANIZATION_TIER_ENTERPRISE

// Identities serves IdentityService.
type Identities struct {
	gitpodv1connect.UnimplementedIdentityServiceHandler
	Fleet    *fleet.Service
	IDTokens *idtoken.Service
}

// GetIDToken makes a token that proves the caller's identity to a third party.
func (s *Identities) GetIDToken(ctx context.Context, req *connect.Request[gitpodv1.GetIDTokenRequest]) (*connect.Response[gitpodv1.GetIDTokenResponse], error) {
	signed, err := s.IDTokens.Create(ctx, access.CallerOf(ctx), req.Msg.GetAudience(), idtoken.Version(req.Msg.GetVersion()))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.GetIDTokenResponse{Token: signed}), nil
}

// GetAuthenticatedIdentity tells callers who they are.
func (s *Identities) GetAuthenticatedIdentity(ctx context.Context, _ *connect.Request[gitpodv1.GetAuthenticatedIdentityRequest]) (*connect.Response[gitpodv1.GetAuthenticatedIdentityResponse], error) {
	c := access.CallerOf(ctx)
	return connect.NewResponse(&gitpodv1.GetAuthenticatedIdentityResponse{
		Subject: subject(c.Subject), OrganizationId: string(c.Organization), OrganizationTier: tier.String(),
	}), nil
}

// ExchangeToken redeems an exchange token, once.
func (s *Identities) ExchangeToken(ctx context.Context, req *connect.Request[gitpodv1.ExchangeTokenRequest]) (*connect.Response[gitpodv1.ExchangeTokenResponse], error) {
	if req.Msg.GetExchangeToken() == "" {
		return nil, fault.Invalid("exchange_token", "is required")
	}
	secret, err := s.Fleet.Redeem(ctx, req.Msg.GetExchangeToken())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.ExchangeTokenResponse{AccessToken: secret}), nil
}

// Gateways serves GatewayService from the configuration.
type Gateways struct {
	All []fleet.Gateway
}

// ListGateways lists the configured gateways, by name.
func (s *Gateways) ListGateways(_ context.Context, req *connect.Request[gitpodv1.ListGatewaysRequest]) (*connect.Response[gitpodv1.ListGatewaysResponse], error) {
	out := &gitpodv1.ListGatewaysResponse{}
	rows, next, err := pageInMemory(pageOf(req.Msg.GetPagination()), "gateways", s.All, func(g fleet.Gateway) string { return g.Name })
	if err != nil {
		return nil, err
	}
	for _, g := range rows {
		out.Gateways = append(out.Gateways, &gitpodv1.Gateway{Name: g.Name, Url: g.URL, Region: g.Region})
	}
	out.Pagination = &gitpodv1.PaginationResponse{NextToken: next}
	return connect.NewResponse(out), nil
}
