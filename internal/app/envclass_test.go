package app_test

import (
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
	"github.com/musterhq/muster/internal/seal"
)

// configured is a control plane with one runner.
type configured struct {
	gitpodv1connect.RunnerConfigurationServiceClient
	environments gitpodv1connect.EnvironmentServiceClient
	t            *testing.T
	url, runner  string
	token        string
}

func startConfigured(t *testing.T) *configured {
	t.Helper()
	url, _ := start(t, nil)
	c := client(bootstrapToken)
	made, err := gitpodv1connect.NewRunnerServiceClient(c, url).CreateRunner(t.Context(), connect.NewRequest(&gitpodv1.CreateRunnerRequest{
		Name: "lab", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_GCP,
	}))
	if err != nil {
		t.Fatal(err)
	}
	redeemed, err := gitpodv1connect.NewIdentityServiceClient(c, url).ExchangeToken(t.Context(), connect.NewRequest(&gitpodv1.ExchangeTokenRequest{ExchangeToken: made.Msg.GetExchangeToken()}))
	if err != nil {
		t.Fatal(err)
	}
	return &configured{
		RunnerConfigurationServiceClient: gitpodv1connect.NewRunnerConfigurationServiceClient(c, url),
		environments:                     gitpodv1connect.NewEnvironmentServiceClient(c, url),
		t:                                t, url: url, runner: made.Msg.GetRunner().GetRunnerId(), token: redeemed.Msg.GetAccessToken(),
	}
}

// publish connects as the runner, with a schema, and leaves again.
func (c *configured) publish(schema *gitpodv1.RunnerConfigurationSchema, key []byte) {
	c.t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	link := linkv1connect.NewLinkServiceClient(&http.Client{Transport: transport}, c.url).Connect(c.t.Context())
	link.RequestHeader().Set("Authorization", "Bearer "+c.token)
	if err := link.Send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: &linkv1.Hello{
		ProtocolVersion: 1, BootId: "01990000-0000-7000-8000-000000000001", HostName: "host", PublicKey: key,
		Report: &linkv1.Report{Phase: gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE}, Schema: schema,
	}}}); err != nil {
		c.t.Fatal(err)
	}
	if _, err := link.Receive(); err != nil {
		c.t.Fatal(err)
	}
	if err := link.CloseRequest(); err != nil {
		c.t.Fatal(err)
	}
	_ = link.CloseResponse()
}

func (c *configured) schema() *gitpodv1.RunnerConfigurationSchema {
	c.t.Helper()
	got, err := c.GetRunnerConfigurationSchema(c.t.Context(), connect.NewRequest(&gitpodv1.GetRunnerConfigurationSchemaRequest{RunnerId: c.runner}))
	if err != nil || got.Msg.GetSchema() == nil {
		c.t.Fatalf("schema: %v, %v", got, err)
	}
	return got.Msg.GetSchema()
}

func (c *configured) validate(m *gitpodv1.ValidateRunnerConfigurationRequest) *gitpodv1.ValidateRunnerConfigurationResponse {
	c.t.Helper()
	m.RunnerId = c.runner
	got, err := c.ValidateRunnerConfiguration(c.t.Context(), connect.NewRequest(m))
	if err != nil {
		c.t.Fatal(err)
	}
	return got.Msg
}

func (c *configured) validateSCM(m *gitpodv1.ValidateRunnerConfigurationRequest_ValidateSCMIntegration) *gitpodv1.SCMIntegrationValidationResult {
	c.t.Helper()
	got := c.validate(&gitpodv1.ValidateRunnerConfigurationRequest{Config: &gitpodv1.ValidateRunnerConfigurationRequest_ScmIntegration{ScmIntegration: m}})
	if got.GetScmIntegration() == nil {
		c.t.Fatalf("the answer is not about the integration: %v", got)
	}
	return got.GetScmIntegration()
}

