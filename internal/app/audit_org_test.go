package app_test

import (
	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
)

// auditOrganizations calls what changes organizations and their people.
func auditOrganizations(a *audited) {
	ctx, c := a.Context(), client(bootstrapToken)
	orgs := gitpodv1connect.NewOrganizationServiceClient(c, a.url)
	users := gitpodv1connect.NewUserServiceClient(c, a.url)
	installation := adminv1connect.NewInstallationServiceClient(c, a.url)

	name := "Acme"
	renamed, err := orgs.UpdateOrganization(ctx, connect.NewRequest(&gitpodv1.UpdateOrganizationRequest{OrganizationId: a.organization, Name: &name}))
	a.step("gitpod.v1.OrganizationService/UpdateOrganization", "organization.update", err)
	if renamed.Msg.GetOrganization().GetName() != name {
		a.Errorf("renamed to %v", renamed.Msg.GetOrganization())
	}
	short, domains := "x", &gitpodv1.InviteDomains{Domains: []string{"example.com"}}
	for _, bad := range []*gitpodv1.UpdateOrganizationRequest{{Name: &short}, {InviteDomains: domains}} {
		bad.OrganizationId = a.organization
		if _, err := orgs.UpdateOrganization(ctx, connect.NewRequest(bad)); connect.CodeOf(err) != connect.CodeInvalidArgument {
			a.Errorf("%v: %v", bad, err)
		}
	}

	added, err := adminv1connect.NewMemberServiceClient(c, a.url).AddMember(ctx, connect.NewRequest(&adminv1.AddMemberRequest{
		Name: "Bob", Email: "bob@example.com", Role: gitpodv1.OrganizationRole_ORGANIZATION_ROLE_MEMBER,
	}))
	a.step("muster.admin.v1.MemberService/AddMember", "personal_access_token.create member.add", err)
	bob := added.Msg.GetMember().GetUserId()
	setRole := func(role gitpodv1.OrganizationRole) error {
		_, err := orgs.SetRole(ctx, connect.NewRequest(&gitpodv1.SetRoleRequest{OrganizationId: a.organization, UserId: bob, Role: role}))
		return err
	}
	a.step("gitpod.v1.OrganizationService/SetRole", "member.set_role", setRole(gitpodv1.OrganizationRole_ORGANIZATION_ROLE_ADMIN))
	if err := setRole(gitpodv1.OrganizationRole_ORGANIZATION_ROLE_UNSPECIFIED); connect.CodeOf(err) != connect.CodeInvalidArgument {
		a.Errorf("no role: %v", err)
	}
	for _, suspended := range []bool{true, false} {
		action := map[bool]string{true: "member.suspend", false: "member.resume"}[suspended]
		_, err = users.SetSuspended(ctx, connect.NewRequest(&gitpodv1.SetSuspendedRequest{UserId: bob, Suspended: suspended}))
		a.step("gitpod.v1.UserService/SetSuspended", action, err)
	}
	_, err = users.DeleteUser(ctx, connect.NewRequest(&gitpodv1.DeleteUserRequest{UserId: bob}))
	a.step("gitpod.v1.UserService/DeleteUser", "personal_access_token.delete member.remove", err)
	left, err := users.GetUser(ctx, connect.NewRequest(&gitpodv1.GetUserRequest{UserId: bob}))
	if err != nil || left.Msg.GetUser().GetStatus() != gitpodv1.UserStatus_USER_STATUS_LEFT {
		a.Errorf("who has left: %v, %v", left, err)
	}

	// Both organizations learn of it: the operator's, and the new one.
	made, err := installation.CreateOrganization(ctx, connect.NewRequest(&adminv1.CreateOrganizationRequest{Name: "Other", AdminName: "Olga", AdminEmail: "olga@example.com"}))
	a.step("muster.admin.v1.InstallationService/CreateOrganization", "organization.create organization.create personal_access_token.create member.add", err)
	list, err := installation.ListOrganizations(ctx, connect.NewRequest(&adminv1.ListOrganizationsRequest{}))
	if err != nil || len(list.Msg.GetOrganizations()) != 2 || list.Msg.GetPagination() == nil {
		a.Errorf("listed %v, %v", list, err)
	}
	olga := adminv1connect.NewInstallationServiceClient(client(made.Msg.GetToken()), a.url)
	if _, err := olga.ListOrganizations(ctx, connect.NewRequest(&adminv1.ListOrganizationsRequest{})); connect.CodeOf(err) != connect.CodePermissionDenied {
		a.Errorf("an admin of another organization: %v", err)
	}
}
