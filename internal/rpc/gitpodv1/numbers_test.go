package gitpodv1

import (
	"testing"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/idtoken"
	"github.com/musterhq/muster/internal/llm"
	"github.com/musterhq/muster/internal/resource"
)

// The enumerations of the domain have the numbers of the wire, so that they are
// converted by a cast.
func TestNumbersAreThoseOfTheWire(t *testing.T) {
	for _, tt := range []struct{ domain, wire int32 }{
		{int32(fleet.KindLocal), int32(gitpodv1.RunnerKind_RUNNER_KIND_LOCAL)},
		{int32(fleet.KindRemote), int32(gitpodv1.RunnerKind_RUNNER_KIND_REMOTE)},
		{int32(fleet.KindLocalConfiguration), int32(gitpodv1.RunnerKind_RUNNER_KIND_LOCAL_CONFIGURATION)},

		{int32(fleet.ProviderAWSEC2), int32(gitpodv1.RunnerProvider_RUNNER_PROVIDER_AWS_EC2)},
		{int32(fleet.ProviderLinuxHost), int32(gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST)},
		{int32(fleet.ProviderDesktopMac), int32(gitpodv1.RunnerProvider_RUNNER_PROVIDER_DESKTOP_MAC)},
		{int32(fleet.ProviderManaged), int32(gitpodv1.RunnerProvider_RUNNER_PROVIDER_MANAGED)},
		{int32(fleet.ProviderGCP), int32(gitpodv1.RunnerProvider_RUNNER_PROVIDER_GCP)},
		{int32(fleet.ProviderDevAgent), int32(gitpodv1.RunnerProvider_RUNNER_PROVIDER_DEV_AGENT)},

		{int32(fleet.PhaseUnspecified), int32(gitpodv1.RunnerPhase_RUNNER_PHASE_UNSPECIFIED)},
		{int32(fleet.PhaseCreated), int32(gitpodv1.RunnerPhase_RUNNER_PHASE_CREATED)},
		{int32(fleet.PhaseInactive), int32(gitpodv1.RunnerPhase_RUNNER_PHASE_INACTIVE)},
		{int32(fleet.PhaseActive), int32(gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE)},
		{int32(fleet.PhaseDeleting), int32(gitpodv1.RunnerPhase_RUNNER_PHASE_DELETING)},
		{int32(fleet.PhaseDegraded), int32(gitpodv1.RunnerPhase_RUNNER_PHASE_DEGRADED)},

		{int32(access.PrincipalUser), int32(gitpodv1.Principal_PRINCIPAL_USER)},
		{int32(access.PrincipalRunner), int32(gitpodv1.Principal_PRINCIPAL_RUNNER)},
		{int32(access.PrincipalServiceAccount), int32(gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT)},
		{int32(resource.RoleOrgAdmin), int32(gitpodv1.OrganizationRole_ORGANIZATION_ROLE_ADMIN)},
		{int32(resource.RoleOrgMember), int32(gitpodv1.OrganizationRole_ORGANIZATION_ROLE_MEMBER)},

		{int32(hosttoken.SourceUnspecified), int32(gitpodv1.HostAuthenticationTokenSource_HOST_AUTHENTICATION_TOKEN_SOURCE_UNSPECIFIED)},
		{int32(hosttoken.SourceOAuth), int32(gitpodv1.HostAuthenticationTokenSource_HOST_AUTHENTICATION_TOKEN_SOURCE_OAUTH)},
		{int32(hosttoken.SourcePAT), int32(gitpodv1.HostAuthenticationTokenSource_HOST_AUTHENTICATION_TOKEN_SOURCE_PAT)},

		{int32(identity.StatusActive), int32(gitpodv1.UserStatus_USER_STATUS_ACTIVE)},
		{int32(identity.StatusSuspended), int32(gitpodv1.UserStatus_USER_STATUS_SUSPENDED)},
		{int32(identity.StatusLeft), int32(gitpodv1.UserStatus_USER_STATUS_LEFT)},

		{int32(audit.KindChange), int32(gitpodv1.AuditLogEntryKind_AUDIT_LOG_ENTRY_KIND_RESOURCE_CHANGE)},
		{int32(audit.KindCredentialAccess), int32(gitpodv1.AuditLogEntryKind_AUDIT_LOG_ENTRY_KIND_CREDENTIAL_ACCESS)},

		{int32(idtoken.V1), int32(gitpodv1.IDTokenVersion_ID_TOKEN_VERSION_V1)},
		{int32(idtoken.V2), int32(gitpodv1.IDTokenVersion_ID_TOKEN_VERSION_V2)},

		{int32(llm.PhaseAvailable), int32(gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_AVAILABLE)},
		{int32(llm.PhaseUnavailable), int32(gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_UNAVAILABLE)},
		{int32(llm.PhaseDisabled), int32(gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_DISABLED)},
		{int32(llm.ProviderAnthropic), int32(gitpodv1.LLMProvider_LLM_PROVIDER_ANTHROPIC)},
		{int32(llm.ProviderOpenAI), int32(gitpodv1.LLMProvider_LLM_PROVIDER_OPENAI)},
		{int32(llm.HeaderLiteral), int32(gitpodv1.LLMIntegrationRequestHeaderType_LLM_INTEGRATION_REQUEST_HEADER_TYPE_LITERAL)},
		{int32(llm.HeaderExpression), int32(gitpodv1.LLMIntegrationRequestHeaderType_LLM_INTEGRATION_REQUEST_HEADER_TYPE_CEL_EXPRESSION)},
		{int32(llm.HeaderCapability), int32(gitpodv1.RunnerCapability_RUNNER_CAPABILITY_DYNAMIC_LLM_REQUEST_HEADERS)},

		{int32(event.Created), int32(gitpodv1.ResourceOperation_RESOURCE_OPERATION_CREATE)},
		{int32(event.Updated), int32(gitpodv1.ResourceOperation_RESOURCE_OPERATION_UPDATE)},
		{int32(event.Deleted), int32(gitpodv1.ResourceOperation_RESOURCE_OPERATION_DELETE)},
		{int32(event.StatusUpdated), int32(gitpodv1.ResourceOperation_RESOURCE_OPERATION_UPDATE_STATUS)},
		{int32(resource.Runner), int32(gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER)},
		{int32(resource.Organization), int32(gitpodv1.ResourceType_RESOURCE_TYPE_ORGANIZATION)},
		{int32(resource.User), int32(gitpodv1.ResourceType_RESOURCE_TYPE_USER)},
		{int32(resource.PersonalAccessToken), int32(gitpodv1.ResourceType_RESOURCE_TYPE_PERSONAL_ACCESS_TOKEN)},
	} {
		if tt.domain != tt.wire {
			t.Errorf("%d is %d on the wire", tt.domain, tt.wire)
		}
	}
}
