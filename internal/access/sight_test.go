package access_test

import (
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

var kindsOfThings = []resource.Type{
	resource.Organization, resource.User, resource.PersonalAccessToken, resource.ServiceAccount, resource.ServiceAccountToken, resource.Group,
	resource.RoleAssignment, resource.Runner, resource.EnvironmentClass, resource.RunnerSCMIntegration, resource.RunnerLLMIntegration, resource.HostAuthenticationToken,
}

// SameSight agrees with what somebody sees: of every pair of standings, and with
// roles on a runner and on a group.
func TestSameSight(t *testing.T) {
	const inGroup = id.Group("g")
	org := id.Organization("o")
	runner := access.Object{Type: resource.Runner, ID: "r", Organization: org}
	group := access.Object{Type: resource.Group, ID: "x", Organization: org}
	callers := []access.Caller{}
	for role := range resource.RoleSecurityPolicyViewer + 1 {
		if role != resource.RoleUnspecified && role.On() != resource.Organization {
			continue
		}
		for _, groups := range [][]id.Group{nil, {inGroup}} {
			c := access.Caller{Subject: access.Subject{Principal: access.PrincipalUser, ID: "me"}, Organization: org, Standing: access.OfRole(role)}
			c.Groups = groups
			callers = append(callers, c)
		}
	}
	for role := range resource.RoleSecurityPolicyViewer + 1 {
		grants := []access.Grant{{Group: inGroup, Role: role}}
		r, g := runner, group
		r.Grants, g.Grants = grants, grants
		for _, before := range callers {
			for _, after := range callers {
				same := true
				look := func(o access.Object) { same = same && access.Sees(before, o) == access.Sees(after, o) }
				for _, kind := range kindsOfThings {
					look(access.Object{Type: kind, Organization: org})
					look(access.Object{Type: kind, Organization: org, Runner: "another"})
					look(r.Of(kind, "any"))
				}
				look(r)
				look(g)
				if got := access.SameSight(before, after, []access.Object{r, g}); got != same {
					t.Errorf("%v on both; from %v in %v to %v in %v: %v, want %v", role, before.Grants, before.Groups, after.Grants, after.Groups, got, same)
				}
			}
		}
	}
}

// SameSightOf agrees with what somebody sees of a runner and a group on which a
// role is given, changed or taken.
func TestSameSightOf(t *testing.T) {
	const inGroup = id.Group("g")
	org := id.Organization("o")
	c := access.Caller{Subject: access.Subject{Principal: access.PrincipalUser, ID: "me"}, Organization: org, Standing: access.OfRole(resource.RoleOrgMember)}
	c.Groups = []id.Group{inGroup}
	differ := 0
	for _, typ := range []resource.Type{resource.Runner, resource.Group} {
		for old := range resource.RoleSecurityPolicyViewer + 1 {
			for role := range resource.RoleSecurityPolicyViewer + 1 {
				was := access.Object{Type: typ, ID: "x", Organization: org, Grants: []access.Grant{{Group: inGroup, Role: old}}}
				is := was
				is.Grants = []access.Grant{{Group: inGroup, Role: role}}
				same := access.Sees(c, was) == access.Sees(c, is)
				for _, kind := range kindsOfThings {
					same = same && (typ != resource.Runner || access.Sees(c, was.Of(kind, "any")) == access.Sees(c, is.Of(kind, "any")))
				}
				if got := access.SameSightOf(c, c, was, is); got != same {
					t.Errorf("%v: from %v to %v: %v, want %v", typ, old, role, got, same)
				}
				if !same {
					differ++
				}
			}
		}
	}
	if differ == 0 {
		t.Error("no two roles differ")
	}
}
