package robust_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/musterhq/muster/test/muster"
)

// An id that names nothing that the caller may see is not found: whether it is
// unknown, deleted, somebody else's, or of something else.
func TestIdsOfNothing(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	admin := &witness{url: s.URL, token: s.Token}
	me := admin.call(t, "gitpod.v1.IdentityService/GetAuthenticatedIdentity", object{}).text("subject", "id")
	create := object{"name": "a runner", "provider": "RUNNER_PROVIDER_LINUX_HOST"}
	runner := admin.call(t, "gitpod.v1.RunnerService/CreateRunner", create).text("runner", "runnerId")
	deleted := admin.call(t, "gitpod.v1.RunnerService/CreateRunner", create).text("runner", "runnerId")
	admin.call(t, "gitpod.v1.RunnerService/DeleteRunner", object{"runnerId": deleted})
	pats := admin.call(t, "gitpod.v1.UserService/ListPersonalAccessTokens", object{})
	pat := pats.text("personalAccessTokens", "0", "id")

	added := admin.call(t, "muster.admin.v1.MemberService/AddMember", object{"name": "Member", "email": "m@example.com", "role": "ORGANIZATION_ROLE_MEMBER"})
	member := &witness{url: s.URL, token: added.text("token")}
	first := admin.call(t, "gitpod.v1.RunnerService/CreateRunner", create)
	token := admin.call(t, "gitpod.v1.IdentityService/ExchangeToken", object{"exchangeToken": first.text("exchangeToken")})
	other := &witness{url: s.URL, token: token.text("accessToken")}

	const unknown = "01990000-0000-7000-8000-000000000001"
	nothing := map[string]string{
		"unknown": unknown, "in upper case": strings.ToUpper(unknown), "zero": "00000000-0000-0000-0000-000000000000", "deleted": deleted, "of a person": me,
	}
	type call struct {
		who       *witness
		procedure string
		field     string
	}
	for _, c := range []call{
		{admin, "gitpod.v1.RunnerService/GetRunner", "runnerId"},
		{admin, "gitpod.v1.RunnerService/UpdateRunner", "runnerId"},
		{admin, "gitpod.v1.RunnerService/DeleteRunner", "runnerId"},
		{admin, "gitpod.v1.RunnerService/CreateRunnerToken", "runnerId"},
		{admin, "gitpod.v1.RunnerService/CreateRunnerLogsToken", "runnerId"},
		{admin, "muster.admin.v1.RunnerKeyService/GetRunnerKeys", "runnerId"},
		{member, "gitpod.v1.RunnerService/GetRunner", "runnerId"},
		{member, "gitpod.v1.RunnerService/CreateRunnerLogsToken", "runnerId"},
		{other, "gitpod.v1.RunnerService/GetRunner", "runnerId"},
	} {
		for what, id := range nothing {
			c.who.notFound(t, what, c.procedure, object{c.field: id})
		}
	}
	for _, c := range []call{
		{admin, "gitpod.v1.UserService/GetUser", "userId"},
		{admin, "gitpod.v1.UserService/GetPersonalAccessToken", "personalAccessTokenId"},
		{admin, "gitpod.v1.UserService/DeletePersonalAccessToken", "personalAccessTokenId"},
		{admin, "gitpod.v1.OrganizationService/GetOrganization", "organizationId"},
		{admin, "muster.admin.v1.MemberService/CreateMemberToken", "userId"},
		{admin, "muster.admin.v1.MemberService/SuspendMember", "userId"},
		{admin, "muster.admin.v1.MemberService/ResumeMember", "userId"},
		{admin, "muster.admin.v1.MemberService/RemoveMember", "userId"},
	} {
		for what, id := range map[string]string{"unknown": unknown, "of a runner": runner} {
			c.who.notFound(t, what, c.procedure, object{c.field: id})
		}
	}
	for _, c := range []call{
		{member, "gitpod.v1.RunnerService/GetRunner", "runnerId"},
		{member, "gitpod.v1.RunnerService/CreateRunnerLogsToken", "runnerId"},
		{other, "gitpod.v1.RunnerService/GetRunner", "runnerId"},
	} {
		c.who.notFound(t, "somebody else's", c.procedure, object{c.field: runner})
	}
	for _, procedure := range []string{"GetPersonalAccessToken", "DeletePersonalAccessToken"} {
		member.notFound(t, "somebody else's", "gitpod.v1.UserService/"+procedure, object{"personalAccessTokenId": pat})
	}
	unharmed(t, s)
}

