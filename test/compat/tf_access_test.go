package compat

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

const (
	groupService   = "gitpod.v1.GroupService/"
	runnerService  = "gitpod.v1.RunnerService/"
	accountService = "gitpod.v1.ServiceAccountService/"
)

type tfGroup struct{ name, description string }

func groupResource(t *testing.T, w *wire) tf[tfGroup] {
	organization := w.organization(t)
	r := tf[tfGroup]{same: equal[tfGroup]}
	r.create = func(c tfGroup) string {
		var made gitpodv1.CreateGroupResponse
		w.must(t, groupService+"CreateGroup", &gitpodv1.CreateGroupRequest{OrganizationId: organization, Name: c.name, Description: c.description}, &made)
		return made.GetGroup().GetId()
	}
	r.read = func(id string) (tfGroup, bool) {
		var got gitpodv1.GetGroupResponse
		found := w.reads(t, groupService+"GetGroup", &gitpodv1.GetGroupRequest{Group: &gitpodv1.GetGroupRequest_Id{Id: id}}, &got)
		return tfGroup{got.GetGroup().GetName(), got.GetGroup().GetDescription()}, found
	}
	r.update = func(id string, _, to tfGroup) {
		var changed gitpodv1.UpdateGroupResponse
		w.must(t, groupService+"UpdateGroup", &gitpodv1.UpdateGroupRequest{GroupId: id, Name: to.name, Description: to.description}, &changed)
		if g := changed.GetGroup(); g.GetId() != id || g.GetName() != to.name || g.GetDescription() != to.description {
			t.Errorf("the reply to UpdateGroup holds %v", g)
		}
	}
	r.destroy = func(id string) *wireError {
		return w.discard(t, groupService+"DeleteGroup", &gitpodv1.DeleteGroupRequest{GroupId: id})
	}
	return r
}

func TestTFGroup(t *testing.T) {
	t.Parallel()
	w := serve(t).wire(t, bootstrapToken)
	groupResource(t, w).life(t, tfGroup{"platform", "The platform team"}, tfGroup{"platform team", "The team"}, tfGroup{"platform team", ""})
}

func TestTFGroupMembership(t *testing.T) {
	t.Parallel()
	w := serve(t).wire(t, bootstrapToken)
	groups := groupResource(t, w)
	account := accountResource(t, w).create(tfAccount{"robot", "", "2100-01-01T00:00:00Z"})
	type membership struct{ group, subject string }
	r := tf[membership]{same: equal[membership]}
	made := map[string]membership{}
	r.create = func(c membership) string {
		var out gitpodv1.CreateMembershipResponse
		w.must(t, groupService+"CreateMembership", &gitpodv1.CreateMembershipRequest{
			GroupId: c.group, Subject: &gitpodv1.Subject{Id: c.subject, Principal: gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT},
		}, &out)
		m := out.GetMember()
		if m.GetSubject().GetId() != c.subject || m.GetGroupId() != c.group {
			t.Errorf("the reply to CreateMembership holds %v", m)
		}
		made[m.GetId()] = c
		return m.GetId()
	}
	r.read = func(id string) (membership, bool) {
		c := made[id]
		var got gitpodv1.GetMembershipResponse
		w.must(t, groupService+"GetMembership", &gitpodv1.GetMembershipRequest{
			GroupId: c.group, Subject: &gitpodv1.Subject{Id: c.subject, Principal: gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT},
		}, &got)
		m := got.GetMember() // empty for somebody who is no member
		return membership{m.GetGroupId(), m.GetSubject().GetId()}, m.GetId() == id
	}
	r.destroy = func(id string) *wireError {
		return w.discard(t, groupService+"DeleteMembership", &gitpodv1.DeleteMembershipRequest{MembershipId: id})
	}
	r.life(t, membership{groups.create(tfGroup{"one", ""}), account}, membership{groups.create(tfGroup{"two", ""}), account})
}

