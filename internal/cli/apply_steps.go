package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/cli/manifest"
)

// do carries out one step.
func (a *applier) do(ctx context.Context, s manifest.Step) error {
	thing := s.Want
	if thing == nil {
		thing = s.Have
	}
	switch t := thing.(type) {
	case manifest.Retention:
		return sent(a.Retention.SetRetentionPolicy(ctx, connect.NewRequest(&adminv1.SetRetentionPolicyRequest{Policy: &adminv1.RetentionPolicy{
			NeverConnectedDays: t.NeverConnectedDays, OfflineDays: t.OfflineDays, AuditDays: t.AuditDays,
		}})))
	case manifest.ServiceAccount:
		return a.account(ctx, s, t)
	case manifest.Group:
		return a.group(ctx, s, t)
	case manifest.Member:
		return a.member(ctx, s, t)
	case manifest.OrganizationRole:
		return a.role(ctx, s, t.ID, s.Parent, "RESOURCE_ROLE_", t.Role, gitpodv1.ResourceType_RESOURCE_TYPE_ORGANIZATION, a.organization)
	case manifest.GroupRole:
		return a.role(ctx, s, t.ID, s.Parent, "RESOURCE_ROLE_", t.Role, gitpodv1.ResourceType_RESOURCE_TYPE_GROUP, a.ids["group "+t.Group])
	case manifest.RunnerRole:
		return a.role(ctx, s, t.ID, t.Group, "RESOURCE_ROLE_RUNNER_", t.Role, gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, a.ids["runner "+s.Parent])
	case manifest.Runner:
		return a.runner(ctx, s, t)
	case manifest.Class:
		return a.class(ctx, s, t)
	case manifest.SCM:
		return a.scm(ctx, s, t)
	case manifest.LLM:
		return a.llm(ctx, s, t)
	case manifest.Policy:
		return a.policy(ctx, s, t)
	case manifest.Share:
		return a.share(ctx, s, t)
	default:
		return fmt.Errorf("there is nothing to do for a %T", thing)
	}
}

// sent drops the reply of a call.
func sent[T any](_ *connect.Response[T], err error) error { return err }

func (a *applier) account(ctx context.Context, s manifest.Step, t manifest.ServiceAccount) error {
	id := a.ids[asAccount+t.Key()]
	switch s.Verb {
	case manifest.Delete:
		return sent(a.ServiceAccounts.DeleteServiceAccount(ctx, connect.NewRequest(&gitpodv1.DeleteServiceAccountRequest{ServiceAccountId: id})))
	case manifest.Update:
		return sent(a.ServiceAccounts.UpdateServiceAccount(ctx, connect.NewRequest(&gitpodv1.UpdateServiceAccountRequest{ServiceAccountId: id, Description: &t.Description})))
	}
	until, err := time.Parse(time.RFC3339, t.ValidUntil)
	if err != nil {
		return fmt.Errorf("validUntil must be a time such as 2030-01-01T00:00:00Z, is %q", t.ValidUntil)
	}
	made, err := a.ServiceAccounts.CreateServiceAccount(ctx, connect.NewRequest(&gitpodv1.CreateServiceAccountRequest{
		Name: t.Name, Description: t.Description, ValidUntil: timestamppb.New(until),
	}))
	if err == nil {
		a.ids[asAccount+t.Key()] = made.Msg.GetServiceAccount().GetId()
	}
	return err
}

func (a *applier) group(ctx context.Context, s manifest.Step, t manifest.Group) error {
	id := a.ids["group "+t.Name]
	switch s.Verb {
	case manifest.Delete:
		return sent(a.Groups.DeleteGroup(ctx, connect.NewRequest(&gitpodv1.DeleteGroupRequest{GroupId: id})))
	case manifest.Update:
		return sent(a.Groups.UpdateGroup(ctx, connect.NewRequest(&gitpodv1.UpdateGroupRequest{GroupId: id, Name: t.Name, Description: t.Description})))
	}
	made, err := a.Groups.CreateGroup(ctx, connect.NewRequest(&gitpodv1.CreateGroupRequest{OrganizationId: a.organization, Name: t.Name, Description: t.Description}))
	if err == nil {
		a.ids["group "+t.Name] = made.Msg.GetGroup().GetId()
	}
	return err
}

