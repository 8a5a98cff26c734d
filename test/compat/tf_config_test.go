package compat

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

const configService = "gitpod.v1.RunnerConfigurationService/"

const noKey = "runner does not have a public key"

// TestTFRunner removes blocks and takes a runner away behind Terraform's back;
// TestWireTerraform* hold the rest of ona_runner.
func TestTFRunner(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	type metrics struct {
		managed, custom bool
		url, username   string
	}
	type configuration struct {
		name      string
		start     uint32
		end       uint32
		hasWindow bool
		metrics   metrics
	}
	r := tf[configuration]{same: equal[configuration]}
	r.create = func(c configuration) string {
		cfg := frankfurt()
		cfg.UpdateWindow = nil
		if c.hasWindow {
			cfg.UpdateWindow = &gitpodv1.UpdateWindow{StartHour: &c.start, EndHour: &c.end}
		}
		if c.metrics != (metrics{}) {
			cfg.Metrics = &gitpodv1.MetricsConfiguration{Enabled: c.metrics.custom, Url: c.metrics.url, Username: c.metrics.username, Password: "secret", ManagedMetricsEnabled: c.metrics.managed}
		}
		var made gitpodv1.CreateRunnerResponse
		w.must(t, createRunner, &gitpodv1.CreateRunnerRequest{Name: c.name, Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_AWS_EC2, Spec: &gitpodv1.RunnerSpec{Configuration: cfg}}, &made)
		return made.GetRunner().GetRunnerId()
	}
	r.read = func(id string) (configuration, bool) {
		var got gitpodv1.GetRunnerResponse
		if !w.reads(t, readRunner, &gitpodv1.GetRunnerRequest{RunnerId: id}, &got) {
			return configuration{}, false
		}
		cfg := got.GetRunner().GetSpec().GetConfiguration()
		if cfg == nil {
			t.Error("the configuration is nil, which Terraform takes for a removed block")
		}
		m := cfg.GetMetrics()
		if m.GetPassword() != "" {
			t.Error("the metrics password is returned")
		}
		return configuration{
			got.GetRunner().GetName(), cfg.GetUpdateWindow().GetStartHour(), cfg.GetUpdateWindow().GetEndHour(), cfg.GetUpdateWindow() != nil,
			metrics{m.GetManagedMetricsEnabled(), m.GetEnabled(), m.GetUrl(), m.GetUsername()},
		}, true
	}
	r.update = func(id string, _, to configuration) {
		window := &gitpodv1.UpdateWindow{}
		if to.hasWindow {
			window = &gitpodv1.UpdateWindow{StartHour: &to.start, EndHour: &to.end}
		}
		m := &gitpodv1.UpdateRunnerRequest_MetricsConfiguration{
			Enabled: &to.metrics.custom, Url: &to.metrics.url, Username: &to.metrics.username, ManagedMetricsEnabled: &to.metrics.managed,
		}
		if !to.metrics.custom {
			m.Password = proto.String("")
		}
		w.must(t, updateRunner, &gitpodv1.UpdateRunnerRequest{RunnerId: id, Name: &to.name, Spec: &gitpodv1.UpdateRunnerRequest_Spec{
			Configuration: &gitpodv1.UpdateRunnerRequest_RunnerConfiguration{UpdateWindow: window, Metrics: m},
		}}, &gitpodv1.UpdateRunnerResponse{})
	}
	r.destroy = func(id string) *wireError {
		return w.discard(t, deleteRunner, &gitpodv1.DeleteRunnerRequest{RunnerId: id})
	}
	r.life(t,
		configuration{name: "Frankfurt Runner", start: 2, end: 6, hasWindow: true, metrics: metrics{custom: true, url: "https://m.example.com", username: "u"}},
		configuration{name: "Another Name", start: 22, end: 2, hasWindow: true, metrics: metrics{managed: true}},
		configuration{name: "Another Name"}, // both blocks removed
	)
}

