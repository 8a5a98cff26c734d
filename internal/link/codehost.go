package link

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/id"
)

var _ codehost.Runners = (*Hub)(nil)

// hostPatience is how long a question about a host may take: the ten seconds that
// a runner gives itself, and the way.
const hostPatience = 10*time.Second + onTheWay

// Connected implements codehost.Runners. A runner whose stream is about to come
// counts, since Ask waits for that.
func (h *Hub) Connected(r id.Runner) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.sessions[r]
	return s != nil && s.conn != nil || h.opening[r] > 0
}

// ParseContext implements codehost.Runners.
func (h *Hub) ParseContext(ctx context.Context, r id.Runner, a codehost.Access, url string) (codehost.Context, error) {
	reply, err := h.askHost(ctx, r, &linkv1.Request{Request: &linkv1.Request_ParseContext{
		ParseContext: &linkv1.ParseContext{Access: hostAccess(a), Url: url},
	}})
	if err != nil {
		return codehost.Context{}, err
	}
	var say statement
	found := say.context(reply.GetContextParsed().GetContext())
	return found, say.wrong()
}

// SearchRepositories implements codehost.Runners.
func (h *Hub) SearchRepositories(ctx context.Context, r id.Runner, as []codehost.Access, s codehost.Search) (codehost.Repositories, error) {
	q := &linkv1.SearchRepositories{Text: s.Text, Native: s.Native, Page: int32(s.Page), PageSize: int32(s.Size)} //nolint:gosec // both are checked
	for _, a := range as {
		q.Accesses = append(q.Accesses, hostAccess(a))
	}
	reply, err := h.askHost(ctx, r, &linkv1.Request{Request: &linkv1.Request_SearchRepositories{SearchRepositories: q}})
	if err != nil {
		return codehost.Repositories{}, err
	}
	var say statement
	found := say.repositories(reply.GetRepositoriesFound(), s.Size*len(as))
	return found, say.wrong()
}

// ListOrganizations implements codehost.Runners.
func (h *Hub) ListOrganizations(ctx context.Context, r id.Runner, a codehost.Access, q codehost.OrganizationQuery) (codehost.Organizations, error) {
	reply, err := h.askHost(ctx, r, &linkv1.Request{Request: &linkv1.Request_ListOrganizations{ListOrganizations: &linkv1.ListOrganizations{
		Access: hostAccess(a), Query: q.Text, Cursor: q.Cursor, PageSize: int32(q.Size), //nolint:gosec // it is checked
	}}})
	if err != nil {
		return codehost.Organizations{}, err
	}
	var say statement
	found := say.organizations(reply.GetOrganizationsListed(), q.Size)
	return found, say.wrong()
}

// CheckAuthentication implements codehost.Runners.
func (h *Hub) CheckAuthentication(ctx context.Context, r id.Runner, a codehost.Access) (codehost.Authentication, error) {
	reply, err := h.askHost(ctx, r, &linkv1.Request{Request: &linkv1.Request_CheckAuthentication{
		CheckAuthentication: &linkv1.CheckAuthentication{Access: hostAccess(a)},
	}})
	if err != nil {
		return codehost.Authentication{}, err
	}
	var say statement
	answer := say.authentication(reply.GetAuthenticationChecked().GetResult())
	return answer, say.wrong()
}

// CheckRepository implements codehost.Runners.
func (h *Hub) CheckRepository(ctx context.Context, r id.Runner, a codehost.Access, url string) (codehost.Readable, error) {
	reply, err := h.askHost(ctx, r, &linkv1.Request{Request: &linkv1.Request_CheckRepository{
		CheckRepository: &linkv1.CheckRepository{Access: hostAccess(a), Url: url},
	}})
	if err != nil {
		return codehost.Readable{}, err
	}
	var say statement
	answer := say.readable(reply.GetRepositoryChecked())
	return answer, say.wrong()
}

// ProbeIntegration implements codehost.Runners.
func (h *Hub) ProbeIntegration(ctx context.Context, r id.Runner, p codehost.Probe) (codehost.Probed, error) {
	reply, err := h.askHost(ctx, r, &linkv1.Request{Request: &linkv1.Request_ProbeIntegration{ProbeIntegration: &linkv1.ProbeIntegration{
		Host: sourceHost(p.Host), SealedClientSecret: p.ClientSecret, Purpose: p.Purpose,
	}}})
	if err != nil {
		return codehost.Probed{}, err
	}
	var say statement
	answer := say.probed(reply.GetIntegrationProbed())
	return answer, say.wrong()
}

func (h *Hub) askHost(ctx context.Context, r id.Runner, q *linkv1.Request) (*linkv1.Reply, error) {
	q.Patience = durationpb.New(hostPatience)
	return h.Ask(ctx, r, q)
}

func hostAccess(a codehost.Access) *linkv1.HostAccess {
	out := &linkv1.HostAccess{Host: sourceHost(a.Host)}
	if c := a.Credential; c != nil {
		out.Credential = &linkv1.HostCredential{TokenId: c.ID, Oauth: c.OAuth, RefreshTokenSha256: c.RefreshToken.Bytes(), Revision: c.Revision}
		if !c.ExpiresAt.IsZero() {
			out.Credential.ExpiresAt = timestamppb.New(c.ExpiresAt)
		}
	}
	return out
}

func sourceHost(h codehost.Host) *linkv1.SourceHost {
	return &linkv1.SourceHost{
		IntegrationId: h.ID, ScmId: h.SCMID, Host: h.Host, VirtualDirectory: h.VirtualDirectory, IssuerUrl: h.IssuerURL,
		OauthClientId: h.OAuthClientID, Pat: h.PAT,
	}
}
