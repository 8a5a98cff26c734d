package gitpodv1

import (
	"context"
	"errors"
	"math"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/llm"
)

// CreateLLMIntegration gives a runner access to language models.
func (s *RunnerConfiguration) CreateLLMIntegration(ctx context.Context, req *connect.Request[gitpodv1.CreateLLMIntegrationRequest]) (*connect.Response[gitpodv1.CreateLLMIntegrationResponse], error) {
	m := req.Msg
	most, err := maxTokens(m.GetMaxTokens())
	if err != nil {
		return nil, err
	}
	integration, err := s.LLM.Create(ctx, access.CallerOf(ctx), llm.NewIntegration{
		Runner: runnerID(m), Models: numbers[llm.Model](m.GetModels()), Endpoint: m.GetEndpoint(), APIKey: m.GetApiKey(), MaxTokens: most,
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.CreateLLMIntegrationResponse{Id: integration}), nil
}

// GetLLMIntegration returns one integration.
func (s *RunnerConfiguration) GetLLMIntegration(ctx context.Context, req *connect.Request[gitpodv1.GetLLMIntegrationRequest]) (*connect.Response[gitpodv1.GetLLMIntegrationResponse], error) {
	i, err := s.LLM.Get(ctx, access.CallerOf(ctx), id.Canonical(req.Msg.GetId()))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.GetLLMIntegrationResponse{Integration: llmIntegration(&i)}), nil
}

// ListLLMIntegrations lists integrations, oldest first.
func (s *RunnerConfiguration) ListLLMIntegrations(ctx context.Context, req *connect.Request[gitpodv1.ListLLMIntegrationsRequest]) (*connect.Response[gitpodv1.ListLLMIntegrationsResponse], error) {
	var runners []id.Runner
	for _, r := range req.Msg.GetFilter().GetRunnerIds() {
		runners = append(runners, id.Runner(id.Canonical(r)))
	}
	rows, next, err := s.LLM.List(ctx, access.CallerOf(ctx), runners, pageOf(req.Msg.GetPagination()))
	if err != nil {
		return nil, err
	}
	out := &gitpodv1.ListLLMIntegrationsResponse{Pagination: &gitpodv1.PaginationResponse{NextToken: next}}
	for i := range rows {
		out.Integrations = append(out.Integrations, llmIntegration(&rows[i]))
	}
	return connect.NewResponse(out), nil
}

// UpdateLLMIntegration changes an integration, or switches it on and off.
func (s *RunnerConfiguration) UpdateLLMIntegration(ctx context.Context, req *connect.Request[gitpodv1.UpdateLLMIntegrationRequest]) (*connect.Response[gitpodv1.UpdateLLMIntegrationResponse], error) {
	ch, err := llmChange(req.Msg)
	if err != nil {
		return nil, err
	}
	if err := s.LLM.Update(ctx, access.CallerOf(ctx), id.Canonical(req.Msg.GetId()), ch); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.UpdateLLMIntegrationResponse{}), nil
}

// DeleteLLMIntegration removes an integration. Nothing here can tell that it is
// in use, so that force makes no difference.
func (s *RunnerConfiguration) DeleteLLMIntegration(ctx context.Context, req *connect.Request[gitpodv1.DeleteLLMIntegrationRequest]) (*connect.Response[gitpodv1.DeleteLLMIntegrationResponse], error) {
	if err := s.LLM.Delete(ctx, access.CallerOf(ctx), id.Canonical(req.Msg.GetId())); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.DeleteLLMIntegrationResponse{}), nil
}

func llmChange(m *gitpodv1.UpdateLLMIntegrationRequest) (llm.Change, error) {
	ch := llm.Change{Models: numbers[llm.Model](m.GetModels()), Endpoint: m.Endpoint, APIKey: m.ApiKey}
	for _, h := range m.GetRequestHeaders() {
		ch.Headers = append(ch.Headers, llm.NewHeader{Name: h.GetKey(), Type: llm.HeaderType(h.GetHeaderType()), Value: h.GetValue()})
	}
	var err error
	if m.MaxTokens != nil {
		var most int64
		most, err = maxTokens(m.GetMaxTokens())
		ch.MaxTokens = &most
	}
	if m.Phase != nil {
		enabled := m.GetPhase() == gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_AVAILABLE
		ch.Enabled = &enabled
		if !enabled && m.GetPhase() != gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_DISABLED {
			err = errors.Join(err, fault.Invalid("phase", "must be LLM_INTEGRATION_PHASE_AVAILABLE, which switches the integration on, or LLM_INTEGRATION_PHASE_DISABLED"))
		}
	}
	return ch, first(err)
}

func maxTokens(n uint64) (int64, error) {
	if n > math.MaxInt64 {
		return 0, fault.Invalid("max_tokens", "must be at most %d, is %d; 0 means no limit", int64(math.MaxInt64), n)
	}
	return int64(n), nil
}

func llmIntegration(i *llm.Integration) *gitpodv1.LLMIntegration {
	phase, reason := i.Phase()
	out := &gitpodv1.LLMIntegration{
		Id: i.ID, RunnerId: string(i.Runner), Models: numbers[gitpodv1.SupportedModel](i.Models), Endpoint: i.Endpoint,
		EncryptedApiKey: i.APIKey, MaxTokens: uint64(i.MaxTokens), //nolint:gosec // never negative
		Phase: gitpodv1.LLMIntegrationPhase(phase), PhaseReason: reason, Provider: gitpodv1.LLMProvider(i.Provider()),
	}
	for _, h := range i.Headers {
		value := []byte(h.Value)
		if h.Type == llm.HeaderExpression {
			value = []byte(h.Expression)
		}
		out.RequestHeaders = append(out.RequestHeaders, &gitpodv1.LLMIntegrationRequestHeader{
			Key: h.Name, Value: value, HeaderType: gitpodv1.LLMIntegrationRequestHeaderType(h.Type),
		})
	}
	return out
}
