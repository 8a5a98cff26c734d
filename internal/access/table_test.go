package access_test

import (
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
)

func TestAuthorize(t *testing.T) {
	user := access.Subject{Principal: access.PrincipalUser, ID: "u"}
	callers := map[string]access.Caller{
		"nobody":    {},
		"admin":     {Subject: user, Role: access.RoleAdmin},
		"member":    {Subject: user, Role: access.RoleMember},
		"read-only": {Subject: user, Role: access.RoleAdmin, ReadOnly: true},
		"runner":    {Subject: access.Subject{Principal: access.PrincipalRunner, ID: "r"}},
		"no role":   {Subject: user},
	}
	type row map[string]bool // who may
	for procedure, may := range map[string]row{
		"gitpod.v1.IdentityService/ExchangeToken":            {"nobody": true, "admin": true, "member": true, "read-only": true, "runner": true, "no role": true},
		"gitpod.v1.IdentityService/GetAuthenticatedIdentity": {"admin": true, "member": true, "read-only": true, "runner": true, "no role": true},
		"gitpod.v1.RunnerService/GetRunner":                  {"admin": true, "member": true, "read-only": true, "runner": true},
		"gitpod.v1.RunnerService/ListRunners":                {"admin": true, "member": true, "read-only": true, "runner": true},
		"gitpod.v1.RunnerService/CreateRunner":               {"admin": true},
		"gitpod.v1.RunnerService/UpdateRunner":               {"admin": true},
		"gitpod.v1.RunnerService/DeleteRunner":               {"admin": true},
		"gitpod.v1.RunnerService/CreateRunnerToken":          {"admin": true},
		"gitpod.v1.RunnerService/CreateRunnerLogsToken":      {"admin": true, "member": true},
		"gitpod.v1.UserService/CreatePersonalAccessToken":    {"admin": true, "member": true},
		"gitpod.v1.UserService/GetUser":                      {"admin": true, "member": true, "read-only": true},
		"gitpod.v1.EventService/WatchEvents":                 {"admin": true, "member": true, "read-only": true},
		"muster.admin.v1.MemberService/AddMember":            {"admin": true},
		"muster.admin.v1.RunnerKeyService/GetRunnerKeys":     {"admin": true, "read-only": true},
		"muster.link.v1.LinkService/Connect":                 {"runner": true},
		"gitpod.v1.GroupService/ListGroups":                  {"admin": true, "member": true, "read-only": true, "runner": true, "no role": true}, // unimplemented
	} {
		rule, ok := access.RuleOf("/" + procedure)
		if !ok {
			t.Errorf("%s has no row", procedure)
			continue
		}
		for name, c := range callers {
			err := access.Authorize(c, rule)
			if (err == nil) != may[name] {
				t.Errorf("%s by %s: %v", procedure, name, err)
			}
			want := fault.PermissionDenied
			if name == "nobody" {
				want = fault.Unauthenticated
			}
			if err != nil && !fault.Is(err, want) {
				t.Errorf("%s by %s: %v has the wrong code", procedure, name, err)
			}
		}
	}
	if _, ok := access.RuleOf("gitpod.v1.RunnerService/Nonsense"); ok {
		t.Error("an unknown procedure has a row")
	}
}
