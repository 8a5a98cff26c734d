package gitpodv1

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/rpc/rpcerr"
)

// Bounds of what callers ask about source code hosts, in bytes.
const (
	maxContextURL = 4096
	maxHostName   = 512
	maxSearchText = 1024
)

// ParseContextURL finds out what a URL points at.
func (s *Runners) ParseContextURL(ctx context.Context, req *connect.Request[gitpodv1.ParseContextURLRequest]) (*connect.Response[gitpodv1.ParseContextURLResponse], error) {
	if err := bounded("context_url", req.Msg.GetContextUrl(), maxContextURL); err != nil {
		return nil, err
	}
	found, err := s.CodeHosts.ParseContext(ctx, access.CallerOf(ctx), runnerID(req.Msg), req.Msg.GetContextUrl())
	if err != nil {
		return nil, hostError(err)
	}
	return connect.NewResponse(contextOf(found)), nil
}

// SearchRepositories looks for repositories.
func (s *Runners) SearchRepositories(ctx context.Context, req *connect.Request[gitpodv1.SearchRepositoriesRequest]) (*connect.Response[gitpodv1.SearchRepositoriesResponse], error) {
	m := req.Msg
	err := errors.Join(
		bounded("search_string", m.GetSearchString(), maxSearchText),
		bounded("scm_host", m.GetScmHost(), maxHostName),
		defined("search_mode", gitpodv1.SearchMode_name, m.GetSearchMode()),
	)
	if err != nil {
		return nil, first(err)
	}
	q := codehost.SearchQuery{
		Host: m.GetScmHost(), Text: m.GetSearchString(), Native: m.GetSearchMode() == gitpodv1.SearchMode_SEARCH_MODE_NATIVE, Page: pageOf(m.GetPagination()),
	}
	if q.Page.Size == 0 {
		q.Page.Size = m.GetLimit() //nolint:staticcheck // old clients send it
	}
	found, next, err := s.CodeHosts.SearchRepositories(ctx, access.CallerOf(ctx), runnerID(m), q)
	if err != nil {
		return nil, hostError(err)
	}
	out := &gitpodv1.SearchRepositoriesResponse{Pagination: &gitpodv1.PaginationResponse{NextToken: next}}
	for _, r := range found.Rows {
		out.Repositories = append(out.Repositories, &gitpodv1.SearchRepositoriesResponse_Repository{Name: r.Name, Url: r.URL})
	}
	out.LastPage = int32(max(found.Pages, 0)) //nolint:gosec,staticcheck // it came as an int32; old clients read it
	return connect.NewResponse(out), nil
}

// ListSCMOrganizations lists organizations of a host.
func (s *Runners) ListSCMOrganizations(ctx context.Context, req *connect.Request[gitpodv1.ListSCMOrganizationsRequest]) (*connect.Response[gitpodv1.ListSCMOrganizationsResponse], error) {
	m := req.Msg
	if err := errors.Join(bounded("scm_host", m.GetScmHost(), maxHostName), bounded("query", m.GetQuery(), maxSearchText)); err != nil {
		return nil, first(err)
	}
	rows, next, err := s.CodeHosts.ListOrganizations(ctx, access.CallerOf(ctx), runnerID(m), m.GetScmHost(), m.GetQuery(), pageOf(m.GetPagination()))
	if err != nil {
		return nil, hostError(err)
	}
	out := &gitpodv1.ListSCMOrganizationsResponse{Pagination: &gitpodv1.PaginationResponse{NextToken: next}}
	for _, o := range rows {
		out.Organizations = append(out.Organizations, &gitpodv1.ListSCMOrganizationsResponse_SCMOrganization{
			Name: o.Name, Url: o.URL, IsAdmin: o.Admin, //nolint:staticcheck // old clients read it
		})
	}
	return connect.NewResponse(out), nil
}

