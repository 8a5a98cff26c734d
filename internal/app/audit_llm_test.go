package app_test

import (
	"database/sql"
	"path/filepath"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/seal"
)

func auditLLM(a *audited) {
	ctx := a.Context()
	c := client(bootstrapToken)
	runners := gitpodv1connect.NewRunnerServiceClient(c, a.url)
	configuration := gitpodv1connect.NewRunnerConfigurationServiceClient(c, a.url)

	made, err := runners.CreateRunner(ctx, connect.NewRequest(&gitpodv1.CreateRunnerRequest{Name: "audited-llm", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST}))
	a.step("gitpod.v1.RunnerService/CreateRunner", "runner.create", err)
	runner := made.Msg.GetRunner().GetRunnerId()
	a.giveKey(runner)

	models := []gitpodv1.SupportedModel{gitpodv1.SupportedModel_SUPPORTED_MODEL_SONNET_4_5}
	var ids []string
	for range 2 {
		made, err := configuration.CreateLLMIntegration(ctx, connect.NewRequest(&gitpodv1.CreateLLMIntegrationRequest{RunnerId: runner, Models: models, ApiKey: "k"}))
		a.step("gitpod.v1.RunnerConfigurationService/CreateLLMIntegration", "llm_integration.create", err)
		ids = append(ids, made.Msg.GetId())
	}
	_, err = configuration.UpdateLLMIntegration(ctx, connect.NewRequest(&gitpodv1.UpdateLLMIntegrationRequest{Id: ids[0]}))
	a.step("gitpod.v1.RunnerConfigurationService/UpdateLLMIntegration", "llm_integration.update", err)
	_, err = configuration.DeleteLLMIntegration(ctx, connect.NewRequest(&gitpodv1.DeleteLLMIntegrationRequest{Id: ids[0]}))
	a.step("gitpod.v1.RunnerConfigurationService/DeleteLLMIntegration", "llm_integration.delete", err)
	_, err = runners.DeleteRunner(ctx, connect.NewRequest(&gitpodv1.DeleteRunnerRequest{RunnerId: runner}))
	a.step("gitpod.v1.RunnerService/DeleteRunner", "llm_integration.delete runner.delete", err)
}

// giveKey gives a runner a public key, as if it had been connected.
func (a *audited) giveKey(runner string) {
	a.Helper()
	public, _, err := seal.NewKeyPair()
	if err != nil {
		a.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(a.dir, "muster.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		a.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(a.Context(), "UPDATE runners SET public_key = ? WHERE id = ?", public[:], runner); err != nil {
		a.Fatal(err)
	}
}
