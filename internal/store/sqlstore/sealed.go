package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/llm"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/sealed"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// Sealed returns the store as package sealed sees it.
func (s *Store) Sealed() sealed.Store { return sealedStore{s} }

type sealedStore struct{ *Store }

// Sealed returns the secrets of what belongs to a runner.
func (s sealedStore) Sealed(ctx context.Context, r id.Runner) ([]sealed.Item, error) {
	return s.reads.sealed(ctx, r)
}

func (s sealedStore) Write(ctx context.Context, fn func(sealed.Tx) error) error {
	return s.write(ctx, func(tx *Tx) error { return fn(tx) })
}

var _ sealed.Tx = (*Tx)(nil)

const readingSealed = "reading what is sealed to a runner"

func (r reads) sealed(ctx context.Context, runner id.Runner) ([]sealed.Item, error) {
	rows, err := r.q.ListSealed(ctx, string(runner))
	items, err := all(r, rows, err, readingSealed, func(row query.ListSealedRow) (sealed.Item, error) {
		return itemOf(query.ListSealedOfRow(row))
	})
	if err != nil {
		return nil, err
	}
	headers, err := r.q.ListSealedHeaders(ctx, string(runner))
	if err != nil {
		return nil, r.explained(err, readingSealed)
	}
	for _, row := range headers {
		if items, err = withHeaders(items, query.ListSealedHeadersOfRow(row)); err != nil {
			return nil, r.explained(err, readingSealed)
		}
	}
	return items, nil
}

// SealedOf returns the secrets of one thing that belongs to a runner.
func (r reads) SealedOf(ctx context.Context, runner id.Runner, resourceID string) ([]sealed.Item, error) {
	rows, err := r.q.ListSealedOf(ctx, resourceID, string(runner))
	items, err := all(r, rows, err, readingSealed, itemOf)
	if err != nil {
		return nil, err
	}
	headers, err := r.q.ListSealedHeadersOf(ctx, resourceID, string(runner))
	if err != nil {
		return nil, r.explained(err, readingSealed)
	}
	for _, row := range headers {
		if items, err = withHeaders(items, row); err != nil {
			return nil, r.explained(err, readingSealed)
		}
	}
	return items, nil
}

func itemOf(row query.ListSealedOfRow) (sealed.Item, error) {
	return sealed.Item{
		Type: resource.Type(row.ResourceType), ID: row.ID, Part: row.Part, About: row.About,
		Owner: subject(row.OwnerPrincipal, row.OwnerID), Sealed: bytesOf(row.Sealed),
	}, nil
}

// withHeaders adds the secrets in the headers of an LLM integration.
func withHeaders(items []sealed.Item, row query.ListSealedHeadersOfRow) ([]sealed.Item, error) {
	var headers []llm.Header
	if err := json.Unmarshal([]byte(row.Headers), &headers); err != nil {
		return nil, fmt.Errorf("reading the headers of LLM integration %s: %w", row.ID, err)
	}
	for _, h := range headers {
		items = append(items, sealed.Item{
			Type: resource.RunnerLLMIntegration, ID: row.ID, Part: "header/" + h.Name, About: row.Endpoint, Sealed: h.Value,
		})
	}
	return items, nil
}
