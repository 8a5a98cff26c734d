package gitpodv1

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// Groups serves GroupService. Role assignments are in a file of their own.
type Groups struct {
	gitpodv1connect.UnimplementedGroupServiceHandler
	Groups *group.Service
}

// CreateGroup makes an empty group.
func (s *Groups) CreateGroup(ctx context.Context, req *connect.Request[gitpodv1.CreateGroupRequest]) (*connect.Response[gitpodv1.CreateGroupResponse], error) {
	m := req.Msg
	g, err := s.Groups.Create(ctx, access.CallerOf(ctx), organizationID(m), m.GetName(), m.GetDescription())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.CreateGroupResponse{Group: groupOf(g)}), nil
}

// GetGroup returns a group by its id or its name.
func (s *Groups) GetGroup(ctx context.Context, req *connect.Request[gitpodv1.GetGroupRequest]) (*connect.Response[gitpodv1.GetGroupResponse], error) {
	g, err := s.get(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.GetGroupResponse{Group: groupOf(g)}), nil
}

func (s *Groups) get(ctx context.Context, m *gitpodv1.GetGroupRequest) (group.Group, error) {
	c := access.CallerOf(ctx)
	switch by := m.GetGroup().(type) {
	case *gitpodv1.GetGroupRequest_Id:
		return s.Groups.Get(ctx, c, id.Group(id.Canonical(by.Id)))
	case *gitpodv1.GetGroupRequest_Name:
		return s.Groups.GetByName(ctx, c, by.Name)
	}
	old := m.GetGroupId() //nolint:staticcheck // older clients send it
	if old == "" {
		return group.Group{}, fault.Invalid("id", "is required, or name: one of them names the group")
	}
	if err := optionalID("group_id", old); err != nil {
		return group.Group{}, err
	}
	return s.Groups.Get(ctx, c, id.Group(id.Canonical(old)))
}

// ListGroups lists groups, oldest first.
func (s *Groups) ListGroups(ctx context.Context, req *connect.Request[gitpodv1.ListGroupsRequest]) (*connect.Response[gitpodv1.ListGroupsResponse], error) {
	f := req.Msg.GetFilter()
	q := group.Query{Search: f.GetSearch(), IDs: groupIDs(f.GetGroupIds()), SystemManaged: f.GetSystemManaged()}
	if f != nil {
		q.Direct = f.DirectShare
	}
	if without := f.GetExcludeAssignedToResource(); without != nil {
		q.WithoutType, q.WithoutResource = resource.Type(without.GetResourceType()), id.Canonical(without.GetResourceId())
	}
	rows, next, err := s.Groups.List(ctx, access.CallerOf(ctx), q, pageOf(req.Msg.GetPagination()))
	if err != nil {
		return nil, err
	}
	out := &gitpodv1.ListGroupsResponse{Pagination: &gitpodv1.PaginationResponse{NextToken: next}}
	for _, g := range rows {
		out.Groups = append(out.Groups, groupOf(g))
	}
	return connect.NewResponse(out), nil
}

// UpdateGroup sets name and description.
func (s *Groups) UpdateGroup(ctx context.Context, req *connect.Request[gitpodv1.UpdateGroupRequest]) (*connect.Response[gitpodv1.UpdateGroupResponse], error) {
	m := req.Msg
	g, err := s.Groups.Update(ctx, access.CallerOf(ctx), groupID(m), m.GetName(), m.GetDescription())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.UpdateGroupResponse{Group: groupOf(g)}), nil
}

// DeleteGroup removes a group with its memberships and its roles.
func (s *Groups) DeleteGroup(ctx context.Context, req *connect.Request[gitpodv1.DeleteGroupRequest]) (*connect.Response[gitpodv1.DeleteGroupResponse], error) {
	if err := s.Groups.Delete(ctx, access.CallerOf(ctx), groupID(req.Msg)); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.DeleteGroupResponse{}), nil
}

// CreateMembership adds a member.
func (s *Groups) CreateMembership(ctx context.Context, req *connect.Request[gitpodv1.CreateMembershipRequest]) (*connect.Response[gitpodv1.CreateMembershipResponse], error) {
	m, err := s.Groups.AddMember(ctx, access.CallerOf(ctx), groupID(req.Msg), subjectOf(req.Msg.GetSubject()))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.CreateMembershipResponse{Member: groupMembership(m)}), nil
}

// GetMembership tells whether a subject is in a group.
func (s *Groups) GetMembership(ctx context.Context, req *connect.Request[gitpodv1.GetMembershipRequest]) (*connect.Response[gitpodv1.GetMembershipResponse], error) {
	m, found, err := s.Groups.Membership(ctx, access.CallerOf(ctx), groupID(req.Msg), subjectOf(req.Msg.GetSubject()))
	if err != nil {
		return nil, err
	}
	out := &gitpodv1.GetMembershipResponse{}
	if found {
		out.Member = groupMembership(m)
	}
	return connect.NewResponse(out), nil
}

// ListMemberships lists the members of a group.
func (s *Groups) ListMemberships(ctx context.Context, req *connect.Request[gitpodv1.ListMembershipsRequest]) (*connect.Response[gitpodv1.ListMembershipsResponse], error) {
	q := group.MemberQuery{Group: groupID(req.Msg), Search: req.Msg.GetFilter().GetSearch()}
	rows, next, err := s.Groups.Members(ctx, access.CallerOf(ctx), q, pageOf(req.Msg.GetPagination()))
	if err != nil {
		return nil, err
	}
	out := &gitpodv1.ListMembershipsResponse{Pagination: &gitpodv1.PaginationResponse{NextToken: next}}
	for _, m := range rows {
		out.Members = append(out.Members, groupMembership(m))
	}
	return connect.NewResponse(out), nil
}

// DeleteMembership removes a member.
func (s *Groups) DeleteMembership(ctx context.Context, req *connect.Request[gitpodv1.DeleteMembershipRequest]) (*connect.Response[gitpodv1.DeleteMembershipResponse], error) {
	if err := s.Groups.RemoveMember(ctx, access.CallerOf(ctx), id.Canonical(req.Msg.GetMembershipId())); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.DeleteMembershipResponse{}), nil
}

func groupOf(g group.Group) *gitpodv1.Group {
	return &gitpodv1.Group{
		Id: string(g.ID), OrganizationId: string(g.Organization), Name: g.Name, Description: g.Description, MemberCount: g.Members,
		CreatedAt: timestamppb.New(g.CreatedAt), UpdatedAt: timestamppb.New(g.UpdatedAt), DirectShare: g.Direct.ID != "",
	}
}

func groupMembership(m group.Membership) *gitpodv1.GroupMembership {
	return &gitpodv1.GroupMembership{Id: m.ID, Subject: subject(m.Subject), GroupId: string(m.Group), Name: m.Name}
}

func groupID(m interface{ GetGroupId() string }) id.Group {
	return id.Group(id.Canonical(m.GetGroupId()))
}

func groupIDs(ids []string) []id.Group {
	out := make([]id.Group, len(ids))
	for i, s := range ids {
		out[i] = id.Group(id.Canonical(s))
	}
	return out
}

func subjectOf(s *gitpodv1.Subject) access.Subject {
	return access.Subject{Principal: access.Principal(s.GetPrincipal()), ID: id.Canonical(s.GetId())}
}

// optionalID refuses what is no id in a field that may be empty.
func optionalID(field, value string) error {
	if value != "" && !id.Valid(value) {
		return fault.Invalid(field, "must be a UUID")
	}
	return nil
}
