package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/musterhq/muster/internal/access"
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
	l := llmList{reads: r, want: q, after: after, rows: maxRows(q.Page)}
	rows, err := l.visible(ctx)
	return all(r, rows, err, "listing LLM integrations", llmIntegrationOf)
}

// llmList is one list of integrations. Which query serves it depends on who asks
// and for which runners.
type llmList struct {
	reads
	want  llm.Query
	after timeCursor
	rows  int32
}

func (l llmList) visible(ctx context.Context) ([]query.LlmIntegrationRow, error) {
	reach := l.want.Reach
	switch {
	case reach.All && len(l.want.Runners) == 0:
		return l.q.ListLLMIntegrations(ctx, query.ListLLMIntegrationsParams{
			OrganizationID: string(l.want.Organization), AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
		})
	case reach.All:
		return l.ofRunners(ctx, l.want.Runners)
	case reach.Self != "" && (len(l.want.Runners) == 0 || slices.Contains(l.want.Runners, reach.Self)):
		return l.ofRunners(ctx, []id.Runner{reach.Self})
	case reach.Self != "":
		return nil, nil
	case len(l.want.Runners) > 0:
		runners, err := l.reachable(ctx)
		if err != nil {
			return nil, err
		}
		return l.ofRunners(ctx, runners)
	}
	own, err := l.ofCreator(ctx)
	if err != nil {
		return nil, err
	}
	shared, err := l.ofGroups(ctx)
	rows := append(own, shared...)
	slices.SortFunc(rows, olderLLMIntegration)
	rows = slices.CompactFunc(rows, func(a, b query.LlmIntegrationRow) bool { return a.ID == b.ID })
	return rows[:min(len(rows), int(l.rows))], err
}

// reachable are those of the wanted runners that the caller created or that its
// groups have a role on.
func (l llmList) reachable(ctx context.Context) ([]id.Runner, error) {
	var runners []id.Runner
	for _, runner := range l.want.Runners {
		r, found, err := l.Runner(ctx, runner)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		if mine := l.want.Reach.Creator != "" && r.Creator.ID == l.want.Reach.Creator; mine || slices.ContainsFunc(r.Grants, func(g access.Grant) bool {
			return slices.Contains(l.want.Reach.Groups, g.Group)
		}) {
			runners = append(runners, runner)
		}
	}
	return runners, nil
}

func (l llmList) ofRunners(ctx context.Context, runners []id.Runner) ([]query.LlmIntegrationRow, error) {
	return lanes(runners, l.rows, olderLLMIntegration, func(r id.Runner) ([]query.LlmIntegrationRow, error) {
		return l.q.ListLLMIntegrationsOfRunner(ctx, query.ListLLMIntegrationsOfRunnerParams{
			RunnerID: string(r), OrganizationID: string(l.want.Organization), AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
		})
	})
}

func (l llmList) ofCreator(ctx context.Context) ([]query.LlmIntegrationRow, error) {
	if l.want.Reach.Creator == "" {
		return nil, nil
	}
	return l.q.ListLLMIntegrationsOfCreator(ctx, query.ListLLMIntegrationsOfCreatorParams{
		OrganizationID: string(l.want.Organization), CreatorID: l.want.Reach.Creator, AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
	})
}

func (l llmList) ofGroups(ctx context.Context) ([]query.LlmIntegrationRow, error) {
	return lanes(l.want.Reach.Groups, l.rows, olderLLMIntegration, func(g id.Group) ([]query.LlmIntegrationRow, error) {
		return l.q.ListLLMIntegrationsOfGroup(ctx, query.ListLLMIntegrationsOfGroupParams{
			OrganizationID: string(l.want.Organization), GroupID: string(g), AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
		})
	})
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
