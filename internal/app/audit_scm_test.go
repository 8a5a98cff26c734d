package app_test

import (
	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
)

func auditSCM(a *audited) {
	ctx := a.Context()
	c := client(bootstrapToken)
	runners := gitpodv1connect.NewRunnerServiceClient(c, a.url)
	configuration := gitpodv1connect.NewRunnerConfigurationServiceClient(c, a.url)
	const service = "gitpod.v1.RunnerConfigurationService/"

	made, err := runners.CreateRunner(ctx, connect.NewRequest(&gitpodv1.CreateRunnerRequest{Name: "audited-scm", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST}))
	a.step("gitpod.v1.RunnerService/CreateRunner", "runner.create", err)
	runner := made.Msg.GetRunner().GetRunnerId()
	a.giveKey(runner)
	integrate := func(host string) string {
		made, err := configuration.CreateSCMIntegration(ctx, connect.NewRequest(&gitpodv1.CreateSCMIntegrationRequest{RunnerId: runner, ScmId: "gitlab", Host: host, Pat: true}))
		a.step(service+"CreateSCMIntegration", "scm_integration.create", err)
		return made.Msg.GetId()
	}
	store := func(host string, source gitpodv1.HostAuthenticationTokenSource) string {
		made, err := configuration.CreateHostAuthenticationToken(ctx, connect.NewRequest(&gitpodv1.CreateHostAuthenticationTokenRequest{RunnerId: runner, Host: host, Token: "t", Source: source}))
		a.step(service+"CreateHostAuthenticationToken", "host_authentication_token.create", err)
		return made.Msg.GetToken().GetId()
	}
	const oauth, pat = gitpodv1.HostAuthenticationTokenSource_HOST_AUTHENTICATION_TOKEN_SOURCE_OAUTH, gitpodv1.HostAuthenticationTokenSource_HOST_AUTHENTICATION_TOKEN_SOURCE_PAT

	changed, deleted := integrate("a.example.com"), integrate("b.example.com")
	token := store("a.example.com", pat)
	_, err = configuration.UpdateHostAuthenticationToken(ctx, connect.NewRequest(&gitpodv1.UpdateHostAuthenticationTokenRequest{Id: token}))
	a.step(service+"UpdateHostAuthenticationToken", "host_authentication_token.update", err)
	_, err = configuration.DeleteHostAuthenticationToken(ctx, connect.NewRequest(&gitpodv1.DeleteHostAuthenticationTokenRequest{Id: token}))
	a.step(service+"DeleteHostAuthenticationToken", "host_authentication_token.delete", err)

	// What goes with an integration, or with a part of it, is told too.
	store("a.example.com", pat)
	client, secret, no := "client", "secret", false
	_, err = configuration.UpdateSCMIntegration(ctx, connect.NewRequest(&gitpodv1.UpdateSCMIntegrationRequest{
		Id: changed, OauthClientId: &client, OauthPlaintextClientSecret: &secret, Pat: &no,
	}))
	a.step(service+"UpdateSCMIntegration", "host_authentication_token.delete scm_integration.update", err)
	store("b.example.com", oauth)
	_, err = configuration.DeleteSCMIntegration(ctx, connect.NewRequest(&gitpodv1.DeleteSCMIntegrationRequest{Id: deleted}))
	a.step(service+"DeleteSCMIntegration", "host_authentication_token.delete scm_integration.delete", err)
	_, err = runners.DeleteRunner(ctx, connect.NewRequest(&gitpodv1.DeleteRunnerRequest{RunnerId: runner}))
	a.step("gitpod.v1.RunnerService/DeleteRunner", "scm_integration.delete runner.delete", err)
}
