package access

import (
	"slices"

	"github.com/musterhq/muster/internal/resource"
)

// Permission is what somebody may do. Its first part names what it is done to.
type Permission string

// The permissions.
const (
	// Public needs no token at all.
	Public Permission = "public"
	// Authenticated needs any valid token.
	Authenticated Permission = "authenticated"
	// Unbuilt marks a procedure that answers unimplemented to everybody with a token.
	Unbuilt Permission = "unbuilt"

	// On the installation, which all organizations share.
	InstallationManage Permission = "installation.manage"

	// On an organization.
	OrganizationRead   Permission = "organization.read"
	OrganizationUpdate Permission = "organization.update"
	OrganizationShare  Permission = "organization.share"
	AuditRead          Permission = "audit.read"
	AccessExplain      Permission = "access.explain"
	EventWatch         Permission = "event.watch"
	GatewayRead        Permission = "gateway.read"
	IDTokenCreate      Permission = "id_token.create"
	RunnerCreate       Permission = "runner.create"
	GroupCreate        Permission = "group.create"

	// On a user.
	MemberRead  Permission = "member.read"
	MemberWrite Permission = "member.write"

	// On a personal access token, or on the user whose it is to be.
	PATRead   Permission = "pat.read"
	PATCreate Permission = "pat.create"
	PATDelete Permission = "pat.delete"

	// On a service account.
	ServiceAccountRead        Permission = "service_account.read"
	ServiceAccountWrite       Permission = "service_account.write"
	ServiceAccountImpersonate Permission = "service_account.impersonate"

	// On a token of a service account, or on the account whose it is to be.
	ServiceAccountTokenRead   Permission = "service_account_token.read"
	ServiceAccountTokenCreate Permission = "service_account_token.create"
	ServiceAccountTokenDelete Permission = "service_account_token.delete"

	// On a group.
	GroupRead    Permission = "group.read"
	GroupUpdate  Permission = "group.update"
	GroupDelete  Permission = "group.delete"
	GroupMembers Permission = "group.members"
	GroupShare   Permission = "group.share"

	// On a role assignment, besides those of one's own groups and those on what
	// one may share.
	RoleAssignmentRead Permission = "role_assignment.read"

	// On a runner, and on what belongs to it.
	RunnerRead         Permission = "runner.read"
	RunnerUse          Permission = "runner.use"
	RunnerUpdate       Permission = "runner.update"
	RunnerDelete       Permission = "runner.delete"
	RunnerToken        Permission = "runner.token"
	RunnerLogs         Permission = "runner.logs"
	RunnerKeys         Permission = "runner.keys"
	RunnerShare        Permission = "runner.share"
	RunnerLink         Permission = "runner.link"
	ConfigurationRead  Permission = "runner_configuration.read"
	ConfigurationWrite Permission = "runner_configuration.write"

	// On a credential for a source code host.
	HostTokenRead   Permission = "host_token.read"
	HostTokenUpdate Permission = "host_token.update" //nolint:gosec // no credential
	HostTokenDelete Permission = "host_token.delete" //nolint:gosec // no credential
)

var (
	memberMay = []Permission{
		OrganizationRead, MemberRead, GroupRead, ServiceAccountRead, EventWatch, GatewayRead, IDTokenCreate,
	}
	runnerUserMay  = []Permission{RunnerRead, RunnerUse, ConfigurationRead}
	runnerAdminMay = append([]Permission{
		RunnerUpdate, RunnerDelete, RunnerToken, RunnerLogs, RunnerKeys, RunnerShare, ConfigurationWrite, HostTokenRead, HostTokenDelete,
	}, runnerUserMay...)
	groupAdminMay = []Permission{GroupRead, GroupUpdate, GroupDelete, GroupMembers, GroupShare}
)

