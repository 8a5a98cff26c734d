package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/llm"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// LLM returns the store as package llm sees it.
func (s *Store) LLM() llm.Store { return llmStore{s} }

type llmStore struct{ *Store }

var _ llm.Tx = (*Tx)(nil)

func (s llmStore) Write(ctx context.Context, fn func(llm.Tx) error) error {
	return s.write(ctx, func(tx *Tx) error { return fn(tx) })
}

// LLMIntegration returns an integration with the public key of its runner.
func (r reads) LLMIntegration(ctx context.Context, integration string) (llm.Integration, bool, error) {
	row, err := r.q.GetLLMIntegration(ctx, integration)
	return one(r, row, err, "reading an LLM integration", llmIntegrationOf)
}

// LLMIntegrations returns up to Page.Limit+1 integrations, oldest first.
func (r reads) LLMIntegrations(ctx context.Context, q llm.Query) ([]llm.Integration, error) {
	after, err := cursorOf(q.Page, beforeAll)
	if err != nil {
		return nil, err
	}
	limit := maxRows(q.Page)
	rows, err := belongings[query.LlmIntegrationRow]{
		reach: q.Reach, runners: q.Runners, rows: limit, older: olderLLMIntegration,
		everybodys: func() ([]query.LlmIntegrationRow, error) {
			return r.q.ListLLMIntegrations(ctx, query.ListLLMIntegrationsParams{
				OrganizationID: string(q.Organization), AfterAt: after.at, AfterID: after.id, MaxRows: limit,
			})
		},
		ofRunner: func(runner id.Runner) ([]query.LlmIntegrationRow, error) {
			return r.q.ListLLMIntegrationsOfRunner(ctx, query.ListLLMIntegrationsOfRunnerParams{
				OrganizationID: string(q.Organization), RunnerID: string(runner), AfterAt: after.at, AfterID: after.id, MaxRows: limit,
			})
		},
		seenBy: func(viewer string) ([]query.LlmIntegrationRow, error) {
			return r.q.ListLLMIntegrationsSeenBy(ctx, query.ListLLMIntegrationsSeenByParams{
				OrganizationID: string(q.Organization), ViewerID: viewer, AfterAt: after.at, AfterID: after.id, MaxRows: limit,
			})
		},
	}.list(ctx, r)
	return all(r, rows, err, "listing LLM integrations", llmIntegrationOf)
}

func olderLLMIntegration(a, b query.LlmIntegrationRow) int {
	return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

// InsertLLMIntegration adds an integration.
func (tx *Tx) InsertLLMIntegration(ctx context.Context, i llm.Integration) error {
	const doing = "adding an LLM integration"
	models, headers, err := llmDocuments(i)
	if err != nil {
		return tx.explained(err, doing)
	}
	return tx.explained(tx.q.InsertLLMIntegration(ctx, query.InsertLLMIntegrationParams{
		ID:             i.ID,
		OrganizationID: string(i.Organization),
		RunnerID:       string(i.Runner),
		Models:         models,
		Endpoint:       i.Endpoint,
		ApiKey:         blob(i.APIKey),
		MaxTokens:      i.MaxTokens,
		Enabled:        i.Enabled,
		Headers:        headers,
		CreatedAt:      micros(i.CreatedAt),
		UpdatedAt:      micros(i.UpdatedAt),
		Revision:       i.Revision,
	}), doing)
}

// UpdateLLMIntegration stores what people set when the revision is still
// i.Revision.
func (tx *Tx) UpdateLLMIntegration(ctx context.Context, i llm.Integration) (bool, error) {
	const doing = "changing an LLM integration"
	models, headers, err := llmDocuments(i)
	if err != nil {
		return false, tx.explained(err, doing)
	}
	n, err := tx.q.UpdateLLMIntegration(ctx, query.UpdateLLMIntegrationParams{
		ID:        i.ID,
		Revision:  i.Revision,
		Models:    models,
		Endpoint:  i.Endpoint,
		ApiKey:    blob(i.APIKey),
		MaxTokens: i.MaxTokens,
		Enabled:   i.Enabled,
		Headers:   headers,
		UpdatedAt: micros(i.UpdatedAt),
	})
	return n > 0, tx.explained(err, doing)
}

// DeleteLLMIntegration removes an integration.
func (tx *Tx) DeleteLLMIntegration(ctx context.Context, integration string) (bool, error) {
	n, err := tx.q.DeleteLLMIntegration(ctx, integration)
	return n > 0, tx.explained(err, "deleting an LLM integration")
}

// llmDocuments are the parts of an integration that are stored as JSON; no
// headers are "[]".
func llmDocuments(i llm.Integration) (models, headers string, err error) {
	m, err := json.Marshal(i.Models)
	if err != nil {
		return "", "", fmt.Errorf("writing the models as JSON: %w", err)
	}
	h, err := json.Marshal(append([]llm.Header{}, i.Headers...))
	if err != nil {
		return "", "", fmt.Errorf("writing the headers as JSON: %w", err)
	}
	return string(m), string(h), nil
}

func llmIntegrationOf(row query.LlmIntegrationRow) (llm.Integration, error) {
	i := llm.Integration{
		ID:           row.ID,
		Organization: id.Organization(row.OrganizationID),
		Runner:       id.Runner(row.RunnerID),
		Endpoint:     row.Endpoint,
		APIKey:       bytesOf(row.ApiKey),
		MaxTokens:    row.MaxTokens,
		Enabled:      row.Enabled,
		CreatedAt:    moment(row.CreatedAt),
		UpdatedAt:    moment(row.UpdatedAt),
		Revision:     row.Revision,
		RunnerKey:    bytesOf(row.RunnerKey),
	}
	if err := json.Unmarshal([]byte(row.Models), &i.Models); err != nil {
		return i, fmt.Errorf("reading the models of LLM integration %s: %w", row.ID, err)
	}
	if err := json.Unmarshal([]byte(row.Headers), &i.Headers); err != nil {
		return i, fmt.Errorf("reading the headers of LLM integration %s: %w", row.ID, err)
	}
	if len(i.Headers) == 0 {
		i.Headers = nil
	}
	return i, nil
}
