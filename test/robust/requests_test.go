package robust_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/test/muster"
)

const (
	identities = "gitpod.v1.IdentityService/"
	users      = "gitpod.v1.UserService/"
	orgs       = "gitpod.v1.OrganizationService/"
	runners    = "gitpod.v1.RunnerService/"
	events     = "gitpod.v1.EventService/"
	config     = "gitpod.v1.RunnerConfigurationService/"
	groups     = "gitpod.v1.GroupService/"
	accounts   = "gitpod.v1.ServiceAccountService/"
	admins     = "muster.admin.v1."
)

// nobody is an id that names nothing.
const nobody = "01990000-0000-7000-8000-000000000001"

// goodRequests are requests that get far, for all procedures with fields: their
// answer is what was asked for, or that the thing to remove is not there.
func goodRequests(t *testing.T, s *muster.Server) map[string]object {
	t.Helper()
	w := &witness{url: s.URL, token: s.Token}
	me := w.call(t, identities+"GetAuthenticatedIdentity", object{})
	organization, admin := me.text("organizationId"), object{"id": me.text("subject", "id"), "principal": "PRINCIPAL_USER"}
	person := w.call(t, admins+"MemberService/AddMember", object{"name": "Ann", "email": "ann@example.com", "role": "ORGANIZATION_ROLE_MEMBER"}).text("member", "userId")
	runner := connected(t, s, "a runner").id
	byRunner, byUser, byOrganization := object{"runnerId": runner}, object{"userId": me.text("subject", "id")}, object{"organizationId": organization}
	page := object{"pageSize": 10}
	list := object{"pagination": page}
	configuration := object{"autoUpdate": true, "logLevel": "LOG_LEVEL_INFO", "metrics": object{"enabled": true, "url": "https://x.example"}}

	class := object{"runnerId": runner, "displayName": "Small", "description": "A small one", "configuration": []any{}}
	integration := object{"runnerId": runner, "scmId": "gitea", "host": "git.example.com", "pat": true, "oauthClientId": "muster", "oauthPlaintextClientSecret": "s"}
	model := object{"runnerId": runner, "models": []any{"SUPPORTED_MODEL_SONNET_4"}, "apiKey": "k", "endpoint": "https://llm.example.com", "maxTokens": "1000"}
	header := object{"key": "X-Header", "value": base64.StdEncoding.EncodeToString([]byte("v")), "headerType": "LLM_INTEGRATION_REQUEST_HEADER_TYPE_LITERAL"}
	hostToken := object{"runnerId": runner, "host": "git.example.com", "token": "t", "refreshToken": "r", "source": "HOST_AUTHENTICATION_TOKEN_SOURCE_PAT"}
	byClass := object{"environmentClassId": w.call(t, config+"CreateEnvironmentClass", class).text("id")}
	integrationID := w.call(t, config+"CreateSCMIntegration", integration).text("id")
	modelID := w.call(t, config+"CreateLLMIntegration", model).text("id")
	hostTokenID := w.call(t, config+"CreateHostAuthenticationToken", hostToken).text("token", "id")
	// A runner of its own, so that no nonsense connects it to a host that it would
	// call. This one no runner calls unless it is told to.
	const local = "127.0.0.1:1"
	asked := object{"runnerId": connected(t, s, "a runner to ask").id}
	w.call(t, config+"CreateSCMIntegration", object{"runnerId": asked["runnerId"], "scmId": "gitea", "host": local, "pat": true})
	w.call(t, config+"CreateHostAuthenticationToken", with(with(hostToken, []string{"host"}, local), []string{"runnerId"}, asked["runnerId"]))

	group := w.call(t, groups+"CreateGroup", object{"organizationId": organization, "name": "a group"}).text("group", "id")
	other := w.call(t, groups+"CreateGroup", object{"organizationId": organization, "name": "another group"}).text("group", "id")
	policy := object{"runnerId": runner, "groupId": group, "role": "RUNNER_ROLE_USER"}
	w.call(t, runners+"CreateRunnerPolicy", policy)
	assignment := object{"groupId": other, "resourceType": "RESOURCE_TYPE_RUNNER", "resourceId": runner, "resourceRole": "RESOURCE_ROLE_RUNNER_USER"}
	subject := object{"id": person, "principal": "PRINCIPAL_USER"}
	share := object{
		"resourceType": "RESOURCE_TYPE_RUNNER", "resourceId": runner, "principal": "PRINCIPAL_USER", "principalId": person, "role": "RESOURCE_ROLE_RUNNER_USER",
	}
	account := object{"name": "robot", "validUntil": "2100-01-01T00:00:00Z"}
	byAccount := object{"serviceAccountId": w.call(t, accounts+"CreateServiceAccount", account).text("serviceAccount", "id")}
	entry := w.call(t, events+"ListAuditLogs", list).text("entries", "0", "id")
	w.call(t, runners+"CreateRunnerToken", byRunner)
	runnerTokens := w.call(t, admins+"RunnerTokenService/ListRunnerTokens", byRunner)
	retention := object{"neverConnectedDays": 100, "offlineDays": 100, "auditDays": 0}

	return map[string]object{
		identities + "GetIDToken":    {"audience": []any{"https://example.com"}, "version": "ID_TOKEN_VERSION_V2"},
		identities + "ExchangeToken": {"exchangeToken": "x"},

		users + "GetUser":                   byUser,
		users + "SetSuspended":              {"userId": person, "suspended": true},
		users + "DeleteUser":                {"userId": nobody},
		users + "CreatePersonalAccessToken": with(byUser, []string{"description"}, "x"),
		users + "GetPersonalAccessToken":    {"personalAccessTokenId": nobody},
		users + "DeletePersonalAccessToken": {"personalAccessTokenId": nobody},
		users + "ListPersonalAccessTokens":  list,
		orgs + "GetOrganization":            byOrganization,
		orgs + "UpdateOrganization":         with(byOrganization, []string{"name"}, "Renamed"),
		orgs + "ListMembers":                with(byOrganization, []string{"pagination"}, page),
		orgs + "SetRole":                    {"organizationId": organization, "userId": person, "role": "ORGANIZATION_ROLE_MEMBER"},

		runners + "CreateRunner":                {"name": "another", "provider": "RUNNER_PROVIDER_LINUX_HOST", "spec": object{"configuration": configuration}},
		runners + "GetRunner":                   byRunner,
		runners + "ListRunners":                 list,
		runners + "UpdateRunner":                with(byRunner, []string{"spec", "configuration"}, configuration),
		runners + "DeleteRunner":                {"runnerId": nobody},
		runners + "CreateRunnerToken":           byRunner,
		runners + "CreateRunnerLogsToken":       byRunner,
		runners + "ParseContextURL":             with(asked, []string{"contextUrl"}, "https://"+local+"/a/b"),
		runners + "SearchRepositories":          {"runnerId": asked["runnerId"], "scmHost": local, "searchString": "x", "searchMode": "SEARCH_MODE_KEYWORD", "limit": 10, "pagination": page},
		runners + "ListSCMOrganizations":        {"runnerId": asked["runnerId"], "scmHost": local, "pagination": page},
		runners + "CheckAuthenticationForHost":  with(asked, []string{"host"}, local),
		runners + "CheckRepositoryAccess":       with(asked, []string{"repositoryUrl"}, "https://"+local+"/a/b"),
		runners + "ListRunnerPolicies":          with(byRunner, []string{"pagination"}, page),
		runners + "CreateRunnerPolicy":          policy,
		runners + "UpdateRunnerPolicy":          policy,
		runners + "DeleteRunnerPolicy":          {"runnerId": runner, "groupId": nobody},
		"gitpod.v1.GatewayService/ListGateways": list,

		events + "WatchEvents":   {"organization": true},
		events + "ListAuditLogs": with(list, []string{"filter"}, object{"from": "2020-01-01T00:00:00Z"}),
		events + "GetAuditLog":   {"auditLogEntryId": entry},

		"gitpod.v1.EnvironmentService/ListEnvironmentClasses": with(list, []string{"filter"}, object{"enabled": true}),

		config + "CreateHostAuthenticationToken": hostToken,
		config + "GetHostAuthenticationToken":    {"id": hostTokenID},
		config + "ListHostAuthenticationTokens":  with(list, []string{"filter"}, byRunner),
		config + "UpdateHostAuthenticationToken": {"id": hostTokenID, "token": "new", "refreshToken": "new", "scopes": []any{"repo"}},
		config + "DeleteHostAuthenticationToken": {"id": nobody},
		config + "GetRunnerConfigurationSchema":  byRunner,
		config + "CreateSCMIntegration":          integration,
		config + "GetSCMIntegration":             {"id": integrationID},
		config + "ListSCMIntegrations":           with(list, []string{"filter"}, object{"runnerIds": []any{runner}}),
		config + "UpdateSCMIntegration":          {"id": integrationID, "pat": true, "oauthPlaintextClientSecret": "new"},
		config + "DeleteSCMIntegration":          {"id": nobody},
		config + "CreateEnvironmentClass":        class,
		config + "GetEnvironmentClass":           byClass,
		config + "ListEnvironmentClasses":        with(list, []string{"filter"}, object{"runnerIds": []any{runner}, "runnerKinds": []any{"RUNNER_KIND_REMOTE"}}),
		config + "UpdateEnvironmentClass":        with(byClass, []string{"displayName"}, "Smaller"),
		config + "ValidateRunnerConfiguration":   {"runnerId": runner, "environmentClass": object{"displayName": "Small", "description": "A small one"}},
		config + "CreateLLMIntegration":          model,
		config + "GetLLMIntegration":             {"id": modelID},
		config + "ListLLMIntegrations":           with(list, []string{"filter"}, object{"runnerIds": []any{runner}}),
		config + "UpdateLLMIntegration":          {"id": modelID, "apiKey": "new", "requestHeaders": []any{header}},
		config + "DeleteLLMIntegration":          {"id": nobody},

		groups + "CreateGroup":                  {"organizationId": organization, "name": "one more", "description": "x"},
		groups + "GetGroup":                     {"id": group},
		groups + "ListGroups":                   with(list, []string{"filter"}, object{"groupIds": []any{group}}),
		groups + "UpdateGroup":                  {"groupId": other, "name": "renamed", "description": "x"},
		groups + "DeleteGroup":                  {"groupId": nobody},
		groups + "CreateMembership":             {"groupId": group, "subject": subject},
		groups + "GetMembership":                {"groupId": group, "subject": subject},
		groups + "ListMemberships":              {"groupId": group, "pagination": page},
		groups + "DeleteMembership":             {"membershipId": nobody},
		groups + "CreateRoleAssignment":         assignment,
		groups + "ListRoleAssignments":          with(list, []string{"filter"}, object{"groupId": group}),
		groups + "DeleteRoleAssignment":         {"assignmentId": nobody},
		groups + "ShareResourceWithPrincipal":   share,
		groups + "UnshareResourceWithPrincipal": {"resourceType": "RESOURCE_TYPE_RUNNER", "resourceId": runner, "principal": "PRINCIPAL_USER", "principalId": nobody},

		accounts + "CreateServiceAccount":            account,
		accounts + "ListServiceAccounts":             list,
		accounts + "GetServiceAccount":               byAccount,
		accounts + "UpdateServiceAccount":            with(byAccount, []string{"name"}, "renamed"),
		accounts + "DeleteServiceAccount":            {"serviceAccountId": nobody},
		accounts + "CreateServiceAccountAccessToken": byAccount,
		accounts + "CreateServiceAccountToken":       {"description": "x", "validFor": "60s"},
		accounts + "ListServiceAccountTokens":        list,
		accounts + "GetServiceAccountToken":          {"serviceAccountTokenId": nobody},
		accounts + "DeleteServiceAccountToken":       {"serviceAccountTokenId": nobody},

		admins + "MemberService/AddMember":                 {"name": "Somebody", "email": "somebody@example.com", "role": "ORGANIZATION_ROLE_MEMBER"},
		admins + "MemberService/CreateMemberToken":         {"userId": nobody, "validFor": "60s"},
		admins + "MemberService/SuspendMember":             {"userId": person},
		admins + "MemberService/ResumeMember":              {"userId": person},
		admins + "MemberService/RemoveMember":              {"userId": nobody},
		admins + "RunnerKeyService/GetRunnerKeys":          byRunner,
		admins + "RunnerKeyService/ApproveRunnerKey":       with(byRunner, []string{"fingerprint"}, strings.Repeat("0a", 16)),
		admins + "RunnerKeyService/CheckRunnerSecrets":     byRunner,
		admins + "RunnerTokenService/ListRunnerTokens":     byRunner,
		admins + "RunnerTokenService/ExpireRunnerToken":    {"runnerId": runner, "tokenId": runnerTokens.text("tokens", "0", "id"), "validFor": "3600s"},
		admins + "RunnerTokenService/RotateRunnerToken":    with(byRunner, []string{"validFor"}, "360000s"),
		admins + "InstallationService/CreateOrganization":  {"name": "Another", "adminName": "Ada", "adminEmail": "ada@example.com"},
		admins + "InstallationService/ListOrganizations":   list,
		admins + "InstallationService/RotateKeys":          {"secretKey": true},
		admins + "AccessService/ExplainAccess":             {"subject": admin, "action": "runner.read", "resourceType": "RESOURCE_TYPE_RUNNER", "resourceId": runner},
		admins + "AuditService/ExportAuditLog":             {"limit": 10},
		admins + "RetentionService/SetRetentionPolicy":     {"policy": retention},
		admins + "RetentionService/PreviewRetentionPolicy": {"policy": retention, "pagination": page},
	}
}