// may says what each role allows. A role on an organization allows it for
// everything in the organization; another role for its resource, and for what
// belongs to that. A role that is not here allows nothing in this control plane.
var may = map[resource.Role][]Permission{
	resource.RoleOperator: {InstallationManage},

	resource.RoleOrgAdmin: slices.Concat(memberMay, runnerAdminMay, groupAdminMay, []Permission{
		OrganizationUpdate, OrganizationShare, AuditRead, AccessExplain, RunnerCreate, GroupCreate, MemberWrite, PATRead, PATDelete,
		ServiceAccountWrite, ServiceAccountImpersonate, ServiceAccountTokenRead, ServiceAccountTokenDelete, RoleAssignmentRead,
	}),
	resource.RoleOrgMember:         memberMay,
	resource.RoleOrgRunnersAdmin:   append([]Permission{RunnerCreate}, runnerAdminMay...),
	resource.RoleOrgGroupsAdmin:    append([]Permission{GroupCreate, RoleAssignmentRead}, groupAdminMay...),
	resource.RoleOrgAuditLogReader: {AuditRead},

	resource.RoleUserIdentity:           {MemberRead, PATRead, PATCreate, PATDelete},
	resource.RoleServiceAccountIdentity: {ServiceAccountRead, ServiceAccountTokenRead, ServiceAccountTokenCreate, ServiceAccountTokenDelete},

	resource.RoleRunnerIdentity:            {RunnerRead, RunnerLink, ConfigurationRead},
	resource.RoleRunnerAdmin:               runnerAdminMay,
	resource.RoleRunnerLocalAdmin:          runnerAdminMay,
	resource.RoleRunnerManagedAdmin:        runnerAdminMay,
	resource.RoleRunnerUser:                runnerUserMay,
	resource.RoleRunnerConfigurationReader: {RunnerRead, ConfigurationRead},

	resource.RoleHostAuthenticationTokenAdmin: {HostTokenRead, HostTokenUpdate, HostTokenDelete},

	resource.RoleGroupAdmin:  groupAdminMay,
	resource.RoleGroupViewer: {GroupRead},
	resource.RoleGroupMember: {RoleAssignmentRead},
}

// runnerMay is what a runner may do in its organization, beside what it may do
// to itself.
var runnerMay = []Permission{OrganizationRead, GatewayRead, IDTokenCreate}

// allows is may as sets, made once.
var allows = func() map[resource.Role]map[Permission]bool {
	sets := make(map[resource.Role]map[Permission]bool, len(may))
	for r, ps := range may {
		sets[r] = make(map[Permission]bool, len(ps))
		for _, p := range ps {
			sets[r][p] = true
		}
	}
	return sets
}()

// Allows tells whether a role allows something on its resource.
func Allows(r resource.Role, p Permission) bool { return allows[r][p] }

// RolesAllowing are the roles on a type of resource that allow something, sorted.
func RolesAllowing(t resource.Type, p Permission) []resource.Role {
	return slices.DeleteFunc(resource.RolesOn(t), func(r resource.Role) bool { return !Allows(r, p) })
}

// HasEffect tells whether a role that a group is given allows something in this
// control plane. Of other types of resource than these, roles are stored and
// listed, and nobody asks for them when it is decided who may do what.
func HasEffect(r resource.Role) bool {
	switch r.On() {
	case resource.Organization, resource.Runner, resource.Group:
		return r.Assignable() && len(may[r]) > 0
	default:
		return false
	}
}

// Kept tells whether this control plane has resources of a type, and not just a
// name for it.
func Kept(t resource.Type) bool {
	_, ok := readOf[t]
	return ok
}

// readOf is the permission to see a resource of each type.
var readOf = map[resource.Type]Permission{
	resource.Organization:            OrganizationRead,
	resource.User:                    MemberRead,
	resource.PersonalAccessToken:     PATRead,
	resource.ServiceAccount:          ServiceAccountRead,
	resource.ServiceAccountToken:     ServiceAccountTokenRead,
	resource.Group:                   GroupRead,
	resource.GroupMembershipChanged:  GroupRead,
	resource.RoleAssignment:          RoleAssignmentRead,
	resource.RoleAssignmentChanged:   RoleAssignmentRead,
	resource.Runner:                  RunnerRead,
	resource.EnvironmentClass:        ConfigurationRead,
	resource.RunnerSCMIntegration:    ConfigurationRead,
	resource.RunnerLLMIntegration:    ConfigurationRead,
	resource.HostAuthenticationToken: HostTokenRead,
}
