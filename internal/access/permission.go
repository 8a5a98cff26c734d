package access

import (
	"maps"
	"slices"

	"github.com/musterhq/muster/internal/resource"
)

// types says what each permission can be asked for beside the organization,
// which stands for everything in it. What is not here is asked for on the
// organization alone.
var types = map[Permission][]resource.Type{
	MemberRead:                {resource.User},
	MemberWrite:               {resource.User},
	PATRead:                   {resource.PersonalAccessToken, resource.User},
	PATCreate:                 {resource.User},
	PATDelete:                 {resource.PersonalAccessToken, resource.User},
	ServiceAccountRead:        {resource.ServiceAccount},
	ServiceAccountWrite:       {resource.ServiceAccount},
	ServiceAccountImpersonate: {resource.ServiceAccount},
	ServiceAccountTokenRead:   {resource.ServiceAccountToken, resource.ServiceAccount},
	ServiceAccountTokenCreate: {resource.ServiceAccount},
	ServiceAccountTokenDelete: {resource.ServiceAccountToken, resource.ServiceAccount},
	GroupRead:                 {resource.Group},
	GroupUpdate:               {resource.Group},
	GroupDelete:               {resource.Group},
	GroupMembers:              {resource.Group},
	GroupShare:                {resource.Group},
	RoleAssignmentRead:        {resource.RoleAssignment},
	RunnerRead:                {resource.Runner},
	RunnerUse:                 {resource.Runner},
	RunnerUpdate:              {resource.Runner},
	RunnerDelete:              {resource.Runner},
	RunnerToken:               {resource.Runner},
	RunnerLogs:                {resource.Runner},
	RunnerKeys:                {resource.Runner},
	RunnerShare:               {resource.Runner},
	RunnerLink:                {resource.Runner},
	ConfigurationRead:         {resource.Runner, resource.EnvironmentClass, resource.RunnerSCMIntegration, resource.RunnerLLMIntegration},
	ConfigurationWrite:        {resource.Runner, resource.EnvironmentClass, resource.RunnerSCMIntegration, resource.RunnerLLMIntegration},
	HostTokenRead:             {resource.HostAuthenticationToken},
	HostTokenUpdate:           {resource.HostAuthenticationToken},
	HostTokenDelete:           {resource.HostAuthenticationToken},
}

// Permissions returns everything that a role can allow, sorted.
func Permissions() []Permission {
	all := map[Permission]bool{}
	for _, ps := range may {
		for _, p := range ps {
			all[p] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// On returns the types of resource that a permission can be asked for, the
// organization last.
func (p Permission) On() []resource.Type {
	return append(slices.Clone(types[p]), resource.Organization)
}