func (c *configured) validateClass(m *gitpodv1.EnvironmentClass) *gitpodv1.EnvironmentClassValidationResult {
	c.t.Helper()
	got := c.validate(&gitpodv1.ValidateRunnerConfigurationRequest{Config: &gitpodv1.ValidateRunnerConfigurationRequest_EnvironmentClass{EnvironmentClass: m}})
	if got.GetEnvironmentClass() == nil {
		c.t.Fatalf("the answer is not about the class: %v", got)
	}
	return got.GetEnvironmentClass()
}

func pairs(texts ...string) []*gitpodv1.FieldValue {
	var out []*gitpodv1.FieldValue
	for _, text := range texts {
		k, v, _ := strings.Cut(text, "=")
		out = append(out, &gitpodv1.FieldValue{Key: k, Value: v})
	}
	return out
}

// A class is what its runner's schema allows: anything before there is one.
func TestEnvironmentClasses(t *testing.T) {
	c := startConfigured(t)
	ctx := t.Context()
	create := func(values ...string) (string, error) {
		made, err := c.CreateEnvironmentClass(ctx, connect.NewRequest(&gitpodv1.CreateEnvironmentClassRequest{
			RunnerId: strings.ToUpper(c.runner), DisplayName: "Large", Description: "Eight cores", Configuration: pairs(values...),
		}))
		if err != nil {
			return "", err
		}
		return made.Msg.GetId(), nil
	}
	if diff := cmp.Diff(&gitpodv1.RunnerConfigurationSchema{}, c.schema(), protocmp.Transform()); diff != "" {
		t.Errorf("the schema of a runner that never connected: %s", diff)
	}
	early, err := create("anything=goes", "b=")
	if err != nil {
		t.Fatal(err)
	}

	c.publish(classSchema(), make([]byte, 32))
	got := c.schema()
	enum := got.GetEnvironmentClasses()[1].GetEnum()
	//nolint:staticcheck // the deprecated form is for old clients
	if got.GetVersion() != "7" || enum.GetDefaultValue().GetTitle() != "a" || len(enum.GetPossibleValues()) != 2 || enum.GetPossibleValues()[1].GetTitle() != "b" || enum.GetDefault() != "a" || len(enum.GetValues()) != 2 {
		t.Errorf("schema: %v", got)
	}

	_, err = create("cpu=9", "zone=c", "gpu=1", "fast=yes", "image=x y", "note=x")
	for _, part := range []string{`"cpu" `, `"zone" `, `"gpu" `, `"fast" `, `"image" `, `"note" `} {
		if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), part) {
			t.Errorf("a class against the schema: %v lacks %s", err, part)
		}
	}
	if _, err := create("cpu=1", "cpu=1"); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("a key twice: %v", err)
	}
	made, err := create("cpu=8", "zone=b")
	if err != nil {
		t.Fatal(err)
	}
	name, off := "Larger", false
	if _, err := c.UpdateEnvironmentClass(ctx, connect.NewRequest(&gitpodv1.UpdateEnvironmentClassRequest{EnvironmentClassId: made, DisplayName: &name, Enabled: &off})); err != nil {
		t.Fatal(err)
	}
	want := []*gitpodv1.EnvironmentClass{
		{Id: early, RunnerId: c.runner, DisplayName: "Large", Description: "Eight cores", Enabled: true, Configuration: pairs("anything=goes", "b=")},
		{Id: made, RunnerId: c.runner, DisplayName: "Larger", Description: "Eight cores", Configuration: pairs("cpu=8", "zone=b")},
	}
	for _, w := range want {
		got, err := c.GetEnvironmentClass(ctx, connect.NewRequest(&gitpodv1.GetEnvironmentClassRequest{EnvironmentClassId: w.GetId()}))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(w, got.Msg.GetEnvironmentClass(), protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	}
	for name, list := range map[string]func(*gitpodv1.ListEnvironmentClassesRequest_Filter) (*connect.Response[gitpodv1.ListEnvironmentClassesResponse], error){
		"RunnerConfigurationService": func(f *gitpodv1.ListEnvironmentClassesRequest_Filter) (*connect.Response[gitpodv1.ListEnvironmentClassesResponse], error) {
			return c.ListEnvironmentClasses(ctx, connect.NewRequest(&gitpodv1.ListEnvironmentClassesRequest{Filter: f}))
		},
		"EnvironmentService": func(f *gitpodv1.ListEnvironmentClassesRequest_Filter) (*connect.Response[gitpodv1.ListEnvironmentClassesResponse], error) {
			return c.environments.ListEnvironmentClasses(ctx, connect.NewRequest(&gitpodv1.ListEnvironmentClassesRequest{Filter: f}))
		},
	} {
		for text, f := range map[string]struct {
			filter *gitpodv1.ListEnvironmentClassesRequest_Filter
			want   []*gitpodv1.EnvironmentClass
		}{
			"all":      {nil, want},
			"disabled": {&gitpodv1.ListEnvironmentClassesRequest_Filter{Enabled: &off}, want[1:]},
			"usable":   {&gitpodv1.ListEnvironmentClassesRequest_Filter{CanCreateEnvironments: new(true)}, want[:1]},
			"of the runner's kind": {&gitpodv1.ListEnvironmentClassesRequest_Filter{
				RunnerIds: []string{strings.ToUpper(c.runner)}, RunnerKinds: []gitpodv1.RunnerKind{gitpodv1.RunnerKind_RUNNER_KIND_REMOTE},
				RunnerProviders: []gitpodv1.RunnerProvider{gitpodv1.RunnerProvider_RUNNER_PROVIDER_GCP},
			}, want},
			"of another kind": {&gitpodv1.ListEnvironmentClassesRequest_Filter{RunnerKinds: []gitpodv1.RunnerKind{gitpodv1.RunnerKind_RUNNER_KIND_LOCAL}}, nil},
		} {
			got, err := list(f.filter)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(f.want, got.Msg.GetEnvironmentClasses(), protocmp.Transform()); diff != "" {
				t.Errorf("%s, %s: %s", name, text, diff)
			}
		}
	}
}

