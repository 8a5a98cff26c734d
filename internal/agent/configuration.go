package agent

import (
	"log/slog"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/seal"
)

const cannotOpen = " was sealed to another key than this runner's. If 'muster runner keys' shows a key that waits for approval, approve it; then set it again."

// apply puts a configuration in force and says what became of it.
func (r *runner) apply(c *linkv1.Configuration) *linkv1.ConfigurationAck {
	s := &r.standing
	s.configuration, s.unsupported, s.secretTrouble = c, nil, ""
	spec := c.GetSpec()

	level, known := r.logLevel(spec.GetLogLevel())
	if !known {
		s.unsupported = append(s.unsupported, "logLevel")
	}
	r.level.Set(level)

	s.unsupported = append(s.unsupported, unsupported(spec, len(c.GetSealedHoneycombApiKey()) > 0)...)
	if region := spec.GetRegion(); region != "" && r.cfg.Region != "" && region != r.cfg.Region {
		s.unsupported = append(s.unsupported, "region")
	}

	ack := &linkv1.ConfigurationAck{Revision: c.GetRevision(), Unsupported: s.unsupported}
	switch {
	case !r.canOpen(c.GetSealedMetricsPassword(), "metrics.password"):
		s.secretTrouble = "The metrics password" + cannotOpen
	case !r.canOpen(c.GetSealedHoneycombApiKey(), "honeycomb_api_key"):
		s.secretTrouble = "The honeycomb API key" + cannotOpen
	default:
		s.applied = c.GetRevision()
	}
	ack.Error = s.secretTrouble
	r.publish()
	r.log.Info("applied the configuration", "revision", c.GetRevision(), "level", level, "unsupported", s.unsupported, "error", ack.GetError())
	return ack
}

// canOpen tells whether a sealed secret can be opened; none can. What is in it
// is forgotten at once: nothing in this runner uses it.
func (r *runner) canOpen(sealed []byte, what string) bool {
	if len(sealed) == 0 {
		return true
	}
	opened, err := r.identity.Open(seal.Secret(sealed), "runner/"+r.standing.runnerID+"/"+what)
	clear(opened)
	return err == nil
}

func (r *runner) logLevel(l gitpodv1.LogLevel) (level slog.Level, known bool) {
	switch l {
	case gitpodv1.LogLevel_LOG_LEVEL_UNSPECIFIED:
		return r.baseLevel, true
	case gitpodv1.LogLevel_LOG_LEVEL_DEBUG:
		return slog.LevelDebug, true
	case gitpodv1.LogLevel_LOG_LEVEL_INFO:
		return slog.LevelInfo, true
	case gitpodv1.LogLevel_LOG_LEVEL_WARN:
		return slog.LevelWarn, true
	case gitpodv1.LogLevel_LOG_LEVEL_ERROR:
		return slog.LevelError, true
	default:
		return r.baseLevel, false
	}
}

// unsupported lists, by their JSON names, the settings that are asked for and
// that this runner does not have. It installs no updates, so that there is
// nothing for an update window or the stable channel to be about.
func unsupported(spec *gitpodv1.RunnerConfiguration, honeycomb bool) []string {
	var out []string
	for _, setting := range []struct {
		name  string
		asked bool
	}{
		{"releaseChannel", spec.GetReleaseChannel() == gitpodv1.RunnerReleaseChannel_RUNNER_RELEASE_CHANNEL_LATEST},
		{"autoUpdate", spec.GetAutoUpdate()},
		{"metrics", spec.GetMetrics().GetEnabled() || spec.GetMetrics().GetManagedMetricsEnabled()},
		{"devcontainerImageCacheEnabled", spec.GetDevcontainerImageCacheEnabled()},
		{"encryptedHoneycombApiKey", honeycomb},
		{"continuousProfiling", spec.GetContinuousProfiling()},
	} {
		if setting.asked {
			out = append(out, setting.name)
		}
	}
	return out
}
