package adminv1

import (
	"context"

	"connectrpc.com/connect"

	gitpod "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/keyring"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/rpc/gitpodv1"
)

// Installation serves InstallationService.
type Installation struct {
	adminv1connect.UnimplementedInstallationServiceHandler
	Identity *identity.Service
	Keys     *keyring.Service
}

// CreateOrganization makes an organization with its first admin.
func (s *Installation) CreateOrganization(ctx context.Context, req *connect.Request[adminv1.CreateOrganizationRequest]) (*connect.Response[adminv1.CreateOrganizationResponse], error) {
	m := req.Msg
	o, admin, secret, err := s.Identity.CreateOrganization(ctx, access.CallerOf(ctx), m.GetName(), m.GetAdminName(), m.GetAdminEmail())
	return answer(&adminv1.CreateOrganizationResponse{Organization: gitpodv1.Organization(o), Admin: gitpodv1.Member(admin), Token: secret}, err)
}

// ListOrganizations lists all organizations, oldest first.
func (s *Installation) ListOrganizations(ctx context.Context, req *connect.Request[adminv1.ListOrganizationsRequest]) (*connect.Response[adminv1.ListOrganizationsResponse], error) {
	p := req.Msg.GetPagination()
	rows, next, err := s.Identity.Organizations(ctx, access.CallerOf(ctx), page.Request{Size: p.GetPageSize(), Token: p.GetToken()})
	out := &adminv1.ListOrganizationsResponse{Pagination: &gitpod.PaginationResponse{NextToken: next}}
	for _, o := range rows {
		out.Organizations = append(out.Organizations, gitpodv1.Organization(o))
	}
	return answer(out, err)
}
