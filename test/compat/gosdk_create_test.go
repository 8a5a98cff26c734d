package compat

import (
	"regexp"
	"testing"
	"time"

	"github.com/gitpod-io/gitpod-sdk-go"
	"github.com/gitpod-io/gitpod-sdk-go/shared"
)

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func TestGoSDKCreateRunner(t *testing.T) {
	t.Parallel()
	s := serve(t)
	client, _ := s.goSDK(t, bootstrapToken)
	ctx := deadline(t)
	me, err := client.Identity.GetAuthenticatedIdentity(ctx, gitpod.IdentityGetAuthenticatedIdentityParams{})
	if err != nil {
		t.Fatal(err)
	}

	tests := []struct {
		name   string
		params gitpod.RunnerNewParams
		kind   gitpod.RunnerKind
		spec   string
	}{
		{
			name: "the documentation's cloud runner",
			params: gitpod.RunnerNewParams{
				Name:     gitpod.F("Production Runner"),
				Provider: gitpod.F(gitpod.RunnerProviderAwsEc2),
				Spec: gitpod.F(gitpod.RunnerSpecParam{
					DesiredPhase: gitpod.F(gitpod.RunnerPhaseActive),
					Configuration: gitpod.F(gitpod.RunnerConfigurationParam{
						Region:         gitpod.F("us-west"),
						ReleaseChannel: gitpod.F(gitpod.RunnerReleaseChannelStable),
						AutoUpdate:     gitpod.F(true),
					}),
				}),
			},
			kind: gitpod.RunnerKindRemote,
			spec: `{"desiredPhase":"RUNNER_PHASE_ACTIVE","configuration":{"region":"us-west","releaseChannel":"RUNNER_RELEASE_CHANNEL_STABLE","autoUpdate":true}}`,
		},
		{
			name: "the documentation's local runner",
			params: gitpod.RunnerNewParams{
				Name:     gitpod.F("Local Development Runner"),
				Provider: gitpod.F(gitpod.RunnerProviderLinuxHost),
				Spec: gitpod.F(gitpod.RunnerSpecParam{
					DesiredPhase: gitpod.F(gitpod.RunnerPhaseActive),
					Configuration: gitpod.F(gitpod.RunnerConfigurationParam{
						ReleaseChannel: gitpod.F(gitpod.RunnerReleaseChannelLatest),
						AutoUpdate:     gitpod.F(true),
					}),
				}),
			},
			kind: gitpod.RunnerKindLocal,
			spec: `{"desiredPhase":"RUNNER_PHASE_ACTIVE","configuration":{"releaseChannel":"RUNNER_RELEASE_CHANNEL_LATEST","autoUpdate":true}}`,
		},
		{
			name: "every setting",
			params: gitpod.RunnerNewParams{
				Name:     gitpod.F("Everything"),
				Provider: gitpod.F(gitpod.RunnerProviderGcp),
				Spec: gitpod.F(gitpod.RunnerSpecParam{
					Variant: gitpod.F(gitpod.RunnerVariantEnterprise),
					Configuration: gitpod.F(gitpod.RunnerConfigurationParam{
						Region:                        gitpod.F("europe-west1"),
						ReleaseChannel:                gitpod.F(gitpod.RunnerReleaseChannelLatest),
						AutoUpdate:                    gitpod.F(true),
						DevcontainerImageCacheEnabled: gitpod.F(true),
						LogLevel:                      gitpod.F(gitpod.LogLevelDebug),
						Metrics: gitpod.F(gitpod.MetricsConfigurationParam{
							Enabled: gitpod.F(true), URL: gitpod.F("https://metrics.example.com/push"), Username: gitpod.F("muster"),
						}),
						UpdateWindow: gitpod.F(gitpod.UpdateWindowParam{StartHour: gitpod.F(int64(22)), EndHour: gitpod.F(int64(2))}),
					}),
				}),
			},
			kind: gitpod.RunnerKindRemote,
			spec: `{"variant":"RUNNER_VARIANT_ENTERPRISE","configuration":{"region":"europe-west1","releaseChannel":"RUNNER_RELEASE_CHANNEL_LATEST",
				"autoUpdate":true,"devcontainerImageCacheEnabled":true,"logLevel":"LOG_LEVEL_DEBUG",
				"metrics":{"enabled":true,"url":"https://metrics.example.com/push","username":"muster"},"updateWindow":{"startHour":22,"endHour":2}}}`,
		},
		{
			name: "an update window from midnight on, without an end",
			params: gitpod.RunnerNewParams{
				Name:     gitpod.F("Midnight"),
				Provider: gitpod.F(gitpod.RunnerProviderAwsEc2),
				Spec: gitpod.F(gitpod.RunnerSpecParam{Configuration: gitpod.F(gitpod.RunnerConfigurationParam{
					UpdateWindow: gitpod.F(gitpod.UpdateWindowParam{StartHour: gitpod.F(int64(0))}),
				})}),
			},
			kind: gitpod.RunnerKindRemote,
			spec: `{"configuration":{"updateWindow":{"startHour":0}}}`,
		},
		{
			name:   "by kind, as before providers",
			params: gitpod.RunnerNewParams{Name: gitpod.F("old"), Kind: gitpod.F(gitpod.RunnerKindRemote)},
			kind:   gitpod.RunnerKindRemote,
			spec:   `{"configuration":{}}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := time.Now()
			created := newRunner(ctx, t, client, test.params)
			r := created.Runner
			if !uuid.MatchString(r.RunnerID) || r.Name != test.params.Name.Value || r.Kind != test.kind {
				t.Errorf("id %q, name %q, kind %s", r.RunnerID, r.Name, r.Kind)
			}
			if p := test.params.Provider; p.Present && r.Provider != p.Value {
				t.Errorf("provider %s", r.Provider)
			}
			if created.ExchangeToken == "" {
				t.Error("no exchange token")
			}
			if r.Creator.ID != me.Subject.ID || r.Creator.Principal != shared.PrincipalUser {
				t.Errorf("creator %+v, want %s", r.Creator, me.Subject.ID)
			}
			if r.CreatedAt.Before(before.Add(-time.Second)) || r.CreatedAt.After(time.Now().Add(time.Second)) || !r.UpdatedAt.Equal(r.CreatedAt) {
				t.Errorf("created at %s, updated at %s", r.CreatedAt, r.UpdatedAt)
			}
			if r.Status.Phase != gitpod.RunnerPhaseCreated {
				t.Errorf("phase %s: the desired phase does not make a runner active", r.Status.Phase)
			}
			sameJSON(t, "spec", onlySet(t, r.Spec.JSON.RawJSON()), test.spec)

			got := getRunner(ctx, t, client, r.RunnerID)
			sameJSON(t, "GetRunner after CreateRunner", got.JSON.RawJSON(), r.JSON.RawJSON())
			page, err := client.Runners.List(ctx, gitpod.RunnerListParams{})
			if err != nil {
				t.Fatal(err)
			}
			if last := page.Runners[len(page.Runners)-1]; last.RunnerID != r.RunnerID {
				t.Errorf("ListRunners right after CreateRunner ends with %q", last.Name)
			}
		})
	}
}