// refusesGood has the procedures whose good request is refused nonetheless, and
// with what.
var refusesGood = map[string]string{
	identities + "ExchangeToken":                 "unauthenticated",     // each token works once
	accounts + "CreateServiceAccountToken":       "permission_denied",   // an account makes it for itself
	admins + "RunnerKeyService/ApproveRunnerKey": "failed_precondition", // no key waits
	config + "CreateSCMIntegration":              "already_exists",
	config + "CreateHostAuthenticationToken":     "already_exists",
	runners + "CreateRunnerPolicy":               "already_exists",
	// The runner may not call that host.
	runners + "ParseContextURL":            "failed_precondition",
	runners + "SearchRepositories":         "failed_precondition",
	runners + "ListSCMOrganizations":       "failed_precondition",
	runners + "CheckAuthenticationForHost": "failed_precondition",
	runners + "CheckRepositoryAccess":      "failed_precondition",
}

// Every procedure that is built and takes anything has a good request, so that
// the nonsense that is made of it gets behind the first check.
func TestEveryProcedureHasAGoodRequest(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	w := &witness{url: s.URL, token: s.Token}
	good := goodRequests(t, s)
	for _, m := range methods(t) {
		request, ok := good[procedure(m)]
		rule, _ := access.RuleOf(procedure(m))
		switch {
		case rule.Permission == access.Unbuilt, m.Input().Fields().Len() == 0, m.IsStreamingServer():
			continue
		case !ok:
			t.Errorf("%s has no good request", procedure(m))
			continue
		}
		if err := protojson.Unmarshal(encode(t, request), dynamicpb.NewMessage(m.Input())); err != nil {
			t.Errorf("%s: %v", procedure(m), err)
		}
		status, reply := w.exchange(t, "/"+procedure(m), "Bearer "+w.token, request)
		want := refusesGood[procedure(m)]
		if strings.Contains(fmt.Sprint(request), nobody) {
			want = "not_found"
		}
		if got := answer(reply).text("code"); status == http.StatusOK && want != "" || status != http.StatusOK && got != want {
			t.Errorf("%s: %d %s, want %q", procedure(m), status, reply, want)
		}
	}
}
