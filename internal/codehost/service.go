package codehost

import (
	"context"
	"slices"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
)

// Service is the domain of source code hosts.
type Service struct {
	store   Store
	runners Runners
	links   Links
}

// New makes the service.
func New(store Store, runners Runners, links Links) *Service {
	return &Service{store: store, runners: runners, links: links}
}

// What a runner may need to be asked; the numbers are those of the wire.
const (
	listOrganizations fleet.Capability = 8
	checkRepository   fleet.Capability = 9
)

// Bounds of what is looked at.
const (
	maxHosts       = 1000 // of one runner
	maxCredentials = 1000 // of one subject
	maxClasses     = 100  // of one answer
)

// offlineWait is what callers are told to wait for a runner that is away.
const offlineWait = 5 * time.Second

// SignInNeeded is the error of a question that the caller must sign in for, or
// whose host is not configured; it wraps the fault that says so.
type SignInNeeded struct {
	error
	// BeginURL is where to sign in; empty when there is no such page.
	BeginURL string
	// SCMID is empty when no integration has the host.
	SCMID string
	// Runners are those that the caller could sign in on, when it named none.
	Runners []id.Runner
}

// Unwrap returns the fault.
func (e *SignInNeeded) Unwrap() error { return e.error }

// view is a runner that a caller may use, and what matters of it to the caller.
type view struct {
	caller      access.Caller
	runner      fleet.Runner
	hosts       []Host
	credentials []Credential
}

func (s *Service) view(ctx context.Context, c access.Caller, want id.Runner) (view, error) {
	v, err := s.look(ctx, c, want)
	if err != nil {
		return v, err
	}
	v.credentials, err = s.store.CredentialsOf(ctx, c.Organization, c.Subject, want, maxCredentials)
	return v, err
}

// look is a view without the caller's credentials.
func (s *Service) look(ctx context.Context, c access.Caller, want id.Runner) (view, error) {
	v := view{caller: c}
	var found bool
	var err error
	if v.runner, found, err = s.store.Runner(ctx, want); err != nil {
		return v, err
	}
	if err := fleet.Check(c, access.RunnerUse, &v.runner, found, want); err != nil {
		return v, err
	}
	v.hosts, err = s.store.HostsOf(ctx, c.Organization, want, maxHosts)
	return v, err
}

// at finds the host that a URL belongs to.
func (v view) at(l scmurl.Location) (Access, error) {
	if h, ok := match(l, v.hosts); ok {
		return v.access(h), nil
	}
	return Access{}, v.notConfigured(l.Host)
}

// named finds a host by its name.
func (v view) named(field, name string) (Access, error) {
	if name == "" {
		return Access{}, fault.Invalid(field, "is required, such as \"github.com\"")
	}
	n := slices.IndexFunc(v.hosts, func(h Host) bool { return scmurl.SameHost(h.Host, name) })
	if n >= 0 {
		return v.access(v.hosts[n]), nil
	}
	l, err := scmurl.Parse("https://" + name)
	if err != nil {
		return Access{}, fault.Invalid(field, "must be a host name such as \"github.com\", with a port when it is not the usual one")
	}
	return v.at(l)
}

func (v view) access(h Host) Access {
	return Access{Host: h, Credential: credentialFor(h, v.credentials, time.Now())}
}

// match finds the host with the longest name that is a prefix of a location.
func match(l scmurl.Location, hosts []Host) (Host, bool) {
	integrations := make([]scmurl.Integration, len(hosts))
	for n, h := range hosts {
		integrations[n] = h.Integration
	}
	i, ok := scmurl.Match(l, integrations)
	if !ok {
		return Host{}, false
	}
	return hosts[slices.Index(integrations, i)], true
}

// credentialFor finds the credential for a host, among those of one subject on
// its runner, oldest first, that still works as far as can be known here: the one
// that was stored for this integration, or else the newest with the host's name in
// any spelling.
func credentialFor(h Host, credentials []Credential, now time.Time) *Credential {
	var best *Credential
	for n := range credentials {
		c := &credentials[n]
		its := c.Integration == h.ID
		switch {
		case !its && (c.Integration != "" || !scmurl.SameHost(c.Host, h.Host)):
		case c.OAuth && !h.OAuth, !c.OAuth && !h.PAT: // the integration does not allow it
		case !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt) && c.RefreshToken == (seal.Digest{}):
		case its:
			return c
		default:
			best = c
		}
	}
	return best
}

func (v view) notConfigured(host string) error {
	return &SignInNeeded{error: fault.New(fault.FailedPrecondition, fault.HostNotConfigured,
		"The runner %q has no integration with %s. Somebody who administers the runner can make one: \"muster scm create\".", v.runner.Name, host)}
}

// can returns nil when the runner said that it can do something.
func (v view) can(what fleet.Capability, words string) error {
	if slices.Contains(v.runner.Report.Capabilities, what) {
		return nil
	}
	return fault.New(fault.FailedPrecondition, fault.RunnerIncapable,
		"The runner %q lacks the capability to %s. Update its software.", v.runner.Name, words)
}

// reachable returns nil when the runner can be asked now.
func (s *Service) reachable(v view) error {
	if s.runners.Connected(v.runner.ID) {
		return nil
	}
	return fault.New(fault.Unavailable, fault.RunnerOffline,
		"The runner %q is not connected right now, and only it can ask the host. \"muster runner get\" says since when.", v.runner.Name).
		WithRetryAfter(offlineWait)
}

// signedIn returns nil when the caller has a credential for the host.
func (s *Service) signedIn(v view, a Access) error {
	if a.Credential != nil {
		return nil
	}
	return s.signIn(v, a.Host, fault.New(fault.FailedPrecondition, fault.SignInRequired,
		"You are not signed in to %s on the runner %q. Sign in, then try again.", a.Host.Host, v.runner.Name))
}

// explained adds to a runner's word that the caller must sign in, where that is
// done.
func (s *Service) explained(v view, h Host, err error) error {
	if fault.HasReason(err, fault.SignInRequired) {
		return s.signIn(v, h, err)
	}
	return fault.Wrap(err, "asking the runner")
}

func (s *Service) signIn(v view, h Host, err error) *SignInNeeded {
	return &SignInNeeded{error: err, BeginURL: s.beginURL(v.caller, v.runner.ID, h), SCMID: h.SCMID}
}

// beginURL is where a caller begins to sign in with OAuth; empty for one who
// may not.
func (s *Service) beginURL(c access.Caller, r id.Runner, h Host) string {
	if !h.OAuth {
		return ""
	}
	return s.links.BeginURL(c, r, h.ID)
}

// locate reads a URL that a caller sent. What goes on to a runner has neither a
// user name nor a password.
func locate(field, raw string) (l scmurl.Location, clean string, err error) {
	l, err = scmurl.Parse(raw)
	if err != nil {
		return l, "", fault.Invalid(field, "%s", err)
	}
	return l, scmurl.Clean(raw), nil
}

// readable refuses a URL that no reading makes the URL of a repository.
func readable(field string, l scmurl.Location, h Host) error {
	if _, err := scmurl.Read(l, h.Integration); err != nil {
		return fault.Invalid(field, "%s", err)
	}
	return nil
}
