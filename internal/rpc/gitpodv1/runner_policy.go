package gitpodv1

import (
	"context"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/resource"
)

// ListRunnerPolicies lists the groups that are admins or users of a runner.
func (s *Runners) ListRunnerPolicies(ctx context.Context, req *connect.Request[gitpodv1.ListRunnerPoliciesRequest]) (*connect.Response[gitpodv1.ListRunnerPoliciesResponse], error) {
	rows, next, err := s.Groups.Policies(ctx, access.CallerOf(ctx), runnerID(req.Msg), pageOf(req.Msg.GetPagination()))
	if err != nil {
		return nil, err
	}
	out := &gitpodv1.ListRunnerPoliciesResponse{Pagination: &gitpodv1.PaginationResponse{NextToken: next}}
	for _, a := range rows {
		out.Policies = append(out.Policies, runnerPolicy(a))
	}
	return connect.NewResponse(out), nil
}

// CreateRunnerPolicy makes a group an admin or a user of a runner.
func (s *Runners) CreateRunnerPolicy(ctx context.Context, req *connect.Request[gitpodv1.CreateRunnerPolicyRequest]) (*connect.Response[gitpodv1.CreateRunnerPolicyResponse], error) {
	a, err := s.Groups.CreatePolicy(ctx, access.CallerOf(ctx), runnerID(req.Msg), groupID(req.Msg), policyRole(req.Msg.GetRole()))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.CreateRunnerPolicyResponse{Policy: runnerPolicy(a)}), nil
}

// UpdateRunnerPolicy changes which of the two a group is.
func (s *Runners) UpdateRunnerPolicy(ctx context.Context, req *connect.Request[gitpodv1.UpdateRunnerPolicyRequest]) (*connect.Response[gitpodv1.UpdateRunnerPolicyResponse], error) {
	a, err := s.Groups.UpdatePolicy(ctx, access.CallerOf(ctx), runnerID(req.Msg), groupID(req.Msg), policyRole(req.Msg.GetRole()))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.UpdateRunnerPolicyResponse{Policy: runnerPolicy(a)}), nil
}

// DeleteRunnerPolicy takes a group's role on a runner away.
func (s *Runners) DeleteRunnerPolicy(ctx context.Context, req *connect.Request[gitpodv1.DeleteRunnerPolicyRequest]) (*connect.Response[gitpodv1.DeleteRunnerPolicyResponse], error) {
	if err := s.Groups.DeletePolicy(ctx, access.CallerOf(ctx), runnerID(req.Msg), groupID(req.Msg)); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.DeleteRunnerPolicyResponse{}), nil
}

// policyRole and runnerPolicy hold the two numbers of a role against each other:
// RunnerRole has its own.
func policyRole(r gitpodv1.RunnerRole) resource.Role {
	switch r {
	case gitpodv1.RunnerRole_RUNNER_ROLE_ADMIN:
		return resource.RoleRunnerAdmin
	case gitpodv1.RunnerRole_RUNNER_ROLE_USER:
		return resource.RoleRunnerUser
	default:
		return resource.RoleUnspecified
	}
}

func runnerPolicy(a group.Assignment) *gitpodv1.RunnerPolicy {
	p := &gitpodv1.RunnerPolicy{GroupId: string(a.Group)}
	switch a.Role {
	case resource.RoleRunnerAdmin:
		p.Role = gitpodv1.RunnerRole_RUNNER_ROLE_ADMIN
	case resource.RoleRunnerUser:
		p.Role = gitpodv1.RunnerRole_RUNNER_ROLE_USER
	}
	return p
}
