package app_test

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
	"github.com/musterhq/muster/internal/agent"
	"github.com/musterhq/muster/test/muster"
)

// auditRunnerKeys asks a runner that is connected, and whose own deeds are in the
// log, too.
func auditRunnerKeys(a *audited) {
	ctx := a.Context()
	c := client(bootstrapToken)
	runners := gitpodv1connect.NewRunnerServiceClient(c, a.url)
	keys := adminv1connect.NewRunnerKeyServiceClient(c, a.url)
	tokens := adminv1connect.NewRunnerTokenServiceClient(c, a.url)

	made, err := runners.CreateRunner(ctx, connect.NewRequest(&gitpodv1.CreateRunnerRequest{Name: "audited-keys", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST}))
	a.step("gitpod.v1.RunnerService/CreateRunner", "runner.create", err)
	runner := made.Msg.GetRunner().GetRunnerId()
	left := make(chan error, 1)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go func() {
		left <- agent.Run(running, agent.Config{Server: a.url, ExchangeToken: made.Msg.GetExchangeToken(), DataDir: a.TempDir(), Version: "test"})
	}()
	muster.Until(a.T, 30*time.Second, func() error {
		got, err := runners.GetRunner(ctx, connect.NewRequest(&gitpodv1.GetRunnerRequest{RunnerId: runner}))
		if err != nil {
			return err
		}
		if phase := got.Msg.GetRunner().GetStatus().GetPhase(); phase != gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE {
			return fmt.Errorf("the runner is %s", phase)
		}
		return nil
	})
	a.want = append(a.want, "runner.token.exchange", "runner.key.present")

	_, err = runners.UpdateRunner(ctx, connect.NewRequest(&gitpodv1.UpdateRunnerRequest{RunnerId: runner, Spec: &gitpodv1.UpdateRunnerRequest_Spec{
		Configuration: &gitpodv1.UpdateRunnerRequest_RunnerConfiguration{Metrics: &gitpodv1.UpdateRunnerRequest_MetricsConfiguration{Password: new(string)}},
	}}))
	a.step("gitpod.v1.RunnerService/UpdateRunner", "runner.update", err)
	checked, err := keys.CheckRunnerSecrets(ctx, connect.NewRequest(&adminv1.CheckRunnerSecretsRequest{RunnerId: runner}))
	a.step("muster.admin.v1.RunnerKeyService/CheckRunnerSecrets", "runner.secrets.check", err)
	if checked.Msg.GetChecked() != 0 {
		a.Errorf("the runner was asked about %d secrets", checked.Msg.GetChecked())
	}
	secret := "a metrics password"
	_, err = runners.UpdateRunner(ctx, connect.NewRequest(&gitpodv1.UpdateRunnerRequest{RunnerId: runner, Spec: &gitpodv1.UpdateRunnerRequest_Spec{
		Configuration: &gitpodv1.UpdateRunnerRequest_RunnerConfiguration{Metrics: &gitpodv1.UpdateRunnerRequest_MetricsConfiguration{Password: &secret}},
	}}))
	a.step("gitpod.v1.RunnerService/UpdateRunner", "runner.update", err)
	checked, err = keys.CheckRunnerSecrets(ctx, connect.NewRequest(&adminv1.CheckRunnerSecretsRequest{RunnerId: runner}))
	a.step("muster.admin.v1.RunnerKeyService/CheckRunnerSecrets", "runner.secrets.check secret.deliver", err)
	if checked.Msg.GetChecked() != 1 || len(checked.Msg.GetUnreadable()) != 0 {
		a.Errorf("the check says %v", checked.Msg)
	}

	_, err = tokens.RotateRunnerToken(ctx, connect.NewRequest(&adminv1.RotateRunnerTokenRequest{RunnerId: runner}))
	a.step("muster.admin.v1.RunnerTokenService/RotateRunnerToken", "runner.token.rotate runner.token.exchange runner.token.rotated", err)
	var held []*adminv1.RunnerToken
	muster.Until(a.T, 30*time.Second, func() error {
		list, err := tokens.ListRunnerTokens(ctx, connect.NewRequest(&adminv1.ListRunnerTokensRequest{RunnerId: runner}))
		if err != nil {
			return err
		}
		if held = list.Msg.GetTokens(); len(held) != 1 {
			return fmt.Errorf("the runner has %d tokens", len(held))
		}
		return nil
	})
	_, err = tokens.ExpireRunnerToken(ctx, connect.NewRequest(&adminv1.ExpireRunnerTokenRequest{RunnerId: runner, TokenId: held[0].GetId()}))
	a.step("muster.admin.v1.RunnerTokenService/ExpireRunnerToken", "runner.token.expire", err)
	if err := <-left; err == nil {
		a.Error("a runner whose token has ended goes on")
	}
	_, err = runners.DeleteRunner(ctx, connect.NewRequest(&gitpodv1.DeleteRunnerRequest{RunnerId: runner, Force: true}))
	a.step("gitpod.v1.RunnerService/DeleteRunner", "runner.delete", err)
}
