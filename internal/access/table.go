package access

import (
	"maps"
	"slices"
	"strings"

	"github.com/musterhq/muster/internal/fault"
)

// Permission is what a procedure asks of its caller.
type Permission string

// The permissions. Those marked "own" hold for the caller's own objects; the
// nouns narrow them down.
const (
	// Public needs no token at all.
	Public Permission = "public"
	// Authenticated needs any valid token.
	Authenticated Permission = "authenticated"
	OrgRead       Permission = "organization.read"
	MemberRead    Permission = "member.read"
	MemberWrite   Permission = "member.write"
	TokenOwn      Permission = "pat.own"
	TokenOwnWrite Permission = "pat.own.write"
	RunnerRead    Permission = "runner.read" // own, for members
	RunnerCreate  Permission = "runner.create"
	RunnerWrite   Permission = "runner.write"
	RunnerToken   Permission = "runner.token"
	RunnerLogs    Permission = "runner.logs"
	GatewayRead   Permission = "gateway.read"
	EventWatch    Permission = "event.watch"
	// RunnerLink is a runner's own link.
	RunnerLink Permission = "runner.link"
	// Unbuilt marks a procedure that answers unimplemented to everybody with a token.
	Unbuilt Permission = "unbuilt"
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
	case !c.Holds(r.Permission):
		return fault.New(fault.PermissionDenied, fault.NotAllowed,
			"This call needs the permission %q, which a %s does not have. An organization admin has it.", r.Permission, c.title())
	case c.ReadOnly && r.Class != Reads:
		return fault.New(fault.PermissionDenied, fault.ReadOnlyToken,
			"This token is read-only and the call changes something or hands out a credential. Use a token that is not read-only.")
	}
	return nil
}

// Holds tells whether what the caller is gives it the permission, for at least
// some objects.
func (c Caller) Holds(p Permission) bool {
	switch c.Principal {
	case PrincipalUser:
		if c.Role == RoleAdmin {
			return p != RunnerLink
		}
		return c.Role == RoleMember && memberHolds[p]
	case PrincipalRunner:
		return runnerHolds[p]
	default:
		return false
	}
}

func (c Caller) title() string {
	if c.Principal == PrincipalUser && c.Role == RoleMember {
		return "member"
	}
	return c.Principal.String()
}

var memberHolds = map[Permission]bool{
	OrgRead: true, MemberRead: true, TokenOwn: true, TokenOwnWrite: true,
	RunnerRead: true, RunnerLogs: true, GatewayRead: true, EventWatch: true,
}

var runnerHolds = map[Permission]bool{
	OrgRead: true, RunnerRead: true, GatewayRead: true, RunnerLink: true,
}