func (a *applier) member(ctx context.Context, s manifest.Step, t manifest.Member) error {
	if s.Verb == manifest.Delete {
		return sent(a.Groups.DeleteMembership(ctx, connect.NewRequest(&gitpodv1.DeleteMembershipRequest{MembershipId: t.ID})))
	}
	return sent(a.Groups.CreateMembership(ctx, connect.NewRequest(&gitpodv1.CreateMembershipRequest{GroupId: a.ids["group "+s.Parent], Subject: a.subject(t.Subject)})))
}

// subject is a subject by its name in a manifest.
func (a *applier) subject(name string) *gitpodv1.Subject {
	principal := gitpodv1.Principal_PRINCIPAL_USER
	if len(name) > len(asAccount) && name[:len(asAccount)] == asAccount {
		principal = gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT
	}
	return &gitpodv1.Subject{Id: a.ids[name], Principal: principal}
}

// role gives a group a role on a resource, or takes it away.
func (a *applier) role(ctx context.Context, s manifest.Step, id, group, prefix, name string, on gitpodv1.ResourceType, resource string) error {
	if s.Verb == manifest.Delete {
		return sent(a.Groups.DeleteRoleAssignment(ctx, connect.NewRequest(&gitpodv1.DeleteRoleAssignmentRequest{AssignmentId: id})))
	}
	role := number[gitpodv1.ResourceRole](gitpodv1.ResourceRole_value, prefix, name)
	if role == 0 {
		return fmt.Errorf("there is no role %q here", name)
	}
	return sent(a.Groups.CreateRoleAssignment(ctx, connect.NewRequest(&gitpodv1.CreateRoleAssignmentRequest{
		GroupId: a.ids["group "+group], ResourceType: on, ResourceId: resource, ResourceRole: role,
	})))
}

func (a *applier) runner(ctx context.Context, s manifest.Step, t manifest.Runner) error {
	id := a.ids["runner "+t.Key()]
	if s.Verb == manifest.Delete {
		return sent(a.Runners.DeleteRunner(ctx, connect.NewRequest(&gitpodv1.DeleteRunnerRequest{RunnerId: id})))
	}
	raw, err := json.Marshal(t.Configuration)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	cfg := &gitpodv1.RunnerConfiguration{}
	if len(t.Configuration) > 0 {
		if err := protojson.Unmarshal(raw, cfg); err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
	}
	password, err := valueOf(t.MetricsPassword)
	if err != nil {
		return err
	}
	honeycomb, err := valueOf(t.HoneycombAPIKey)
	if err != nil {
		return err
	}
	if s.Verb == manifest.Create {
		provider := number[gitpodv1.RunnerProvider](gitpodv1.RunnerProvider_value, prefixProvider, t.Provider)
		if cfg.GetMetrics() != nil {
			cfg.Metrics.Password = password
		}
		made, err := a.Runners.CreateRunner(ctx, connect.NewRequest(&gitpodv1.CreateRunnerRequest{Name: t.Name, Provider: provider, Spec: &gitpodv1.RunnerSpec{
			Configuration: cfg, Variant: number[gitpodv1.RunnerVariant](gitpodv1.RunnerVariant_value, "RUNNER_VARIANT_", t.Variant),
		}}))
		if err != nil {
			return err
		}
		id = made.Msg.GetRunner().GetRunnerId()
		a.ids["runner "+t.Key()] = id
		if honeycomb == "" {
			return nil
		}
	}
	return sent(a.Runners.UpdateRunner(ctx, connect.NewRequest(&gitpodv1.UpdateRunnerRequest{
		RunnerId: id, Spec: &gitpodv1.UpdateRunnerRequest_Spec{Configuration: everyField(cfg, password, honeycomb)},
	})))
}

// everyField sets each field of a configuration, so that what is not wanted is
// cleared. Secrets that are not given stay.
func everyField(c *gitpodv1.RunnerConfiguration, password, honeycomb string) *gitpodv1.UpdateRunnerRequest_RunnerConfiguration {
	m := c.GetMetrics()
	u := &gitpodv1.UpdateRunnerRequest_RunnerConfiguration{
		ReleaseChannel: c.ReleaseChannel.Enum(), AutoUpdate: &c.AutoUpdate, LogLevel: c.LogLevel.Enum(),
		DevcontainerImageCacheEnabled: &c.DevcontainerImageCacheEnabled, ContinuousProfiling: &c.ContinuousProfiling,
		UpdateWindow: c.GetUpdateWindow(),
		Metrics: &gitpodv1.UpdateRunnerRequest_MetricsConfiguration{
			Enabled: proto.Bool(m.GetEnabled()), Url: proto.String(m.GetUrl()), Username: proto.String(m.GetUsername()),
			ManagedMetricsEnabled: proto.Bool(m.GetManagedMetricsEnabled()), IncludeVerboseMetrics: proto.Bool(m.GetIncludeVerboseMetrics()),
		},
	}
	if u.UpdateWindow == nil {
		u.UpdateWindow = &gitpodv1.UpdateWindow{}
	}
	if password != "" {
		u.Metrics.Password = &password
	} else if m == nil {
		u.Metrics.Password = proto.String("")
	}
	if honeycomb != "" {
		u.HoneycombApiKey = &honeycomb
	}
	return u
}

