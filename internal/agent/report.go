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

// capabilities is what this runner can do, of what not every runner can.
func capabilities() []gitpodv1.RunnerCapability {
	return []gitpodv1.RunnerCapability{
		gitpodv1.RunnerCapability_RUNNER_CAPABILITY_LIST_SCM_ORGANIZATIONS,
		gitpodv1.RunnerCapability_RUNNER_CAPABILITY_CHECK_REPOSITORY_ACCESS,
	}
}

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
