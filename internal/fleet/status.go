package fleet

import (
	"fmt"
	"strings"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/seal"
)

// Limits of what a runner may report, in bytes and entries.
const (
	maxMessage        = 1024
	maxText           = 1024
	maxURL            = 2048
	maxAdditionalInfo = 32
	maxCapabilities   = 64
	maxSchema         = 64 << 10
)

// checkReport refuses a report that is out of bounds. The runner is not trusted.
func checkReport(r *Report) error {
	bad := func(field string, limit int) error {
		return fault.New(fault.FailedPrecondition, fault.MalformedFrame, "Report.%s is longer than %d.", field, limit)
	}
	switch {
	case len(r.Message) > maxMessage:
		return bad("message", maxMessage)
	case len(r.Version) > maxText:
		return bad("version", maxText)
	case len(r.Region) > maxText:
		return bad("region", maxText)
	case len(r.SystemDetails) > maxText:
		return bad("system_details", maxText)
	case len(r.LogURL) > maxURL:
		return bad("log_url", maxURL)
	case len(r.SupportBundleURL) > maxURL:
		return bad("support_bundle_url", maxURL)
	case len(r.AdditionalInfo) > maxAdditionalInfo:
		return bad("additional_info", maxAdditionalInfo)
	case len(r.Capabilities) > maxCapabilities:
		return bad("capabilities", maxCapabilities)
	case r.Degraded && r.Message == "":
		return fault.New(fault.FailedPrecondition, fault.MalformedFrame, "A report of RUNNER_PHASE_DEGRADED needs a message that says why.")
	}
	for _, f := range r.AdditionalInfo {
		if len(f.Key) > maxText || len(f.Value) > maxText {
			return bad("additional_info", maxText)
		}
	}
	if g := r.Gateway; g != nil && len(g.Gateway.Name)+len(g.Gateway.URL)+len(g.Gateway.Region) > maxURL {
		return bad("gateway_info", maxURL)
	}
	return nil
}

// Message is the sentence that explains the phase.
func (r *Runner) Message() string {
	switch r.Phase() {
	case PhaseCreated:
		return "The runner has not connected yet. Start it on its host with \"muster join\"."
	case PhaseInactive:
		ends := r.accessEnds(time.Now())
		if ends == "" {
			return r.Session.EndReason
		}
		return strings.TrimSpace(strings.TrimSuffix(r.Session.EndReason, ".") + ". " + ends)
	case PhaseDeleting:
		return fmt.Sprintf("The runner is finishing its work; it is removed at %s at the latest.", r.DeletingAt.Add(DrainTimeout).UTC().Format(time.RFC3339))
	}
	var parts []string
	if len(r.PendingKey) > 0 {
		parts = append(parts, fmt.Sprintf("The runner came with a new key that nobody has approved, so it gets no new secrets. If its data directory was lost, approve the key with \"muster runner keys %s --approve %s\".", r.ID, seal.Fingerprint(r.PendingKey)))
	}
	if r.Session.Notice != "" {
		parts = append(parts, r.Session.Notice)
	}
	// A runner that reports the failure itself has said it better.
	if r.Session.ApplyError != "" && !strings.Contains(r.Report.Message, r.Session.ApplyError) {
		parts = append(parts, "The runner could not apply its configuration: "+r.Session.ApplyError)
	}
	if ends := r.accessEnds(time.Now()); ends != "" {
		parts = append(parts, ends)
	}
	if r.Report.Message != "" {
		parts = append(parts, r.Report.Message)
	}
	return strings.Join(parts, " ")
}

// LogURL is where the logs of a connected runner are; empty while it is not.
func (s *Service) LogURL(r *Runner) string {
	return s.relayed(r, r.Report.LogURL, "logs")
}

// SupportBundleURL is where the support bundle of a connected runner is; empty
// while it is not.
func (s *Service) SupportBundleURL(r *Runner) string {
	return s.relayed(r, r.Report.SupportBundleURL, "support-bundle")
}

func (s *Service) relayed(r *Runner, own, what string) string {
	switch {
	case !r.Session.Live():
		return ""
	case own != "":
		return own
	default:
		return s.publicURL + "/runners/" + string(r.ID) + "/" + what
	}
}
