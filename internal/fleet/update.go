package fleet

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/seal"
)

// Change is what a caller asks of Update. A nil field leaves things as they are.
type Change struct {
	Name           *string
	DesiredPhase   *Phase
	ReleaseChannel *ReleaseChannel
	AutoUpdate     *bool
	LogLevel       *LogLevel
	ImageCache     *bool
	// UpdateWindow replaces the window as a whole; a pointer to nil clears it.
	UpdateWindow        **UpdateWindow
	ContinuousProfiling *bool
	// HoneycombAPIKey is plain; empty clears it.
	HoneycombAPIKey *string
	Metrics         *MetricsChange
}

// MetricsChange merges into the metrics configuration field by field.
type MetricsChange struct {
	Enabled  *bool
	URL      *string
	Username *string
	// Password is plain; empty clears it.
	Password *string
	Managed  *bool
	Verbose  *bool
}

// Update changes what a runner is asked to be. A connected runner is told after
// the commit.
func (s *Service) Update(ctx context.Context, c access.Caller, want id.Runner, ch Change) error {
	defer s.key.Hold()() // apply may wrap a secret
	err := s.store.Write(ctx, func(tx Tx) error {
		r, found, err := tx.Runner(ctx, want)
		if err != nil {
			return err
		}
		if err := Check(c, access.RunnerUpdate, &r, found, want); err != nil {
			return err
		}
		if err := CheckStays(&r); err != nil {
			return err
		}
		if err := s.apply(&r, ch); err != nil {
			return err
		}
		r.UpdatedAt = time.Now()
		if ok, err := tx.UpdateRunner(ctx, r); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		return record(ctx, tx, &r, c.Subject, "runner.update", event.Updated)
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "updating the runner")
	}
	s.links.ConfigurationChanged(want)
	return err
}

func (s *Service) apply(r *Runner, ch Change) error {
	set(&r.Name, ch.Name)
	if ch.DesiredPhase != nil {
		if r.Kind != KindLocalConfiguration {
			return fault.New(fault.FailedPrecondition, fault.ReasonImmutable,
				"spec.desired_phase: only the organization's local configuration runner can be switched on and off. To stop this runner, stop \"muster join\" on its host, or delete it.")
		}
		if p := *ch.DesiredPhase; p != PhaseActive && p != PhaseInactive {
			return fault.Invalid("spec.desired_phase", "must be RUNNER_PHASE_ACTIVE or RUNNER_PHASE_INACTIVE")
		}
		r.DesiredPhase = *ch.DesiredPhase
	}
	r.ConfigurationRevision++
	cfg := &r.Configuration
	set(&cfg.ReleaseChannel, ch.ReleaseChannel)
	set(&cfg.AutoUpdate, ch.AutoUpdate)
	set(&cfg.LogLevel, ch.LogLevel)
	set(&cfg.ImageCache, ch.ImageCache)
	set(&cfg.ContinuousProfiling, ch.ContinuousProfiling)
	set(&cfg.UpdateWindow, ch.UpdateWindow)
	if ch.HoneycombAPIKey != nil {
		secret, err := s.protect(r, honeycombPurpose(r.ID), *ch.HoneycombAPIKey)
		if err != nil {
			return err
		}
		cfg.HoneycombAPIKey = secret
	}
	if ch.Metrics == nil {
		return nil
	}
	m := Metrics{}
	if cfg.Metrics != nil {
		m = *cfg.Metrics
	}
	set(&m.Enabled, ch.Metrics.Enabled)
	set(&m.URL, ch.Metrics.URL)
	set(&m.Username, ch.Metrics.Username)
	set(&m.Managed, ch.Metrics.Managed)
	set(&m.Verbose, ch.Metrics.Verbose)
	cfg.Metrics = &m
	if ch.Metrics.Password != nil {
		return s.setMetricsPassword(r, *ch.Metrics.Password)
	}
	return nil
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// The purposes bind a secret to its runner and its place.
func metricsPurpose(r id.Runner) string { return seal.Name("runner", string(r), "metrics.password") }

func honeycombPurpose(r id.Runner) string { return seal.Name("runner", string(r), "honeycomb_api_key") }

func (s *Service) setMetricsPassword(r *Runner, plain string) error {
	m := r.Configuration.Metrics
	if m == nil {
		return nil
	}
	secret, err := s.protect(r, metricsPurpose(r.ID), plain)
	m.Password = secret
	return err
}

// Seal makes a plain secret unreadable to all but the runner; name is that of
// seal.Name. An empty one stays empty. What belongs to a runner waits for
// nothing: without a public key it is refused, in words that clients look for.
func (r *Runner) Seal(name, plain string) (seal.Secret, error) {
	if plain == "" {
		return nil, nil
	}
	if len(r.PublicKey) == 0 {
		return nil, fault.New(fault.FailedPrecondition, fault.NoPublicKey,
			"The secret cannot be stored: runner does not have a public key. It gets one when it connects for the first time: start it with \"muster join\", then try again.")
	}
	secret, err := seal.To(r.PublicKey, name, []byte(plain))
	return secret, fault.Wrap(err, "sealing a secret to the runner's key")
}

// protect makes a plain secret unreadable: sealed to the runner's key, or, until
// it has one, wrapped under the control plane's.
func (s *Service) protect(r *Runner, purpose, plain string) (seal.Secret, error) {
	switch {
	case plain == "":
		return nil, nil
	case len(r.PublicKey) == 0:
		return s.key.Wrap(purpose, []byte(plain)), nil
	}
	secret, err := seal.To(r.PublicKey, purpose, []byte(plain))
	return secret, fault.Wrap(err, "sealing a secret to the runner's key")
}

// Secret is a secret in a runner's configuration, in its place.
type Secret struct {
	// Name is that of seal.Name, which it is sealed or wrapped for.
	Name  string
	Value *seal.Secret
}

// Secrets returns the secrets in the configuration; a Value may be empty. While
// the runner has no public key they are wrapped, and afterwards they never are.
func (r *Runner) Secrets() []Secret {
	all := []Secret{{honeycombPurpose(r.ID), &r.Configuration.HoneycombAPIKey}}
	if m := r.Configuration.Metrics; m != nil {
		all = append(all, Secret{metricsPurpose(r.ID), &m.Password})
	}
	return all
}

// reseal seals what waited under the control plane's key to the runner's first
// key.
func (s *Service) reseal(r *Runner) error {
	for _, w := range r.Secrets() {
		if !w.Value.Wrapped() {
			continue
		}
		plain, err := s.key.Unwrap(*w.Value, w.Name)
		if err != nil {
			return fault.Wrap(err, "opening a secret that waited for the runner's key")
		}
		if *w.Value, err = seal.To(r.PublicKey, w.Name, plain); err != nil {
			return fault.Wrap(err, "sealing a secret to the runner's key")
		}
	}
	return nil
}
