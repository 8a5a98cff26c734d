// Package resource names the kinds of things that there are, and the roles that
// one may have on them. Names and numbers are those of the wire; a test of the
// transport holds them to it.
package resource

import "strings"

// Type is a kind of resource. The numbers are those of the wire's ResourceType.
type Type int32

// The types. This control plane keeps runners and what belongs to them,
// organizations and their people; of the others it knows the name only.
const (
	Unspecified                Type = 0
	Environment                Type = 1
	Runner                     Type = 2
	Project                    Type = 3
	Task                       Type = 4
	TaskExecution              Type = 5
	Service                    Type = 6
	Organization               Type = 7
	User                       Type = 8
	EnvironmentClass           Type = 9
	RunnerSCMIntegration       Type = 10
	HostAuthenticationToken    Type = 11
	Group                      Type = 12
	PersonalAccessToken        Type = 13
	UserPreference             Type = 14
	ServiceAccount             Type = 15
	Secret                     Type = 16
	SSOConfig                  Type = 17
	DomainVerification         Type = 18
	AgentExecution             Type = 19
	RunnerLLMIntegration       Type = 20
	Agent                      Type = 21
	EnvironmentSession         Type = 22
	UserSecret                 Type = 23
	OrganizationPolicy         Type = 24
	OrganizationSecret         Type = 25
	ProjectEnvironmentClass    Type = 26
	Billing                    Type = 27
	Prompt                     Type = 28
	Coupon                     Type = 29
	CouponRedemption           Type = 30
	Account                    Type = 31
	Integration                Type = 32
	Workflow                   Type = 33
	WorkflowExecution          Type = 34
	WorkflowExecutionAction    Type = 35
	Snapshot                   Type = 36
	Prebuild                   Type = 37
	OrganizationLLMIntegration Type = 38
	CustomDomain               Type = 39
	RoleAssignmentChanged      Type = 40
	GroupMembershipChanged     Type = 41
	Webhook                    Type = 42
	SCIMConfiguration          Type = 43
	ServiceAccountSecret       Type = 44
	AnnouncementBanner         Type = 45
	ServiceAccountToken        Type = 46
	RoleAssignment             Type = 47
	WarmPool                   Type = 48
	Notification               Type = 49
	SecurityPolicy             Type = 50
)

var typeNames = map[Type]string{
	Environment:                "environment",
	Runner:                     "runner",
	Project:                    "project",
	Task:                       "task",
	TaskExecution:              "task_execution",
	Service:                    "service",
	Organization:               "organization",
	User:                       "user",
	EnvironmentClass:           "environment_class",
	RunnerSCMIntegration:       "runner_scm_integration",
	HostAuthenticationToken:    "host_authentication_token",
	Group:                      "group",
	PersonalAccessToken:        "personal_access_token",
	UserPreference:             "user_preference",
	ServiceAccount:             "service_account",
	Secret:                     "secret",
	SSOConfig:                  "sso_config",
	DomainVerification:         "domain_verification",
	AgentExecution:             "agent_execution",
	RunnerLLMIntegration:       "runner_llm_integration",
	Agent:                      "agent",
	EnvironmentSession:         "environment_session",
	UserSecret:                 "user_secret",
	OrganizationPolicy:         "organization_policy",
	OrganizationSecret:         "organization_secret",
	ProjectEnvironmentClass:    "project_environment_class",
	Billing:                    "billing",
	Prompt:                     "prompt",
	Coupon:                     "coupon",
	CouponRedemption:           "coupon_redemption",
	Account:                    "account",
	Integration:                "integration",
	Workflow:                   "workflow",
	WorkflowExecution:          "workflow_execution",
	WorkflowExecutionAction:    "workflow_execution_action",
	Snapshot:                   "snapshot",
	Prebuild:                   "prebuild",
	OrganizationLLMIntegration: "organization_llm_integration",
	CustomDomain:               "custom_domain",
	RoleAssignmentChanged:      "role_assignment_changed",
	GroupMembershipChanged:     "group_membership_changed",
	Webhook:                    "webhook",
	SCIMConfiguration:          "scim_configuration",
	ServiceAccountSecret:       "service_account_secret",
	AnnouncementBanner:         "announcement_banner",
	ServiceAccountToken:        "service_account_token",
	RoleAssignment:             "role_assignment",
	WarmPool:                   "warm_pool",
	Notification:               "notification",
	SecurityPolicy:             "security_policy",
}

// String is the name in lower case, such as "runner_scm_integration".
func (t Type) String() string {
	if n, ok := typeNames[t]; ok {
		return n
	}
	return "unspecified"
}

// Words is the name as people read it, such as "environment class".
func (t Type) Words() string {
	switch t {
	case RunnerSCMIntegration:
		return "SCM integration"
	case RunnerLLMIntegration:
		return "LLM integration"
	default:
		return strings.ReplaceAll(t.String(), "_", " ")
	}
}

// ParseType finds a type by its name in any case, with or without the wire's
// prefix.
func ParseType(s string) (Type, bool) {
	s = strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(strings.ToUpper(s), "RESOURCE_TYPE_"), "-", "_"))
	for t, n := range typeNames {
		if n == s {
			return t, true
		}
	}
	return Unspecified, false
}
