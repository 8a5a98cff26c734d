package scm

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
)

// Change is what a caller asks of Update. A nil field leaves things as they are.
// The kind of host, the host and the runner never change.
type Change struct {
	// PAT, when false, deletes the credentials for the host that were not
	// obtained with OAuth.
	PAT *bool
	// OAuthClientID, when empty, takes OAuth away, with its secret, its issuer and
	// the credentials that were obtained with it; without OAuth it does nothing.
	OAuthClientID *string
	// OAuthClientSecret is plain. Empty leaves the secret as it is, also when the
	// client id changes.
	OAuthClientSecret *string
	// IssuerURL, when empty, clears it.
	IssuerURL *string
	// VirtualDirectory, when empty, clears it.
	VirtualDirectory *string
}

// Update changes how people sign in to a host. A secret needs a runner with a
// public key; nothing else does.
func (s *Service) Update(ctx context.Context, c access.Caller, integration string, ch Change) error {
	var secret bool
	var gone departure.Gone
	r, err := s.edit(ctx, c, integration, func(tx Tx, i *Integration, r *fleet.Runner) error {
		gone = departure.Gone{}
		before := *i
		if err := s.apply(i, r, ch); err != nil {
			return err
		}
		i.UpdatedAt = time.Now()
		if ok, err := tx.UpdateSCMIntegration(ctx, *i); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		secret = string(i.OAuthClientSecret) != string(before.OAuthClientSecret)
		var ended departure.Sources
		if before.OAuth() && !i.OAuth() {
			ended |= departure.OAuth
		}
		if ch.PAT != nil && !*ch.PAT {
			ended |= departure.Others
		}
		if ended != 0 {
			var err error
			if gone, err = departure.Host(ctx, tx, c.Subject, r.Object(), i.Host, ended); err != nil {
				return err
			}
		}
		return record(ctx, tx, c, i, r, "scm_integration.update", event.Updated)
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "changing the SCM integration")
	}
	if secret {
		s.links.SecretsChanged(r, secretName(integration))
	}
	gone.Tell(s.links)
	return err
}

// apply merges a change into the integration.
func (s *Service) apply(i *Integration, r *fleet.Runner, ch Change) error {
	set(&i.PAT, ch.PAT)
	set(&i.OAuthClientID, ch.OAuthClientID)
	if !i.OAuth() {
		i.OAuthClientSecret, i.IssuerURL = nil, ""
	}
	set(&i.IssuerURL, ch.IssuerURL)
	set(&i.VirtualDirectory, ch.VirtualDirectory)
	var plain string
	set(&plain, ch.OAuthClientSecret)
	if err := s.check(i, r, plain); err != nil || plain == "" {
		return err
	}
	secret, err := r.Seal(secretName(i.ID), plain)
	if err == nil {
		i.OAuthClientSecret = secret
	}
	return err
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}
