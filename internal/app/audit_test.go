package app_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/app"
)

// TestEveryChangeLeavesAnAuditEntry calls every procedure that changes
// something or hands out a credential, and reads the audit log out of the
// database. A procedure that is built and not called here fails the test.
func TestEveryChangeLeavesAnAuditEntry(t *testing.T) {
	dir := t.TempDir()
	url, stop := start(t, func(c *app.Config) { c.DataDir = dir })
	ctx := t.Context()
	c := client(bootstrapToken)
	runners := gitpodv1connect.NewRunnerServiceClient(c, url)
	users := gitpodv1connect.NewUserServiceClient(c, url)
	ids := gitpodv1connect.NewIdentityServiceClient(c, url)
	members := adminv1connect.NewMemberServiceClient(c, url)
	keys := adminv1connect.NewRunnerKeyServiceClient(c, url)

	me, err := ids.GetAuthenticatedIdentity(ctx, connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	admin := me.Msg.GetSubject().GetId()
	a := &audited{T: t, url: url, dir: dir, admin: admin, organization: me.Msg.GetOrganizationId(), called: map[string]bool{}}
	step := a.step
	a.want = append(a.want, "organization.create", "personal_access_token.create", "member.add")

	made, err := runners.CreateRunner(ctx, connect.NewRequest(&gitpodv1.CreateRunnerRequest{Name: "audited", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST}))
	step("gitpod.v1.RunnerService/CreateRunner", "runner.create", err)
	runner := made.Msg.GetRunner().GetRunnerId()
	_, err = runners.UpdateRunner(ctx, connect.NewRequest(&gitpodv1.UpdateRunnerRequest{RunnerId: runner}))
	step("gitpod.v1.RunnerService/UpdateRunner", "runner.update", err)
	_, err = runners.CreateRunnerToken(ctx, connect.NewRequest(&gitpodv1.CreateRunnerTokenRequest{RunnerId: runner}))
	step("gitpod.v1.RunnerService/CreateRunnerToken", "runner.token.create", err)
	_, err = runners.CreateRunnerLogsToken(ctx, connect.NewRequest(&gitpodv1.CreateRunnerLogsTokenRequest{RunnerId: runner}))
	step("gitpod.v1.RunnerService/CreateRunnerLogsToken", "runner.logs_token.create", err)
	exchanged, err := ids.ExchangeToken(ctx, connect.NewRequest(&gitpodv1.ExchangeTokenRequest{ExchangeToken: made.Msg.GetExchangeToken()}))
	step("gitpod.v1.IdentityService/ExchangeToken", "runner.token.exchange", err)

	// The runner is somebody too.
	asRunner := gitpodv1connect.NewIdentityServiceClient(client(exchanged.Msg.GetAccessToken()), url)
	itself, err := asRunner.GetAuthenticatedIdentity(ctx, connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{}))
	if err != nil || itself.Msg.GetSubject().GetId() != runner || itself.Msg.GetSubject().GetPrincipal() != gitpodv1.Principal_PRINCIPAL_RUNNER || itself.Msg.GetOrganizationId() != me.Msg.GetOrganizationId() {
		t.Errorf("the runner's identity: %v, %v", itself, err)
	}

	_, err = users.CreatePersonalAccessToken(ctx, connect.NewRequest(&gitpodv1.CreatePersonalAccessTokenRequest{UserId: admin}))
	step("gitpod.v1.UserService/CreatePersonalAccessToken", "personal_access_token.create", err)
	list, err := users.ListPersonalAccessTokens(ctx, connect.NewRequest(&gitpodv1.ListPersonalAccessTokensRequest{}))
	if err != nil || len(list.Msg.GetPersonalAccessTokens()) != 2 {
		t.Fatalf("tokens: %v, %v", list, err)
	}
	_, err = users.DeletePersonalAccessToken(ctx, connect.NewRequest(&gitpodv1.DeletePersonalAccessTokenRequest{PersonalAccessTokenId: list.Msg.GetPersonalAccessTokens()[0].GetId()}))
	step("gitpod.v1.UserService/DeletePersonalAccessToken", "personal_access_token.delete", err)

	added, err := members.AddMember(ctx, connect.NewRequest(&adminv1.AddMemberRequest{Name: "Ann", Email: "ann@example.com", Role: gitpodv1.OrganizationRole_ORGANIZATION_ROLE_MEMBER}))
	step("muster.admin.v1.MemberService/AddMember", "personal_access_token.create member.add", err)
	_, err = members.CreateMemberToken(ctx, connect.NewRequest(&adminv1.CreateMemberTokenRequest{UserId: added.Msg.GetMember().GetUserId()}))
	step("muster.admin.v1.MemberService/CreateMemberToken", "personal_access_token.create member.token.create", err)
	ann := added.Msg.GetMember().GetUserId()
	_, err = members.SuspendMember(ctx, connect.NewRequest(&adminv1.SuspendMemberRequest{UserId: ann}))
	step("muster.admin.v1.MemberService/SuspendMember", "member.suspend", err)
	_, err = members.ResumeMember(ctx, connect.NewRequest(&adminv1.ResumeMemberRequest{UserId: ann}))
	step("muster.admin.v1.MemberService/ResumeMember", "member.resume", err)
	_, err = members.RemoveMember(ctx, connect.NewRequest(&adminv1.RemoveMemberRequest{UserId: ann}))
	step("muster.admin.v1.MemberService/RemoveMember", "personal_access_token.delete personal_access_token.delete member.remove", err)

	// What is refused leaves nothing.
	_, err = keys.ApproveRunnerKey(ctx, connect.NewRequest(&adminv1.ApproveRunnerKeyRequest{RunnerId: runner, Fingerprint: strings.Repeat("0", 32)}))
	if connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("approving a key that does not wait: %v", err)
	}
	a.called["muster.admin.v1.RunnerKeyService/ApproveRunnerKey"] = true // its entry: see the fleet's own tests
	_, err = runners.DeleteRunner(ctx, connect.NewRequest(&gitpodv1.DeleteRunnerRequest{RunnerId: runner}))
	step("gitpod.v1.RunnerService/DeleteRunner", "runner.delete", err)

	for _, part := range auditedParts {
		part(a)
	}

	for _, p := range access.Procedures() {
		rule, _ := access.RuleOf(p)
		if rule.Class != access.Reads && rule.Permission != access.Unbuilt && !a.called[p] {
			t.Errorf("%s changes something and is not called here", p)
		}
	}
	stop()
	if d := cmp.Diff(a.want, auditActions(t, dir, admin)); d != "" {
		t.Errorf("audit log (-want +got):\n%s", d)
	}
}