func TestTFRunnerPolicy(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	groups := groupResource(t, w)
	runner := s.tfRunner(t, w, "Frankfurt Runner", false)
	type policy struct {
		group string
		role  gitpodv1.RunnerRole
	}
	r := tf[policy]{same: equal[policy]}
	r.create = func(c policy) string {
		var out gitpodv1.CreateRunnerPolicyResponse
		w.must(t, runnerService+"CreateRunnerPolicy", &gitpodv1.CreateRunnerPolicyRequest{RunnerId: runner, GroupId: c.group, Role: c.role}, &out)
		if out.GetPolicy().GetGroupId() != c.group || out.GetPolicy().GetRole() != c.role {
			t.Errorf("the reply to CreateRunnerPolicy holds %v", out.GetPolicy())
		}
		return c.group
	}
	r.read = func(group string) (policy, bool) {
		for token := ""; ; {
			var got gitpodv1.ListRunnerPoliciesResponse
			if !w.reads(t, runnerService+"ListRunnerPolicies", &gitpodv1.ListRunnerPoliciesRequest{RunnerId: runner, Pagination: &gitpodv1.PaginationRequest{PageSize: 100, Token: token}}, &got) {
				return policy{}, false
			}
			for _, p := range got.GetPolicies() {
				if p.GetGroupId() == group {
					return policy{group, p.GetRole()}, true
				}
			}
			if token = got.GetPagination().GetNextToken(); token == "" {
				return policy{}, false
			}
		}
	}
	r.update = func(group string, _, to policy) {
		var out gitpodv1.UpdateRunnerPolicyResponse
		w.must(t, runnerService+"UpdateRunnerPolicy", &gitpodv1.UpdateRunnerPolicyRequest{RunnerId: runner, GroupId: group, Role: to.role}, &out)
		if out.GetPolicy().GetRole() != to.role {
			t.Errorf("the reply to UpdateRunnerPolicy holds %v", out.GetPolicy())
		}
	}
	r.destroy = func(group string) *wireError {
		return w.discard(t, runnerService+"DeleteRunnerPolicy", &gitpodv1.DeleteRunnerPolicyRequest{RunnerId: runner, GroupId: group})
	}
	g := groups.create(tfGroup{"platform", ""})
	r.life(t, policy{g, gitpodv1.RunnerRole_RUNNER_ROLE_USER}, policy{g, gitpodv1.RunnerRole_RUNNER_ROLE_ADMIN})
}

// tfAssignment is ona_runner_role_assignment and ona_organization_role_assignment.
type tfAssignment struct {
	group, resource string
	typ             gitpodv1.ResourceType
	role            gitpodv1.ResourceRole
}

func assignmentResource(t *testing.T, w *wire) tf[tfAssignment] {
	made := map[string]tfAssignment{}
	list := func(c tfAssignment) []*gitpodv1.RoleAssignment {
		var got gitpodv1.ListRoleAssignmentsResponse
		w.must(t, groupService+"ListRoleAssignments", &gitpodv1.ListRoleAssignmentsRequest{Filter: &gitpodv1.ListRoleAssignmentsRequest_Filter{
			GroupId: c.group, ResourceTypes: []gitpodv1.ResourceType{c.typ}, ResourceId: c.resource,
		}}, &got)
		return got.GetAssignments()
	}
	r := tf[tfAssignment]{same: equal[tfAssignment]}
	r.create = func(c tfAssignment) string {
		if found := list(c); len(found) != 0 {
			t.Errorf("before it is created there is %v", found)
		}
		var out gitpodv1.CreateRoleAssignmentResponse
		w.must(t, groupService+"CreateRoleAssignment", &gitpodv1.CreateRoleAssignmentRequest{GroupId: c.group, ResourceType: c.typ, ResourceId: c.resource, ResourceRole: c.role}, &out)
		a := out.GetAssignment()
		if a.GetGroupId() != c.group || a.GetResourceId() != c.resource || a.GetResourceType() != c.typ || a.GetResourceRole() != c.role || a.DerivedFromOrgRole != nil {
			t.Errorf("the reply to CreateRoleAssignment holds %v", a)
		}
		made[a.GetId()] = c
		return a.GetId()
	}
	r.read = func(id string) (tfAssignment, bool) {
		for _, a := range list(made[id]) {
			if a.GetId() == id {
				return tfAssignment{a.GetGroupId(), a.GetResourceId(), a.GetResourceType(), a.GetResourceRole()}, true
			}
		}
		return tfAssignment{}, false
	}
	r.destroy = func(id string) *wireError {
		return w.discard(t, groupService+"DeleteRoleAssignment", &gitpodv1.DeleteRoleAssignmentRequest{AssignmentId: id})
	}
	return r
}

