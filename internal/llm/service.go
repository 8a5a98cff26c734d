package llm

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
)

// Links is what this package asks of the links to connected runners. The method
// returns at once, and does nothing for a runner that is not connected.
type Links interface {
	// SecretsChanged tells the runner to forget what it opened of these secrets. A
	// name that ends with "/" stands for all that begin with it.
	SecretsChanged(r id.Runner, names ...string)
}

// Service is the domain of LLM integrations.
type Service struct {
	store Store
	links Links
}

// New makes the service.
func New(store Store, links Links) *Service { return &Service{store: store, links: links} }

// Limits of texts, in bytes.
const (
	maxEndpoint = 2048
	maxAPIKey   = 4096
)

// NewIntegration is what a caller asks of Create.
type NewIntegration struct {
	Runner   id.Runner
	Models   []Model
	Endpoint string
	// APIKey is plain; empty for a provider that needs none.
	APIKey    string
	MaxTokens int64
}

// Change is what a caller asks of Update. What is nil or empty stays as it is.
type Change struct {
	// Models replaces the list.
	Models []Model
	// Endpoint, when empty, goes back to the provider's usual one.
	Endpoint *string
	// APIKey is plain; an empty one forgets the key.
	APIKey    *string
	MaxTokens *int64
	Enabled   *bool
	// Headers replaces the list.
	Headers []NewHeader
}

// Create gives a runner access to language models, and returns the id of the
// integration. The runner must have a public key, also when there is no API key
// to seal to it.
func (s *Service) Create(ctx context.Context, c access.Caller, n NewIntegration) (string, error) {
	now := time.Now().Truncate(time.Microsecond)
	i := Integration{
		ID: id.New(), Organization: c.Organization, Runner: n.Runner, Enabled: true, CreatedAt: now, UpdatedAt: now, Revision: 1,
	}
	if err := i.set(Change{Models: n.Models, Endpoint: &n.Endpoint, MaxTokens: &n.MaxTokens}); err != nil {
		return "", err
	}
	if _, err := providerOf(n.Models); err != nil {
		return "", err
	}
	err := s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockRunner(ctx, n.Runner); err != nil {
			return err
		}
		r, found, err := tx.Runner(ctx, n.Runner)
		if err != nil {
			return err
		}
		if err := fleet.Check(c, access.ConfigurationWrite, &r, found, n.Runner); err != nil {
			return err
		}
		if err := fleet.CheckStays(&r); err != nil {
			return err
		}
		if err := keyed(&r); err != nil {
			return err
		}
		if err := i.setKey(&r, n.APIKey); err != nil {
			return err
		}
		if err := tx.InsertLLMIntegration(ctx, i); err != nil {
			return err
		}
		return record(ctx, tx, &r, &i, c, "llm_integration.create", event.Created)
	})
	if err != nil {
		return "", fault.Wrap(err, "making the LLM integration")
	}
	return i.ID, nil
}

// keyed refuses a runner without a public key, in the words that clients look
// for, also when there is no secret to seal.
func keyed(r *fleet.Runner) error {
	if len(r.PublicKey) > 0 {
		return nil
	}
	_, err := r.Seal(secretKind, "any")
	return err
}

// Get returns an integration of a runner that the caller may see.
func (s *Service) Get(ctx context.Context, c access.Caller, integration string) (Integration, error) {
	i, _, err := find(ctx, s.store, c, access.ConfigurationRead, integration)
	return i, fault.Wrap(err, "reading the LLM integration")
}

// find reads an integration, and its runner, that the caller may do something to.
func find(ctx context.Context, from reader, c access.Caller, p access.Permission, integration string) (Integration, fleet.Runner, error) {
	i, found, err := from.LLMIntegration(ctx, integration)
	if err != nil {
		return i, fleet.Runner{}, err
	}
	var r fleet.Runner
	if found {
		if r, found, err = from.Runner(ctx, i.Runner); err != nil {
			return i, r, err
		}
	}
	if !found {
		return i, r, fault.Missing(resource.RunnerLLMIntegration.Words(), integration)
	}
	return i, r, access.Check(c, p, object(&r, integration))
}

