package gitpodv1

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// CreateRoleAssignment gives a group a role on a resource.
func (s *Groups) CreateRoleAssignment(ctx context.Context, req *connect.Request[gitpodv1.CreateRoleAssignmentRequest]) (*connect.Response[gitpodv1.CreateRoleAssignmentResponse], error) {
	m := req.Msg
	a, err := s.Groups.Assign(ctx, access.CallerOf(ctx), group.Assignment{
		Group: groupID(m), Type: resource.Type(m.GetResourceType()), Resource: id.Canonical(m.GetResourceId()), Role: resource.Role(m.GetResourceRole()),
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.CreateRoleAssignmentResponse{Assignment: roleAssignment(a)}), nil
}

// ListRoleAssignments lists role assignments, oldest first.
func (s *Groups) ListRoleAssignments(ctx context.Context, req *connect.Request[gitpodv1.ListRoleAssignmentsRequest]) (*connect.Response[gitpodv1.ListRoleAssignmentsResponse], error) {
	f, err := assignmentFilter(req.Msg.GetFilter())
	if err != nil {
		return nil, err
	}
	rows, next, err := s.Groups.Assignments(ctx, access.CallerOf(ctx), f, pageOf(req.Msg.GetPagination()))
	if err != nil {
		return nil, err
	}
	out := &gitpodv1.ListRoleAssignmentsResponse{Pagination: &gitpodv1.PaginationResponse{NextToken: next}}
	for _, a := range rows {
		out.Assignments = append(out.Assignments, roleAssignment(a))
	}
	return connect.NewResponse(out), nil
}

func assignmentFilter(f *gitpodv1.ListRoleAssignmentsRequest_Filter) (group.AssignmentFilter, error) {
	err := errors.Join(
		boundedList("filter.resource_types", f.GetResourceTypes()),
		boundedList("filter.resource_roles", f.GetResourceRoles()),
		optionalID("filter.group_id", f.GetGroupId()),
		optionalID("filter.user_id", f.GetUserId()),
		optionalID("filter.resource_id", f.GetResourceId()),
	)
	for _, t := range f.GetResourceTypes() {
		err = errors.Join(err, defined("filter.resource_types", gitpodv1.ResourceType_name, t))
	}
	for _, r := range f.GetResourceRoles() {
		err = errors.Join(err, defined("filter.resource_roles", gitpodv1.ResourceRole_name, r))
	}
	return group.AssignmentFilter{
		Types: numbers[resource.Type](f.GetResourceTypes()), Roles: numbers[resource.Role](f.GetResourceRoles()),
		Group: id.Group(id.Canonical(f.GetGroupId())), User: id.User(id.Canonical(f.GetUserId())),
		Resource: id.Canonical(f.GetResourceId()), Resources: canonical(f.GetResourceIds()),
	}, first(err)
}

// DeleteRoleAssignment takes a role away.
func (s *Groups) DeleteRoleAssignment(ctx context.Context, req *connect.Request[gitpodv1.DeleteRoleAssignmentRequest]) (*connect.Response[gitpodv1.DeleteRoleAssignmentResponse], error) {
	if err := s.Groups.Unassign(ctx, access.CallerOf(ctx), id.Canonical(req.Msg.GetAssignmentId())); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.DeleteRoleAssignmentResponse{}), nil
}

// ShareResourceWithPrincipal gives one user or service account a role.
func (s *Groups) ShareResourceWithPrincipal(ctx context.Context, req *connect.Request[gitpodv1.ShareResourceWithPrincipalRequest]) (*connect.Response[gitpodv1.ShareResourceWithPrincipalResponse], error) {
	m := req.Msg
	err := s.Groups.Share(ctx, access.CallerOf(ctx), principal(m), group.Assignment{
		Type: resource.Type(m.GetResourceType()), Resource: id.Canonical(m.GetResourceId()), Role: resource.Role(m.GetRole()),
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.ShareResourceWithPrincipalResponse{}), nil
}

// UnshareResourceWithPrincipal takes such roles back.
func (s *Groups) UnshareResourceWithPrincipal(ctx context.Context, req *connect.Request[gitpodv1.UnshareResourceWithPrincipalRequest]) (*connect.Response[gitpodv1.UnshareResourceWithPrincipalResponse], error) {
	m := req.Msg
	if err := s.Groups.Unshare(ctx, access.CallerOf(ctx), principal(m), resource.Type(m.GetResourceType()), id.Canonical(m.GetResourceId())); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.UnshareResourceWithPrincipalResponse{}), nil
}

func principal(m interface {
	GetPrincipal() gitpodv1.Principal
	GetPrincipalId() string
},
) access.Subject {
	return access.Subject{Principal: access.Principal(m.GetPrincipal()), ID: id.Canonical(m.GetPrincipalId())}
}

func roleAssignment(a group.Assignment) *gitpodv1.RoleAssignment {
	return &gitpodv1.RoleAssignment{
		Id: a.ID, GroupId: string(a.Group), OrganizationId: string(a.Organization), ResourceId: a.Resource,
		ResourceType: gitpodv1.ResourceType(a.Type), ResourceRole: gitpodv1.ResourceRole(a.Role),
	}
}