func TestTFRoleAssignments(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	g := groupResource(t, w).create(tfGroup{"platform", ""})
	runner, organization := s.tfRunner(t, w, "Frankfurt Runner", false), w.organization(t)
	const onRunner, onOrganization = gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, gitpodv1.ResourceType_RESOURCE_TYPE_ORGANIZATION
	assignmentResource(t, w).life(t,
		tfAssignment{g, runner, onRunner, gitpodv1.ResourceRole_RESOURCE_ROLE_RUNNER_ADMIN},
		tfAssignment{g, runner, onRunner, gitpodv1.ResourceRole_RESOURCE_ROLE_RUNNER_USER},
	)
	for _, number := range []int32{50, 1, 51, 52, 53, 64, 66, 67, 68} {
		assignmentResource(t, w).life(t, tfAssignment{g, organization, onOrganization, gitpodv1.ResourceRole(number)})
	}
}

type tfAccount struct{ name, description, validUntil string }

func accountResource(t *testing.T, w *wire) tf[tfAccount] {
	r := tf[tfAccount]{same: equal[tfAccount]}
	of := func(a *gitpodv1.ServiceAccount) tfAccount {
		return tfAccount{a.GetName(), a.GetDescription(), a.GetValidUntil().AsTime().UTC().Format(time.RFC3339)}
	}
	r.create = func(c tfAccount) string {
		until, err := time.Parse(time.RFC3339, c.validUntil)
		if err != nil {
			t.Fatal(err)
		}
		var out gitpodv1.CreateServiceAccountResponse
		w.must(t, accountService+"CreateServiceAccount", &gitpodv1.CreateServiceAccountRequest{Name: c.name, Description: c.description, ValidUntil: timestamppb.New(until)}, &out)
		if a := out.GetServiceAccount(); of(a) != c || a.GetCreator().GetId() == "" || a.GetCreatedAt() == nil {
			t.Errorf("the reply to CreateServiceAccount holds %v", a)
		}
		return out.GetServiceAccount().GetId()
	}
	r.read = func(id string) (tfAccount, bool) {
		var got gitpodv1.GetServiceAccountResponse
		found := w.reads(t, accountService+"GetServiceAccount", &gitpodv1.GetServiceAccountRequest{ServiceAccountId: id}, &got)
		return of(got.GetServiceAccount()), found && !got.GetServiceAccount().GetSuspended() // a suspended one is dropped from the state
	}
	r.update = func(id string, _, to tfAccount) {
		var out gitpodv1.UpdateServiceAccountResponse
		w.must(t, accountService+"UpdateServiceAccount", &gitpodv1.UpdateServiceAccountRequest{ServiceAccountId: id, Name: &to.name, Description: &to.description}, &out)
		if of(out.GetServiceAccount()) != to {
			t.Errorf("the reply to UpdateServiceAccount holds %v", out.GetServiceAccount())
		}
	}
	r.destroy = func(id string) *wireError {
		return w.discard(t, accountService+"DeleteServiceAccount", &gitpodv1.DeleteServiceAccountRequest{ServiceAccountId: id})
	}
	return r
}

func TestTFServiceAccount(t *testing.T) {
	t.Parallel()
	w := serve(t).wire(t, bootstrapToken)
	accountResource(t, w).life(t,
		tfAccount{"robot", "Runs the pipelines", "2100-01-01T00:00:00Z"}, tfAccount{"robot 2", "", "2100-01-01T00:00:00Z"})
}

