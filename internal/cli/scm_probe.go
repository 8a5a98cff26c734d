package cli

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/cli/out"
)

// SCMProbe tries an integration.
type SCMProbe struct{ SCMArg }

// Help adds to the help of the command.
func (*SCMProbe) Help() string {
	return `The runner asks the host, without anybody's credential: whether it answers, is of
the kind that the integration says, and knows the OAuth application. For those
who may change the integration.`
}

// Run runs the command.
func (cmd *SCMProbe) Run(ctx context.Context, env *Env) error {
	c, i, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	r, err := c.GetRunner(ctx, i.GetRunnerId())
	if err != nil {
		return err
	}
	if !c.mayHave(ctx, access.ConfigurationWrite) {
		return errors.New("only those who may change the integration can have it tried")
	}
	if !connected(r) {
		return fmt.Errorf("runner %q is not connected right now, and only it can ask the host", out.Clean(r.GetName()))
	}
	wrong, err := c.probe(ctx, i)
	if err != nil {
		return err
	}
	for _, w := range wrong {
		fmt.Fprintln(env.Stderr, w)
	}
	if len(wrong) > 0 {
		return errors.New("the integration does not work as it is; change it with: muster scm update " + i.GetId())
	}
	_, err = fmt.Fprintf(env.Stdout, "Runner %q finds nothing wrong with the integration with %s.\n", out.Clean(r.GetName()), out.Clean(i.GetHost()))
	return err
}

// probe returns what is wrong with an integration as it is stored, a line each:
// nothing while its runner is away, and for those who may not change it.
func (c *Client) probe(ctx context.Context, i *gitpodv1.SCMIntegration) ([]string, error) {
	m := &gitpodv1.ValidateRunnerConfigurationRequest_ValidateSCMIntegration{
		Id: i.GetId(), ScmId: i.GetScmId(), Host: i.GetHost(), Pat: i.GetPat(), VirtualDirectory: i.VirtualDirectory, //nolint:protogetter // absent stays absent
	}
	if o := i.GetOauth(); o != nil {
		m.OauthClientId = &o.ClientId
		m.OauthClientSecret = &gitpodv1.ValidateRunnerConfigurationRequest_ValidateSCMIntegration_OauthEncryptedClientSecret{OauthEncryptedClientSecret: o.GetEncryptedClientSecret()}
		if o.GetIssuerUrl() != "" {
			m.IssuerUrl = &o.IssuerUrl
		}
	}
	resp, err := c.Configuration.ValidateRunnerConfiguration(ctx, connect.NewRequest(&gitpodv1.ValidateRunnerConfigurationRequest{
		RunnerId: i.GetRunnerId(), Config: &gitpodv1.ValidateRunnerConfigurationRequest_ScmIntegration{ScmIntegration: m},
	}))
	if err != nil {
		return nil, err
	}
	found := resp.Msg.GetScmIntegration()
	var wrong []string
	for _, w := range []struct{ of, problem string }{
		{"kind " + i.GetScmId(), found.GetScmIdError()},
		{i.GetHost(), found.GetHostError()},
		{"OAuth application", found.GetOauthError()},
		{"personal access tokens", found.GetPatError()},
	} {
		if w.problem != "" {
			wrong = append(wrong, out.Clean(w.of+": "+w.problem))
		}
	}
	return wrong, nil
}

// warnOfIntegration warns of what is wrong with an integration that was just
// stored.
func (c *Client) warnOfIntegration(ctx context.Context, i *gitpodv1.SCMIntegration) {
	wrong, err := c.probe(ctx, i)
	if err != nil {
		fmt.Fprintf(c.env.Stderr, "Warning: the integration is stored, and whether it works could not be found out: %s\n", sentence(err))
	}
	for _, w := range wrong {
		fmt.Fprintf(c.env.Stderr, "Warning: the integration is stored, and does not work as it is: %s\n", w)
	}
}
