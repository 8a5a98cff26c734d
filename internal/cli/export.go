package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/cli/manifest"
)

// Export writes the configuration plane to a file.
type Export struct {
	File string `short:"f" placeholder:"FILE" help:"Write to a file instead of the standard output."`
	Remote
}

// Run runs the command.
func (cmd *Export) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	m, err := c.gather(ctx)
	if err != nil {
		return err
	}
	if m.Partial {
		fmt.Fprintln(env.Stderr, "You are no organization admin: the file has only what you can see, and says so (partial: true).")
	}
	if cmd.File == "" {
		return manifest.Write(env.Stdout, m)
	}
	f, err := os.Create(cmd.File)
	if err != nil {
		return fmt.Errorf("the file cannot be written: %w", err)
	}
	if err := manifest.Write(f, m); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("the file cannot be written: %w", err)
	}
	_, err = fmt.Fprintf(env.Stderr, "Wrote %s: runners %d, groups %d, service accounts %d. Secrets are not in it.\n",
		cmd.File, len(m.Runners), len(m.Groups), len(m.ServiceAccounts))
	return err
}

// Subjects in a manifest.
const (
	asUser    = "user:"
	asAccount = "service-account:"
)

// gatherer reads the configuration plane.
type gatherer struct {
	*Client
	// subjects are the names of people and service accounts in a manifest, by id.
	subjects map[string]string
	groups   map[string]string // names, by id
	direct   map[string]string // the id of the one subject, by group
}

// gather reads all that a manifest can hold.
func (c *Client) gather(ctx context.Context) (*manifest.Manifest, error) {
	g := &gatherer{Client: c, subjects: map[string]string{}, groups: map[string]string{}, direct: map[string]string{}}
	m := &manifest.Manifest{Version: manifest.Version}
	people, err := c.listMembers(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range people {
		g.subjects[p.GetUserId()] = asUser + p.GetEmail()
	}
	if m.Partial, err = g.partial(ctx, people); err != nil {
		return nil, err
	}
	kept, err := c.Retention.GetRetentionPolicy(ctx, connect.NewRequest(&adminv1.GetRetentionPolicyRequest{}))
	if err != nil {
		return nil, err
	}
	if p := kept.Msg.GetPolicy(); p.GetNeverConnectedDays()+p.GetOfflineDays()+p.GetAuditDays() > 0 {
		m.Retention = &manifest.Retention{NeverConnectedDays: p.GetNeverConnectedDays(), OfflineDays: p.GetOfflineDays(), AuditDays: p.GetAuditDays()}
	}
	if err := g.accounts(ctx, m); err != nil {
		return nil, err
	}
	if err := g.allGroups(ctx, m); err != nil {
		return nil, err
	}
	if err := g.runners(ctx, m); err != nil {
		return nil, err
	}
	m.Distinguish()
	return m, nil
}

// partial tells whether there may be things that the caller does not see: to
// whoever is no organization admin.
func (g *gatherer) partial(ctx context.Context, people []*gitpodv1.OrganizationMember) (bool, error) {
	me, err := g.me(ctx)
	if err != nil {
		return false, err
	}
	for _, p := range people {
		if p.GetUserId() == me.GetSubject().GetId() && p.GetRole() == gitpodv1.OrganizationRole_ORGANIZATION_ROLE_ADMIN {
			return false, nil
		}
	}
	groups, err := g.assignments(ctx, &gitpodv1.ListRoleAssignmentsRequest_Filter{
		ResourceTypes: []gitpodv1.ResourceType{gitpodv1.ResourceType_RESOURCE_TYPE_ORGANIZATION},
		ResourceRoles: []gitpodv1.ResourceRole{gitpodv1.ResourceRole_RESOURCE_ROLE_ORG_ADMIN},
	})
	for _, a := range groups {
		got, err := g.Groups.GetMembership(ctx, connect.NewRequest(&gitpodv1.GetMembershipRequest{GroupId: a.GetGroupId(), Subject: me.GetSubject()}))
		if err != nil {
			return false, err
		}
		if got.Msg.GetMember() != nil {
			return false, nil
		}
	}
	return true, err
}

func (g *gatherer) accounts(ctx context.Context, m *manifest.Manifest) error {
	all, err := pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.ServiceAccount, *gitpodv1.PaginationResponse, error) {
		resp, err := g.ServiceAccounts.ListServiceAccounts(ctx, connect.NewRequest(&gitpodv1.ListServiceAccountsRequest{Pagination: p}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetServiceAccounts(), resp.Msg.GetPagination(), nil
	})
	names := map[string]int{}
	for _, a := range all {
		names[a.GetName()]++
	}
	for _, a := range all {
		g.subjects[a.GetId()] = asAccount + a.GetName()
		if names[a.GetName()] > 1 {
			g.subjects[a.GetId()] += "#" + a.GetId() // as ServiceAccount.Key has it
		}
		m.ServiceAccounts = append(m.ServiceAccounts, manifest.ServiceAccount{
			ID: a.GetId(), Name: a.GetName(), Description: a.GetDescription(), ValidUntil: a.GetValidUntil().AsTime().UTC().Format(timeFormat),
		})
	}
	return err
}

const timeFormat = "2006-01-02T15:04:05Z07:00"

func (g *gatherer) allGroups(ctx context.Context, m *manifest.Manifest) error {
	all, err := pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.Group, *gitpodv1.PaginationResponse, error) {
		resp, err := g.Groups.ListGroups(ctx, connect.NewRequest(&gitpodv1.ListGroupsRequest{Pagination: p}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetGroups(), resp.Msg.GetPagination(), nil
	})
	if err != nil {
		return err
	}
	for _, group := range all {
		if !group.GetDirectShare() {
			g.groups[group.GetId()] = group.GetName()
		}
	}
	onGroups, err := g.assignments(ctx, &gitpodv1.ListRoleAssignmentsRequest_Filter{ResourceTypes: []gitpodv1.ResourceType{gitpodv1.ResourceType_RESOURCE_TYPE_GROUP}})
	if err != nil {
		return err
	}
	for _, group := range all {
		out := manifest.Group{ID: group.GetId(), Name: group.GetName(), Description: group.GetDescription(), MemberIDs: map[string]string{}, RoleIDs: map[string]string{}}
		members, err := pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.GroupMembership, *gitpodv1.PaginationResponse, error) {
			resp, err := g.Groups.ListMemberships(ctx, connect.NewRequest(&gitpodv1.ListMembershipsRequest{Pagination: p, GroupId: group.GetId()}))
			if err != nil {
				return nil, nil, err
			}
			return resp.Msg.GetMembers(), resp.Msg.GetPagination(), nil
		})
		if err != nil {
			return err
		}
		for _, member := range members {
			if group.GetDirectShare() {
				g.direct[group.GetId()] = member.GetSubject().GetId()
			}
			name := g.subjects[member.GetSubject().GetId()]
			out.Members = append(out.Members, name)
			out.MemberIDs[name] = member.GetId()
		}
		if group.GetDirectShare() {
			continue // it is written as the shares of its resources
		}
		roles, err := g.assignments(ctx, &gitpodv1.ListRoleAssignmentsRequest_Filter{
			GroupId: group.GetId(), ResourceTypes: []gitpodv1.ResourceType{gitpodv1.ResourceType_RESOURCE_TYPE_ORGANIZATION},
		})
		if err != nil {
			return err
		}
		for _, a := range roles {
			name := manifestName("RESOURCE_ROLE_", a.GetResourceRole())
			out.Roles = append(out.Roles, name)
			out.RoleIDs[name] = a.GetId()
		}
		out.On = g.onGroups(onGroups, group.GetId())
		slices.Sort(out.Members)
		slices.Sort(out.Roles)
		m.Groups = append(m.Groups, out)
	}
	return nil
}

