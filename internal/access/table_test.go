package access_test

import (
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

const org = id.Organization("o")

func person(who string, roles ...resource.Role) access.Caller {
	c := access.Caller{Subject: access.Subject{Principal: access.PrincipalUser, ID: who}, Organization: org}
	for _, r := range roles {
		c.Grants = append(c.Grants, access.Grant{Role: r})
	}
	return c
}

func runner(who string) access.Caller {
	return access.Caller{Subject: access.Subject{Principal: access.PrincipalRunner, ID: who}, Organization: org}
}

// The row of a procedure lets through whoever can have the permission on
// something; see TestCheck for the rest.
func TestAuthorize(t *testing.T) {
	readOnly := person("u", resource.RoleOrgAdmin)
	readOnly.ReadOnly = true
	callers := map[string]access.Caller{
		"nobody":    {},
		"admin":     person("u", resource.RoleOrgAdmin),
		"member":    person("u", resource.RoleOrgMember),
		"read-only": readOnly,
		"runner":    runner("r"),
		"auditor":   person("u", resource.RoleOrgMember, resource.RoleOrgAuditLogReader),
	}
	type row map[string]bool // who may
	for procedure, may := range map[string]row{
		"gitpod.v1.IdentityService/ExchangeToken":            {"nobody": true, "admin": true, "member": true, "read-only": true, "runner": true, "auditor": true},
		"gitpod.v1.IdentityService/GetAuthenticatedIdentity": {"admin": true, "member": true, "read-only": true, "runner": true, "auditor": true},
		"gitpod.v1.RunnerService/GetRunner":                  {"admin": true, "member": true, "read-only": true, "runner": true, "auditor": true},
		"gitpod.v1.RunnerService/CreateRunner":               {"admin": true},
		"gitpod.v1.RunnerService/UpdateRunner":               {"admin": true, "member": true, "auditor": true}, // on a runner that is shared with them
		"gitpod.v1.UserService/CreatePersonalAccessToken":    {"admin": true, "member": true, "auditor": true},
		"gitpod.v1.UserService/GetUser":                      {"admin": true, "member": true, "read-only": true, "auditor": true},
		"gitpod.v1.EventService/ListAuditLogs":               {"admin": true, "read-only": true, "auditor": true},
		"muster.admin.v1.MemberService/AddMember":            {"admin": true},
		"muster.admin.v1.MemberService/CreateMemberToken":    {"admin": true},
		"muster.admin.v1.InstallationService/RotateKeys":     {},
		"muster.link.v1.LinkService/Connect":                 {"runner": true},
		"gitpod.v1.RunnerService/ParseContextURL":            {"admin": true, "member": true, "read-only": true, "auditor": true},
		"gitpod.v1.UserService/GetPreference":                {"admin": true, "member": true, "read-only": true, "runner": true, "auditor": true}, // unimplemented
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

type names struct{}

func (names) Group(g id.Group) string { return string(g) }

// What a caller may not see is missing, what it may see and not touch is refused,
// and Explain says the same as Check.
func TestCheck(t *testing.T) {
	in := func(c access.Caller, groups ...id.Group) access.Caller { c.Groups = groups; return c }
	foreign := person("u", resource.RoleOrgAdmin)
	foreign.Organization = "other"
	r := access.Object{
		Type: resource.Runner, ID: "r", Organization: org, Runner: "r", Creator: access.Subject{Principal: access.PrincipalUser, ID: "creator"},
		Grants: []access.Grant{{Group: "admins", Role: resource.RoleRunnerAdmin}, {Group: "users", Role: resource.RoleRunnerUser}, {Group: "readers", Role: resource.RoleRunnerConfigurationReader}},
	}
	class := r.Of(resource.EnvironmentClass, "c")
	token := r.Of(resource.HostAuthenticationToken, "t")
	token.Owner = access.Subject{Principal: access.PrincipalUser, ID: "owner"}
	const yes, refused, missing = fault.Code(255), fault.PermissionDenied, fault.NotFound
	for _, tt := range []struct {
		name string
		c    access.Caller
		p    access.Permission
		o    access.Object
		want fault.Code
	}{
		{"admin", person("u", resource.RoleOrgAdmin), access.RunnerDelete, r, yes},
		{"admin of another organization", foreign, access.RunnerRead, r, missing},
		{"runners admin", person("u", resource.RoleOrgMember, resource.RoleOrgRunnersAdmin), access.ConfigurationWrite, class, yes},
		{"groups admin", person("u", resource.RoleOrgMember, resource.RoleOrgGroupsAdmin), access.RunnerRead, r, missing},
		{"member", person("u", resource.RoleOrgMember), access.RunnerRead, r, missing},
		{"member", person("u", resource.RoleOrgMember), access.RunnerDelete, r, missing},
		{"member of the admins", in(person("u", resource.RoleOrgMember), "admins"), access.RunnerShare, r, yes},
		{"member of the admins", in(person("u", resource.RoleOrgMember), "admins"), access.ConfigurationWrite, class, yes},
		{"member of the users", in(person("u", resource.RoleOrgMember), "users"), access.RunnerRead, r, yes},
		{"member of the users", in(person("u", resource.RoleOrgMember), "users"), access.RunnerUse, r, yes},
		{"member of the users", in(person("u", resource.RoleOrgMember), "users"), access.RunnerLogs, r, refused},
		{"member of the users", in(person("u", resource.RoleOrgMember), "users"), access.ConfigurationWrite, class, refused},
		{"member of the users", in(person("u", resource.RoleOrgMember), "users"), access.HostTokenRead, token, missing},
		{"member of the readers", in(person("u", resource.RoleOrgMember), "readers"), access.ConfigurationRead, class, yes},
		{"member of the readers", in(person("u", resource.RoleOrgMember), "readers"), access.RunnerUse, r, refused},
		{"creator", person("creator", resource.RoleOrgMember), access.RunnerUse, r, yes},
		{"creator", person("creator", resource.RoleOrgMember), access.RunnerUpdate, r, refused},
		{"owner", person("owner", resource.RoleOrgMember), access.HostTokenUpdate, token, yes},
		{"admin", person("u", resource.RoleOrgAdmin), access.HostTokenRead, token, yes},
		{"admin", person("u", resource.RoleOrgAdmin), access.HostTokenUpdate, token, refused},
		{"the runner", runner("r"), access.RunnerRead, r, yes},
		{"the runner", runner("r"), access.ConfigurationRead, class, yes},
		{"the runner", runner("r"), access.RunnerUpdate, r, refused},
		{"the runner", runner("r"), access.HostTokenRead, token, missing},
		{"another runner", runner("x"), access.RunnerRead, r, missing},
		{"nobody", access.Caller{}, access.RunnerRead, access.Object{Type: resource.Runner, ID: "r"}, missing},
	} {
		err := access.Check(tt.c, tt.p, tt.o)
		if tt.want == yes && err != nil || tt.want != yes && !fault.Is(err, tt.want) {
			t.Errorf("%s: %s on a %s: %v", tt.name, tt.p, tt.o.Type.Words(), err)
		}
		if why := access.Explain(tt.c, tt.p, tt.o, names{}); why.Allowed != (err == nil) || len(why.Because) == 0 {
			t.Errorf("%s: %s on a %s: the explanation is %+v, the check %v", tt.name, tt.p, tt.o.Type.Words(), why, err)
		}
	}
}
