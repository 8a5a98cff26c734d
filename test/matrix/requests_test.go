package matrix_test

import (
	"encoding/base64"
	"fmt"
)

const (
	runners  = "gitpod.v1.RunnerService/"
	config   = "gitpod.v1.RunnerConfigurationService/"
	groups   = "gitpod.v1.GroupService/"
	accounts = "gitpod.v1.ServiceAccountService/"
	users    = "gitpod.v1.UserService/"
	orgs     = "gitpod.v1.OrganizationService/"
	admins   = "muster.admin.v1."
)

// requests make a request for each procedure, about something in the second
// organization that the call may change or delete. nil stands for a stream.
var requests = map[string]func(*plane) object{
	"gitpod.v1.IdentityService/ExchangeToken": func(p *plane) object {
		return object{"exchangeToken": text(p.do(runners+"CreateRunnerToken", object{"runnerId": p.idle}), "exchangeToken")}
	},
	"gitpod.v1.IdentityService/GetAuthenticatedIdentity": nothing,
	"gitpod.v1.IdentityService/GetIDToken":               of("audience", []string{"https://example.com"}),

	users + "GetAuthenticatedUser":      nothing,
	users + "GetUser":                   func(p *plane) object { return object{"userId": p.ownerID} },
	users + "SetSuspended":              func(p *plane) object { return object{"userId": p.extra(), "suspended": true} },
	users + "DeleteUser":                func(p *plane) object { return object{"userId": p.extra()} },
	users + "CreatePersonalAccessToken": func(p *plane) object { return object{"userId": p.ownerID} },
	users + "GetPersonalAccessToken":    func(p *plane) object { return object{"personalAccessTokenId": p.pat()} },
	users + "ListPersonalAccessTokens":  nothing,
	users + "DeletePersonalAccessToken": func(p *plane) object { return object{"personalAccessTokenId": p.pat()} },
	users + "SetPreference":             func(*plane) object { return object{"key": "k", "value": "v"} },
	users + "GetPreference":             of("preferenceKey", "k"),
	users + "ListPreferences":           nothing,
	users + "DeletePreference":          func(p *plane) object { return object{"userPreferenceId": p.ownerID} },
	users + "GetDotfilesConfiguration":  nothing,
	users + "SetDotfilesConfiguration":  nothing,

	orgs + "CreateOrganization": of("name", "Fourth"),
	orgs + "GetOrganization":    organization,
	orgs + "UpdateOrganization": func(p *plane) object { return object{"organizationId": p.organization, "name": "Second"} },
	orgs + "ListMembers":        organization,
	orgs + "SetRole": func(p *plane) object {
		return object{"organizationId": p.organization, "userId": p.extra(), "role": "ORGANIZATION_ROLE_MEMBER"}
	},

	runners + "CreateRunner":          func(*plane) object { return object{"name": "new", "provider": "RUNNER_PROVIDER_LINUX_HOST"} },
	runners + "GetRunner":             runner,
	runners + "ListRunners":           nothing,
	runners + "UpdateRunner":          func(p *plane) object { return object{"runnerId": p.runner, "name": "connected"} },
	runners + "DeleteRunner":          func(p *plane) object { return object{"runnerId": p.sharedRunner("doomed")} },
	runners + "CreateRunnerToken":     runner,
	runners + "CreateRunnerLogsToken": runner,
	runners + "ParseContextURL": func(p *plane) object {
		return object{"runnerId": p.runner, "contextUrl": "https://" + p.connectedHost() + "/a/b"}
	},
	runners + "SearchRepositories":         runner,
	runners + "ListSCMOrganizations":       func(p *plane) object { return object{"runnerId": p.runner, "scmHost": p.connectedHost()} },
	runners + "CheckAuthenticationForHost": func(p *plane) object { return object{"runnerId": p.runner, "host": p.connectedHost()} },
	runners + "CheckRepositoryAccess":      func(p *plane) object { return object{"runnerId": p.runner, "repositoryUrl": "https://example.com/a/b"} },
	runners + "ListRunnerPolicies":         runner,
	runners + "CreateRunnerPolicy": func(p *plane) object {
		return object{"runnerId": p.runner, "groupId": p.fresh(), "role": "RUNNER_ROLE_USER"}
	},
	runners + "UpdateRunnerPolicy": func(p *plane) object {
		return object{"runnerId": p.runner, "groupId": p.users, "role": "RUNNER_ROLE_USER"}
	},
	runners + "DeleteRunnerPolicy": func(p *plane) object {
		g := p.fresh()
		p.do(runners+"CreateRunnerPolicy", object{"runnerId": p.runner, "groupId": g, "role": "RUNNER_ROLE_USER"})
		return object{"runnerId": p.runner, "groupId": g}
	},

	"gitpod.v1.GatewayService/ListGateways": nothing,
	"gitpod.v1.EventService/WatchEvents":    nil,
	"gitpod.v1.EventService/ListAuditLogs":  nothing,
	"gitpod.v1.EventService/GetAuditLog": func(p *plane) object {
		list, _ := p.do("gitpod.v1.EventService/ListAuditLogs", object{})["entries"].([]any)
		entry, _ := list[0].(object)
		return object{"auditLogEntryId": entry["id"]}
	},
	"gitpod.v1.EnvironmentService/ListEnvironmentClasses": nothing,

	config + "CreateHostAuthenticationToken": func(p *plane) object {
		return object{"runnerId": p.runner, "host": p.host(), "token": "t", "source": "HOST_AUTHENTICATION_TOKEN_SOURCE_PAT"}
	},
	config + "GetHostAuthenticationToken":    func(p *plane) object { return object{"id": p.hostToken()} },
	config + "ListHostAuthenticationTokens":  nothing,
	config + "UpdateHostAuthenticationToken": func(p *plane) object { return object{"id": p.hostToken(), "token": "new"} },
	config + "DeleteHostAuthenticationToken": func(p *plane) object { return object{"id": p.hostToken()} },
	config + "GetRunnerConfigurationSchema":  runner,
	config + "CreateSCMIntegration":          func(p *plane) object { return p.newIntegration() },
	config + "GetSCMIntegration":             func(p *plane) object { return object{"id": p.integration()} },
	config + "ListSCMIntegrations":           nothing,
	config + "UpdateSCMIntegration":          func(p *plane) object { return object{"id": p.integration(), "pat": true} },
	config + "DeleteSCMIntegration":          func(p *plane) object { return object{"id": p.integration()} },
	config + "CreateEnvironmentClass":        func(p *plane) object { return p.newClass() },
	config + "GetEnvironmentClass":           func(p *plane) object { return object{"environmentClassId": p.class()} },
	config + "ListEnvironmentClasses":        nothing,
	config + "UpdateEnvironmentClass":        func(p *plane) object { return object{"environmentClassId": p.class(), "enabled": false} },
	config + "ValidateRunnerConfiguration": func(p *plane) object {
		return object{"runnerId": p.runner, "environmentClass": object{"displayName": "Small", "description": "A small one"}}
	},
	config + "CreateLLMIntegration": func(p *plane) object { return p.newModel() },
	config + "GetLLMIntegration":    func(p *plane) object { return object{"id": p.model()} },
	config + "ListLLMIntegrations":  nothing,
	config + "UpdateLLMIntegration": func(p *plane) object { return object{"id": p.model(), "endpoint": ""} },
	config + "DeleteLLMIntegration": func(p *plane) object { return object{"id": p.model()} },

	groups + "CreateGroup": func(p *plane) object { return object{"organizationId": p.organization, "name": p.name()} },
	groups + "GetGroup":    func(p *plane) object { return object{"id": p.users} },
	groups + "ListGroups":  nothing,
	groups + "UpdateGroup": func(p *plane) object { return object{"groupId": p.fresh(), "name": p.name()} },
	groups + "DeleteGroup": func(p *plane) object { return object{"groupId": p.fresh()} },
	groups + "CreateMembership": func(p *plane) object {
		return object{"groupId": p.fresh(), "subject": object{"id": p.ownerID, "principal": "PRINCIPAL_USER"}}
	},
	groups + "DeleteMembership": func(p *plane) object { return object{"membershipId": p.join(p.fresh(), p.ownerID, "PRINCIPAL_USER")} },
	groups + "GetMembership": func(p *plane) object {
		return object{"groupId": p.users, "subject": object{"id": p.ownerID, "principal": "PRINCIPAL_USER"}}
	},
	groups + "ListMemberships":      func(p *plane) object { return object{"groupId": p.users} },
	groups + "CreateRoleAssignment": func(p *plane) object { return p.newAssignment() },
	groups + "ListRoleAssignments":  nothing,
	groups + "DeleteRoleAssignment": func(p *plane) object {
		return object{"assignmentId": text(p.do(groups+"CreateRoleAssignment", p.newAssignment()), "assignment", "id")}
	},
	groups + "ShareResourceWithPrincipal": func(p *plane) object { return p.share() },
	groups + "UnshareResourceWithPrincipal": func(p *plane) object {
		s := p.share()
		p.do(groups+"ShareResourceWithPrincipal", s)
		delete(s, "role")
		return s
	},

	accounts + "CreateServiceAccount":            func(*plane) object { return object{"name": "new", "validUntil": "2100-01-01T00:00:00Z"} },
	accounts + "ListServiceAccounts":             nothing,
	accounts + "GetServiceAccount":               account,
	accounts + "UpdateServiceAccount":            func(p *plane) object { return object{"serviceAccountId": p.account, "name": "robot"} },
	accounts + "DeleteServiceAccount":            func(p *plane) object { return object{"serviceAccountId": p.newAccount()} },
	accounts + "CreateServiceAccountAccessToken": account,
	accounts + "CreateServiceAccountToken":       of("description", "d"),
	accounts + "ListServiceAccountTokens":        nothing,
	accounts + "GetServiceAccountToken":          func(p *plane) object { return object{"serviceAccountTokenId": p.accountToken()} },
	accounts + "DeleteServiceAccountToken":       func(p *plane) object { return object{"serviceAccountTokenId": p.accountToken()} },

	admins + "MemberService/AddMember": func(p *plane) object {
		return object{"name": "New", "email": p.name() + "@example.com", "role": "ORGANIZATION_ROLE_MEMBER"}
	},
	admins + "MemberService/CreateMemberToken": func(p *plane) object { return object{"userId": p.extra()} },
	admins + "MemberService/SuspendMember":     func(p *plane) object { return object{"userId": p.extra()} },
	admins + "MemberService/ResumeMember":      func(p *plane) object { return object{"userId": p.extra()} },
	admins + "MemberService/RemoveMember":      func(p *plane) object { return object{"userId": p.extra()} },

	admins + "RunnerKeyService/GetRunnerKeys":      runner,
	admins + "RunnerKeyService/ApproveRunnerKey":   func(p *plane) object { return object{"runnerId": p.runner, "fingerprint": fmt.Sprintf("%032d", 0)} },
	admins + "RunnerKeyService/CheckRunnerSecrets": func(p *plane) object { return object{"runnerId": p.idle} }, // unavailable: not connected

	admins + "RunnerTokenService/ListRunnerTokens":  runner,
	admins + "RunnerTokenService/ExpireRunnerToken": func(p *plane) object { return object{"runnerId": p.idle, "tokenId": p.idleToken()} },
	admins + "RunnerTokenService/RotateRunnerToken": func(p *plane) object { return object{"runnerId": p.idle} }, // unavailable: not connected

	admins + "InstallationService/CreateOrganization": func(p *plane) object {
		return object{"name": "Another", "adminName": "A", "adminEmail": p.name() + "@example.com"}
	},
	admins + "InstallationService/ListOrganizations": nothing,
	admins + "InstallationService/RotateKeys":        nothing, // which keys is missing, so it rotates none

	admins + "AccessService/ExplainAccess": func(p *plane) object {
		return object{
			"subject": object{"id": p.ownerID, "principal": "PRINCIPAL_USER"}, "action": "runner.read",
			"resourceType": "RESOURCE_TYPE_RUNNER", "resourceId": p.runner,
		}
	},
	admins + "AuditService/ExportAuditLog": nothing,

	admins + "RetentionService/GetRetentionPolicy":     nothing,
	admins + "RetentionService/SetRetentionPolicy":     of("policy", object{}),
	admins + "RetentionService/PreviewRetentionPolicy": nothing,

	"muster.link.v1.LinkService/Connect": nil,
}