func (a *applier) class(ctx context.Context, s manifest.Step, t manifest.Class) error {
	if s.Verb == manifest.Update {
		have, _ := s.Have.(manifest.Class)
		return sent(a.Configuration.UpdateEnvironmentClass(ctx, connect.NewRequest(&gitpodv1.UpdateEnvironmentClassRequest{
			EnvironmentClassId: have.ID, Description: &t.Description, Enabled: proto.Bool(!t.Disabled),
		})))
	}
	req := &gitpodv1.CreateEnvironmentClassRequest{RunnerId: a.ids["runner "+s.Parent], DisplayName: t.Name, Description: t.Description}
	for k, v := range t.Configuration {
		req.Configuration = append(req.Configuration, &gitpodv1.FieldValue{Key: k, Value: v})
	}
	made, err := a.Configuration.CreateEnvironmentClass(ctx, connect.NewRequest(req))
	if err != nil || !t.Disabled {
		return err
	}
	return sent(a.Configuration.UpdateEnvironmentClass(ctx, connect.NewRequest(&gitpodv1.UpdateEnvironmentClassRequest{EnvironmentClassId: made.Msg.GetId(), Enabled: proto.Bool(false)})))
}

func (a *applier) scm(ctx context.Context, s manifest.Step, t manifest.SCM) error {
	have, _ := s.Have.(manifest.SCM)
	if s.Verb == manifest.Delete {
		return sent(a.Configuration.DeleteSCMIntegration(ctx, connect.NewRequest(&gitpodv1.DeleteSCMIntegrationRequest{Id: have.ID})))
	}
	oauth := t.OAuth
	if oauth == nil {
		oauth = &manifest.OAuth{}
	}
	plain, err := valueOf(oauth.ClientSecret)
	if err != nil {
		return err
	}
	var secret *string
	if plain != "" {
		secret = &plain
	}
	if s.Verb == manifest.Update {
		return sent(a.Configuration.UpdateSCMIntegration(ctx, connect.NewRequest(&gitpodv1.UpdateSCMIntegrationRequest{
			Id: have.ID, OauthClientId: &oauth.ClientID, OauthPlaintextClientSecret: secret, Pat: &t.PAT,
			IssuerUrl: &oauth.IssuerURL, VirtualDirectory: &t.VirtualDirectory,
		})))
	}
	req := &gitpodv1.CreateSCMIntegrationRequest{RunnerId: a.ids["runner "+s.Parent], ScmId: t.Kind, Host: t.Host, Pat: t.PAT, OauthPlaintextClientSecret: secret}
	if t.OAuth != nil {
		req.OauthClientId = &oauth.ClientID
	}
	if oauth.IssuerURL != "" {
		req.IssuerUrl = &oauth.IssuerURL
	}
	if t.VirtualDirectory != "" {
		req.VirtualDirectory = &t.VirtualDirectory
	}
	return sent(a.Configuration.CreateSCMIntegration(ctx, connect.NewRequest(req)))
}

