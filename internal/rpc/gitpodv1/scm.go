package gitpodv1

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/scm"
)

// CreateSCMIntegration connects a runner to a source code host.
func (s *RunnerConfiguration) CreateSCMIntegration(ctx context.Context, req *connect.Request[gitpodv1.CreateSCMIntegrationRequest]) (*connect.Response[gitpodv1.CreateSCMIntegrationResponse], error) {
	m := req.Msg
	if err := boundedOAuth(m); err != nil {
		return nil, err
	}
	i, err := s.SCM.Create(ctx, access.CallerOf(ctx), scm.NewIntegration{
		Runner: runnerID(m), SCMID: m.GetScmId(), Host: m.GetHost(), PAT: m.GetPat(),
		OAuthClientID: m.GetOauthClientId(), OAuthClientSecret: m.GetOauthPlaintextClientSecret(),
		IssuerURL: m.GetIssuerUrl(), VirtualDirectory: m.GetVirtualDirectory(),
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.CreateSCMIntegrationResponse{Id: i.ID}), nil
}

// GetSCMIntegration returns one integration.
func (s *RunnerConfiguration) GetSCMIntegration(ctx context.Context, req *connect.Request[gitpodv1.GetSCMIntegrationRequest]) (*connect.Response[gitpodv1.GetSCMIntegrationResponse], error) {
	i, err := s.SCM.Get(ctx, access.CallerOf(ctx), id.Canonical(req.Msg.GetId()))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.GetSCMIntegrationResponse{Integration: scmIntegration(&i)}), nil
}

// ListSCMIntegrations lists integrations, oldest first.
func (s *RunnerConfiguration) ListSCMIntegrations(ctx context.Context, req *connect.Request[gitpodv1.ListSCMIntegrationsRequest]) (*connect.Response[gitpodv1.ListSCMIntegrationsResponse], error) {
	var q scm.Query
	for _, r := range req.Msg.GetFilter().GetRunnerIds() {
		q.Runners = append(q.Runners, id.Runner(id.Canonical(r)))
	}
	rows, next, err := s.SCM.List(ctx, access.CallerOf(ctx), q, pageOf(req.Msg.GetPagination()))
	if err != nil {
		return nil, err
	}
	out := &gitpodv1.ListSCMIntegrationsResponse{Pagination: &gitpodv1.PaginationResponse{NextToken: next}}
	for i := range rows {
		out.Integrations = append(out.Integrations, scmIntegration(&rows[i]))
	}
	return connect.NewResponse(out), nil
}

// UpdateSCMIntegration changes how people sign in to a host.
func (s *RunnerConfiguration) UpdateSCMIntegration(ctx context.Context, req *connect.Request[gitpodv1.UpdateSCMIntegrationRequest]) (*connect.Response[gitpodv1.UpdateSCMIntegrationResponse], error) {
	m := req.Msg
	if err := boundedOAuth(m); err != nil {
		return nil, err
	}
	err := s.SCM.Update(ctx, access.CallerOf(ctx), id.Canonical(m.GetId()), scm.Change{
		PAT: m.Pat, OAuthClientID: m.OauthClientId, OAuthClientSecret: m.OauthPlaintextClientSecret,
		IssuerURL: m.IssuerUrl, VirtualDirectory: m.VirtualDirectory,
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.UpdateSCMIntegrationResponse{}), nil
}

// DeleteSCMIntegration disconnects a runner from a host.
func (s *RunnerConfiguration) DeleteSCMIntegration(ctx context.Context, req *connect.Request[gitpodv1.DeleteSCMIntegrationRequest]) (*connect.Response[gitpodv1.DeleteSCMIntegrationResponse], error) {
	if err := s.SCM.Delete(ctx, access.CallerOf(ctx), id.Canonical(req.Msg.GetId())); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.DeleteSCMIntegrationResponse{}), nil
}

// boundedOAuth bounds what no rule of the domain does.
func boundedOAuth(m interface {
	GetOauthClientId() string
	GetOauthPlaintextClientSecret() string
},
) error {
	return first(errors.Join(
		bounded("oauth_client_id", m.GetOauthClientId(), 1024),
		bounded("oauth_plaintext_client_secret", m.GetOauthPlaintextClientSecret(), 4096),
	))
}

func scmIntegration(i *scm.Integration) *gitpodv1.SCMIntegration {
	out := &gitpodv1.SCMIntegration{Id: i.ID, ScmId: i.SCMID, Host: i.Host, Pat: i.PAT, RunnerId: string(i.Runner)}
	if i.OAuth() {
		out.Oauth = &gitpodv1.SCMIntegrationOAuthConfig{
			ClientId: i.OAuthClientID, EncryptedClientSecret: i.OAuthClientSecret, IssuerUrl: i.IssuerURL,
		}
	}
	if i.VirtualDirectory != "" {
		out.VirtualDirectory = &i.VirtualDirectory
	}
	return out
}
