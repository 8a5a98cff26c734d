package app_test

import (
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
)

// A logs token says what its holder was when it was made. What counts is what
// the holder is now.
func TestALogsTokenEndsWithTheRightOfItsHolder(t *testing.T) {
	url, _ := start(t, nil)
	ctx := t.Context()
	c := client(bootstrapToken)
	runners := gitpodv1connect.NewRunnerServiceClient(c, url)
	members := adminv1connect.NewMemberServiceClient(c, url)
	accounts := gitpodv1connect.NewServiceAccountServiceClient(c, url)
	groups := gitpodv1connect.NewGroupServiceClient(c, url)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	me, err := gitpodv1connect.NewIdentityServiceClient(c, url).GetAuthenticatedIdentity(ctx, connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{}))
	must(err)
	made, err := runners.CreateRunner(ctx, connect.NewRequest(&gitpodv1.CreateRunnerRequest{Name: "lab", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST}))
	must(err)
	runner := made.Msg.GetRunner().GetRunnerId()
	logsToken := func(token string) string {
		t.Helper()
		signed, err := gitpodv1connect.NewRunnerServiceClient(client(token), url).CreateRunnerLogsToken(ctx, connect.NewRequest(&gitpodv1.CreateRunnerLogsTokenRequest{RunnerId: runner}))
		must(err)
		return signed.Msg.GetAccessToken()
	}
	// The runner is not connected, which is what somebody is told who may ask.
	reads := func(who, token string, want int) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/runners/"+runner+"/logs", nil)
		must(err)
		res, err := client(token).Do(req)
		must(err)
		defer res.Body.Close() //nolint:errcheck // nothing is left to read
		if res.StatusCode != want {
			t.Errorf("%s: status %d, want %d", who, res.StatusCode, want)
		}
	}
	person, err := members.AddMember(ctx, connect.NewRequest(&adminv1.AddMemberRequest{Name: "Ada", Email: "ada@example.com", Role: gitpodv1.OrganizationRole_ORGANIZATION_ROLE_ADMIN}))
	must(err)
	user, token := person.Msg.GetMember().GetUserId(), logsToken(person.Msg.GetToken())
	reads("an admin", token, http.StatusServiceUnavailable)
	_, err = members.SuspendMember(ctx, connect.NewRequest(&adminv1.SuspendMemberRequest{UserId: user}))
	must(err)
	reads("a suspended admin", token, http.StatusUnauthorized)
	_, err = members.ResumeMember(ctx, connect.NewRequest(&adminv1.ResumeMemberRequest{UserId: user}))
	must(err)
	reads("the same, again", token, http.StatusServiceUnavailable)
	_, err = gitpodv1connect.NewOrganizationServiceClient(c, url).SetRole(ctx, connect.NewRequest(&gitpodv1.SetRoleRequest{
		OrganizationId: me.Msg.GetOrganizationId(), UserId: user, Role: gitpodv1.OrganizationRole_ORGANIZATION_ROLE_MEMBER,
	}))
	must(err)
	reads("a member", token, http.StatusNotFound)

	// A service account gets its right from a group.
	account, err := accounts.CreateServiceAccount(ctx, connect.NewRequest(&gitpodv1.CreateServiceAccountRequest{Name: "ci", ValidUntil: timestamppb.New(time.Now().Add(time.Hour))}))
	must(err)
	group, err := groups.CreateGroup(ctx, connect.NewRequest(&gitpodv1.CreateGroupRequest{OrganizationId: me.Msg.GetOrganizationId(), Name: "operators"}))
	must(err)
	id := account.Msg.GetServiceAccount().GetId()
	_, err = groups.CreateMembership(ctx, connect.NewRequest(&gitpodv1.CreateMembershipRequest{
		GroupId: group.Msg.GetGroup().GetId(), Subject: &gitpodv1.Subject{Principal: gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT, Id: id},
	}))
	must(err)
	_, err = groups.CreateRoleAssignment(ctx, connect.NewRequest(&gitpodv1.CreateRoleAssignmentRequest{
		GroupId: group.Msg.GetGroup().GetId(), ResourceId: runner, ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, ResourceRole: gitpodv1.ResourceRole_RESOURCE_ROLE_RUNNER_ADMIN,
	}))
	must(err)
	short, err := accounts.CreateServiceAccountAccessToken(ctx, connect.NewRequest(&gitpodv1.CreateServiceAccountAccessTokenRequest{ServiceAccountId: id}))
	must(err)
	token = logsToken(short.Msg.GetToken())
	reads("a service account", token, http.StatusServiceUnavailable)
	_, err = accounts.DeleteServiceAccount(ctx, connect.NewRequest(&gitpodv1.DeleteServiceAccountRequest{ServiceAccountId: id}))
	must(err)
	reads("a deleted service account", token, http.StatusUnauthorized)
}
