package compat

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gitpod-io/gitpod-sdk-go"
	"github.com/gitpod-io/gitpod-sdk-go/shared"
)

func TestGoSDKUpdateRunner(t *testing.T) {
	t.Parallel()
	s := serve(t)
	client, wire := s.goSDK(t, bootstrapToken)
	ctx := deadline(t)
	created := newRunner(ctx, t, client, gitpod.RunnerNewParams{
		Name:     gitpod.F("before"),
		Provider: gitpod.F(gitpod.RunnerProviderAwsEc2),
		Spec: gitpod.F(gitpod.RunnerSpecParam{Configuration: gitpod.F(gitpod.RunnerConfigurationParam{
			Region: gitpod.F("eu-central-1"), AutoUpdate: gitpod.F(true), LogLevel: gitpod.F(gitpod.LogLevelInfo),
			UpdateWindow: gitpod.F(gitpod.UpdateWindowParam{StartHour: gitpod.F(int64(3)), EndHour: gitpod.F(int64(9))}),
		})}),
	}).Runner

	type configuration = gitpod.RunnerUpdateParamsSpecConfiguration
	type metrics = gitpod.RunnerUpdateParamsSpecConfigurationMetrics
	settings := func(c configuration) gitpod.RunnerUpdateParams {
		return gitpod.RunnerUpdateParams{Spec: gitpod.F(gitpod.RunnerUpdateParamsSpec{Configuration: gitpod.F(c)})}
	}
	// Each step builds on the one before.
	steps := []struct {
		name   string
		params gitpod.RunnerUpdateParams
		runner string // the name afterwards
		want   string // the configuration afterwards
	}{
		{
			"a name alone leaves the configuration",
			gitpod.RunnerUpdateParams{Name: gitpod.F("after")},
			"after",
			`{"region":"eu-central-1","autoUpdate":true,"logLevel":"LOG_LEVEL_INFO","updateWindow":{"startHour":3,"endHour":9}}`,
		},
		{
			"nulls leave everything",
			gitpod.RunnerUpdateParams{Name: gitpod.Null[string](), Spec: gitpod.Null[gitpod.RunnerUpdateParamsSpec]()},
			"after",
			`{"region":"eu-central-1","autoUpdate":true,"logLevel":"LOG_LEVEL_INFO","updateWindow":{"startHour":3,"endHour":9}}`,
		},
		{
			"nulls leave settings, false is a value",
			settings(configuration{
				AutoUpdate: gitpod.F(false), LogLevel: gitpod.Null[gitpod.LogLevel](), Metrics: gitpod.Null[metrics](),
				ReleaseChannel: gitpod.F(gitpod.RunnerReleaseChannelLatest), UpdateWindow: gitpod.Null[gitpod.UpdateWindowParam](),
			}), "after",
			`{"region":"eu-central-1","releaseChannel":"RUNNER_RELEASE_CHANNEL_LATEST","logLevel":"LOG_LEVEL_INFO","updateWindow":{"startHour":3,"endHour":9}}`,
		},
		{
			"a window replaces the window as a whole",
			settings(configuration{UpdateWindow: gitpod.F(gitpod.UpdateWindowParam{StartHour: gitpod.F(int64(4))})}), "after",
			`{"region":"eu-central-1","releaseChannel":"RUNNER_RELEASE_CHANNEL_LATEST","logLevel":"LOG_LEVEL_INFO","updateWindow":{"startHour":4}}`,
		},
		{
			"an empty window clears it",
			settings(configuration{UpdateWindow: gitpod.F(gitpod.UpdateWindowParam{})}), "after",
			`{"region":"eu-central-1","releaseChannel":"RUNNER_RELEASE_CHANNEL_LATEST","logLevel":"LOG_LEVEL_INFO"}`,
		},
		{
			"metrics appear",
			settings(configuration{Metrics: gitpod.F(metrics{
				Enabled: gitpod.F(true), URL: gitpod.F("https://a.example.com"), Username: gitpod.F("u"), Password: gitpod.F("pass-in-clear"),
			})}), "after",
			`{"region":"eu-central-1","releaseChannel":"RUNNER_RELEASE_CHANNEL_LATEST","logLevel":"LOG_LEVEL_INFO",
			  "metrics":{"enabled":true,"url":"https://a.example.com","username":"u"}}`,
		},
		{
			"metrics merge field by field",
			settings(configuration{Metrics: gitpod.F(metrics{ManagedMetricsEnabled: gitpod.F(true), Username: gitpod.F("")})}), "after",
			`{"region":"eu-central-1","releaseChannel":"RUNNER_RELEASE_CHANNEL_LATEST","logLevel":"LOG_LEVEL_INFO",
			  "metrics":{"enabled":true,"url":"https://a.example.com","managedMetricsEnabled":true}}`,
		},
		{
			"metrics are cleared by zeros",
			settings(configuration{Metrics: gitpod.F(metrics{
				Enabled: gitpod.F(false), URL: gitpod.F(""), Username: gitpod.F(""), Password: gitpod.F(""), ManagedMetricsEnabled: gitpod.F(false),
			})}), "after",
			`{"region":"eu-central-1","releaseChannel":"RUNNER_RELEASE_CHANNEL_LATEST","logLevel":"LOG_LEVEL_INFO","metrics":{}}`,
		},
	}
	last := created.UpdatedAt
	for _, step := range steps {
		wire.take()
		step.params.RunnerID = gitpod.F(created.RunnerID)
		if _, err := client.Runners.Update(ctx, step.params); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		sent := wire.take()[0]
		got := getRunner(ctx, t, client, created.RunnerID)
		if got.Name != step.runner {
			t.Errorf("%s: the name is %q", step.name, got.Name)
		}
		sameJSON(t, step.name+" ("+sent.body+")", onlySet(t, got.Spec.Configuration.JSON.RawJSON()), step.want)
		if !got.CreatedAt.Equal(created.CreatedAt) || !got.UpdatedAt.After(last) {
			t.Errorf("%s: created at %s (%s at first), updated at %s (%s before)", step.name, got.CreatedAt, created.CreatedAt, got.UpdatedAt, last)
		}
		if strings.Contains(got.JSON.RawJSON(), "pass-in-clear") {
			t.Errorf("%s: the metrics password is returned", step.name)
		}
		last = got.UpdatedAt
	}

	// What cannot be changed.
	_, err := client.Runners.Update(ctx, gitpod.RunnerUpdateParams{
		RunnerID: gitpod.F(created.RunnerID),
		Spec:     gitpod.F(gitpod.RunnerUpdateParamsSpec{DesiredPhase: gitpod.F(gitpod.RunnerPhaseInactive)}),
	})
	wantError(t, err, http.StatusBadRequest, shared.ErrorCodeFailedPrecondition)
	for name, window := range map[string]gitpod.UpdateWindowParam{
		"an end without a start": {EndHour: gitpod.F(int64(4))},
		"too short":              {StartHour: gitpod.F(int64(4)), EndHour: gitpod.F(int64(5))},
		"no such hour":           {StartHour: gitpod.F(int64(24))},
	} {
		params := settings(configuration{UpdateWindow: gitpod.F(window)})
		params.RunnerID = gitpod.F(created.RunnerID)
		if _, err := client.Runners.Update(ctx, params); !wantError(t, err, http.StatusBadRequest, shared.ErrorCodeInvalidArgument) {
			t.Errorf("an update window with %s was taken", name)
		}
	}
	if got := getRunner(ctx, t, client, created.RunnerID); !got.UpdatedAt.Equal(last) {
		t.Errorf("refused updates moved updatedAt to %s", got.UpdatedAt)
	}
}