// TestTFServiceAccountToken makes a token as the provider's ephemeral resource
// does: a short one with the caller's token, and with it the long one.
func TestTFServiceAccountToken(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	account := accountResource(t, w).create(tfAccount{"robot", "", "2100-01-01T00:00:00Z"})
	for range 2 { // at plan and at apply
		var access gitpodv1.CreateServiceAccountAccessTokenResponse
		w.must(t, accountService+"CreateServiceAccountAccessToken", &gitpodv1.CreateServiceAccountAccessTokenRequest{ServiceAccountId: account}, &access)
		var long gitpodv1.CreateServiceAccountTokenResponse
		s.wire(t, access.GetToken()).must(t, accountService+"CreateServiceAccountToken", &gitpodv1.CreateServiceAccountTokenRequest{Description: "ci", ValidFor: durationpb.New(time.Hour)}, &long)
		if ends := time.Until(long.GetServiceAccountToken().GetExpiresAt().AsTime()); ends < 59*time.Minute || ends > 61*time.Minute {
			t.Errorf("the token ends in %s", ends)
		}
		var me gitpodv1.GetAuthenticatedIdentityResponse
		s.wire(t, long.GetToken()).must(t, "gitpod.v1.IdentityService/GetAuthenticatedIdentity", &gitpodv1.GetAuthenticatedIdentityRequest{}, &me)
		if me.GetSubject().GetId() != account || me.GetSubject().GetPrincipal() != gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT {
			t.Errorf("the long token is %v", me.GetSubject())
		}
	}
}

// TestTFGitAuthentication stores a personal access token as a service account
// that the caller impersonates, and reads it as an admin for an import.
func TestTFGitAuthentication(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	runner := s.tfRunner(t, w, "Frankfurt Runner", true)
	account := accountResource(t, w).create(tfAccount{"robot", "", "2100-01-01T00:00:00Z"})
	g := groupResource(t, w).create(tfGroup{"robots", ""})
	w.must(t, groupService+"CreateMembership", &gitpodv1.CreateMembershipRequest{GroupId: g, Subject: &gitpodv1.Subject{Id: account, Principal: gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT}}, &gitpodv1.CreateMembershipResponse{})
	w.must(t, runnerService+"CreateRunnerPolicy", &gitpodv1.CreateRunnerPolicyRequest{RunnerId: runner, GroupId: g, Role: gitpodv1.RunnerRole_RUNNER_ROLE_USER}, &gitpodv1.CreateRunnerPolicyResponse{})
	var access gitpodv1.CreateServiceAccountAccessTokenResponse
	w.must(t, accountService+"CreateServiceAccountAccessToken", &gitpodv1.CreateServiceAccountAccessTokenRequest{ServiceAccountId: account}, &access)
	robot := s.wire(t, access.GetToken())

	type credential struct{ host, expires, scopes, version string }
	versions := map[string]string{}
	expiry := func(c credential) *timestamppb.Timestamp {
		at, err := time.Parse(time.RFC3339, c.expires)
		if err != nil {
			t.Fatal(err)
		}
		return timestamppb.New(at)
	}
	r := tf[credential]{same: equal[credential]}
	r.create = func(c credential) string {
		var out gitpodv1.CreateHostAuthenticationTokenResponse
		robot.must(t, configService+"CreateHostAuthenticationToken", &gitpodv1.CreateHostAuthenticationTokenRequest{
			RunnerId: runner, Host: c.host, Token: "secret " + c.version, Source: gitpodv1.HostAuthenticationTokenSource_HOST_AUTHENTICATION_TOKEN_SOURCE_PAT,
			Scopes: strings.Fields(c.scopes), ExpiresAt: expiry(c), Subject: &gitpodv1.Subject{Id: account, Principal: gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT},
		}, &out)
		versions[out.GetToken().GetId()] = c.version
		return out.GetToken().GetId()
	}
	read := func(as *wire, id string) (credential, bool) {
		var got gitpodv1.GetHostAuthenticationTokenResponse
		if !as.reads(t, configService+"GetHostAuthenticationToken", &gitpodv1.GetHostAuthenticationTokenRequest{Id: id}, &got) {
			return credential{}, false
		}
		h := got.GetToken()
		if h.GetSubject().GetId() != account || h.GetUserId() != account || h.GetRunnerId() != runner { //nolint:staticcheck // old clients read it
			t.Errorf("the credential says %v", h)
		}
		return credential{h.GetHost(), h.GetExpiresAt().AsTime().UTC().Format(time.RFC3339), strings.Join(h.GetScopes(), " "), versions[id]}, true
	}
	r.read = func(id string) (credential, bool) {
		asAdmin, found := read(w, id)
		if own, ownFound := read(robot, id); own != asAdmin || ownFound != found {
			t.Errorf("the owner reads %+v, an admin %+v", own, asAdmin)
		}
		return asAdmin, found
	}
	r.update = func(id string, _, to credential) {
		robot.must(t, configService+"UpdateHostAuthenticationToken", &gitpodv1.UpdateHostAuthenticationTokenRequest{
			Id: id, Token: proto.String("secret " + to.version), Scopes: strings.Fields(to.scopes), ExpiresAt: expiry(to),
		}, &gitpodv1.UpdateHostAuthenticationTokenResponse{})
		versions[id] = to.version
	}
	r.destroy = func(id string) *wireError {
		return robot.discard(t, configService+"DeleteHostAuthenticationToken", &gitpodv1.DeleteHostAuthenticationTokenRequest{Id: id})
	}
	r.life(t,
		credential{"github.com", "2090-01-01T00:00:00Z", "repo user", "1"},
		credential{"github.com", "2091-01-01T00:00:00Z", "repo", "2"},
	)
}

