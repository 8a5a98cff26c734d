package main

import (
	"context"
	"os"
	"path/filepath"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
)

// getContests measure an authenticated GetRunner against a handler that returns
// the same bytes.
func getContests(ctx context.Context, dir string) ([]contest, func(), error) {
	ours, stopOurs, err := start(ctx, roleMuster, dirEnv+"="+filepath.Join(dir, "get"))
	if err != nil {
		return nil, nil, err
	}
	api := gitpodv1connect.NewRunnerServiceClient(newHTTP(false), ours)
	made, err := api.CreateRunner(withToken(ctx), connect.NewRequest(newRunner()))
	if err != nil {
		stopOurs()
		return nil, nil, err
	}
	id := made.Msg.GetRunner().GetRunnerId()
	got, err := api.GetRunner(withToken(ctx), connect.NewRequest(&gitpodv1.GetRunnerRequest{RunnerId: id}))
	if err != nil {
		stopOurs()
		return nil, nil, err
	}
	raw, err := proto.Marshal(got.Msg)
	if err != nil {
		stopOurs()
		return nil, nil, err
	}
	file := filepath.Join(dir, "runner")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		stopOurs()
		return nil, nil, err
	}
	bare, stopBare, err := start(ctx, roleBare, runnerEnv+"="+file)
	if err != nil {
		stopOurs()
		return nil, nil, err
	}
	side := func(url string, opts ...connect.ClientOption) func(context.Context) (int64, error) {
		c := gitpodv1connect.NewRunnerServiceClient(newHTTP(false), url, opts...)
		return func(ctx context.Context) (int64, error) {
			return together(ctx, clients, func(ctx context.Context, _ int) error {
				_, err := c.GetRunner(withToken(ctx), connect.NewRequest(&gitpodv1.GetRunnerRequest{RunnerId: id}))
				return err
			})
		}
	}
	return []contest{
		{"GetRunner, binary", 0.6, side(ours), side(bare)},
		{"GetRunner, JSON", 0.6, side(ours, connect.WithProtoJSON()), side(bare, connect.WithProtoJSON())},
	}, func() { stopOurs(); stopBare() }, nil
}

func newRunner() *gitpodv1.CreateRunnerRequest {
	return &gitpodv1.CreateRunnerRequest{
		Name: "a runner to measure", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_AWS_EC2,
		Spec: &gitpodv1.RunnerSpec{Configuration: &gitpodv1.RunnerConfiguration{
			Region: "eu-central-1", ReleaseChannel: gitpodv1.RunnerReleaseChannel_RUNNER_RELEASE_CHANNEL_STABLE, AutoUpdate: true,
			LogLevel: gitpodv1.LogLevel_LOG_LEVEL_INFO,
		}},
	}
}