func TestTFEnvironmentClass(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	runner := s.tfRunner(t, w, "Frankfurt Runner", false)
	type class struct {
		name, description, values string
		enabled                   bool
	}
	pairs := func(values string) []*gitpodv1.FieldValue {
		var out []*gitpodv1.FieldValue
		for kv := range strings.FieldsSeq(values) {
			k, v, _ := strings.Cut(kv, "=")
			out = append(out, &gitpodv1.FieldValue{Key: k, Value: v})
		}
		return out
	}
	r := tf[class]{same: equal[class]}
	set := func(id string, c class) *wireError {
		return w.discard(t, configService+"UpdateEnvironmentClass", &gitpodv1.UpdateEnvironmentClassRequest{EnvironmentClassId: id, DisplayName: &c.name, Description: &c.description, Enabled: &c.enabled})
	}
	r.create = func(c class) string {
		var made gitpodv1.CreateEnvironmentClassResponse
		w.must(t, configService+"CreateEnvironmentClass", &gitpodv1.CreateEnvironmentClassRequest{RunnerId: runner, DisplayName: c.name, Description: c.description, Configuration: pairs(c.values)}, &made)
		if !c.enabled {
			if e := set(made.GetId(), c); e != nil {
				t.Errorf("the extra update of a class that is created disabled: %+v", e)
			}
		}
		return made.GetId()
	}
	r.read = func(id string) (class, bool) {
		var got gitpodv1.GetEnvironmentClassResponse
		if !w.reads(t, configService+"GetEnvironmentClass", &gitpodv1.GetEnvironmentClassRequest{EnvironmentClassId: id}, &got) {
			return class{}, false
		}
		c := got.GetEnvironmentClass()
		if c.GetRunnerId() != runner || c.GetId() != id {
			t.Errorf("the class says %v", c)
		}
		var values []string
		for _, kv := range c.GetConfiguration() {
			values = append(values, kv.GetKey()+"="+kv.GetValue())
		}
		slices.Sort(values)
		return class{c.GetDisplayName(), c.GetDescription(), strings.Join(values, " "), c.GetEnabled()}, true
	}
	r.update = func(id string, _, to class) {
		if e := set(id, to); e != nil {
			t.Errorf("update: %+v", e)
		}
	}
	const managed = "Environment class managed by Terraform."
	first := class{"Large", managed, "diskSize=100 machineType=n2-standard-8", true}
	id := r.create(first)
	r.plan(t, "after creation", id, first)
	r.update(id, first, class{"Larger", "Another text", first.values, true})
	r.plan(t, "after an update", id, class{"Larger", "Another text", first.values, true})
	// Destroy disables; the class stays readable, also by an import.
	r.update(id, first, class{"Larger", "Another text", first.values, false})
	r.plan(t, "destroyed", id, class{"Larger", "Another text", first.values, false})
	disabled := r.create(class{"Small", managed, "", false})
	r.plan(t, "created disabled", disabled, class{"Small", managed, "", false})
	// The runner goes after its classes were disabled only, and takes them along.
	if e := w.discard(t, deleteRunner, &gitpodv1.DeleteRunnerRequest{RunnerId: runner}); e != nil {
		t.Errorf("deleting the runner: %+v", e)
	}
	for _, class := range []string{id, disabled} {
		if _, found := r.read(class); found {
			t.Error("a class has outlived its runner")
		}
		if e := w.discard(t, configService+"UpdateEnvironmentClass", &gitpodv1.UpdateEnvironmentClassRequest{EnvironmentClassId: class, Enabled: proto.Bool(false)}); e == nil || e.Code != "not_found" {
			t.Errorf("disabling a class that is gone: %+v", e)
		}
	}
}

