package link

import (
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
)

const (
	maxText        = 512
	maxUnsupported = 32
)

// reportOf takes over what a runner reports; bounds are the fleet's to check.
func reportOf(r *linkv1.Report) (fleet.Report, error) {
	rep := fleet.Report{
		Message: r.GetMessage(), Version: r.GetVersion(), Region: r.GetRegion(), SystemDetails: r.GetSystemDetails(),
		LogURL: r.GetLogUrl(), SupportBundleURL: r.GetSupportBundleUrl(),
	}
	switch r.GetPhase() {
	case gitpodv1.RunnerPhase_RUNNER_PHASE_UNSPECIFIED, gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE:
	case gitpodv1.RunnerPhase_RUNNER_PHASE_DEGRADED:
		rep.Degraded = true
	default:
		return fleet.Report{}, fault.New(fault.FailedPrecondition, fault.MalformedFrame, "A runner reports itself as ACTIVE or DEGRADED, not as %s.", r.GetPhase())
	}
	for _, c := range r.GetCapabilities() {
		rep.Capabilities = append(rep.Capabilities, fleet.Capability(c))
	}
	if g := r.GetGatewayInfo(); g != nil {
		rep.Gateway = &fleet.GatewayInfo{
			Gateway: fleet.Gateway{Name: g.GetGateway().GetName(), URL: g.GetGateway().GetUrl(), Region: g.GetGateway().GetRegion()},
			Latency: g.GetLatency().AsDuration(),
		}
	}
	for _, f := range r.GetAdditionalInfo() {
		rep.AdditionalInfo = append(rep.AdditionalInfo, fleet.FieldValue{Key: f.GetKey(), Value: f.GetValue()})
	}
	return rep, nil
}

// configuration is the desired configuration as a runner gets it: secrets only
// in sealed form.
func configuration(d fleet.Desired) *linkv1.Configuration {
	c := &linkv1.Configuration{Revision: d.Revision, Spec: Spec(d.Configuration)}
	c.Spec.EncryptedHoneycombApiKey = nil
	if !d.Configuration.HoneycombAPIKey.Wrapped() {
		c.SealedHoneycombApiKey = d.Configuration.HoneycombAPIKey
	}
	if m := d.Configuration.Metrics; m != nil && !m.Password.Wrapped() {
		c.SealedMetricsPassword = m.Password
	}
	return c
}

// Spec is a configuration on the wire, without the metrics password, which is
// never returned.
func Spec(cfg fleet.Configuration) *gitpodv1.RunnerConfiguration {
	spec := &gitpodv1.RunnerConfiguration{
		Region: cfg.Region, ReleaseChannel: gitpodv1.RunnerReleaseChannel(cfg.ReleaseChannel), AutoUpdate: cfg.AutoUpdate,
		LogLevel: gitpodv1.LogLevel(cfg.LogLevel), DevcontainerImageCacheEnabled: cfg.ImageCache,
		EncryptedHoneycombApiKey: cfg.HoneycombAPIKey, ContinuousProfiling: cfg.ContinuousProfiling,
	}
	if w := cfg.UpdateWindow; w != nil {
		start := w.Start
		spec.UpdateWindow = &gitpodv1.UpdateWindow{StartHour: &start, EndHour: w.End}
	}
	if m := cfg.Metrics; m != nil {
		spec.Metrics = &gitpodv1.MetricsConfiguration{
			Enabled: m.Enabled, Url: m.URL, Username: m.Username, ManagedMetricsEnabled: m.Managed, IncludeVerboseMetrics: m.Verbose,
		}
	}
	return spec
}

func gateways(all []fleet.Gateway) []*gitpodv1.Gateway {
	out := make([]*gitpodv1.Gateway, 0, len(all))
	for _, g := range all {
		out = append(out, &gitpodv1.Gateway{Name: g.Name, Url: g.URL, Region: g.Region})
	}
	return out
}

func deleteFrame(deadline time.Time) *linkv1.PlaneFrame {
	return &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Delete{Delete: &linkv1.Delete{Patience: durationpb.New(time.Until(deadline))}}}
}

func bounded(names []string) []string {
	if len(names) > maxUnsupported {
		names = names[:maxUnsupported]
	}
	for i := range names {
		names[i] = cutText(names[i])
	}
	return names
}

// cutText bounds a text from a runner.
func cutText(s string) string { return cut(s, maxText) }

// cut bounds a text, in bytes, without splitting a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
