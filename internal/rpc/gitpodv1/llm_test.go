package gitpodv1

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/llm"
)

// Every model of the wire has a provider, which its name tells.
func TestModelsHaveProviders(t *testing.T) {
	for number, name := range gitpodv1.SupportedModel_name {
		want := llm.ProviderAnthropic
		switch {
		case number == 0:
			want = 0
		case strings.HasPrefix(name, "SUPPORTED_MODEL_OPENAI_"):
			want = llm.ProviderOpenAI
		}
		if got := llm.Model(number).Provider(); got != want {
			t.Errorf("%s is of provider %d, want %d", name, got, want)
		}
	}
}

func TestLLMChange(t *testing.T) {
	phase := func(p gitpodv1.LLMIntegrationPhase) *gitpodv1.UpdateLLMIntegrationRequest {
		return &gitpodv1.UpdateLLMIntegrationRequest{Phase: &p}
	}
	for name, m := range map[string]*gitpodv1.UpdateLLMIntegrationRequest{
		"no phase":         phase(gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_UNSPECIFIED),
		"unavailable":      phase(gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_UNAVAILABLE),
		"an unknown phase": phase(99),
		"too many tokens":  {MaxTokens: proto.Uint64(math.MaxInt64 + 1)},
	} {
		if _, err := llmChange(m); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ch, err := llmChange(&gitpodv1.UpdateLLMIntegrationRequest{})
	if err != nil || len(ch.Models) > 0 || ch.Endpoint != nil || ch.APIKey != nil || ch.MaxTokens != nil || ch.Enabled != nil || ch.Headers != nil {
		t.Errorf("an empty request changes %+v, %v", ch, err)
	}
	for p, want := range map[gitpodv1.LLMIntegrationPhase]bool{
		gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_AVAILABLE: true, gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_DISABLED: false,
	} {
		if ch, err := llmChange(phase(p)); err != nil || ch.Enabled == nil || *ch.Enabled != want {
			t.Errorf("%s: %+v, %v", p, ch, err)
		}
	}
}