// classSchema has each type of field, and choices in the old form alone.
func classSchema() *gitpodv1.RunnerConfigurationSchema {
	type field = gitpodv1.RunnerConfigurationSchema_Field
	return &gitpodv1.RunnerConfigurationSchema{
		Version: "7",
		EnvironmentClasses: []*field{
			{Id: "cpu", Required: true, Type: &gitpodv1.RunnerConfigurationSchema_Field_Int{Int: &gitpodv1.RunnerConfigurationSchema_IntField{Min: 1, Max: 8}}},
			//nolint:staticcheck // runners of the time before have it
			{Id: "zone", Type: &gitpodv1.RunnerConfigurationSchema_Field_Enum{Enum: &gitpodv1.RunnerConfigurationSchema_EnumField{Default: "a", Values: []string{"a", "b"}}}},
			{Id: "fast", Type: &gitpodv1.RunnerConfigurationSchema_Field_Bool{Bool: &gitpodv1.RunnerConfigurationSchema_BoolField{}}},
			{Id: "image", Type: &gitpodv1.RunnerConfigurationSchema_Field_String_{String_: &gitpodv1.RunnerConfigurationSchema_StringField{Pattern: `\w+`}}},
			{Id: "note", Type: &gitpodv1.RunnerConfigurationSchema_Field_Display{Display: &gitpodv1.RunnerConfigurationSchema_DisplayField{Default: "read me"}}},
		},
		Scm: []*gitpodv1.RunnerConfigurationSchema_SCMConfigSchema{
			{ScmId: "github", Oauth: &gitpodv1.RunnerConfigurationSchema_OAuth{}, Pat: &gitpodv1.RunnerConfigurationSchema_PersonalAccessToken{}},
		},
	}
}

