package scm

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/runnerschema"
)

// Links is what this package asks of the links to connected runners. The method
// returns at once, and does nothing for a runner that is not connected.
type Links interface {
	// SecretsChanged tells the runner to forget what it opened of these secrets.
	SecretsChanged(r id.Runner, names ...string)
}

// Service is the domain of SCM integrations.
type Service struct {
	store  Store
	links  Links
	schema func([]byte) (runnerschema.Schema, error)
}

// New makes the service; schema reads fleet.Runner.Schema, an empty one too.
func New(store Store, links Links, schema func([]byte) (runnerschema.Schema, error)) *Service {
	return &Service{store: store, links: links, schema: schema}
}

// NewIntegration is what a caller asks of Create.
type NewIntegration struct {
	Runner id.Runner
	SCMID  string
	Host   string
	PAT    bool
	// OAuthClientID is empty for no OAuth.
	OAuthClientID string
	// OAuthClientSecret is plain.
	OAuthClientSecret string
	IssuerURL         string
	VirtualDirectory  string
}

// Create connects a runner to a host, and returns the integration. OAuth needs a
// runner with a public key.
func (s *Service) Create(ctx context.Context, c access.Caller, n NewIntegration) (Integration, error) {
	now := time.Now().Truncate(time.Microsecond) // as it is stored and read back
	made := Integration{
		ID: id.New(), Organization: c.Organization, Runner: n.Runner, SCMID: n.SCMID, Host: n.Host, PAT: n.PAT,
		OAuthClientID: n.OAuthClientID, IssuerURL: n.IssuerURL, VirtualDirectory: n.VirtualDirectory,
		CreatedAt: now, UpdatedAt: now, Revision: 1,
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
		if err := s.check(&made, &r, n.OAuthClientSecret); err != nil {
			return err
		}
		other, taken, err := tx.SCMIntegrationOf(ctx, r.ID, n.Host)
		if err != nil {
			return err
		}
		if taken {
			return fault.New(fault.AlreadyExists, fault.AlreadyThere,
				"The runner %q has an integration with %s already (%s). Change that one, or delete it first.", r.Name, other.Host, other.ID)
		}
		if made.OAuthClientSecret, err = r.Seal(secretName(made.ID), n.OAuthClientSecret); err != nil {
			return err
		}
		if err := tx.InsertSCMIntegration(ctx, made); err != nil {
			return err
		}
		return record(ctx, tx, c, &made, &r, "scm_integration.create", event.Created)
	})
	if !fault.MayHaveHappened(err) {
		return Integration{}, fault.Wrap(err, "making the SCM integration")
	}
	if made.OAuth() {
		s.links.SecretsChanged(n.Runner, secretName(made.ID))
	}
	return made, err
}

// check applies the rules to an integration of a runner; secret is the client
// secret that is to replace the stored one, or empty.
func (s *Service) check(i *Integration, r *fleet.Runner, secret string) error {
	schema, err := s.schema(r.Schema)
	if err != nil {
		return err
	}
	return Check(Settings{
		SCMID: i.SCMID, Host: i.Host, OAuthClientID: i.OAuthClientID, OAuthSecret: secret != "" || len(i.OAuthClientSecret) > 0,
		PAT: i.PAT, IssuerURL: i.IssuerURL, VirtualDirectory: i.VirtualDirectory, Kinds: schema.SCM,
	}).Err()
}

// Get returns an integration of a runner that the caller may see.
func (s *Service) Get(ctx context.Context, c access.Caller, integration string) (Integration, error) {
	i, _, err := find(ctx, s.store, c, access.ConfigurationRead, integration)
	return i, fault.Wrap(err, "reading the SCM integration")
}

// List returns the integrations of runners that the caller may see, oldest first.
func (s *Service) List(ctx context.Context, c access.Caller, q Query, p page.Request) ([]Integration, string, error) {
	q.Organization, q.Reach = c.Organization, access.ReachOf(c)
	slices.Sort(q.Runners)
	var err error
	if q.Page, err = page.Parse(p, fmt.Sprintf("scm integrations\x00%s\x00%v\x00%v", q.Organization, c.ID, q.Runners)); err != nil {
		return nil, "", err
	}
	rows, err := s.store.SCMIntegrations(ctx, q)
	if err != nil {
		return nil, "", fault.Wrap(err, "listing SCM integrations")
	}
	rows, next := page.Cut(q.Page, rows, func(i Integration) page.Cursor {
		return page.Cursor{Key: page.TimeKey(i.CreatedAt), ID: i.ID}
	})
	return rows, next, nil
}

// Delete removes an integration, and the credentials that are stored for its
// host on its runner.
func (s *Service) Delete(ctx context.Context, c access.Caller, integration string) error {
	var gone departure.Gone
	r, err := s.edit(ctx, c, integration, func(tx Tx, i *Integration, r *fleet.Runner) error {
		ok, err := tx.DeleteSCMIntegration(ctx, i.ID)
		if err != nil || !ok {
			return fault.Lost(ok, err)
		}
		if gone, err = departure.Host(ctx, tx, c.Subject, r.Object(), i.Host, departure.OAuth|departure.Others); err != nil {
			return err
		}
		return record(ctx, tx, c, i, r, "scm_integration.delete", event.Deleted)
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "deleting the SCM integration")
	}
	s.links.SecretsChanged(r, secretName(integration))
	gone.Tell(s.links)
	return err
}

// edit runs fn in a transaction, on an integration that the caller may change,
// and returns its runner. The runner is locked, so that neither its key nor the
// credentials on it change meanwhile.
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

// find reads an integration, with its runner, that the caller may do something
// to.
func find(ctx context.Context, from reader, c access.Caller, p access.Permission, integration string) (Integration, fleet.Runner, error) {
	i, found, err := from.SCMIntegration(ctx, integration)
	if err != nil {
		return Integration{}, fleet.Runner{}, err
	}
	var r fleet.Runner
	if found {
		if r, found, err = from.Runner(ctx, i.Runner); err != nil {
			return Integration{}, fleet.Runner{}, err
		}
	}
	if !found {
		return Integration{}, fleet.Runner{}, fault.Missing(resource.RunnerSCMIntegration.Words(), integration)
	}
	if err := access.Check(c, p, i.object(&r)); err != nil {
		return Integration{}, fleet.Runner{}, err
	}
	return i, r, nil
}

// record writes down what was done to an integration.
func record(ctx context.Context, tx Tx, c access.Caller, i *Integration, r *fleet.Runner, action string, op event.Operation) error {
	return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: action, Object: i.object(r), Event: op})
}