// auditedParts call the procedures of one subject each; they are in files of
// their own, audit_SUBJECT_test.go.
var auditedParts = []func(*audited){auditClasses, auditLLM, auditSCM, auditRetention, auditKeys, auditServiceAccounts, auditOrganizations, auditGroups, auditRunnerKeys}

// audited is a control plane whose audit log is compared with what was called.
type audited struct {
	*testing.T
	url, admin, organization string
	dir                      string // the data directory
	called                   map[string]bool
	want                     []string
}

// step notes that a procedure was called, and which entries it must leave, in
// order and separated by spaces.
func (a *audited) step(procedure, actions string, err error) {
	a.Helper()
	if err != nil {
		a.Fatalf("%s: %v", procedure, err)
	}
	a.called[procedure] = true
	a.want = append(a.want, strings.Fields(actions)...)
}

// auditActions reads the actions of the audit log, in order, and checks that
// each entry says who, what and when.
func auditActions(t *testing.T, dir, admin string) (actions []string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "muster.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), "SELECT action, actor_id, subject_id, request_id, created_at FROM audit_entries ORDER BY created_at, id")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var action, actor, subject, request string
		var at int64
		if err := rows.Scan(&action, &actor, &subject, &request, &at); err != nil {
			t.Fatal(err)
		}
		switch {
		case len(actions) < 3 && actor == "" && subject != "" && request == "": // the first start
		case action == "organization.create", action == "signing_key.create" && actor == "": // by the control plane itself
		case action == "service_account_token.create" && request != "": // by the account itself
		case action == "runner.token.exchange" && actor == subject && request != "":
		case (action == "runner.key.present" || action == "runner.token.rotated" || action == "secret.deliver") && actor == subject && request != "": // over its link
		case actor != admin || subject == "" || request == "" || at == 0:
			t.Errorf("%s: actor %q, subject %q, request %q, at %d", action, actor, subject, request, at)
		}
		actions = append(actions, action)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return actions
}