func (a *applier) llm(ctx context.Context, s manifest.Step, t manifest.LLM) error {
	have, _ := s.Have.(manifest.LLM)
	if s.Verb == manifest.Delete {
		return sent(a.Configuration.DeleteLLMIntegration(ctx, connect.NewRequest(&gitpodv1.DeleteLLMIntegrationRequest{Id: have.ID})))
	}
	var models []gitpodv1.SupportedModel
	for _, name := range t.Models {
		model := number[gitpodv1.SupportedModel](gitpodv1.SupportedModel_value, "SUPPORTED_MODEL_", name)
		if model == 0 {
			return fmt.Errorf("there is no model %q; one is sonnet-4", name)
		}
		models = append(models, model)
	}
	key, err := valueOf(t.APIKey)
	if err != nil {
		return err
	}
	phase := gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_AVAILABLE
	if t.Disabled {
		phase = gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_DISABLED
	}
	headers, err := headersOf(have, t)
	if err != nil {
		return err
	}
	id := have.ID
	if s.Verb == manifest.Create {
		made, err := a.Configuration.CreateLLMIntegration(ctx, connect.NewRequest(&gitpodv1.CreateLLMIntegrationRequest{
			RunnerId: a.ids["runner "+s.Parent], Models: models, Endpoint: t.Endpoint, ApiKey: key, MaxTokens: t.MaxTokens,
		}))
		if err != nil || !t.Disabled && len(headers) == 0 {
			return err
		}
		id, key = made.Msg.GetId(), ""
	}
	req := &gitpodv1.UpdateLLMIntegrationRequest{Id: id, Models: models, MaxTokens: &t.MaxTokens, Phase: &phase, RequestHeaders: headers}
	if key != "" {
		req.ApiKey = &key
	}
	return sent(a.Configuration.UpdateLLMIntegration(ctx, connect.NewRequest(req)))
}

// headersOf are the headers as they are set: values that the file does not name
// go back as they came, sealed.
func headersOf(have, want manifest.LLM) ([]*gitpodv1.LLMIntegrationRequestHeader, error) {
	var out []*gitpodv1.LLMIntegrationRequestHeader
	for _, h := range want.Headers {
		header := &gitpodv1.LLMIntegrationRequestHeader{Key: h.Name, HeaderType: gitpodv1.LLMIntegrationRequestHeaderType_LLM_INTEGRATION_REQUEST_HEADER_TYPE_LITERAL}
		plain, err := valueOf(h.Value)
		if err != nil {
			return nil, err
		}
		switch {
		case h.Expression != "":
			header.Value = []byte(h.Expression)
			header.HeaderType = gitpodv1.LLMIntegrationRequestHeaderType_LLM_INTEGRATION_REQUEST_HEADER_TYPE_CEL_EXPRESSION
		case plain != "":
			header.Value = []byte(plain)
		default:
			for _, before := range have.Headers {
				if strings.EqualFold(before.Name, h.Name) {
					header.Value = before.Sealed
				}
			}
			if len(header.Value) == 0 {
				return nil, fmt.Errorf("the header %s has no value yet; say where it is: value: {env: NAME}", h.Name)
			}
		}
		out = append(out, header)
	}
	return out, nil
}

func (a *applier) policy(ctx context.Context, s manifest.Step, t manifest.Policy) error {
	runner, group := a.ids["runner "+s.Parent], a.ids["group "+t.Group]
	role := number[gitpodv1.RunnerRole](gitpodv1.RunnerRole_value, "RUNNER_ROLE_", t.Role)
	switch s.Verb {
	case manifest.Delete:
		return sent(a.Runners.DeleteRunnerPolicy(ctx, connect.NewRequest(&gitpodv1.DeleteRunnerPolicyRequest{RunnerId: runner, GroupId: group})))
	case manifest.Update:
		return sent(a.Runners.UpdateRunnerPolicy(ctx, connect.NewRequest(&gitpodv1.UpdateRunnerPolicyRequest{RunnerId: runner, GroupId: group, Role: role})))
	default:
		return sent(a.Runners.CreateRunnerPolicy(ctx, connect.NewRequest(&gitpodv1.CreateRunnerPolicyRequest{RunnerId: runner, GroupId: group, Role: role})))
	}
}

func (a *applier) share(ctx context.Context, s manifest.Step, t manifest.Share) error {
	subject, runner := a.subject(t.With), a.ids["runner "+s.Parent]
	if s.Verb == manifest.Delete {
		return sent(a.Groups.UnshareResourceWithPrincipal(ctx, connect.NewRequest(&gitpodv1.UnshareResourceWithPrincipalRequest{
			ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, ResourceId: runner, Principal: subject.GetPrincipal(), PrincipalId: subject.GetId(),
		})))
	}
	return sent(a.Groups.ShareResourceWithPrincipal(ctx, connect.NewRequest(&gitpodv1.ShareResourceWithPrincipalRequest{
		ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, ResourceId: runner, Principal: subject.GetPrincipal(), PrincipalId: subject.GetId(),
		Role: number[gitpodv1.ResourceRole](gitpodv1.ResourceRole_value, "RESOURCE_ROLE_RUNNER_", t.Role),
	})))
}
