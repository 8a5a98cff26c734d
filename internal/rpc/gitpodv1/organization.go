package gitpodv1

import (
	"context"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
)

// Organizations serves OrganizationService.
type Organizations struct {
	gitpodv1connect.UnimplementedOrganizationServiceHandler
	Identity *identity.Service
}

// GetOrganization returns the caller's organization.
func (s *Organizations) GetOrganization(ctx context.Context, req *connect.Request[gitpodv1.GetOrganizationRequest]) (*connect.Response[gitpodv1.GetOrganizationResponse], error) {
	o, err := s.Identity.Organization(ctx, access.CallerOf(ctx), organizationID(req.Msg))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.GetOrganizationResponse{Organization: Organization(o)}), nil
}

// Organization is a tenant on the wire.
func Organization(o identity.Organization) *gitpodv1.Organization {
	return &gitpodv1.Organization{
		Id: string(o.ID), Name: o.Name, CreatedAt: timestamppb.New(o.CreatedAt), UpdatedAt: timestamppb.New(o.UpdatedAt), Tier: tier,
	}
}

// UpdateOrganization renames the caller's organization.
func (s *Organizations) UpdateOrganization(ctx context.Context, req *connect.Request[gitpodv1.UpdateOrganizationRequest]) (*connect.Response[gitpodv1.UpdateOrganizationResponse], error) {
	m := req.Msg
	if len(m.GetInviteDomains().GetDomains()) > 0 {
		return nil, fault.Invalid("invite_domains", "cannot be set: nobody joins by the domain of an address here. An admin adds members, with \"muster member add\"")
	}
	if n := utf8.RuneCountInString(m.GetName()); m.Name != nil && (n < 3 || n > 127) {
		return nil, fault.Invalid("name", "must have 3 to 127 characters, has %d", n)
	}
	o, err := s.Identity.RenameOrganization(ctx, access.CallerOf(ctx), organizationID(m), m.GetName())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.UpdateOrganizationResponse{Organization: Organization(o)}), nil
}

// SetRole makes a member an admin, or an admin a member.
func (s *Organizations) SetRole(ctx context.Context, req *connect.Request[gitpodv1.SetRoleRequest]) (*connect.Response[gitpodv1.SetRoleResponse], error) {
	m := req.Msg
	if err := s.Identity.SetRole(ctx, access.CallerOf(ctx), organizationID(m), userID(m), resource.Role(m.GetRole())); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.SetRoleResponse{}), nil
}

func userID(m interface{ GetUserId() string }) id.User { return id.User(id.Canonical(m.GetUserId())) }

// ListMembers lists the people of the caller's organization.
func (s *Organizations) ListMembers(ctx context.Context, req *connect.Request[gitpodv1.ListMembersRequest]) (*connect.Response[gitpodv1.ListMembersResponse], error) {
	m, f := req.Msg, req.Msg.GetFilter()
	q := identity.UserQuery{
		Organization: organizationID(m),
		Search:       f.GetSearch(),
		Statuses:     numbers[identity.Status](f.GetStatuses()),
		Roles:        numbers[resource.Role](f.GetRoles()),
		IDs:          canonical(f.GetUserIds()),
		NotIn:        canonical(f.GetExcludeGroupIds()),
		Sort:         userSort(m.GetSort()),
	}
	if err := boundedList("filter.statuses", q.Statuses); err != nil {
		return nil, err
	}
	if err := boundedList("filter.roles", q.Roles); err != nil {
		return nil, err
	}
	// There are no teams here, so excluding their members excludes nobody.
	rows, next, count, err := s.Identity.Members(ctx, access.CallerOf(ctx), q, pageOf(m.GetPagination()), m.GetCount().GetInclude())
	if err != nil {
		return nil, err
	}
	out := &gitpodv1.ListMembersResponse{Pagination: &gitpodv1.PaginationResponse{NextToken: next}}
	for _, u := range rows {
		out.Members = append(out.Members, Member(u))
	}
	if m.GetCount().GetInclude() {
		out.Count = &gitpodv1.CountResponse{Value: int32(count), Relation: gitpodv1.CountResponseRelation_COUNT_RESPONSE_RELATION_EQ} //nolint:gosec // people
	}
	return connect.NewResponse(out), nil
}

func userSort(s *gitpodv1.ListMembersRequest_Sort) identity.UserSort {
	descending := s.GetOrder() == gitpodv1.SortOrder_SORT_ORDER_DESC
	switch {
	case s.GetField() == gitpodv1.ListMembersRequest_SORT_FIELD_NAME && descending:
		return identity.ByNameDescending
	case s.GetField() == gitpodv1.ListMembersRequest_SORT_FIELD_NAME:
		return identity.ByName
	case descending:
		return identity.ByJoinedDescending
	default:
		return identity.ByJoined
	}
}

// Member is a person as a member of the organization.
func Member(u identity.User) *gitpodv1.OrganizationMember {
	return &gitpodv1.OrganizationMember{
		UserId: string(u.ID), Role: gitpodv1.OrganizationRole(u.Role), MemberSince: timestamppb.New(u.CreatedAt),
		FullName: u.Name, Email: u.Email, Status: gitpodv1.UserStatus(u.Status), LoginProvider: "token",
	}
}

func organizationID(m interface{ GetOrganizationId() string }) id.Organization {
	return id.Organization(id.Canonical(m.GetOrganizationId()))
}