// onGroups are the roles of one group on others.
func (g *gatherer) onGroups(all []*gitpodv1.RoleAssignment, group string) []manifest.GroupRole {
	var out []manifest.GroupRole
	for _, a := range all {
		if a.GetGroupId() == group {
			out = append(out, manifest.GroupRole{ID: a.GetId(), Group: g.groups[a.GetResourceId()], Role: manifestName("RESOURCE_ROLE_", a.GetResourceRole())})
		}
	}
	return out
}

func (g *gatherer) assignments(ctx context.Context, f *gitpodv1.ListRoleAssignmentsRequest_Filter) ([]*gitpodv1.RoleAssignment, error) {
	return pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.RoleAssignment, *gitpodv1.PaginationResponse, error) {
		resp, err := g.Groups.ListRoleAssignments(ctx, connect.NewRequest(&gitpodv1.ListRoleAssignmentsRequest{Pagination: p, Filter: f}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetAssignments(), resp.Msg.GetPagination(), nil
	})
}

// manifestName is the name of an enumeration value in a manifest: "linux-host".
func manifestName(prefix string, value interface{ String() string }) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(value.String(), prefix), "_", "-"))
}

func (g *gatherer) runners(ctx context.Context, m *manifest.Manifest) error {
	all, err := g.ListRunners(ctx, nil)
	if err != nil {
		return err
	}
	at := map[string]int{}
	for _, r := range all {
		if r.GetKind() == gitpodv1.RunnerKind_RUNNER_KIND_LOCAL_CONFIGURATION || r.GetStatus().GetPhase() == gitpodv1.RunnerPhase_RUNNER_PHASE_DELETING {
			continue
		}
		configuration, err := configurationMap(r.GetSpec().GetConfiguration())
		if err != nil {
			return err
		}
		at[r.GetRunnerId()] = len(m.Runners)
		m.Runners = append(m.Runners, manifest.Runner{
			ID: r.GetRunnerId(), Name: r.GetName(), Provider: manifestName(prefixProvider, r.GetProvider()), Configuration: configuration,
		})
		if v := r.GetSpec().GetVariant(); v != 0 {
			m.Runners[len(m.Runners)-1].Variant = manifestName("RUNNER_VARIANT_", v)
		}
	}
	for _, part := range []func(context.Context, func(runner string) *manifest.Runner) error{g.classes, g.integrations, g.models, g.roles} {
		err := part(ctx, func(runner string) *manifest.Runner {
			if i, ok := at[runner]; ok {
				return &m.Runners[i]
			}
			return &manifest.Runner{} // of a runner that is not written
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// configurationMap is a configuration in the JSON form of the API.
func configurationMap(c *gitpodv1.RunnerConfiguration) (map[string]any, error) {
	raw, err := protojson.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("reading a configuration: %w", err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("reading a configuration: %w", err)
	}
	delete(m, "encryptedHoneycombApiKey")
	return m, nil
}

func (g *gatherer) classes(ctx context.Context, of func(string) *manifest.Runner) error {
	all, err := pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.EnvironmentClass, *gitpodv1.PaginationResponse, error) {
		resp, err := g.Configuration.ListEnvironmentClasses(ctx, connect.NewRequest(&gitpodv1.ListEnvironmentClassesRequest{Pagination: p}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetEnvironmentClasses(), resp.Msg.GetPagination(), nil
	})
	for _, c := range all {
		r := of(c.GetRunnerId())
		class := manifest.Class{ID: c.GetId(), Name: c.GetDisplayName(), Description: c.GetDescription(), Disabled: !c.GetEnabled()}
		for _, kv := range c.GetConfiguration() {
			if class.Configuration == nil {
				class.Configuration = map[string]string{}
			}
			class.Configuration[kv.GetKey()] = kv.GetValue()
		}
		r.Classes = append(r.Classes, class)
	}
	return err
}

func (g *gatherer) integrations(ctx context.Context, of func(string) *manifest.Runner) error {
	all, err := pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.SCMIntegration, *gitpodv1.PaginationResponse, error) {
		resp, err := g.Configuration.ListSCMIntegrations(ctx, connect.NewRequest(&gitpodv1.ListSCMIntegrationsRequest{Pagination: p}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetIntegrations(), resp.Msg.GetPagination(), nil
	})
	for _, i := range all {
		scm := manifest.SCM{ID: i.GetId(), Host: i.GetHost(), Kind: i.GetScmId(), PAT: i.GetPat(), VirtualDirectory: i.GetVirtualDirectory()}
		if o := i.GetOauth(); o != nil {
			scm.OAuth = &manifest.OAuth{ClientID: o.GetClientId(), IssuerURL: o.GetIssuerUrl()}
		}
		r := of(i.GetRunnerId())
		r.SCM = append(r.SCM, scm)
	}
	return err
}

func (g *gatherer) models(ctx context.Context, of func(string) *manifest.Runner) error {
	all, err := pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.LLMIntegration, *gitpodv1.PaginationResponse, error) {
		resp, err := g.Configuration.ListLLMIntegrations(ctx, connect.NewRequest(&gitpodv1.ListLLMIntegrationsRequest{Pagination: p}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetIntegrations(), resp.Msg.GetPagination(), nil
	})
	for _, i := range all {
		llm := manifest.LLM{
			ID: i.GetId(), Endpoint: i.GetEndpoint(), MaxTokens: i.GetMaxTokens(),
			Disabled: i.GetPhase() == gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_DISABLED,
		}
		for _, h := range i.GetRequestHeaders() {
			header := manifest.Header{Name: h.GetKey()}
			if h.GetHeaderType() == gitpodv1.LLMIntegrationRequestHeaderType_LLM_INTEGRATION_REQUEST_HEADER_TYPE_CEL_EXPRESSION {
				header.Expression = string(h.GetValue())
			} else {
				header.Sealed = h.GetValue()
			}
			llm.Headers = append(llm.Headers, header)
		}
		for _, model := range i.GetModels() {
			llm.Models = append(llm.Models, manifestName("SUPPORTED_MODEL_", model))
		}
		r := of(i.GetRunnerId())
		r.LLM = append(r.LLM, llm)
	}
	return err
}

// roles reads policies and shares, which are role assignments of groups and of
// single subjects, and other roles on runners.
func (g *gatherer) roles(ctx context.Context, of func(string) *manifest.Runner) error {
	all, err := g.assignments(ctx, &gitpodv1.ListRoleAssignmentsRequest_Filter{
		ResourceTypes: []gitpodv1.ResourceType{gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER},
	})
	for _, a := range all {
		r := of(a.GetResourceId())
		role := manifestName("RESOURCE_ROLE_RUNNER_", a.GetResourceRole())
		if subject, ok := g.direct[a.GetGroupId()]; ok {
			r.Shares = append(r.Shares, manifest.Share{With: g.subjects[subject], Role: role})
			continue
		}
		if role != "admin" && role != "user" {
			r.Roles = append(r.Roles, manifest.RunnerRole{ID: a.GetId(), Group: g.groups[a.GetGroupId()], Role: role})
			continue
		}
		r.Policies = append(r.Policies, manifest.Policy{Group: g.groups[a.GetGroupId()], Role: role})
	}
	return err
}
