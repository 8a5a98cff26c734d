package cli

import (
	"context"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// Enroll readies a runner of this host: the one with the given id, or a new one
// with the given name when there is no id or no such runner any more. One of that
// name that never connected takes the place of a new one: whoever made it was
// stopped before the id was kept. It returns the id, and an exchange token when
// the runner has yet to join: always when it is new or was never connected, or
// when the caller says that its identity is lost, or not accepted any more.
func (c *Client) Enroll(ctx context.Context, id, name string, lost bool) (runnerID, exchangeToken string, err error) {
	if id == "" {
		all, err := c.ListRunners(ctx, nil)
		if err != nil {
			return "", "", err
		}
		for _, r := range all {
			if r.GetName() == name && r.GetStatus().GetPhase() == gitpodv1.RunnerPhase_RUNNER_PHASE_CREATED {
				id = r.GetRunnerId()
			}
		}
	}
	if id != "" {
		r, err := c.GetRunner(ctx, id)
		switch {
		case isMissing(err):
		case err != nil:
			return "", "", err
		case !lost && r.GetStatus().GetPhase() != gitpodv1.RunnerPhase_RUNNER_PHASE_CREATED:
			return id, "", nil
		default:
			resp, err := c.Runners.CreateRunnerToken(ctx, connect.NewRequest(&gitpodv1.CreateRunnerTokenRequest{RunnerId: id}))
			if err != nil {
				return "", "", err
			}
			return id, resp.Msg.GetExchangeToken(), nil
		}
	}
	resp, err := c.Runners.CreateRunner(ctx, connect.NewRequest(&gitpodv1.CreateRunnerRequest{
		Name:     name,
		Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST,
	}))
	if err != nil {
		return "", "", err
	}
	return resp.Msg.GetRunner().GetRunnerId(), resp.Msg.GetExchangeToken(), nil
}
