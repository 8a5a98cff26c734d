package agent

import (
	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
)

// The limits of the link's fields, in bytes.
const (
	maxHostName = 255
	maxMessage  = 1024
	maxReason   = 255
)

// capabilities is what this runner can do for environments. The list names
// only what is built; today that is nothing.
func capabilities() []gitpodv1.RunnerCapability { return nil }

// report is what the runner says of itself now.
func (r *runner) report() *linkv1.Report {
	report := &linkv1.Report{
		Phase:         gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE,
		Version:       printable(r.cfg.Version, maxReason),
		Region:        printable(r.region(), maxReason),
		SystemDetails: r.system,
		Capabilities:  capabilities(),
		GatewayInfo:   r.prober.Nearest(),
	}
	if troubles := r.standing.troubles(); troubles != "" {
		report.Phase = gitpodv1.RunnerPhase_RUNNER_PHASE_DEGRADED
		report.Message = printable(troubles, maxMessage)
	}
	if r.advertised != nil {
		report.LogUrl = r.advertised.String() + logsPath
		report.SupportBundleUrl = r.advertised.String() + supportBundlePath
	}
	return report
}

// region is where the operator says that the runner is, or else where its
// configuration says that it is.
func (r *runner) region() string {
	if r.cfg.Region != "" {
		return r.cfg.Region
	}
	return r.standing.configuration.GetSpec().GetRegion()
}
