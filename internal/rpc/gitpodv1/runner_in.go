package gitpodv1

import (
	"errors"
	"net/url"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
)

const cfgPath = "spec.configuration."

func newRunner(m *gitpodv1.CreateRunnerRequest) (fleet.NewRunner, error) {
	spec, cfg := m.GetSpec(), m.GetSpec().GetConfiguration()
	err := errors.Join(
		defined("spec.desired_phase", gitpodv1.RunnerPhase_name, spec.GetDesiredPhase()),
		defined("spec.variant", gitpodv1.RunnerVariant_name, spec.GetVariant()),
		defined(cfgPath+"release_channel", gitpodv1.RunnerReleaseChannel_name, cfg.GetReleaseChannel()),
		defined(cfgPath+"log_level", gitpodv1.LogLevel_name, cfg.GetLogLevel()),
		bounded(cfgPath+"region", cfg.GetRegion(), 255),
	)
	if err == nil && len(cfg.GetEncryptedHoneycombApiKey()) > 0 {
		err = fault.Invalid(cfgPath+"encrypted_honeycomb_api_key", "is encrypted here and only returned; set the key with UpdateRunner's spec.configuration.honeycomb_api_key")
	}
	n := fleet.NewRunner{
		Name: m.GetName(), Kind: fleet.Kind(m.GetKind()), Provider: fleet.Provider(m.GetProvider()), ManagerID: id.Canonical(m.GetRunnerManagerId()),
		Variant: fleet.Variant(spec.GetVariant()), DesiredPhase: fleet.Phase(spec.GetDesiredPhase()),
		Configuration: fleet.Configuration{
			Region: cfg.GetRegion(), ReleaseChannel: fleet.ReleaseChannel(cfg.GetReleaseChannel()), AutoUpdate: cfg.GetAutoUpdate(),
			LogLevel: fleet.LogLevel(cfg.GetLogLevel()), ImageCache: cfg.GetDevcontainerImageCacheEnabled(), ContinuousProfiling: cfg.GetContinuousProfiling(),
		},
	}
	if w := cfg.GetUpdateWindow(); w != nil && err == nil {
		n.Configuration.UpdateWindow, err = fleet.NewUpdateWindow(w.StartHour, w.EndHour)
	}
	if mc := cfg.GetMetrics(); mc != nil {
		n.MetricsPassword = mc.GetPassword()
		n.Configuration.Metrics = &fleet.Metrics{
			Enabled: mc.GetEnabled(), URL: mc.GetUrl(), Username: mc.GetUsername(), Managed: mc.GetManagedMetricsEnabled(), Verbose: mc.GetIncludeVerboseMetrics(),
		}
		err = errors.Join(err, metrics(mc.GetUrl(), mc.GetUsername(), mc.GetPassword()))
	}
	return n, first(err)
}

func change(m *gitpodv1.UpdateRunnerRequest) (fleet.Change, error) {
	ch := fleet.Change{Name: m.Name}
	spec := m.GetSpec()
	if spec == nil {
		return ch, nil
	}
	if spec.DesiredPhase != nil {
		if err := defined("spec.desired_phase", gitpodv1.RunnerPhase_name, spec.GetDesiredPhase()); err != nil {
			return ch, err
		}
		ch.DesiredPhase = number[fleet.Phase](spec.DesiredPhase)
	}
	cfg := spec.GetConfiguration()
	if cfg == nil {
		return ch, nil
	}
	err := errors.Join(
		defined(cfgPath+"release_channel", gitpodv1.RunnerReleaseChannel_name, cfg.GetReleaseChannel()),
		defined(cfgPath+"log_level", gitpodv1.LogLevel_name, cfg.GetLogLevel()),
		bounded(cfgPath+"honeycomb_api_key", cfg.GetHoneycombApiKey(), 4096),
	)
	ch.ReleaseChannel = number[fleet.ReleaseChannel](cfg.ReleaseChannel)
	ch.LogLevel = number[fleet.LogLevel](cfg.LogLevel)
	ch.AutoUpdate, ch.ImageCache = cfg.AutoUpdate, cfg.DevcontainerImageCacheEnabled
	ch.ContinuousProfiling, ch.HoneycombAPIKey = cfg.ContinuousProfiling, cfg.HoneycombApiKey
	if w := cfg.GetUpdateWindow(); w != nil {
		window, werr := fleet.NewUpdateWindow(w.StartHour, w.EndHour)
		err = errors.Join(err, werr)
		ch.UpdateWindow = &window
	}
	if mc := cfg.GetMetrics(); mc != nil {
		err = errors.Join(err, metrics(mc.GetUrl(), mc.GetUsername(), mc.GetPassword()))
		ch.Metrics = &fleet.MetricsChange{
			Enabled: mc.Enabled, URL: mc.Url, Username: mc.Username, Password: mc.Password,
			Managed: mc.ManagedMetricsEnabled, Verbose: mc.IncludeVerboseMetrics,
		}
	}
	return ch, first(err)
}

func number[To, From ~int32](from *From) *To {
	if from == nil {
		return nil
	}
	n := To(*from)
	return &n
}

func metrics(rawURL, username, password string) error {
	err := errors.Join(
		bounded(cfgPath+"metrics.url", rawURL, 2048),
		bounded(cfgPath+"metrics.username", username, 255),
		bounded(cfgPath+"metrics.password", password, 4096),
	)
	if rawURL == "" {
		return err
	}
	u, perr := url.Parse(rawURL)
	switch {
	case perr != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.Join(err, fault.Invalid(cfgPath+"metrics.url", "must be an absolute http or https URL"))
	case u.User != nil:
		return errors.Join(err, fault.Invalid(cfgPath+"metrics.url", "must hold no credentials; set metrics.username and metrics.password"))
	}
	return err
}

// first picks the first of several joined faults.
func first(err error) error {
	if err == nil {
		return nil
	}
	return fault.From(err)
}