// What is wrong with a configuration is an answer, with all of it at once.
func TestValidateRunnerConfiguration(t *testing.T) {
	c := startConfigured(t)
	for name, m := range map[string]struct {
		request *gitpodv1.ValidateRunnerConfigurationRequest
		code    connect.Code
	}{
		"no part":        {&gitpodv1.ValidateRunnerConfigurationRequest{RunnerId: c.runner}, connect.CodeInvalidArgument},
		"no runner":      {&gitpodv1.ValidateRunnerConfigurationRequest{Config: &gitpodv1.ValidateRunnerConfigurationRequest_EnvironmentClass{}}, connect.CodeInvalidArgument},
		"another runner": {&gitpodv1.ValidateRunnerConfigurationRequest{RunnerId: "01990000-0000-7000-8000-000000000001", Config: &gitpodv1.ValidateRunnerConfigurationRequest_ScmIntegration{ScmIntegration: &gitpodv1.ValidateRunnerConfigurationRequest_ValidateSCMIntegration{}}}, connect.CodeNotFound},
	} {
		if _, err := c.ValidateRunnerConfiguration(t.Context(), connect.NewRequest(m.request)); connect.CodeOf(err) != m.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := c.validateClass(&gitpodv1.EnvironmentClass{DisplayName: "Large", Description: "Eight cores", Configuration: pairs("any=1")}); !got.GetValid() {
		t.Errorf("without a schema: %v", got)
	}

	key := make([]byte, 32)
	key[0] = 9
	c.publish(classSchema(), key)
	got := c.validateClass(&gitpodv1.EnvironmentClass{Id: "not a UUID", DisplayName: "no", Configuration: pairs("gpu=1", "gpu=2", "zone=c", "fast=1", "image=a b", "note=x")})
	keys := map[string]bool{}
	for _, e := range got.GetConfigurationErrors() {
		if keys[e.GetKey()] || e.GetError() == "" {
			t.Errorf("%v", e)
		}
		keys[e.GetKey()] = true
	}
	if diff := cmp.Diff(map[string]bool{"gpu": true, "zone": true, "fast": true, "image": true, "note": true, "cpu": true}, keys); diff != "" || got.GetValid() || got.DisplayNameError == nil || got.DescriptionError == nil {
		t.Errorf("%v: %s", got, diff)
	}
	if got := c.validateClass(&gitpodv1.EnvironmentClass{DisplayName: "Large", Description: "Eight cores", Configuration: pairs("cpu=8", "image=abc")}); !got.GetValid() || got.DisplayNameError != nil || got.DescriptionError != nil {
		t.Errorf("a class that is fine: %v", got)
	}

	type integration = gitpodv1.ValidateRunnerConfigurationRequest_ValidateSCMIntegration
	plain := &gitpodv1.ValidateRunnerConfigurationRequest_ValidateSCMIntegration_OauthPlaintextClientSecret{OauthPlaintextClientSecret: "secret"}
	sealed, err := seal.To(key, "any", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*integration{
		{Id: "integration-id", ScmId: "github", Host: "github.com", Pat: true},
		{ScmId: "github", Host: "github.com", OauthClientId: new("id"), OauthClientSecret: plain},
		{ScmId: "github", Host: "github.com", OauthClientId: new("id"), OauthClientSecret: &gitpodv1.ValidateRunnerConfigurationRequest_ValidateSCMIntegration_OauthEncryptedClientSecret{OauthEncryptedClientSecret: sealed}},
	} {
		if diff := cmp.Diff(&gitpodv1.SCMIntegrationValidationResult{Valid: true}, c.validateSCM(m), protocmp.Transform()); diff != "" {
			t.Errorf("%v: %s", m, diff)
		}
	}
	bad := c.validateSCM(&integration{ScmId: "gitlab", Host: "https://gitlab.com", OauthClientId: new("id")})
	if bad.GetValid() || bad.ScmIdError == nil || bad.HostError == nil || bad.OauthError == nil || bad.PatError != nil {
		t.Errorf("%v", bad)
	}
	sealed[1]++ // the key that it says it is for
	bad = c.validateSCM(&integration{ScmId: "github", Host: "github.com", OauthClientId: new("id"), OauthClientSecret: &gitpodv1.ValidateRunnerConfigurationRequest_ValidateSCMIntegration_OauthEncryptedClientSecret{OauthEncryptedClientSecret: sealed}})
	if !strings.Contains(bad.GetOauthError(), "another key") || bad.GetValid() {
		t.Errorf("%v", bad)
	}
}