func nothing(*plane) object        { return object{} }
func organization(p *plane) object { return object{"organizationId": p.organization} }
func runner(p *plane) object       { return object{"runnerId": p.runner} }
func account(p *plane) object      { return object{"serviceAccountId": p.account} }

func of(field string, value any) func(*plane) object {
	return func(*plane) object { return object{field: value} }
}

// The methods below make something new to act on.

func (p *plane) name() string {
	p.serial++
	return fmt.Sprintf("name-%d", p.serial)
}

func (p *plane) host() string { return p.name() + ".example.com" }

func (p *plane) fresh() string { return p.group(p.name()) }

func (p *plane) extra() string {
	who, _ := p.person("extra")
	return who
}

// pat is a token of the owner's.
func (p *plane) pat() string {
	p.as(p.owner, users+"CreatePersonalAccessToken", object{"userId": p.ownerID})
	list, _ := p.as(p.owner, users+"ListPersonalAccessTokens", object{})["personalAccessTokens"].([]any)
	newest, _ := list[0].(object)
	return text(newest, "id")
}

// hostToken is one of the owner's.
func (p *plane) hostToken() string {
	made := p.as(p.owner, config+"CreateHostAuthenticationToken", object{
		"runnerId": p.runner, "host": p.host(), "token": "secret", "source": "HOST_AUTHENTICATION_TOKEN_SOURCE_PAT",
	})
	return text(made, "token", "id")
}

