package app_test

import (
	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
)

// What is done to a member or to a role is written down for each thing that it
// concerns: the group and the member, or the role, the group and the resource.
func auditGroups(a *audited) {
	ctx := a.Context()
	c := client(bootstrapToken)
	groups := gitpodv1connect.NewGroupServiceClient(c, a.url)
	runners := gitpodv1connect.NewRunnerServiceClient(c, a.url)
	members := adminv1connect.NewMemberServiceClient(c, a.url)
	const service, runnerService = "gitpod.v1.GroupService/", "gitpod.v1.RunnerService/"

	made, err := runners.CreateRunner(ctx, connect.NewRequest(&gitpodv1.CreateRunnerRequest{Name: "shared", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST}))
	a.step(runnerService+"CreateRunner", "runner.create", err)
	runner := made.Msg.GetRunner().GetRunnerId()
	added, err := members.AddMember(ctx, connect.NewRequest(&adminv1.AddMemberRequest{Name: "Bob", Email: "bob@example.com", Role: gitpodv1.OrganizationRole_ORGANIZATION_ROLE_MEMBER}))
	a.step("muster.admin.v1.MemberService/AddMember", "personal_access_token.create member.add", err)
	bob := &gitpodv1.Subject{Id: added.Msg.GetMember().GetUserId(), Principal: gitpodv1.Principal_PRINCIPAL_USER}

	g, err := groups.CreateGroup(ctx, connect.NewRequest(&gitpodv1.CreateGroupRequest{OrganizationId: a.organization, Name: "builders"}))
	a.step(service+"CreateGroup", "group.create", err)
	id := g.Msg.GetGroup().GetId()
	_, err = groups.UpdateGroup(ctx, connect.NewRequest(&gitpodv1.UpdateGroupRequest{GroupId: id, Name: "the builders"}))
	a.step(service+"UpdateGroup", "group.update", err)
	m, err := groups.CreateMembership(ctx, connect.NewRequest(&gitpodv1.CreateMembershipRequest{GroupId: id, Subject: bob}))
	a.step(service+"CreateMembership", "group.member.add group.member.add", err)
	_, err = groups.DeleteMembership(ctx, connect.NewRequest(&gitpodv1.DeleteMembershipRequest{MembershipId: m.Msg.GetMember().GetId()}))
	a.step(service+"DeleteMembership", "group.member.remove group.member.remove", err)

	created, updated, deleted := "role_assignment.create", "role_assignment.update", "role_assignment.delete"
	thrice := func(action string) string { return action + " " + action + " " + action }
	as, err := groups.CreateRoleAssignment(ctx, connect.NewRequest(&gitpodv1.CreateRoleAssignmentRequest{
		GroupId: id, ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_ORGANIZATION, ResourceId: a.organization, ResourceRole: gitpodv1.ResourceRole_RESOURCE_ROLE_ORG_AUDIT_LOG_READER,
	}))
	a.step(service+"CreateRoleAssignment", thrice(created), err)
	_, err = groups.DeleteRoleAssignment(ctx, connect.NewRequest(&gitpodv1.DeleteRoleAssignmentRequest{AssignmentId: as.Msg.GetAssignment().GetId()}))
	a.step(service+"DeleteRoleAssignment", thrice(deleted), err)

	_, err = runners.CreateRunnerPolicy(ctx, connect.NewRequest(&gitpodv1.CreateRunnerPolicyRequest{RunnerId: runner, GroupId: id, Role: gitpodv1.RunnerRole_RUNNER_ROLE_USER}))
	a.step(runnerService+"CreateRunnerPolicy", thrice(created), err)
	_, err = runners.UpdateRunnerPolicy(ctx, connect.NewRequest(&gitpodv1.UpdateRunnerPolicyRequest{RunnerId: runner, GroupId: id, Role: gitpodv1.RunnerRole_RUNNER_ROLE_ADMIN}))
	a.step(runnerService+"UpdateRunnerPolicy", thrice(updated), err)
	_, err = runners.DeleteRunnerPolicy(ctx, connect.NewRequest(&gitpodv1.DeleteRunnerPolicyRequest{RunnerId: runner, GroupId: id}))
	a.step(runnerService+"DeleteRunnerPolicy", thrice(deleted), err)

	share := &gitpodv1.ShareResourceWithPrincipalRequest{
		ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, ResourceId: runner, Principal: bob.GetPrincipal(), PrincipalId: bob.GetId(),
		Role: gitpodv1.ResourceRole_RESOURCE_ROLE_RUNNER_USER,
	}
	_, err = groups.ShareResourceWithPrincipal(ctx, connect.NewRequest(share))
	a.step(service+"ShareResourceWithPrincipal", "group.create group.member.add group.member.add "+thrice(created), err)
	_, err = groups.UnshareResourceWithPrincipal(ctx, connect.NewRequest(&gitpodv1.UnshareResourceWithPrincipalRequest{
		ResourceType: share.GetResourceType(), ResourceId: runner, Principal: bob.GetPrincipal(), PrincipalId: bob.GetId(),
	}))
	a.step(service+"UnshareResourceWithPrincipal", thrice(deleted)+" group.member.remove group.delete", err)
	_, err = groups.DeleteGroup(ctx, connect.NewRequest(&gitpodv1.DeleteGroupRequest{GroupId: id}))
	a.step(service+"DeleteGroup", "group.delete", err)
}