func TestTFSCMIntegration(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	runner := s.tfRunner(t, w, "Frankfurt Runner", true)
	type integration struct{ kind, host, mode, clientID, secretVersion, issuer, directory string }
	versions := map[string]string{} // secrets do not come back
	r := tf[integration]{same: equal[integration]}
	r.create = func(c integration) string {
		req := &gitpodv1.CreateSCMIntegrationRequest{RunnerId: runner, ScmId: c.kind, Host: c.host, Pat: c.mode == "pat"}
		if c.mode == "oauth" {
			req.OauthClientId, req.OauthPlaintextClientSecret = &c.clientID, proto.String("secret "+c.secretVersion)
		}
		if c.issuer != "" {
			req.IssuerUrl = &c.issuer
		}
		if c.directory != "" {
			req.VirtualDirectory = &c.directory
		}
		var made gitpodv1.CreateSCMIntegrationResponse
		w.must(t, configService+"CreateSCMIntegration", req, &made)
		versions[made.GetId()] = c.secretVersion
		return made.GetId()
	}
	r.read = func(id string) (integration, bool) {
		var got gitpodv1.GetSCMIntegrationResponse
		if !w.reads(t, configService+"GetSCMIntegration", &gitpodv1.GetSCMIntegrationRequest{Id: id}, &got) {
			return integration{}, false
		}
		i := got.GetIntegration()
		c := integration{kind: i.GetScmId(), host: i.GetHost(), mode: "oauth", clientID: i.GetOauth().GetClientId(), secretVersion: versions[id], issuer: i.GetOauth().GetIssuerUrl(), directory: i.GetVirtualDirectory()}
		if i.GetPat() {
			c.mode = "pat"
		}
		if i.GetPat() == (i.GetOauth() != nil) || i.GetOauth() != nil && len(i.GetOauth().GetEncryptedClientSecret()) == 0 {
			t.Errorf("the integration says %v", i)
		}
		if strings.Contains(string(i.GetOauth().GetEncryptedClientSecret()), "secret") {
			t.Error("the secret is readable")
		}
		return c, true
	}
	r.update = func(id string, from, to integration) {
		// In PAT mode the provider always sends an empty client id.
		req := &gitpodv1.UpdateSCMIntegrationRequest{Id: id, OauthClientId: &to.clientID, Pat: proto.Bool(to.mode == "pat"), IssuerUrl: &to.issuer, VirtualDirectory: &to.directory}
		if to.secretVersion != from.secretVersion && to.mode == "oauth" {
			req.OauthPlaintextClientSecret = proto.String("secret " + to.secretVersion)
		}
		w.must(t, configService+"UpdateSCMIntegration", req, &gitpodv1.UpdateSCMIntegrationResponse{})
		versions[id] = to.secretVersion
	}
	r.destroy = func(id string) *wireError {
		return w.discard(t, configService+"DeleteSCMIntegration", &gitpodv1.DeleteSCMIntegrationRequest{Id: id})
	}
	r.life(t,
		integration{kind: "gitlab", host: "gitlab.example.com", mode: "oauth", clientID: "client", secretVersion: "1"},
		integration{kind: "gitlab", host: "gitlab.example.com", mode: "oauth", clientID: "client", secretVersion: "2"},
		integration{kind: "gitlab", host: "gitlab.example.com", mode: "oauth", clientID: "another", secretVersion: "2"},
		integration{kind: "gitlab", host: "gitlab.example.com", mode: "pat"},
		integration{kind: "gitlab", host: "gitlab.example.com", mode: "pat"}, // nothing changes: the empty client id is sent again
	)

	// A runner that never connected has no key: OAuth is refused in words that the
	// provider looks for; personal access tokens need none.
	idle := s.tfRunner(t, w, "Never Connected", false)
	e := w.discard(t, configService+"CreateSCMIntegration", &gitpodv1.CreateSCMIntegrationRequest{
		RunnerId: idle, ScmId: "gitlab", Host: "gitlab.example.com", OauthClientId: proto.String("c"), OauthPlaintextClientSecret: proto.String("s"),
	})
	if e == nil || e.Code != "failed_precondition" || !strings.Contains(e.Message, noKey) {
		t.Errorf("OAuth on a runner without a key: %+v", e)
	}
	var made gitpodv1.CreateSCMIntegrationResponse
	w.must(t, configService+"CreateSCMIntegration", &gitpodv1.CreateSCMIntegrationRequest{RunnerId: idle, ScmId: "gitlab", Host: "gitlab.example.com", Pat: true}, &made)
	w.must(t, configService+"UpdateSCMIntegration", &gitpodv1.UpdateSCMIntegrationRequest{Id: made.GetId(), OauthClientId: proto.String(""), Pat: proto.Bool(true)}, &gitpodv1.UpdateSCMIntegrationResponse{})
}