// TestTFUsers reads people as the data sources do.
func TestTFUsers(t *testing.T) {
	t.Parallel()
	w := serve(t).wire(t, bootstrapToken)
	var me gitpodv1.GetAuthenticatedIdentityResponse
	w.must(t, "gitpod.v1.IdentityService/GetAuthenticatedIdentity", &gitpodv1.GetAuthenticatedIdentityRequest{}, &me)
	var u gitpodv1.GetUserResponse
	w.must(t, "gitpod.v1.UserService/GetUser", &gitpodv1.GetUserRequest{UserId: me.GetSubject().GetId()}, &u)
	if u.GetUser().GetOrganizationId() != me.GetOrganizationId() {
		t.Errorf("the user is in %q, the identity in %q", u.GetUser().GetOrganizationId(), me.GetOrganizationId())
	}
	for name, filter := range map[string]*gitpodv1.ListMembersRequest_Filter{
		"by id":    {UserIds: []string{me.GetSubject().GetId()}},
		"by email": {Search: u.GetUser().GetEmail()},
	} {
		var got gitpodv1.ListMembersResponse
		w.must(t, "gitpod.v1.OrganizationService/ListMembers", &gitpodv1.ListMembersRequest{
			OrganizationId: me.GetOrganizationId(), Filter: filter, Pagination: &gitpodv1.PaginationRequest{PageSize: 100},
			Sort: &gitpodv1.ListMembersRequest_Sort{Field: gitpodv1.ListMembersRequest_SORT_FIELD_NAME, Order: gitpodv1.SortOrder_SORT_ORDER_ASC},
		}, &got)
		if len(got.GetMembers()) != 1 || got.GetMembers()[0].GetStatus() != u.GetUser().GetStatus() || got.GetMembers()[0].GetMemberSince() == nil {
			t.Errorf("%s: %v", name, got.GetMembers())
		}
	}
	w.refused(t, "gitpod.v1.UserService/GetUser", &gitpodv1.GetUserRequest{UserId: "0192aaaa-0000-7000-8000-00000000000a"}, "not_found")
}