// notFound calls a procedure that must say that there is no such thing.
func (w *witness) notFound(t *testing.T, what, procedure string, body object) {
	t.Helper()
	status, reply := w.exchange(t, "/"+procedure, "Bearer "+w.token, body)
	e, err := readError(reply)
	if err != nil {
		t.Errorf("%s, %s: %d, %v", procedure, what, status, err)
		return
	}
	if flaw := e.flaw(status, false); flaw != "" || status != http.StatusNotFound || e.Code != "not_found" {
		t.Errorf("%s, %s: %d %s %s", procedure, what, status, reply, flaw)
	}
}

// A page token is good for the list, the filter and the caller that it came
// from.
func TestPageTokensOfOtherLists(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	admin := &witness{url: s.URL, token: s.Token}
	me := admin.call(t, "gitpod.v1.IdentityService/GetAuthenticatedIdentity", object{})
	for range 3 {
		admin.call(t, "gitpod.v1.RunnerService/CreateRunner", object{"name": "a runner", "provider": "RUNNER_PROVIDER_LINUX_HOST"})
		admin.call(t, "gitpod.v1.UserService/CreatePersonalAccessToken", object{"userId": me.text("subject", "id"), "description": "x"})
	}
	added := admin.call(t, "muster.admin.v1.MemberService/AddMember", object{"name": "Member", "email": "m@example.com", "role": "ORGANIZATION_ROLE_MEMBER"})
	member := &witness{url: s.URL, token: added.text("token")}

	const runners, pats, members, gateways = "gitpod.v1.RunnerService/ListRunners", "gitpod.v1.UserService/ListPersonalAccessTokens",
		"gitpod.v1.OrganizationService/ListMembers", "gitpod.v1.GatewayService/ListGateways"
	organization := object{"organizationId": me.text("organizationId")}
	one := object{"pageSize": 1}
	next := func(procedure string, body object) string {
		token := admin.call(t, procedure, with(body, []string{"pagination"}, one)).text("pagination", "nextToken")
		if token == "" {
			t.Fatalf("%s has one page", procedure)
		}
		return token
	}
	ofRunners, ofPATs, ofMembers := next(runners, nil), next(pats, nil), next(members, organization)
	// The good case, so that the others are refused for the right reason.
	admin.call(t, runners, object{"pagination": object{"token": ofRunners}})

	for _, tt := range []struct {
		who       *witness
		procedure string
		body      object
		token     string
	}{
		{admin, runners, nil, ofPATs},
		{admin, runners, nil, ofMembers},
		{admin, pats, nil, ofRunners},
		{admin, members, organization, ofRunners},
		{admin, members, organization, ofPATs},
		{admin, gateways, nil, ofRunners},
		{admin, runners, object{"filter": object{"providers": []any{"RUNNER_PROVIDER_LINUX_HOST"}}}, ofRunners},
		{admin, members, with(organization, []string{"filter"}, object{"search": "x"}), ofMembers},
		{admin, members, with(organization, []string{"sort"}, object{"order": "SORT_ORDER_DESC"}), ofMembers},
		{member, runners, nil, ofRunners},
		{admin, runners, nil, ofRunners + "A"},
		{admin, runners, nil, ofRunners[1:]},
		{admin, runners, nil, ofRunners[:len(ofRunners)-1]},
		{admin, runners, nil, strings.ToLower(ofRunners)},
		{admin, runners, nil, " " + ofRunners},
		{admin, runners, nil, "/../"},
		{admin, runners, nil, strings.Repeat("A", 1<<20)},
	} {
		body := with(tt.body, []string{"pagination"}, object{"token": tt.token})
		status, reply := tt.who.exchange(t, "/"+tt.procedure, "Bearer "+tt.who.token, body)
		e, err := readError(reply)
		if err != nil {
			t.Errorf("%s with %.60q: %d, %v", tt.procedure, tt.token, status, err)
			continue
		}
		if flaw := e.flaw(status, false); flaw != "" || e.info.GetReason() != "invalid-page-token" || e.info.GetMetadata()["field"] != "pagination.token" {
			t.Errorf("%s with %.60q: %d %s %s", tt.procedure, tt.token, status, reply, flaw)
		}
	}
	unharmed(t, s)
}
