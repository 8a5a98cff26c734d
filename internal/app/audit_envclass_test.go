package app_test

import (
	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
)

func auditClasses(a *audited) {
	ctx, c := a.Context(), client(bootstrapToken)
	made, err := gitpodv1connect.NewRunnerServiceClient(c, a.url).CreateRunner(ctx, connect.NewRequest(&gitpodv1.CreateRunnerRequest{
		Name: "with classes", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_GCP,
	}))
	a.step("gitpod.v1.RunnerService/CreateRunner", "runner.create", err)
	configuration := gitpodv1connect.NewRunnerConfigurationServiceClient(c, a.url)
	class, err := configuration.CreateEnvironmentClass(ctx, connect.NewRequest(&gitpodv1.CreateEnvironmentClassRequest{
		RunnerId: made.Msg.GetRunner().GetRunnerId(), DisplayName: "Large", Description: "a class",
	}))
	a.step("gitpod.v1.RunnerConfigurationService/CreateEnvironmentClass", "environment_class.create", err)
	_, err = configuration.UpdateEnvironmentClass(ctx, connect.NewRequest(&gitpodv1.UpdateEnvironmentClassRequest{EnvironmentClassId: class.Msg.GetId()}))
	a.step("gitpod.v1.RunnerConfigurationService/UpdateEnvironmentClass", "environment_class.update", err)
}