func TestTFLLMIntegration(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	runner := s.tfRunner(t, w, "Frankfurt Runner", true)
	type model = gitpodv1.SupportedModel
	const sonnet, opus = gitpodv1.SupportedModel_SUPPORTED_MODEL_SONNET_4, gitpodv1.SupportedModel_SUPPORTED_MODEL_OPUS_4
	type integration struct {
		models    [2]model
		endpoint  string
		maxTokens uint64
		enabled   bool
		key       string // its version
	}
	keys := map[string]string{}
	list := func(models [2]model) []model {
		return slices.DeleteFunc(slices.Clone(models[:]), func(m model) bool { return m == 0 })
	}
	r := tf[integration]{same: equal[integration]}
	r.create = func(c integration) string {
		var made gitpodv1.CreateLLMIntegrationResponse
		w.must(t, configService+"CreateLLMIntegration", &gitpodv1.CreateLLMIntegrationRequest{RunnerId: runner, Models: list(c.models), Endpoint: c.endpoint, ApiKey: "key " + c.key, MaxTokens: c.maxTokens}, &made)
		keys[made.GetId()] = c.key
		return made.GetId()
	}
	r.read = func(id string) (integration, bool) {
		var got gitpodv1.GetLLMIntegrationResponse
		if !w.reads(t, configService+"GetLLMIntegration", &gitpodv1.GetLLMIntegrationRequest{Id: id}, &got) {
			return integration{}, false
		}
		i := got.GetIntegration()
		c := integration{endpoint: i.GetEndpoint(), maxTokens: i.GetMaxTokens(), enabled: i.GetPhase() == gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_AVAILABLE, key: keys[id]}
		copy(c.models[:], i.GetModels())
		if i.GetProvider() != gitpodv1.LLMProvider_LLM_PROVIDER_ANTHROPIC || len(i.GetEncryptedApiKey()) == 0 {
			t.Errorf("the integration says %v", i)
		}
		return c, true
	}
	r.update = func(id string, from, to integration) {
		phase := gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_DISABLED
		if to.enabled {
			phase = gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_AVAILABLE
		}
		req := &gitpodv1.UpdateLLMIntegrationRequest{Id: id, Endpoint: &to.endpoint, MaxTokens: &to.maxTokens, Phase: &phase}
		if from.models != to.models {
			req.Models = list(to.models)
		}
		if from.key != to.key {
			req.ApiKey = proto.String("key " + to.key)
		}
		w.must(t, configService+"UpdateLLMIntegration", req, &gitpodv1.UpdateLLMIntegrationResponse{})
		keys[id] = to.key
	}
	r.destroy = func(id string) *wireError {
		return w.discard(t, configService+"DeleteLLMIntegration", &gitpodv1.DeleteLLMIntegrationRequest{Id: id})
	}
	r.life(t,
		integration{models: [2]model{sonnet}, endpoint: "https://llm.example.com", maxTokens: 1 << 40, enabled: true, key: "1"},
		integration{models: [2]model{sonnet, opus}, endpoint: "https://llm.example.com", maxTokens: 4096, enabled: false, key: "1"},
		integration{models: [2]model{sonnet, opus}, enabled: true, key: "2"}, // the endpoint is cleared
	)
	idle := s.tfRunner(t, w, "Never Connected", false)
	e := w.discard(t, configService+"CreateLLMIntegration", &gitpodv1.CreateLLMIntegrationRequest{RunnerId: idle, Models: []model{sonnet}, ApiKey: "k"})
	if e == nil || e.Code != "failed_precondition" || !strings.Contains(e.Message, noKey) {
		t.Errorf("a runner without a key: %+v", e)
	}
}
