package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/cli/out"
)

const (
	prefixModel      = "SUPPORTED_MODEL_"
	prefixLLM        = "LLM_PROVIDER_"
	prefixLLMPhase   = "LLM_INTEGRATION_PHASE_"
	prefixHeaderType = "LLM_INTEGRATION_REQUEST_HEADER_TYPE_"
)

// LLMCommands are the verbs of the noun llm.
type LLMCommands struct {
	List    LLMList    `cmd:"" help:"List the integrations with language models."`
	Get     LLMGet     `cmd:"" help:"Show an integration."`
	Create  LLMCreate  `cmd:"" help:"Give a runner access to language models."`
	Update  LLMUpdate  `cmd:"" help:"Change an integration, or replace its API key."`
	Enable  LLMEnable  `cmd:"" help:"Switch an integration on."`
	Disable LLMDisable `cmd:"" help:"Switch an integration off, and keep it."`
	Delete  LLMDelete  `cmd:"" help:"Delete an integration with its API key."`
}

// LLMArg names an integration on the command line.
type LLMArg struct {
	Integration string `arg:"" name:"integration" help:"Id of the integration, or name of a runner that has only this one."`
	Remote
}

// find connects and returns the integration that was named.
func (a *LLMArg) find(ctx context.Context, env *Env) (*Client, *gitpodv1.LLMIntegration, error) {
	c, err := a.connect(env)
	if err != nil {
		return nil, nil, err
	}
	if uuidPattern.MatchString(a.Integration) {
		i, err := c.getLLM(ctx, a.Integration)
		return c, i, err
	}
	r, err := c.FindRunner(ctx, a.Integration)
	if err != nil {
		return nil, nil, err
	}
	all, err := c.listLLM(ctx, []string{r.GetRunnerId()})
	if err != nil {
		return nil, nil, err
	}
	switch len(all) {
	case 0:
		return nil, nil, &missing{fmt.Sprintf("the runner %q has no LLM integration; make one: muster llm create --runner %s --model MODEL", r.GetName(), quote(r.GetName()))}
	case 1:
		return c, all[0], nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the runner %q has %d LLM integrations; say which by its id:", r.GetName(), len(all))
	for _, i := range all {
		fmt.Fprintf(&b, "\n  %s  %s  %s", i.GetId(), short(prefixLLM, i.GetProvider()), modelNames(i.GetModels()))
	}
	return nil, nil, fmt.Errorf("%s", b.String())
}

func (c *Client) getLLM(ctx context.Context, id string) (*gitpodv1.LLMIntegration, error) {
	resp, err := c.Configuration.GetLLMIntegration(ctx, connect.NewRequest(&gitpodv1.GetLLMIntegrationRequest{Id: id}))
	if err != nil {
		return nil, err
	}
	return resp.Msg.GetIntegration(), nil
}

// listLLM returns the integrations of these runners, or of all.
func (c *Client) listLLM(ctx context.Context, runners []string) ([]*gitpodv1.LLMIntegration, error) {
	filter := &gitpodv1.ListLLMIntegrationsRequest_Filter{RunnerIds: runners}
	return pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.LLMIntegration, *gitpodv1.PaginationResponse, error) {
		resp, err := c.Configuration.ListLLMIntegrations(ctx, connect.NewRequest(&gitpodv1.ListLLMIntegrationsRequest{Pagination: p, Filter: filter}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetIntegrations(), resp.Msg.GetPagination(), nil
	})
}

// LLMList lists integrations.
type LLMList struct {
	Runner []string `placeholder:"RUNNER" help:"Only those of this runner, by name or id. May be repeated."`
	Output
	Remote
}

// Run runs the command.
func (cmd *LLMList) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	runners, err := c.runnerIDs(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	integrations, err := c.listLLM(ctx, runners)
	if err != nil {
		return err
	}
	return many(cmd.Output, env, integrations, func() error {
		if len(integrations) == 0 {
			if len(runners) > 0 {
				_, err := fmt.Fprintln(env.Stdout, "No LLM integration is on it. See all: muster llm list")
				return err
			}
			return c.empty(ctx, "LLM integrations", access.ConfigurationWrite, "muster llm create --runner RUNNER --model MODEL")
		}
		names := c.runnerNames(ctx)
		t := out.NewTable("ID", "RUNNER", "PROVIDER", "MODELS", "ENDPOINT", "PHASE", "MESSAGE")
		for _, i := range integrations {
			t.Row(i.GetId(), names(i.GetRunnerId()), short(prefixLLM, i.GetProvider()), modelNames(i.GetModels()), i.GetEndpoint(),
				short(prefixLLMPhase, i.GetPhase()), i.GetPhaseReason())
		}
		return t.Write(env.Stdout)
	})
}

// LLMGet shows an integration.
type LLMGet struct {
	LLMArg
	Output
}

// Run runs the command.
func (cmd *LLMGet) Run(ctx context.Context, env *Env) error {
	c, i, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	return cmd.one(env, i, func() error {
		fields := []string{
			"ID", i.GetId(),
			"Runner", c.runnerNames(ctx)(i.GetRunnerId()),
			"Provider", short(prefixLLM, i.GetProvider()),
			"Models", modelNames(i.GetModels()),
			"Endpoint", endpointText(i.GetEndpoint()),
			"Phase", short(prefixLLMPhase, i.GetPhase()),
			"Message", i.GetPhaseReason(),
			"API key", map[bool]string{true: "set", false: "none"}[len(i.GetEncryptedApiKey()) > 0],
			"Max tokens", limitText(i.GetMaxTokens()),
		}
		for _, h := range i.GetRequestHeaders() {
			value := "set"
			if h.GetHeaderType() == gitpodv1.LLMIntegrationRequestHeaderType_LLM_INTEGRATION_REQUEST_HEADER_TYPE_CEL_EXPRESSION {
				value = string(h.GetValue())
			}
			fields = append(fields, "Header "+h.GetKey(), strings.ToLower(strings.ReplaceAll(short(prefixHeaderType, h.GetHeaderType()), "_", " "))+": "+value)
		}
		return out.Fields(env.Stdout, fields...)
	})
}

func endpointText(endpoint string) string {
	if endpoint == "" {
		return "the provider's usual one"
	}
	return endpoint
}

func limitText(n uint64) string {
	if n == 0 {
		return "no limit"
	}
	return strconv.FormatUint(n, 10)
}

// runnerNames looks runners up by their id. It is for show only: a runner that
// cannot be found keeps its id.
func (c *Client) runnerNames(ctx context.Context) func(id string) string {
	known := map[string]string{}
	return func(id string) string {
		if _, ok := known[id]; !ok {
			known[id] = id
			if r, err := c.GetRunner(ctx, id); err == nil {
				known[id] = r.GetName()
			}
		}
		return known[id]
	}
}

// models reads names such as "sonnet-4-5".
func models(typed []string) ([]gitpodv1.SupportedModel, error) {
	out := make([]gitpodv1.SupportedModel, 0, len(typed))
	for _, name := range typed {
		m := number[gitpodv1.SupportedModel](gitpodv1.SupportedModel_value, prefixModel, name)
		if m == gitpodv1.SupportedModel_SUPPORTED_MODEL_UNSPECIFIED {
			return nil, usagef("there is no model %q; the models are %s", name, modelNames(slices.Sorted(maps.Keys(gitpodv1.SupportedModel_name))))
		}
		out = append(out, m)
	}
	return out, nil
}

// modelNames lists models as people type them.
func modelNames[M ~int32](models []M) string {
	var names []string
	for _, m := range models {
		if name := short(prefixModel, gitpodv1.SupportedModel(m)); name != "" {
			names = append(names, strings.ToLower(strings.ReplaceAll(name, "_", "-")))
		}
	}
	return strings.Join(names, ", ")
}

// LLMDelete deletes an integration.
type LLMDelete struct {
	LLMArg
	Confirmation
}

// Run runs the command.
func (cmd *LLMDelete) Run(ctx context.Context, env *Env) error {
	c, i, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	q := fmt.Sprintf("Delete the LLM integration %s of runner %q with its API key?", i.GetId(), c.runnerNames(ctx)(i.GetRunnerId()))
	if err := cmd.confirm(ctx, env, q); err != nil {
		return err
	}
	if _, err := c.Configuration.DeleteLLMIntegration(ctx, connect.NewRequest(&gitpodv1.DeleteLLMIntegrationRequest{Id: i.GetId()})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "LLM integration %s is deleted.\n", i.GetId())
	return err
}

// LLMEnable switches an integration on.
type LLMEnable struct{ LLMArg }

// Run runs the command.
func (cmd *LLMEnable) Run(ctx context.Context, env *Env) error {
	return cmd.turn(ctx, env, gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_AVAILABLE)
}

// LLMDisable switches an integration off.
type LLMDisable struct{ LLMArg }

// Run runs the command.
func (cmd *LLMDisable) Run(ctx context.Context, env *Env) error {
	return cmd.turn(ctx, env, gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_DISABLED)
}

func (a *LLMArg) turn(ctx context.Context, env *Env, to gitpodv1.LLMIntegrationPhase) error {
	c, i, err := a.find(ctx, env)
	if err != nil {
		return err
	}
	if _, err := c.Configuration.UpdateLLMIntegration(ctx, connect.NewRequest(&gitpodv1.UpdateLLMIntegrationRequest{Id: i.GetId(), Phase: &to})); err != nil {
		return err
	}
	if i, err = c.getLLM(ctx, i.GetId()); err != nil {
		return err
	}
	text := fmt.Sprintf("LLM integration %s is %s. %s", i.GetId(), short(prefixLLMPhase, i.GetPhase()), i.GetPhaseReason())
	_, err = fmt.Fprintln(env.Stdout, strings.TrimSpace(text))
	return err
}
