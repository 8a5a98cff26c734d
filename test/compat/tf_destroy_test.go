package compat

import (
	"fmt"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// deletion is one call of a destroy.
type deletion struct {
	procedure string
	request   proto.Message
}

// stack makes a runner with everything that belongs to it, and returns how it
// is destroyed: what depends on others first.
func (s *server) stack(t *testing.T, w *wire, n int) (leaves, trunks []deletion) {
	t.Helper()
	runner := s.tfRunner(t, w, fmt.Sprintf("runner %d", n), true)
	organization := w.organization(t)
	g := groupResource(t, w).create(tfGroup{fmt.Sprintf("group %d", n), ""})
	account := accountResource(t, w).create(tfAccount{fmt.Sprintf("robot %d", n), "", "2100-01-01T00:00:00Z"})
	leaf := func(procedure string, request proto.Message) { leaves = append(leaves, deletion{procedure, request}) }

	for i := range 3 {
		var class gitpodv1.CreateEnvironmentClassResponse
		w.must(t, configService+"CreateEnvironmentClass", &gitpodv1.CreateEnvironmentClassRequest{RunnerId: runner, DisplayName: fmt.Sprintf("class %d", i), Description: "A class"}, &class)
		leaf(configService+"UpdateEnvironmentClass", &gitpodv1.UpdateEnvironmentClassRequest{EnvironmentClassId: class.GetId(), Enabled: proto.Bool(false)})
		var scm gitpodv1.CreateSCMIntegrationResponse
		w.must(t, configService+"CreateSCMIntegration", &gitpodv1.CreateSCMIntegrationRequest{RunnerId: runner, ScmId: "gitlab", Host: fmt.Sprintf("gitlab%d.example.com", i), Pat: true}, &scm)
		leaf(configService+"DeleteSCMIntegration", &gitpodv1.DeleteSCMIntegrationRequest{Id: scm.GetId()})
		var llm gitpodv1.CreateLLMIntegrationResponse
		w.must(t, configService+"CreateLLMIntegration", &gitpodv1.CreateLLMIntegrationRequest{RunnerId: runner, Models: []gitpodv1.SupportedModel{gitpodv1.SupportedModel_SUPPORTED_MODEL_SONNET_4}, ApiKey: "k"}, &llm)
		leaf(configService+"DeleteLLMIntegration", &gitpodv1.DeleteLLMIntegrationRequest{Id: llm.GetId()})
		var host gitpodv1.CreateHostAuthenticationTokenResponse
		w.must(t, configService+"CreateHostAuthenticationToken", &gitpodv1.CreateHostAuthenticationTokenRequest{
			RunnerId: runner, Host: fmt.Sprintf("code%d.example.com", i), Token: "t", Source: gitpodv1.HostAuthenticationTokenSource_HOST_AUTHENTICATION_TOKEN_SOURCE_PAT,
		}, &host)
		leaf(configService+"DeleteHostAuthenticationToken", &gitpodv1.DeleteHostAuthenticationTokenRequest{Id: host.GetToken().GetId()})
	}
	w.must(t, runnerService+"CreateRunnerPolicy", &gitpodv1.CreateRunnerPolicyRequest{RunnerId: runner, GroupId: g, Role: gitpodv1.RunnerRole_RUNNER_ROLE_USER}, &gitpodv1.CreateRunnerPolicyResponse{})
	leaf(runnerService+"DeleteRunnerPolicy", &gitpodv1.DeleteRunnerPolicyRequest{RunnerId: runner, GroupId: g})
	var member gitpodv1.CreateMembershipResponse
	w.must(t, groupService+"CreateMembership", &gitpodv1.CreateMembershipRequest{GroupId: g, Subject: &gitpodv1.Subject{Id: account, Principal: gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT}}, &member)
	leaf(groupService+"DeleteMembership", &gitpodv1.DeleteMembershipRequest{MembershipId: member.GetMember().GetId()})
	var role gitpodv1.CreateRoleAssignmentResponse
	w.must(t, groupService+"CreateRoleAssignment", &gitpodv1.CreateRoleAssignmentRequest{
		GroupId: g, ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_ORGANIZATION, ResourceId: organization, ResourceRole: gitpodv1.ResourceRole_RESOURCE_ROLE_ORG_RUNNERS_ADMIN,
	}, &role)
	leaf(groupService+"DeleteRoleAssignment", &gitpodv1.DeleteRoleAssignmentRequest{AssignmentId: role.GetAssignment().GetId()})

	return leaves, []deletion{
		{deleteRunner, &gitpodv1.DeleteRunnerRequest{RunnerId: runner}},
		{groupService + "DeleteGroup", &gitpodv1.DeleteGroupRequest{GroupId: g}},
		{accountService + "DeleteServiceAccount", &gitpodv1.DeleteServiceAccountRequest{ServiceAccountId: account}},
	}
}

// atOnce makes all calls, ten at a time as Terraform does, and hands each
// outcome to check.
func atOnce(t *testing.T, w *wire, calls []deletion, check func(deletion, *wireError)) {
	t.Helper()
	queue := make(chan deletion)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for d := range queue {
				check(d, w.discard(t, d.procedure, d.request))
			}
		})
	}
	for _, d := range calls {
		queue <- d
	}
	close(queue)
	wg.Wait()
}