// CheckAuthenticationForHost tells whether and how the caller is signed in.
func (s *Runners) CheckAuthenticationForHost(ctx context.Context, req *connect.Request[gitpodv1.CheckAuthenticationForHostRequest]) (*connect.Response[gitpodv1.CheckAuthenticationForHostResponse], error) {
	if err := bounded("host", req.Msg.GetHost(), maxHostName); err != nil {
		return nil, err
	}
	answer, err := s.CodeHosts.CheckAuthentication(ctx, access.CallerOf(ctx), runnerID(req.Msg), req.Msg.GetHost())
	if err != nil {
		return nil, hostError(err)
	}
	out := &gitpodv1.CheckAuthenticationForHostResponse{Authenticated: answer.Authenticated, ScmId: answer.SCMID, ScmName: answer.Name}
	if o := answer.OAuth; o != nil {
		out.SupportsOauth2 = &gitpodv1.CheckAuthenticationForHostResponse_AuthenticationMethodOAuth2{AuthUrl: o.BeginURL, DocsUrl: o.DocsURL}
		out.AuthenticationUrl = o.BeginURL //nolint:staticcheck // old clients read it
	}
	if p := answer.PAT; p != nil {
		out.SupportsPat = &gitpodv1.CheckAuthenticationForHostResponse_AuthenticationMethodPersonalAccessToken{
			CreateUrl: p.CreateURL, DocsUrl: p.DocsURL, Example: p.Example, RequiredScopes: p.Scopes,
		}
		out.PatSupported = true //nolint:staticcheck // old clients read it
	}
	return connect.NewResponse(out), nil
}

// CheckRepositoryAccess tells whether the caller can read a repository.
func (s *Runners) CheckRepositoryAccess(ctx context.Context, req *connect.Request[gitpodv1.CheckRepositoryAccessRequest]) (*connect.Response[gitpodv1.CheckRepositoryAccessResponse], error) {
	if err := bounded("repository_url", req.Msg.GetRepositoryUrl(), maxContextURL); err != nil {
		return nil, err
	}
	answer, err := s.CodeHosts.CheckRepository(ctx, access.CallerOf(ctx), runnerID(req.Msg), req.Msg.GetRepositoryUrl())
	if err != nil {
		return nil, hostError(err)
	}
	return connect.NewResponse(&gitpodv1.CheckRepositoryAccessResponse{HasAccess: answer.Yes, ErrorMessage: answer.Why}), nil
}

// hostError adds to an error how to sign in, where that is what is missing.
func hostError(err error) error {
	needed, ok := errors.AsType[*codehost.SignInNeeded](err)
	if !ok {
		return err
	}
	details := &gitpodv1.ParseContextURLPreconditionFailureDetails{AuthenticationRequiredUrl: needed.BeginURL, ScmId: needed.SCMID}
	for _, r := range needed.Runners {
		details.RunnerIds = append(details.RunnerIds, string(r))
	}
	return rpcerr.WithDetails(err, details)
}

func contextOf(c codehost.Context) *gitpodv1.ParseContextURLResponse {
	out := &gitpodv1.ParseContextURLResponse{
		OriginalContextUrl: c.OriginalURL, ScmId: c.SCMID, RecommendedEnvironmentClasses: c.Classes,
		Git: &gitpodv1.ParseContextURLResponse_GitContext{
			CloneUrl: c.Git.CloneURL, Branch: c.Git.Branch, Commit: c.Git.Commit, Host: c.Git.Host, Owner: c.Git.Owner, Repo: c.Git.Repo,
			UpstreamRemoteUrl: c.Git.UpstreamURL, Tag: c.Git.Tag,
		},
	}
	if i := c.Issue; i != nil {
		out.Issue = &gitpodv1.ParseContextURLResponse_Issue{Id: i.ID, Title: i.Title}
	}
	if p := c.Change; p != nil {
		out.PullRequest = pullRequest(p)
		out.Pr = &gitpodv1.ParseContextURLResponse_PullRequest{Id: p.ID, Title: p.Title, FromBranch: p.FromBranch, ToBranch: p.ToBranch} //nolint:staticcheck // old clients read it
	}
	return out
}

func pullRequest(p *codehost.Change) *gitpodv1.PullRequest {
	out := &gitpodv1.PullRequest{
		Id: p.ID, Title: p.Title, FromBranch: p.FromBranch, ToBranch: p.ToBranch, Url: p.URL, Author: p.Author, Draft: p.Draft,
		State: gitpodv1.PullRequest_State(p.State), HeadSha: p.HeadCommit,
	}
	if p.Base != (codehost.Git{}) {
		out.Repository = &gitpodv1.PullRequest_Repository{CloneUrl: p.Base.CloneURL, Host: p.Base.Host, Owner: p.Base.Owner, Name: p.Base.Repo}
	}
	return out
}
