package access_test

import (
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// A refusal names a way that there is, and none that there is not.
func TestWhoARefusalNames(t *testing.T) {
	caller := func(p access.Principal) access.Caller {
		c := access.Caller{Subject: access.Subject{Principal: p, ID: "1"}, Organization: "o"}
		if p != access.PrincipalRunner {
			c.Standing = access.OfRole(resource.RoleOrgMember)
		}
		return c
	}
	for _, c := range []struct {
		principal access.Principal
		p         access.Permission
		says, not string
	}{
		{access.PrincipalUser, access.RunnerCreate, "the role org-admin or org-runners-admin on the organization", ""},
		{access.PrincipalUser, access.AuditRead, "org-admin or org-audit-log-reader", ""},
		{access.PrincipalUser, access.AccessExplain, "the role org-admin on the organization", " or org-"},
		{access.PrincipalUser, access.InstallationManage, "an admin of the first organization, has it", "give such a role"},
		{access.PrincipalServiceAccount, access.PATCreate, "Only people have personal access tokens", "give such a role"},
		{access.PrincipalRunner, access.RunnerCreate, "Runners cannot be given it", "organization admin"},
		{access.PrincipalUser, access.RunnerLink, "No role that can be given has it", "organization admin"},
	} {
		err := access.Authorize(caller(c.principal), access.Rule{Permission: c.p})
		if err == nil || !strings.Contains(err.Error(), c.says) || c.not != "" && strings.Contains(err.Error(), c.not) {
			t.Errorf("%s, %s: %v", c.principal, c.p, err)
		}
	}
}

type noNames struct{}

func (noNames) Group(g id.Group) string { return string(g) }

// A no says what would make it a yes, and that does.
func TestWhatIsMissing(t *testing.T) {
	c := access.Caller{Subject: access.Subject{Principal: access.PrincipalUser, ID: "1"}, Organization: "o", Standing: access.OfRole(resource.RoleOrgMember)}
	last := func(p access.Permission, o access.Object) string {
		tree := access.Explain(c, p, o, noNames{})
		if tree.Allowed {
			t.Fatalf("%s is allowed", p)
		}
		return tree.Because[len(tree.Because)-1].Text
	}
	runner := access.Object{Type: resource.Runner, ID: "r", Organization: "o"}
	for _, w := range []struct {
		p    access.Permission
		on   access.Object
		want string
	}{
		{access.RunnerUse, runner, "Missing: the role runner-admin or runner-user on the runner, or org-admin or org-runners-admin on the organization."},
		{access.ConfigurationWrite, runner.Of(resource.EnvironmentClass, "c"), "Missing: the role runner-admin on the runner, or org-admin or org-runners-admin on the organization."},
		{access.GroupShare, access.Object{Type: resource.Group, ID: "g", Organization: "o"}, "Missing: the role group-admin on the group, or org-admin or org-groups-admin on the organization."},
		{access.MemberWrite, access.Object{Type: resource.User, ID: "u", Organization: "o"}, "Missing: the role org-admin on the organization."},
		{access.InstallationManage, access.OrganizationObject("o"), "Missing: to be an admin of the first organization."},
		{access.PATCreate, access.Object{Type: resource.User, ID: "u", Organization: "o"}, "Missing: nothing that can be given. It is for the one whose it is."},
	} {
		if got := last(w.p, w.on); got != w.want {
			t.Errorf("%s: %q", w.p, got)
		}
	}
	c.Organization = "elsewhere"
	if got := last(access.RunnerUse, runner); !strings.Contains(got, "another organization") {
		t.Errorf("across organizations: %q", got)
	}
}
