package resource

import (
	"slices"
	"strings"
)

// Role is what somebody may be to a resource. The numbers are those of the
// wire's ResourceRole and have no order; the first part of a name says for
// which type of resource the role is.
type Role int32

// The roles of the wire.
const (
	RoleUnspecified                    Role = 0
	RoleOrgAdmin                       Role = 1
	RoleOrgMember                      Role = 2
	RoleOrgRunnersAdmin                Role = 50
	RoleOrgProjectsAdmin               Role = 51
	RoleOrgAutomationsAdmin            Role = 52
	RoleOrgGroupsAdmin                 Role = 53
	RoleOrgEnvironmentsReader          Role = 66
	RoleOrgAuditLogReader              Role = 64
	RoleOrgBillingViewer               Role = 67
	RoleOrgInsightsViewer              Role = 68
	RoleOrgSecurityAdmin               Role = 69
	RoleGroupAdmin                     Role = 3
	RoleGroupViewer                    Role = 4
	RoleUserIdentity                   Role = 5
	RoleUserViewer                     Role = 6
	RoleUserAdmin                      Role = 7
	RoleEnvironmentIdentity            Role = 8
	RoleEnvironmentAdmin               Role = 9
	RoleEnvironmentUser                Role = 10
	RoleEnvironmentViewer              Role = 11
	RoleEnvironmentRunner              Role = 12
	RoleRunnerIdentity                 Role = 13
	RoleRunnerAdmin                    Role = 14
	RoleRunnerLocalAdmin               Role = 15
	RoleRunnerManagedAdmin             Role = 16
	RoleRunnerUser                     Role = 17
	RoleRunnerConfigurationReader      Role = 18
	RoleHostAuthenticationTokenAdmin   Role = 19
	RoleHostAuthenticationTokenUpdater Role = 20
	RoleProjectAdmin                   Role = 21
	RoleProjectUser                    Role = 22
	RoleProjectEditor                  Role = 23
	RoleEnvironmentServiceAdmin        Role = 24
	RoleEnvironmentServiceViewer       Role = 25
	RoleEnvironmentServiceUser         Role = 26
	RoleEnvironmentServiceEnv          Role = 27
	RoleEnvironmentTaskAdmin           Role = 28
	RoleEnvironmentTaskViewer          Role = 29
	RoleEnvironmentTaskUser            Role = 30
	RoleEnvironmentTaskEnv             Role = 31
	RoleServiceAccountIdentity         Role = 32
	RoleServiceAccountAdmin            Role = 33
	RoleAgentExecutionUser             Role = 35
	RoleAgentExecutionAdmin            Role = 36
	RoleAgentExecutionRunner           Role = 37
	RoleAgentExecutionOutputsReporter  Role = 46
	RoleAgentExecutionViewer           Role = 65
	RoleAgentAdmin                     Role = 38
	RoleAgentViewer                    Role = 39
	RoleAgentExecutor                  Role = 40
	RoleWorkflowAdmin                  Role = 41
	RoleWorkflowUser                   Role = 42
	RoleWorkflowViewer                 Role = 43
	RoleWorkflowExecutor               Role = 47
	RoleSnapshotAdmin                  Role = 44
	RoleSnapshotRunner                 Role = 45
	RoleWebhookAdmin                   Role = 48
	RoleWebhookViewer                  Role = 49
	RoleWarmpoolRunner                 Role = 54
	RoleWarmpoolAdmin                  Role = 55
	RoleWarmpoolViewer                 Role = 56
	RoleSessionAdmin                   Role = 60
	RoleSessionUser                    Role = 61
	RoleTeamAdmin                      Role = 62
	RoleTeamViewer                     Role = 63
	RoleSecurityPolicyAdmin            Role = 70
	RoleSecurityPolicyViewer           Role = 71
)

// RoleOperator is held by the admins of the first organization on the
// installation as a whole. It is not on the wire, and nobody can assign it.
const RoleOperator Role = -1

// RoleGroupMember is held by the members of a group on the roles that the group
// has. It is not on the wire, and nobody can assign it.
const RoleGroupMember Role = -2

