package access

import (
	"maps"
	"slices"
	"strings"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/resource"
)

// Class says what a procedure leaves in the audit log.
type Class uint8

// The audit classes.
const (
	// Reads leave nothing.
	Reads Class = iota
	// Changes leave an entry in the transaction of the change.
	Changes
	// Credentials hand out a secret and leave an entry.
	Credentials
)

// Rule is one row of the table.
type Rule struct {
	Permission Permission
	Class      Class
}

// RuleOf returns the row of a procedure such as "gitpod.v1.RunnerService/GetRunner".
// False means that there is none, and the call must be refused.
func RuleOf(procedure string) (Rule, bool) {
	r, ok := table[strings.TrimPrefix(procedure, "/")]
	return r, ok
}

// Authorize checks the row of a procedure against its caller.
func Authorize(c Caller, r Rule) error {
	switch {
	case r.Permission == Public:
		return nil
	case c.Anonymous():
		return fault.New(fault.Unauthenticated, fault.MissingToken,
			"This call needs a token. Send it as \"Authorization: Bearer <token>\"; \"muster pat create\" makes one.")
	case r.Permission == Authenticated, r.Permission == Unbuilt:
		return nil
	case !mayAnywhere(c, r.Permission):
		return fault.New(fault.PermissionDenied, fault.NotAllowed,
			"This call needs the permission %q, which no role of this %s gives. %s", r.Permission, c.Principal, wayTo(c, r.Permission))
	case c.ReadOnly && r.Class != Reads:
		return fault.New(fault.PermissionDenied, fault.ReadOnlyToken,
			"This token is read-only and the call changes something or hands out a credential. Use a token that is not read-only.")
	}
	return nil
}

// mayAnywhere tells whether there can be an object for which the caller has the
// permission. Whether this one is such an object is for the noun to check.
func mayAnywhere(c Caller, p Permission) bool {
	if c.Principal == PrincipalRunner {
		return slices.Contains(runnerMay, p) || Allows(resource.RoleRunnerIdentity, p)
	}
	if Allows(c.Principal.identity(), p) || onObjects[p] {
		return true
	}
	return slices.ContainsFunc(c.Grants, func(g Grant) bool { return Allows(g.Role, p) })
}

// onObjects has the permissions that a user or a service account can have
// through a role on a single resource: one that a group was given, or the one of
// who owns a credential.
var onObjects = func() map[Permission]bool {
	set := map[Permission]bool{}
	for r, ps := range may {
		if r.Assignable() && r.On() != resource.Organization || r == resource.RoleHostAuthenticationTokenAdmin {
			for _, p := range ps {
				set[p] = true
			}
		}
	}
	return set
}()

