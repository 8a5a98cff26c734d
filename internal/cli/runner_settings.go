package cli

import (
	"fmt"
	"strconv"
	"strings"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// Settings are the parts of a runner's configuration that can be set when it is
// created and later.
type Settings struct {
	ReleaseChannel string `enum:"stable,latest," default:"" placeholder:"CHANNEL" help:"Where updates come from: stable or latest."`
	AutoUpdate     *bool  `negatable:"" help:"Let the runner update itself."`
	UpdateWindow   string `placeholder:"START-END" help:"Hours (UTC) in which it may update itself, such as 22-2, at least 2 hours; none for any time."`
	LogLevel       string `enum:"debug,info,warn,error," default:"" placeholder:"LEVEL" help:"How much it logs: debug, info, warn or error."`
	ImageCache     *bool  `negatable:"" help:"Cache dev container images."`
	Profiling      *bool  `negatable:"" name:"continuous-profiling" help:"Profile the runner continuously."`
}

func (s *Settings) channel() gitpodv1.RunnerReleaseChannel {
	return number[gitpodv1.RunnerReleaseChannel](gitpodv1.RunnerReleaseChannel_value, prefixChannel, s.ReleaseChannel)
}

func (s *Settings) level() gitpodv1.LogLevel {
	return number[gitpodv1.LogLevel](gitpodv1.LogLevel_value, prefixLogLevel, s.LogLevel)
}

// configuration is that of a new runner.
func (s *Settings) configuration() (*gitpodv1.RunnerConfiguration, error) {
	window, err := parseWindow(s.UpdateWindow)
	if err != nil {
		return nil, err
	}
	isSet := func(b *bool) bool { return b != nil && *b }
	return &gitpodv1.RunnerConfiguration{
		ReleaseChannel:                s.channel(),
		AutoUpdate:                    isSet(s.AutoUpdate),
		UpdateWindow:                  window,
		LogLevel:                      s.level(),
		DevcontainerImageCacheEnabled: isSet(s.ImageCache),
		ContinuousProfiling:           isSet(s.Profiling),
	}, nil
}

// change is what to change of the configuration of a runner that exists.
func (s *Settings) change() (*gitpodv1.UpdateRunnerRequest_RunnerConfiguration, error) {
	window, err := parseWindow(s.UpdateWindow)
	if err != nil {
		return nil, err
	}
	ch := &gitpodv1.UpdateRunnerRequest_RunnerConfiguration{
		AutoUpdate:                    s.AutoUpdate,
		UpdateWindow:                  window,
		DevcontainerImageCacheEnabled: s.ImageCache,
		ContinuousProfiling:           s.Profiling,
	}
	if s.ReleaseChannel != "" {
		ch.ReleaseChannel = s.channel().Enum()
	}
	if s.LogLevel != "" {
		ch.LogLevel = s.level().Enum()
	}
	return ch, nil
}

// parseWindow reads START-END, START alone, or none, which is a window without
// hours. Nothing typed is no window. The control plane checks the hours.
func parseWindow(typed string) (*gitpodv1.UpdateWindow, error) {
	switch typed {
	case "":
		return nil, nil
	case "none":
		return &gitpodv1.UpdateWindow{}, nil
	}
	from, to, both := strings.Cut(typed, "-")
	start, err := hour(from)
	if err != nil {
		return nil, err
	}
	w := &gitpodv1.UpdateWindow{StartHour: &start}
	if both {
		end, err := hour(to)
		if err != nil {
			return nil, err
		}
		w.EndHour = &end
	}
	return w, nil
}

func hour(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, usagef("--update-window: %q is not an hour; write START-END in UTC, such as 22-2, or none", s)
	}
	return uint32(n), nil
}

func windowText(w *gitpodv1.UpdateWindow) string {
	switch {
	case w == nil || w.StartHour == nil:
		return "any time"
	case w.EndHour == nil:
		return fmt.Sprintf("from %02d:00 UTC", w.GetStartHour())
	default:
		return fmt.Sprintf("%02d:00 to %02d:00 UTC", w.GetStartHour(), w.GetEndHour())
	}
}