// List returns the integrations of the runners that the caller may see, oldest
// first. No runners mean any.
func (s *Service) List(ctx context.Context, c access.Caller, runners []id.Runner, p page.Request) ([]Integration, string, error) {
	q := Query{Organization: c.Organization, Reach: access.ReachOf(c), Runners: slices.Sorted(slices.Values(runners))}
	var err error
	if q.Page, err = page.Parse(p, fmt.Sprintf("llm_integrations\x00%s\x00%s\x00%v", q.Organization, c.ID, q.Runners)); err != nil {
		return nil, "", err
	}
	rows, err := s.store.LLMIntegrations(ctx, q)
	if err != nil {
		return nil, "", fault.Wrap(err, "listing LLM integrations")
	}
	rows, next := page.Cut(q.Page, rows, func(i Integration) page.Cursor {
		return page.Cursor{Key: page.TimeKey(i.CreatedAt), ID: i.ID}
	})
	return rows, next, nil
}

// Update changes an integration. The runner is told to forget the secrets that
// were replaced.
func (s *Service) Update(ctx context.Context, c access.Caller, integration string, ch Change) error {
	r, err := s.edit(ctx, c, integration, func(tx Tx, i *Integration, r *fleet.Runner) error {
		if err := fleet.CheckStays(r); err != nil {
			return err
		}
		if err := i.set(ch); err != nil {
			return err
		}
		if ch.APIKey != nil {
			if err := i.setKey(r, *ch.APIKey); err != nil {
				return err
			}
		}
		if len(ch.Headers) > 0 {
			var err error
			if i.Headers, err = sealHeaders(r, i.ID, ch.Headers, i.Headers); err != nil {
				return err
			}
		}
		i.UpdatedAt = time.Now()
		if ok, err := tx.UpdateLLMIntegration(ctx, *i); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		return record(ctx, tx, r, i, c, "llm_integration.update", event.Updated)
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "updating the LLM integration")
	}
	var changed []string
	if ch.APIKey != nil {
		changed = append(changed, keyName(integration))
	}
	if len(ch.Headers) > 0 {
		changed = append(changed, headerName(integration, ""))
	}
	if len(changed) > 0 {
		s.links.SecretsChanged(r, changed...)
	}
	return err
}

// Delete removes an integration.
func (s *Service) Delete(ctx context.Context, c access.Caller, integration string) error {
	r, err := s.edit(ctx, c, integration, func(tx Tx, i *Integration, r *fleet.Runner) error {
		if ok, err := tx.DeleteLLMIntegration(ctx, integration); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		return record(ctx, tx, r, i, c, "llm_integration.delete", event.Deleted)
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "deleting the LLM integration")
	}
	s.links.SecretsChanged(r, seal.Name(secretKind, integration, ""))
	return err
}

// edit runs fn in a transaction, on an integration that the caller may change,
// and returns its runner. The runner is locked, so that its key does not change
// meanwhile.
func (s *Service) edit(ctx context.Context, c access.Caller, integration string, fn func(Tx, *Integration, *fleet.Runner) error) (id.Runner, error) {
	i, _, err := find(ctx, s.store, c, access.ConfigurationWrite, integration)
	if err != nil {
		return "", err
	}
	return i.Runner, s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockRunner(ctx, i.Runner); err != nil {
			return err
		}
		i, r, err := find(ctx, tx, c, access.ConfigurationWrite, integration)
		if err != nil {
			return err
		}
		return fn(tx, &i, &r)
	})
}

// set takes over all that is no secret.
func (i *Integration) set(ch Change) error {
	if len(ch.Models) > 0 {
		if _, err := providerOf(ch.Models); err != nil {
			return err
		}
		i.Models = ch.Models
	}
	if ch.Endpoint != nil {
		if err := checkEndpoint(*ch.Endpoint); err != nil {
			return err
		}
		i.Endpoint = *ch.Endpoint
	}
	if ch.MaxTokens != nil {
		i.MaxTokens = *ch.MaxTokens
	}
	if ch.Enabled != nil {
		i.Enabled = *ch.Enabled
	}
	return nil
}

func (i *Integration) setKey(r *fleet.Runner, plain string) error {
	if len(plain) > maxAPIKey {
		return fault.Invalid("api_key", "must have at most %d bytes, has %d", maxAPIKey, len(plain))
	}
	var err error
	i.APIKey, err = r.Seal(keyName(i.ID), plain)
	return err
}

func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	switch {
	case len(endpoint) > maxEndpoint:
		return fault.Invalid("endpoint", "must have at most %d bytes, has %d", maxEndpoint, len(endpoint))
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fault.Invalid("endpoint", "must be an absolute http or https URL, or empty for the provider's usual one")
	case u.User != nil:
		return fault.Invalid("endpoint", "must hold no credentials; set api_key")
	}
	return nil
}

// record writes down what was done to an integration.
func record(ctx context.Context, tx Tx, r *fleet.Runner, i *Integration, c access.Caller, action string, op event.Operation) error {
	return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: action, Object: object(r, i.ID), Event: op})
}