// table has a row for every procedure; a test compares it with the services
// that the binary serves.
var table = map[string]Rule{
	"gitpod.v1.IdentityService/ExchangeToken":            {Public, Credentials},
	"gitpod.v1.IdentityService/GetAuthenticatedIdentity": {Authenticated, Reads},
	"gitpod.v1.IdentityService/GetIDToken":               {Unbuilt, Credentials},

	"gitpod.v1.UserService/GetAuthenticatedUser":      {MemberRead, Reads},
	"gitpod.v1.UserService/GetUser":                   {MemberRead, Reads},
	"gitpod.v1.UserService/SetSuspended":              {Unbuilt, Changes},
	"gitpod.v1.UserService/DeleteUser":                {Unbuilt, Changes},
	"gitpod.v1.UserService/CreatePersonalAccessToken": {TokenOwnWrite, Credentials},
	"gitpod.v1.UserService/GetPersonalAccessToken":    {TokenOwn, Reads},
	"gitpod.v1.UserService/ListPersonalAccessTokens":  {TokenOwn, Reads},
	"gitpod.v1.UserService/DeletePersonalAccessToken": {TokenOwnWrite, Changes},
	"gitpod.v1.UserService/SetPreference":             {Unbuilt, Changes},
	"gitpod.v1.UserService/GetPreference":             {Unbuilt, Reads},
	"gitpod.v1.UserService/ListPreferences":           {Unbuilt, Reads},
	"gitpod.v1.UserService/DeletePreference":          {Unbuilt, Changes},
	"gitpod.v1.UserService/GetDotfilesConfiguration":  {Unbuilt, Reads},
	"gitpod.v1.UserService/SetDotfilesConfiguration":  {Unbuilt, Changes},

	"gitpod.v1.OrganizationService/CreateOrganization": {Unbuilt, Changes},
	"gitpod.v1.OrganizationService/GetOrganization":    {OrgRead, Reads},
	"gitpod.v1.OrganizationService/UpdateOrganization": {Unbuilt, Changes},
	"gitpod.v1.OrganizationService/ListMembers":        {MemberRead, Reads},
	"gitpod.v1.OrganizationService/SetRole":            {Unbuilt, Changes},

	"gitpod.v1.RunnerService/CreateRunner":               {RunnerCreate, Changes},
	"gitpod.v1.RunnerService/GetRunner":                  {RunnerRead, Reads},
	"gitpod.v1.RunnerService/ListRunners":                {RunnerRead, Reads},
	"gitpod.v1.RunnerService/UpdateRunner":               {RunnerWrite, Changes},
	"gitpod.v1.RunnerService/DeleteRunner":               {RunnerWrite, Changes},
	"gitpod.v1.RunnerService/CreateRunnerToken":          {RunnerToken, Credentials},
	"gitpod.v1.RunnerService/CreateRunnerLogsToken":      {RunnerLogs, Credentials},
	"gitpod.v1.RunnerService/ParseContextURL":            {Unbuilt, Reads},
	"gitpod.v1.RunnerService/SearchRepositories":         {Unbuilt, Reads},
	"gitpod.v1.RunnerService/ListSCMOrganizations":       {Unbuilt, Reads},
	"gitpod.v1.RunnerService/CheckAuthenticationForHost": {Unbuilt, Reads},
	"gitpod.v1.RunnerService/CheckRepositoryAccess":      {Unbuilt, Reads},
	"gitpod.v1.RunnerService/ListRunnerPolicies":         {Unbuilt, Reads},
	"gitpod.v1.RunnerService/CreateRunnerPolicy":         {Unbuilt, Changes},
	"gitpod.v1.RunnerService/UpdateRunnerPolicy":         {Unbuilt, Changes},
	"gitpod.v1.RunnerService/DeleteRunnerPolicy":         {Unbuilt, Changes},

	"gitpod.v1.GatewayService/ListGateways": {GatewayRead, Reads},

	"gitpod.v1.EventService/WatchEvents":   {EventWatch, Reads},
	"gitpod.v1.EventService/ListAuditLogs": {Unbuilt, Reads},
	"gitpod.v1.EventService/GetAuditLog":   {Unbuilt, Reads},

	"gitpod.v1.EnvironmentService/ListEnvironmentClasses": {Unbuilt, Reads},

	"gitpod.v1.RunnerConfigurationService/CreateHostAuthenticationToken": {Unbuilt, Changes},
	"gitpod.v1.RunnerConfigurationService/GetHostAuthenticationToken":    {Unbuilt, Reads},
	"gitpod.v1.RunnerConfigurationService/ListHostAuthenticationTokens":  {Unbuilt, Reads},
	"gitpod.v1.RunnerConfigurationService/UpdateHostAuthenticationToken": {Unbuilt, Changes},
	"gitpod.v1.RunnerConfigurationService/DeleteHostAuthenticationToken": {Unbuilt, Changes},
	"gitpod.v1.RunnerConfigurationService/GetRunnerConfigurationSchema":  {Unbuilt, Reads},
	"gitpod.v1.RunnerConfigurationService/CreateSCMIntegration":          {Unbuilt, Changes},
	"gitpod.v1.RunnerConfigurationService/GetSCMIntegration":             {Unbuilt, Reads},
	"gitpod.v1.RunnerConfigurationService/ListSCMIntegrations":           {Unbuilt, Reads},
	"gitpod.v1.RunnerConfigurationService/UpdateSCMIntegration":          {Unbuilt, Changes},
	"gitpod.v1.RunnerConfigurationService/DeleteSCMIntegration":          {Unbuilt, Changes},
	"gitpod.v1.RunnerConfigurationService/CreateEnvironmentClass":        {Unbuilt, Changes},
	"gitpod.v1.RunnerConfigurationService/GetEnvironmentClass":           {Unbuilt, Reads},
	"gitpod.v1.RunnerConfigurationService/ListEnvironmentClasses":        {Unbuilt, Reads},
	"gitpod.v1.RunnerConfigurationService/UpdateEnvironmentClass":        {Unbuilt, Changes},
	"gitpod.v1.RunnerConfigurationService/ValidateRunnerConfiguration":   {Unbuilt, Reads},
	"gitpod.v1.RunnerConfigurationService/CreateLLMIntegration":          {Unbuilt, Changes},
	"gitpod.v1.RunnerConfigurationService/GetLLMIntegration":             {Unbuilt, Reads},
	"gitpod.v1.RunnerConfigurationService/ListLLMIntegrations":           {Unbuilt, Reads},
	"gitpod.v1.RunnerConfigurationService/UpdateLLMIntegration":          {Unbuilt, Changes},
	"gitpod.v1.RunnerConfigurationService/DeleteLLMIntegration":          {Unbuilt, Changes},

	"gitpod.v1.GroupService/CreateGroup":                  {Unbuilt, Changes},
	"gitpod.v1.GroupService/GetGroup":                     {Unbuilt, Reads},
	"gitpod.v1.GroupService/ListGroups":                   {Unbuilt, Reads},
	"gitpod.v1.GroupService/UpdateGroup":                  {Unbuilt, Changes},
	"gitpod.v1.GroupService/DeleteGroup":                  {Unbuilt, Changes},
	"gitpod.v1.GroupService/CreateMembership":             {Unbuilt, Changes},
	"gitpod.v1.GroupService/DeleteMembership":             {Unbuilt, Changes},
	"gitpod.v1.GroupService/GetMembership":                {Unbuilt, Reads},
	"gitpod.v1.GroupService/ListMemberships":              {Unbuilt, Reads},
	"gitpod.v1.GroupService/CreateRoleAssignment":         {Unbuilt, Changes},
	"gitpod.v1.GroupService/ListRoleAssignments":          {Unbuilt, Reads},
	"gitpod.v1.GroupService/DeleteRoleAssignment":         {Unbuilt, Changes},
	"gitpod.v1.GroupService/ShareResourceWithPrincipal":   {Unbuilt, Changes},
	"gitpod.v1.GroupService/UnshareResourceWithPrincipal": {Unbuilt, Changes},

	"gitpod.v1.ServiceAccountService/CreateServiceAccount":            {Unbuilt, Changes},
	"gitpod.v1.ServiceAccountService/ListServiceAccounts":             {Unbuilt, Reads},
	"gitpod.v1.ServiceAccountService/GetServiceAccount":               {Unbuilt, Reads},
	"gitpod.v1.ServiceAccountService/UpdateServiceAccount":            {Unbuilt, Changes},
	"gitpod.v1.ServiceAccountService/DeleteServiceAccount":            {Unbuilt, Changes},
	"gitpod.v1.ServiceAccountService/CreateServiceAccountAccessToken": {Unbuilt, Credentials},
	"gitpod.v1.ServiceAccountService/CreateServiceAccountToken":       {Unbuilt, Credentials},
	"gitpod.v1.ServiceAccountService/ListServiceAccountTokens":        {Unbuilt, Reads},
	"gitpod.v1.ServiceAccountService/GetServiceAccountToken":          {Unbuilt, Reads},
	"gitpod.v1.ServiceAccountService/DeleteServiceAccountToken":       {Unbuilt, Changes},

	"muster.admin.v1.MemberService/AddMember":           {MemberWrite, Credentials},
	"muster.admin.v1.MemberService/SuspendMember":       {MemberWrite, Changes},
	"muster.admin.v1.MemberService/ResumeMember":        {MemberWrite, Changes},
	"muster.admin.v1.MemberService/RemoveMember":        {MemberWrite, Changes},
	"muster.admin.v1.RunnerKeyService/GetRunnerKeys":    {RunnerWrite, Reads},
	"muster.admin.v1.RunnerKeyService/ApproveRunnerKey": {RunnerWrite, Changes},

	"muster.link.v1.LinkService/Connect": {RunnerLink, Reads},
}

// Procedures returns every procedure that has a row, sorted.
func Procedures() []string { return slices.Sorted(maps.Keys(table)) }