func (p *plane) newIntegration() object {
	return object{"runnerId": p.runner, "scmId": "gitea", "host": p.host(), "pat": true}
}

func (p *plane) integration() string {
	return text(p.do(config+"CreateSCMIntegration", p.newIntegration()), "id")
}

// connectedHost is a host on which nobody is signed in, so that it is not called.
func (p *plane) connectedHost() string {
	i := p.newIntegration()
	p.do(config+"CreateSCMIntegration", i)
	return i["host"].(string)
}

func (p *plane) newClass() object {
	return object{"runnerId": p.runner, "displayName": "Small", "description": "A small one"}
}

func (p *plane) class() string {
	return text(p.do(config+"CreateEnvironmentClass", p.newClass()), "id")
}

func (p *plane) newModel() object {
	return object{"runnerId": p.runner, "models": []string{"SUPPORTED_MODEL_SONNET_4"}, "apiKey": base64.StdEncoding.EncodeToString([]byte("k"))}
}

func (p *plane) model() string {
	return text(p.do(config+"CreateLLMIntegration", p.newModel()), "id")
}

func (p *plane) newAssignment() object {
	return object{"groupId": p.fresh(), "resourceType": "RESOURCE_TYPE_RUNNER", "resourceId": p.runner, "resourceRole": "RESOURCE_ROLE_RUNNER_USER"}
}

func (p *plane) share() object {
	return object{
		"resourceType": "RESOURCE_TYPE_RUNNER", "resourceId": p.runner, "principal": "PRINCIPAL_USER", "principalId": p.extra(),
		"role": "RESOURCE_ROLE_RUNNER_USER",
	}
}

func (p *plane) newAccount() string {
	return text(p.do(accounts+"CreateServiceAccount", object{"name": "extra", "validUntil": "2100-01-01T00:00:00Z"}), "serviceAccount", "id")
}

// accountToken is a token of a service account that is no caller here.
func (p *plane) accountToken() string {
	access := text(p.do(accounts+"CreateServiceAccountAccessToken", object{"serviceAccountId": p.newAccount()}), "token")
	return text(p.as(access, accounts+"CreateServiceAccountToken", object{}), "serviceAccountToken", "id")
}

func (p *plane) idleToken() string {
	p.do(runners+"CreateRunnerToken", object{"runnerId": p.idle})
	list, _ := p.do(admins+"RunnerTokenService/ListRunnerTokens", object{"runnerId": p.idle})["tokens"].([]any)
	newest, _ := list[0].(object)
	return text(newest, "id")
}