// table has a row for every procedure; a test compares it with the services
// that the binary serves.
var table = map[string]Rule{
	"gitpod.v1.IdentityService/ExchangeToken":            {Public, Credentials},
	"gitpod.v1.IdentityService/GetAuthenticatedIdentity": {Authenticated, Reads},
	"gitpod.v1.IdentityService/GetIDToken":               {IDTokenCreate, Credentials},

	"gitpod.v1.UserService/GetAuthenticatedUser":      {MemberRead, Reads},
	"gitpod.v1.UserService/GetUser":                   {MemberRead, Reads},
	"gitpod.v1.UserService/SetSuspended":              {MemberWrite, Changes},
	"gitpod.v1.UserService/DeleteUser":                {MemberWrite, Changes},
	"gitpod.v1.UserService/CreatePersonalAccessToken": {PATCreate, Credentials},
	"gitpod.v1.UserService/GetPersonalAccessToken":    {PATRead, Reads},
	"gitpod.v1.UserService/ListPersonalAccessTokens":  {PATRead, Reads},
	"gitpod.v1.UserService/DeletePersonalAccessToken": {PATDelete, Changes},
	"gitpod.v1.UserService/SetPreference":             {Unbuilt, Changes},
	"gitpod.v1.UserService/GetPreference":             {Unbuilt, Reads},
	"gitpod.v1.UserService/ListPreferences":           {Unbuilt, Reads},
	"gitpod.v1.UserService/DeletePreference":          {Unbuilt, Changes},
	"gitpod.v1.UserService/GetDotfilesConfiguration":  {Unbuilt, Reads},
	"gitpod.v1.UserService/SetDotfilesConfiguration":  {Unbuilt, Changes},

	"gitpod.v1.OrganizationService/CreateOrganization": {Unbuilt, Changes},
	"gitpod.v1.OrganizationService/GetOrganization":    {OrganizationRead, Reads},
	"gitpod.v1.OrganizationService/UpdateOrganization": {OrganizationUpdate, Changes},
	"gitpod.v1.OrganizationService/ListMembers":        {MemberRead, Reads},
	"gitpod.v1.OrganizationService/SetRole":            {MemberWrite, Changes},

	"gitpod.v1.RunnerService/CreateRunner":               {RunnerCreate, Changes},
	"gitpod.v1.RunnerService/GetRunner":                  {RunnerRead, Reads},
	"gitpod.v1.RunnerService/ListRunners":                {RunnerRead, Reads},
	"gitpod.v1.RunnerService/UpdateRunner":               {RunnerUpdate, Changes},
	"gitpod.v1.RunnerService/DeleteRunner":               {RunnerDelete, Changes},
	"gitpod.v1.RunnerService/CreateRunnerToken":          {RunnerToken, Credentials},
	"gitpod.v1.RunnerService/CreateRunnerLogsToken":      {RunnerLogs, Credentials},
	"gitpod.v1.RunnerService/ParseContextURL":            {RunnerUse, Reads},
	"gitpod.v1.RunnerService/SearchRepositories":         {RunnerUse, Reads},
	"gitpod.v1.RunnerService/ListSCMOrganizations":       {RunnerUse, Reads},
	"gitpod.v1.RunnerService/CheckAuthenticationForHost": {RunnerUse, Reads},
	"gitpod.v1.RunnerService/CheckRepositoryAccess":      {RunnerUse, Reads},
	"gitpod.v1.RunnerService/ListRunnerPolicies":         {RunnerRead, Reads},
	"gitpod.v1.RunnerService/CreateRunnerPolicy":         {RunnerShare, Changes},
	"gitpod.v1.RunnerService/UpdateRunnerPolicy":         {RunnerShare, Changes},
	"gitpod.v1.RunnerService/DeleteRunnerPolicy":         {RunnerShare, Changes},

	"gitpod.v1.GatewayService/ListGateways": {GatewayRead, Reads},

	"gitpod.v1.EventService/WatchEvents":   {EventWatch, Reads},
	"gitpod.v1.EventService/ListAuditLogs": {AuditRead, Reads},
	"gitpod.v1.EventService/GetAuditLog":   {AuditRead, Reads},

	"gitpod.v1.EnvironmentService/ListEnvironmentClasses": {ConfigurationRead, Reads},

	"gitpod.v1.RunnerConfigurationService/CreateHostAuthenticationToken": {RunnerUse, Changes},
	"gitpod.v1.RunnerConfigurationService/GetHostAuthenticationToken":    {HostTokenRead, Reads},
	"gitpod.v1.RunnerConfigurationService/ListHostAuthenticationTokens":  {HostTokenRead, Reads},
	"gitpod.v1.RunnerConfigurationService/UpdateHostAuthenticationToken": {HostTokenUpdate, Changes},
	"gitpod.v1.RunnerConfigurationService/DeleteHostAuthenticationToken": {HostTokenDelete, Changes},
	"gitpod.v1.RunnerConfigurationService/GetRunnerConfigurationSchema":  {ConfigurationRead, Reads},
	"gitpod.v1.RunnerConfigurationService/CreateSCMIntegration":          {ConfigurationWrite, Changes},
	"gitpod.v1.RunnerConfigurationService/GetSCMIntegration":             {ConfigurationRead, Reads},
	"gitpod.v1.RunnerConfigurationService/ListSCMIntegrations":           {ConfigurationRead, Reads},
	"gitpod.v1.RunnerConfigurationService/UpdateSCMIntegration":          {ConfigurationWrite, Changes},
	"gitpod.v1.RunnerConfigurationService/DeleteSCMIntegration":          {ConfigurationWrite, Changes},
	"gitpod.v1.RunnerConfigurationService/CreateEnvironmentClass":        {ConfigurationWrite, Changes},
	"gitpod.v1.RunnerConfigurationService/GetEnvironmentClass":           {ConfigurationRead, Reads},
	"gitpod.v1.RunnerConfigurationService/ListEnvironmentClasses":        {ConfigurationRead, Reads},
	"gitpod.v1.RunnerConfigurationService/UpdateEnvironmentClass":        {ConfigurationWrite, Changes},
	"gitpod.v1.RunnerConfigurationService/ValidateRunnerConfiguration":   {ConfigurationRead, Reads},
	"gitpod.v1.RunnerConfigurationService/CreateLLMIntegration":          {ConfigurationWrite, Changes},
	"gitpod.v1.RunnerConfigurationService/GetLLMIntegration":             {ConfigurationRead, Reads},
	"gitpod.v1.RunnerConfigurationService/ListLLMIntegrations":           {ConfigurationRead, Reads},
	"gitpod.v1.RunnerConfigurationService/UpdateLLMIntegration":          {ConfigurationWrite, Changes},
	"gitpod.v1.RunnerConfigurationService/DeleteLLMIntegration":          {ConfigurationWrite, Changes},

	"gitpod.v1.GroupService/CreateGroup":      {GroupCreate, Changes},
	"gitpod.v1.GroupService/GetGroup":         {GroupRead, Reads},
	"gitpod.v1.GroupService/ListGroups":       {GroupRead, Reads},
	"gitpod.v1.GroupService/UpdateGroup":      {GroupUpdate, Changes},
	"gitpod.v1.GroupService/DeleteGroup":      {GroupDelete, Changes},
	"gitpod.v1.GroupService/CreateMembership": {GroupMembers, Changes},
	"gitpod.v1.GroupService/DeleteMembership": {GroupMembers, Changes},
	"gitpod.v1.GroupService/GetMembership":    {GroupRead, Reads},
	"gitpod.v1.GroupService/ListMemberships":  {GroupRead, Reads},
	// Which permission a role assignment needs depends on its resource:
	// runner.share, group.share or organization.share. The noun checks it.
	"gitpod.v1.GroupService/CreateRoleAssignment":         {GroupRead, Changes},
	"gitpod.v1.GroupService/ListRoleAssignments":          {GroupRead, Reads},
	"gitpod.v1.GroupService/DeleteRoleAssignment":         {GroupRead, Changes},
	"gitpod.v1.GroupService/ShareResourceWithPrincipal":   {GroupRead, Changes},
	"gitpod.v1.GroupService/UnshareResourceWithPrincipal": {GroupRead, Changes},

	"gitpod.v1.ServiceAccountService/CreateServiceAccount":            {ServiceAccountWrite, Changes},
	"gitpod.v1.ServiceAccountService/ListServiceAccounts":             {ServiceAccountRead, Reads},
	"gitpod.v1.ServiceAccountService/GetServiceAccount":               {ServiceAccountRead, Reads},
	"gitpod.v1.ServiceAccountService/UpdateServiceAccount":            {ServiceAccountWrite, Changes},
	"gitpod.v1.ServiceAccountService/DeleteServiceAccount":            {ServiceAccountWrite, Changes},
	"gitpod.v1.ServiceAccountService/CreateServiceAccountAccessToken": {ServiceAccountImpersonate, Credentials},
	// An account makes tokens for itself only. The noun refuses everybody else,
	// with the way that there is.
	"gitpod.v1.ServiceAccountService/CreateServiceAccountToken": {ServiceAccountRead, Credentials},
	"gitpod.v1.ServiceAccountService/ListServiceAccountTokens":  {ServiceAccountTokenRead, Reads},
	"gitpod.v1.ServiceAccountService/GetServiceAccountToken":    {ServiceAccountTokenRead, Reads},
	"gitpod.v1.ServiceAccountService/DeleteServiceAccountToken": {ServiceAccountTokenDelete, Changes},

	"muster.admin.v1.MemberService/AddMember":         {MemberWrite, Credentials},
	"muster.admin.v1.MemberService/CreateMemberToken": {MemberWrite, Credentials},
	"muster.admin.v1.MemberService/SuspendMember":     {MemberWrite, Changes},
	"muster.admin.v1.MemberService/ResumeMember":      {MemberWrite, Changes},
	"muster.admin.v1.MemberService/RemoveMember":      {MemberWrite, Changes},

	"muster.admin.v1.RunnerKeyService/GetRunnerKeys":      {RunnerKeys, Reads},
	"muster.admin.v1.RunnerKeyService/ApproveRunnerKey":   {RunnerKeys, Changes},
	"muster.admin.v1.RunnerKeyService/CheckRunnerSecrets": {RunnerKeys, Credentials},

	"muster.admin.v1.RunnerTokenService/ListRunnerTokens":  {RunnerToken, Reads},
	"muster.admin.v1.RunnerTokenService/ExpireRunnerToken": {RunnerToken, Changes},
	"muster.admin.v1.RunnerTokenService/RotateRunnerToken": {RunnerToken, Credentials},

	"muster.admin.v1.InstallationService/CreateOrganization": {InstallationManage, Credentials},
	"muster.admin.v1.InstallationService/ListOrganizations":  {InstallationManage, Reads},
	"muster.admin.v1.InstallationService/RotateKeys":         {InstallationManage, Changes},

	"muster.admin.v1.AccessService/ExplainAccess": {AccessExplain, Reads},

	"muster.admin.v1.AuditService/ExportAuditLog": {AuditRead, Reads},

	"muster.admin.v1.RetentionService/GetRetentionPolicy":     {OrganizationRead, Reads},
	"muster.admin.v1.RetentionService/SetRetentionPolicy":     {OrganizationUpdate, Changes},
	"muster.admin.v1.RetentionService/PreviewRetentionPolicy": {OrganizationUpdate, Reads},

	"muster.link.v1.LinkService/Connect": {RunnerLink, Reads},
}

// Procedures returns every procedure that has a row, sorted.
func Procedures() []string { return slices.Sorted(maps.Keys(table)) }
