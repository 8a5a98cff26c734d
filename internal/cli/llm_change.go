package cli

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// headers are the request headers that flags ask for, sorted by name.
func headers(files, expressions map[string]string) ([]*gitpodv1.LLMIntegrationRequestHeader, error) {
	var all []*gitpodv1.LLMIntegrationRequestHeader
	for _, name := range slices.Sorted(maps.Keys(files)) {
		raw, err := os.ReadFile(files[name])
		if err != nil {
			return nil, fmt.Errorf("reading --header %s: %w", name, err)
		}
		all = append(all, &gitpodv1.LLMIntegrationRequestHeader{
			Key: name, Value: []byte(strings.TrimRight(string(raw), "\r\n")),
			HeaderType: gitpodv1.LLMIntegrationRequestHeaderType_LLM_INTEGRATION_REQUEST_HEADER_TYPE_LITERAL,
		})
	}
	for _, name := range slices.Sorted(maps.Keys(expressions)) {
		all = append(all, &gitpodv1.LLMIntegrationRequestHeader{
			Key: name, Value: []byte(expressions[name]),
			HeaderType: gitpodv1.LLMIntegrationRequestHeaderType_LLM_INTEGRATION_REQUEST_HEADER_TYPE_CEL_EXPRESSION,
		})
	}
	return all, nil
}

// LLMUpdate changes an integration. Flags that are not given change nothing.
type LLMUpdate struct {
	LLMArg
	Model            []string          `placeholder:"MODEL" help:"Model that it provides, such as sonnet-4-5. May be repeated; replaces all."`
	Endpoint         *string           `placeholder:"URL" help:"URL of the provider; empty for its usual one."`
	MaxTokens        *uint64           `placeholder:"N" help:"Most tokens that one request may ask for; 0 for no limit."`
	APIKey           SecretFlags       `embed:"" prefix:"api-key-"`
	Header           map[string]string `mapsep:"none" placeholder:"NAME=FILE" help:"Request header whose value is in a file. May be repeated; the headers that are given replace all."`
	HeaderExpression map[string]string `mapsep:"none" placeholder:"NAME=CEL" help:"Request header that the runner computes with a CEL expression. May be repeated."`
	Output
}

// Help adds to the help of the command.
func (*LLMUpdate) Help() string {
	return `API key and header values are sealed to the runner's key; nobody can read them
back. "--api-key-file -" asks for the key on a terminal.`
}

// Run runs the command.
func (cmd *LLMUpdate) Run(ctx context.Context, env *Env) error {
	req := &gitpodv1.UpdateLLMIntegrationRequest{Endpoint: cmd.Endpoint, MaxTokens: cmd.MaxTokens}
	var err error
	if req.Models, err = models(cmd.Model); err != nil {
		return err
	}
	if req.RequestHeaders, err = headers(cmd.Header, cmd.HeaderExpression); err != nil {
		return err
	}
	if req.ApiKey, err = cmd.key(ctx, env); err != nil {
		return err
	}
	if proto.Size(req) == 0 {
		return usagef("nothing to change: give at least one flag")
	}
	c, i, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	req.Id = i.GetId()
	if req.GetApiKey() != "" || len(cmd.Header) > 0 {
		c.warnOfPendingKey(ctx, i.GetRunnerId())
	}
	if _, err := c.Configuration.UpdateLLMIntegration(ctx, connect.NewRequest(req)); err != nil {
		return err
	}
	if i, err = c.getLLM(ctx, i.GetId()); err != nil {
		return err
	}
	return cmd.one(env, i, func() error {
		_, err := fmt.Fprintf(env.Stdout, "LLM integration %s is updated.\n", i.GetId())
		return err
	})
}

// key is the new API key; nil when it stays, the empty one to forget it.
func (cmd *LLMUpdate) key(ctx context.Context, env *Env) (*string, error) {
	from := SecretSource{File: cmd.APIKey.File, Env: cmd.APIKey.Env}
	if cmd.APIKey.Clear || !from.given() {
		return cmd.APIKey.read(env, "--api-key")
	}
	key, err := from.read(ctx, env, "--api-key", "API key: ")
	return &key, err
}

// LLMCreate makes an integration.
type LLMCreate struct {
	Runner           string            `required:"" placeholder:"RUNNER" help:"Runner that may use them, by name or id."`
	Model            []string          `required:"" placeholder:"MODEL" help:"Model that it provides, such as sonnet-4-5 or openai-4o. May be repeated; all of one provider."`
	Endpoint         string            `placeholder:"URL" help:"URL of the provider; without the flag its usual one."`
	MaxTokens        uint64            `placeholder:"N" help:"Most tokens that one request may ask for; without the flag there is no limit."`
	APIKey           SecretSource      `embed:"" prefix:"api-key-"`
	NoAPIKey         bool              `name:"no-api-key" help:"The provider needs no API key."`
	Header           map[string]string `mapsep:"none" placeholder:"NAME=FILE" help:"Request header whose value is in a file. May be repeated."`
	HeaderExpression map[string]string `mapsep:"none" placeholder:"NAME=CEL" help:"Request header that the runner computes with a CEL expression. May be repeated."`
	Output
	Remote
}

// Help adds to the help of the command.
func (*LLMCreate) Help() string {
	return `The runner must have connected once: the API key is sealed to its key, so that
nobody else can read it.

For example: muster llm create --runner lab --model sonnet-4-5 --model opus-4-5 --api-key-file key.txt`
}

// Run runs the command.
func (cmd *LLMCreate) Run(ctx context.Context, env *Env) error {
	selected, err := models(cmd.Model)
	if err != nil {
		return err
	}
	extra, err := headers(cmd.Header, cmd.HeaderExpression)
	if err != nil {
		return err
	}
	key, err := cmd.key(ctx, env)
	if err != nil {
		return err
	}
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	if key != "" || len(cmd.Header) > 0 {
		c.warnOfPendingKey(ctx, r.GetRunnerId())
	}
	resp, err := c.Configuration.CreateLLMIntegration(ctx, connect.NewRequest(&gitpodv1.CreateLLMIntegrationRequest{
		RunnerId: r.GetRunnerId(), Models: selected, Endpoint: cmd.Endpoint, ApiKey: key, MaxTokens: cmd.MaxTokens,
	}))
	if err != nil {
		return err
	}
	// The API takes headers with a change only.
	if len(extra) > 0 {
		if _, err := c.Configuration.UpdateLLMIntegration(ctx, connect.NewRequest(&gitpodv1.UpdateLLMIntegrationRequest{Id: resp.Msg.GetId(), RequestHeaders: extra})); err != nil {
			fmt.Fprintf(env.Stderr, "The LLM integration %s is made, without its request headers; set them with \"muster llm update\":\n", resp.Msg.GetId())
			return err
		}
	}
	return cmd.one(env, resp.Msg, func() error {
		_, err := fmt.Fprintf(env.Stdout, "Runner %q can use %s.\nID: %s\n", r.GetName(), modelNames(selected), resp.Msg.GetId())
		return err
	})
}

func (cmd *LLMCreate) key(ctx context.Context, env *Env) (string, error) {
	switch {
	case cmd.NoAPIKey && cmd.APIKey.given():
		return "", usagef("--no-api-key contradicts the flag that says where the API key is")
	case cmd.NoAPIKey:
		return "", nil
	default:
		return cmd.APIKey.read(ctx, env, "--api-key", "API key: ")
	}
}
