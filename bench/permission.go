package main

import (
	"context"
	"fmt"
	"path/filepath"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
)

// policies is how many groups the caller is in, each with a role on the runner.
const policies = 20

// permissionContests measure what the permission check costs: GetRunner by
// somebody whose right to it comes from groups and policies, against GetRunner
// by an admin, who needs none of them.
func permissionContests(ctx context.Context, dir string) ([]contest, func(), error) {
	url, stop, err := start(ctx, roleMuster, dirEnv+"="+filepath.Join(dir, "permission"))
	if err != nil {
		return nil, nil, err
	}
	runner, member, err := share(withToken(ctx), url)
	if err != nil {
		stop()
		return nil, nil, err
	}
	side := func(token string) func(context.Context) (int64, error) {
		c := gitpodv1connect.NewRunnerServiceClient(newHTTP(false), url)
		return func(ctx context.Context) (int64, error) {
			return together(ctx, clients, func(ctx context.Context, _ int) error {
				_, err := c.GetRunner(as(ctx, token), connect.NewRequest(&gitpodv1.GetRunnerRequest{RunnerId: runner}))
				return err
			})
		}
	}
	return []contest{{fmt.Sprintf("GetRunner through %d policies, against an admin's", policies), 0.95, side(member), side(adminToken)}}, stop, nil
}

// share makes a runner and a member who may use it through many groups.
func share(ctx context.Context, url string) (runner, token string, err error) {
	h := newHTTP(false)
	runners, groups := gitpodv1connect.NewRunnerServiceClient(h, url), gitpodv1connect.NewGroupServiceClient(h, url)
	me, err := gitpodv1connect.NewIdentityServiceClient(h, url).GetAuthenticatedIdentity(ctx, connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{}))
	if err != nil {
		return "", "", err
	}
	made, err := runners.CreateRunner(ctx, connect.NewRequest(newRunner()))
	if err != nil {
		return "", "", err
	}
	runner = made.Msg.GetRunner().GetRunnerId()
	added, err := adminv1connect.NewMemberServiceClient(h, url).AddMember(ctx, connect.NewRequest(&adminv1.AddMemberRequest{
		Name: "Member", Email: "member@example.com", Role: gitpodv1.OrganizationRole_ORGANIZATION_ROLE_MEMBER,
	}))
	if err != nil {
		return "", "", err
	}
	for i := range policies {
		g, err := groups.CreateGroup(ctx, connect.NewRequest(&gitpodv1.CreateGroupRequest{
			OrganizationId: me.Msg.GetOrganizationId(), Name: fmt.Sprintf("group %d", i),
		}))
		if err != nil {
			return "", "", err
		}
		group := g.Msg.GetGroup().GetId()
		_, err = groups.CreateMembership(ctx, connect.NewRequest(&gitpodv1.CreateMembershipRequest{
			GroupId: group, Subject: &gitpodv1.Subject{Id: added.Msg.GetMember().GetUserId(), Principal: gitpodv1.Principal_PRINCIPAL_USER},
		}))
		if err != nil {
			return "", "", err
		}
		_, err = runners.CreateRunnerPolicy(ctx, connect.NewRequest(&gitpodv1.CreateRunnerPolicyRequest{
			RunnerId: runner, GroupId: group, Role: gitpodv1.RunnerRole_RUNNER_ROLE_USER,
		}))
		if err != nil {
			return "", "", err
		}
	}
	return runner, added.Msg.GetToken(), nil
}