type roleFact struct {
	name string
	on   Type
}

var roleFacts = map[Role]roleFact{
	RoleOperator:                       {"OPERATOR", Unspecified},
	RoleGroupMember:                    {"GROUP_MEMBER", Unspecified},
	RoleOrgAdmin:                       {"ORG_ADMIN", Organization},
	RoleOrgMember:                      {"ORG_MEMBER", Organization},
	RoleOrgRunnersAdmin:                {"ORG_RUNNERS_ADMIN", Organization},
	RoleOrgProjectsAdmin:               {"ORG_PROJECTS_ADMIN", Organization},
	RoleOrgAutomationsAdmin:            {"ORG_AUTOMATIONS_ADMIN", Organization},
	RoleOrgGroupsAdmin:                 {"ORG_GROUPS_ADMIN", Organization},
	RoleOrgEnvironmentsReader:          {"ORG_ENVIRONMENTS_READER", Organization},
	RoleOrgAuditLogReader:              {"ORG_AUDIT_LOG_READER", Organization},
	RoleOrgBillingViewer:               {"ORG_BILLING_VIEWER", Organization},
	RoleOrgInsightsViewer:              {"ORG_INSIGHTS_VIEWER", Organization},
	RoleOrgSecurityAdmin:               {"ORG_SECURITY_ADMIN", Organization},
	RoleGroupAdmin:                     {"GROUP_ADMIN", Group},
	RoleGroupViewer:                    {"GROUP_VIEWER", Group},
	RoleUserIdentity:                   {"USER_IDENTITY", User},
	RoleUserViewer:                     {"USER_VIEWER", User},
	RoleUserAdmin:                      {"USER_ADMIN", User},
	RoleEnvironmentIdentity:            {"ENVIRONMENT_IDENTITY", Environment},
	RoleEnvironmentAdmin:               {"ENVIRONMENT_ADMIN", Environment},
	RoleEnvironmentUser:                {"ENVIRONMENT_USER", Environment},
	RoleEnvironmentViewer:              {"ENVIRONMENT_VIEWER", Environment},
	RoleEnvironmentRunner:              {"ENVIRONMENT_RUNNER", Environment},
	RoleRunnerIdentity:                 {"RUNNER_IDENTITY", Runner},
	RoleRunnerAdmin:                    {"RUNNER_ADMIN", Runner},
	RoleRunnerLocalAdmin:               {"RUNNER_LOCAL_ADMIN", Runner},
	RoleRunnerManagedAdmin:             {"RUNNER_MANAGED_ADMIN", Runner},
	RoleRunnerUser:                     {"RUNNER_USER", Runner},
	RoleRunnerConfigurationReader:      {"RUNNER_CONFIGURATION_READER", Runner},
	RoleHostAuthenticationTokenAdmin:   {"HOST_AUTHENTICATION_TOKEN_ADMIN", HostAuthenticationToken},
	RoleHostAuthenticationTokenUpdater: {"HOST_AUTHENTICATION_TOKEN_UPDATER", HostAuthenticationToken},
	RoleProjectAdmin:                   {"PROJECT_ADMIN", Project},
	RoleProjectUser:                    {"PROJECT_USER", Project},
	RoleProjectEditor:                  {"PROJECT_EDITOR", Project},
	RoleEnvironmentServiceAdmin:        {"ENVIRONMENT_SERVICE_ADMIN", Service},
	RoleEnvironmentServiceViewer:       {"ENVIRONMENT_SERVICE_VIEWER", Service},
	RoleEnvironmentServiceUser:         {"ENVIRONMENT_SERVICE_USER", Service},
	RoleEnvironmentServiceEnv:          {"ENVIRONMENT_SERVICE_ENV", Service},
	RoleEnvironmentTaskAdmin:           {"ENVIRONMENT_TASK_ADMIN", Task},
	RoleEnvironmentTaskViewer:          {"ENVIRONMENT_TASK_VIEWER", Task},
	RoleEnvironmentTaskUser:            {"ENVIRONMENT_TASK_USER", Task},
	RoleEnvironmentTaskEnv:             {"ENVIRONMENT_TASK_ENV", Task},
	RoleServiceAccountIdentity:         {"SERVICE_ACCOUNT_IDENTITY", ServiceAccount},
	RoleServiceAccountAdmin:            {"SERVICE_ACCOUNT_ADMIN", ServiceAccount},
	RoleAgentExecutionUser:             {"AGENT_EXECUTION_USER", AgentExecution},
	RoleAgentExecutionAdmin:            {"AGENT_EXECUTION_ADMIN", AgentExecution},
	RoleAgentExecutionRunner:           {"AGENT_EXECUTION_RUNNER", AgentExecution},
	RoleAgentExecutionOutputsReporter:  {"AGENT_EXECUTION_OUTPUTS_REPORTER", AgentExecution},
	RoleAgentExecutionViewer:           {"AGENT_EXECUTION_VIEWER", AgentExecution},
	RoleAgentAdmin:                     {"AGENT_ADMIN", Agent},
	RoleAgentViewer:                    {"AGENT_VIEWER", Agent},
	RoleAgentExecutor:                  {"AGENT_EXECUTOR", Agent},
	RoleWorkflowAdmin:                  {"WORKFLOW_ADMIN", Workflow},
	RoleWorkflowUser:                   {"WORKFLOW_USER", Workflow},
	RoleWorkflowViewer:                 {"WORKFLOW_VIEWER", Workflow},
	RoleWorkflowExecutor:               {"WORKFLOW_EXECUTOR", Workflow},
	RoleSnapshotAdmin:                  {"SNAPSHOT_ADMIN", Snapshot},
	RoleSnapshotRunner:                 {"SNAPSHOT_RUNNER", Snapshot},
	RoleWebhookAdmin:                   {"WEBHOOK_ADMIN", Webhook},
	RoleWebhookViewer:                  {"WEBHOOK_VIEWER", Webhook},
	RoleWarmpoolRunner:                 {"WARMPOOL_RUNNER", WarmPool},
	RoleWarmpoolAdmin:                  {"WARMPOOL_ADMIN", WarmPool},
	RoleWarmpoolViewer:                 {"WARMPOOL_VIEWER", WarmPool},
	RoleSessionAdmin:                   {"SESSION_ADMIN", EnvironmentSession},
	RoleSessionUser:                    {"SESSION_USER", EnvironmentSession},
	RoleTeamAdmin:                      {"TEAM_ADMIN", Unspecified},
	RoleTeamViewer:                     {"TEAM_VIEWER", Unspecified},
	RoleSecurityPolicyAdmin:            {"SECURITY_POLICY_ADMIN", SecurityPolicy},
	RoleSecurityPolicyViewer:           {"SECURITY_POLICY_VIEWER", SecurityPolicy},
}

// String is the name on the wire without its prefix, such as "RUNNER_ADMIN".
func (r Role) String() string { return roleFacts[r].name }

// Words is the name as people read and type it, such as "runner-admin".
func (r Role) Words() string { return strings.ToLower(strings.ReplaceAll(r.String(), "_", "-")) }

// On is the type of resource that the role is for; Unspecified for one that is
// for none that the wire can name.
func (r Role) On() Type { return roleFacts[r].on }

// RolesOn are the roles for a type of resource, sorted.
func RolesOn(t Type) []Role {
	var roles []Role
	for r, f := range roleFacts {
		if f.on == t && t != Unspecified {
			roles = append(roles, r)
		}
	}
	slices.Sort(roles)
	return roles
}

// Assignable tells whether a group may be given the role. Who somebody is
// cannot be given away, a credential for a source code host is one subject's own,
// and no resource type stands for teams.
func (r Role) Assignable() bool {
	switch r {
	case RoleUserIdentity, RoleEnvironmentIdentity, RoleRunnerIdentity, RoleServiceAccountIdentity,
		RoleHostAuthenticationTokenAdmin, RoleHostAuthenticationTokenUpdater:
		return false
	default:
		return r.On() != Unspecified
	}
}
