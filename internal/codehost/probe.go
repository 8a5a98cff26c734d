package codehost

import (
	"context"
	"slices"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
)

// Draft is an integration that is not stored, or not like this. Its ID is that
// of the one that it would change.
type Draft struct {
	Host
	// ClientSecret is plain, and SealedSecret the stored one; at most one is set.
	ClientSecret string
	SealedSecret seal.Secret
}

// ProbeIntegration lets a runner try an integration. Nothing is tried, and
// nothing found wrong, for a caller who could not store it, so that nobody else
// makes the runner call hosts, and when the runner is not connected.
func (s *Service) ProbeIntegration(ctx context.Context, c access.Caller, want id.Runner, d Draft) (Probed, error) {
	r, found, err := s.store.Runner(ctx, want)
	if err != nil {
		return Probed{}, fault.Wrap(err, "reading the runner")
	}
	if err := fleet.Check(c, access.ConfigurationRead, &r, found, want); err != nil {
		return Probed{}, err
	}
	if c.ReadOnly || !access.May(c, access.ConfigurationWrite, r.Object()) || !s.runners.Connected(want) {
		return Probed{}, nil
	}
	p, err := s.probe(ctx, &r, d)
	if err != nil {
		return Probed{}, fault.Wrap(err, "preparing to try the integration")
	}
	wrong, err := s.runners.ProbeIntegration(ctx, want, p)
	if fault.HasReason(err, fault.RunnerOffline) {
		return Probed{}, nil
	}
	return wrong, fault.Wrap(err, "trying the integration")
}

// probe is what the runner is to try. OAuth is left out when there is no secret
// to try it with.
func (s *Service) probe(ctx context.Context, r *fleet.Runner, d Draft) (Probe, error) {
	p := Probe{Host: d.Host}
	p.Host.ID = ""
	switch {
	case d.OAuthClientID == "":
	case d.ClientSecret != "":
		p.Purpose = clientSecret(id.New()) // that of no integration
		var err error
		p.ClientSecret, err = r.Seal(p.Purpose, d.ClientSecret)
		return p, err
	case len(d.SealedSecret) > 0:
		hosts, err := s.store.HostsOf(ctx, r.Organization, r.ID, maxHosts)
		if err != nil {
			return p, err
		}
		// Whoever may change integrations may not know the secrets in them, so a
		// stored one goes nowhere but to its own host.
		if slices.ContainsFunc(hosts, func(h Host) bool { return sameApplication(h, d.Host) }) {
			p.ClientSecret, p.Purpose = d.SealedSecret, clientSecret(d.ID)
			return p, nil
		}
	}
	p.Host.OAuth, p.Host.OAuthClientID = false, ""
	return p, nil
}

// sameApplication tells whether two integrations are one that has its OAuth
// application at one place.
func sameApplication(a, b Host) bool {
	return a.ID == b.ID && a.SCMID == b.SCMID && a.IssuerURL == b.IssuerURL && a.VirtualDirectory == b.VirtualDirectory &&
		scmurl.SameHost(a.Host, b.Host)
}

// clientSecret is what the client secret of an integration is sealed for.
func clientSecret(integration string) string {
	return seal.Name("scm_integration", integration, "client_secret")
}