// TestTFParallelDestroy destroys in the order of dependencies, ten resources at
// a time: each deletion works.
func TestTFParallelDestroy(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	var leaves, trunks []deletion
	for n := range 3 {
		l, tr := s.stack(t, w, n)
		leaves, trunks = append(leaves, l...), append(trunks, tr...)
	}
	works := func(d deletion, e *wireError) {
		if e != nil {
			t.Errorf("%s: %+v", d.procedure, e)
		}
	}
	atOnce(t, w, leaves, works)
	atOnce(t, w, trunks, works)
	s.nothingIsLeft(t, w)
}

// TestTFDestroyEverythingAtOnce deletes siblings and what they belong to at the
// same time: whatever is gone already is not_found, and nothing else happens.
func TestTFDestroyEverythingAtOnce(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	var all []deletion
	for n := range 3 {
		leaves, trunks := s.stack(t, w, n)
		for i, d := range leaves {
			all = append(all, d)
			if i%5 == 2 && len(trunks) > 0 {
				all, trunks = append(all, trunks[0]), trunks[1:]
			}
		}
		all = append(all, trunks...)
	}
	atOnce(t, w, all, func(d deletion, e *wireError) {
		if e != nil && e.Code != "not_found" {
			t.Errorf("%s: %+v", d.procedure, e)
		}
	})
	s.nothingIsLeft(t, w)
}

// nothingIsLeft waits until runners that were connected have gone, and lists
// everything.
func (s *server) nothingIsLeft(t *testing.T, w *wire) {
	t.Helper()
	s.awaitNoRunners(t, w)
	for procedure, lists := range map[string]struct {
		request, reply proto.Message
		count          func(proto.Message) int
	}{
		configService + "ListEnvironmentClasses": {&gitpodv1.ListEnvironmentClassesRequest{}, &gitpodv1.ListEnvironmentClassesResponse{}, func(m proto.Message) int {
			return len(m.(*gitpodv1.ListEnvironmentClassesResponse).GetEnvironmentClasses())
		}},
		configService + "ListSCMIntegrations": {&gitpodv1.ListSCMIntegrationsRequest{}, &gitpodv1.ListSCMIntegrationsResponse{}, func(m proto.Message) int {
			return len(m.(*gitpodv1.ListSCMIntegrationsResponse).GetIntegrations())
		}},
		configService + "ListLLMIntegrations": {&gitpodv1.ListLLMIntegrationsRequest{}, &gitpodv1.ListLLMIntegrationsResponse{}, func(m proto.Message) int {
			return len(m.(*gitpodv1.ListLLMIntegrationsResponse).GetIntegrations())
		}},
		configService + "ListHostAuthenticationTokens": {&gitpodv1.ListHostAuthenticationTokensRequest{}, &gitpodv1.ListHostAuthenticationTokensResponse{}, func(m proto.Message) int {
			return len(m.(*gitpodv1.ListHostAuthenticationTokensResponse).GetTokens())
		}},
		groupService + "ListGroups": {&gitpodv1.ListGroupsRequest{}, &gitpodv1.ListGroupsResponse{}, func(m proto.Message) int {
			return len(m.(*gitpodv1.ListGroupsResponse).GetGroups())
		}},
		groupService + "ListRoleAssignments": {&gitpodv1.ListRoleAssignmentsRequest{}, &gitpodv1.ListRoleAssignmentsResponse{}, func(m proto.Message) int {
			return len(m.(*gitpodv1.ListRoleAssignmentsResponse).GetAssignments())
		}},
		accountService + "ListServiceAccounts": {&gitpodv1.ListServiceAccountsRequest{}, &gitpodv1.ListServiceAccountsResponse{}, func(m proto.Message) int {
			return len(m.(*gitpodv1.ListServiceAccountsResponse).GetServiceAccounts())
		}},
	} {
		w.must(t, procedure, lists.request, lists.reply)
		if n := lists.count(lists.reply); n != 0 {
			t.Errorf("%s: %d are left: %v", procedure, n, lists.reply)
		}
	}
}

// awaitNoRunners follows the events until no runner is left.
func (s *server) awaitNoRunners(t *testing.T, w *wire) {
	t.Helper()
	watching := w.open(t, "/api/gitpod.v1.EventService/WatchEvents", map[string]string{"Content-Type": "application/jsonl", "Accept": "application/jsonl"}, []byte(`{"organization":true}`))
	buf := make([]byte, 4096)
	for {
		var runners gitpodv1.ListRunnersResponse
		w.must(t, runnerService+"ListRunners", &gitpodv1.ListRunnersRequest{}, &runners)
		if len(runners.GetRunners()) == 0 {
			return
		}
		if _, err := watching.Body.Read(buf); err != nil {
			t.Fatalf("%d runners are left, and no event comes any more: %v", len(runners.GetRunners()), err)
		}
	}
}
