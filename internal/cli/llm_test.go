package cli_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
)

// modelPlane is a control plane with one runner and its LLM integrations.
type modelPlane struct {
	gitpodv1connect.UnimplementedRunnerServiceHandler
	gitpodv1connect.UnimplementedRunnerConfigurationServiceHandler
	runner       *gitpodv1.Runner
	integrations []*gitpodv1.LLMIntegration
	requests     []proto.Message
}

func newModelPlane(t *testing.T) *modelPlane {
	t.Helper()
	p := &modelPlane{runner: &gitpodv1.Runner{RunnerId: runnerID(1), Name: "lab"}}
	mux := http.NewServeMux()
	mux.Handle(gitpodv1connect.NewRunnerServiceHandler(p))
	mux.Handle(gitpodv1connect.NewRunnerConfigurationServiceHandler(p))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	isolate(t)
	t.Setenv("MUSTER_SERVER", server.URL)
	t.Setenv("MUSTER_TOKEN", adminToken)
	return p
}

func (p *modelPlane) ListRunners(context.Context, *connect.Request[gitpodv1.ListRunnersRequest]) (*connect.Response[gitpodv1.ListRunnersResponse], error) {
	return connect.NewResponse(&gitpodv1.ListRunnersResponse{Runners: []*gitpodv1.Runner{p.runner}}), nil
}

func (p *modelPlane) GetRunner(context.Context, *connect.Request[gitpodv1.GetRunnerRequest]) (*connect.Response[gitpodv1.GetRunnerResponse], error) {
	return connect.NewResponse(&gitpodv1.GetRunnerResponse{Runner: p.runner}), nil
}

func (p *modelPlane) CreateLLMIntegration(_ context.Context, req *connect.Request[gitpodv1.CreateLLMIntegrationRequest]) (*connect.Response[gitpodv1.CreateLLMIntegrationResponse], error) {
	p.requests = append(p.requests, req.Msg)
	return connect.NewResponse(&gitpodv1.CreateLLMIntegrationResponse{Id: runnerID(9)}), nil
}

func (p *modelPlane) ListLLMIntegrations(context.Context, *connect.Request[gitpodv1.ListLLMIntegrationsRequest]) (*connect.Response[gitpodv1.ListLLMIntegrationsResponse], error) {
	return connect.NewResponse(&gitpodv1.ListLLMIntegrationsResponse{Integrations: p.integrations}), nil
}

func (p *modelPlane) GetLLMIntegration(_ context.Context, req *connect.Request[gitpodv1.GetLLMIntegrationRequest]) (*connect.Response[gitpodv1.GetLLMIntegrationResponse], error) {
	for _, i := range p.integrations {
		if i.GetId() == req.Msg.GetId() {
			return connect.NewResponse(&gitpodv1.GetLLMIntegrationResponse{Integration: i}), nil
		}
	}
	return nil, failure(connect.CodeNotFound, "not-found", "There is no such integration.")
}

func (p *modelPlane) UpdateLLMIntegration(_ context.Context, req *connect.Request[gitpodv1.UpdateLLMIntegrationRequest]) (*connect.Response[gitpodv1.UpdateLLMIntegrationResponse], error) {
	p.requests = append(p.requests, req.Msg)
	return connect.NewResponse(&gitpodv1.UpdateLLMIntegrationResponse{}), nil
}

func (p *modelPlane) want(t *testing.T, requests ...proto.Message) {
	t.Helper()
	if diff := cmp.Diff(requests, p.requests, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	p.requests = nil
}

func TestLLMCreate(t *testing.T) {
	p := newModelPlane(t)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LLM_KEY", "from-a-variable")
	models := []gitpodv1.SupportedModel{gitpodv1.SupportedModel_SUPPORTED_MODEL_OPUS_4_5, gitpodv1.SupportedModel_SUPPORTED_MODEL_SONNET_3_7_EXTENDED}
	for _, c := range []struct {
		args, stdin, key string
	}{
		{"--api-key-file " + file, "", "from-a-file"},
		{"--api-key-env LLM_KEY", "", "from-a-variable"},
		{"--api-key-file -", "from-stdin\n", "from-stdin"},
		{"--no-api-key", "", ""},
	} {
		args := append(strings.Fields("llm create --runner lab --model opus-4-5 --model SONNET_3_7_EXTENDED --endpoint https://llm --max-tokens 7"), strings.Fields(c.args)...)
		command{stdin: c.stdin}.run(t, args...).want(t, 0)
		p.want(t, &gitpodv1.CreateLLMIntegrationRequest{RunnerId: runnerID(1), Models: models, Endpoint: "https://llm", MaxTokens: 7, ApiKey: c.key})
	}
	made := command{}.run(t, strings.Fields("llm create --runner lab --model opus-4-5 --no-api-key --header X-Team="+file+" --header-expression X-User=user.id")...).want(t, 0)
	if !strings.Contains(made.stdout, "ID: ") {
		t.Errorf("it says %q", made.stdout)
	}
	p.want(t, &gitpodv1.CreateLLMIntegrationRequest{RunnerId: runnerID(1), Models: models[:1]}, &gitpodv1.UpdateLLMIntegrationRequest{
		Id: runnerID(9), RequestHeaders: []*gitpodv1.LLMIntegrationRequestHeader{
			{Key: "X-Team", Value: []byte("from-a-file"), HeaderType: gitpodv1.LLMIntegrationRequestHeaderType_LLM_INTEGRATION_REQUEST_HEADER_TYPE_LITERAL},
			{Key: "X-User", Value: []byte("user.id"), HeaderType: gitpodv1.LLMIntegrationRequestHeaderType_LLM_INTEGRATION_REQUEST_HEADER_TYPE_CEL_EXPRESSION},
		},
	})
	for args, says := range map[string]string{
		"llm create --runner lab --model opus-4-5":                                        "say where the secret is",
		"llm create --runner lab --model opus-4-5 --no-api-key --api-key-file " + file:    "contradicts",
		"llm create --runner lab --model unspecified --no-api-key":                        `there is no model "unspecified"`,
		"llm create --runner lab --no-api-key":                                            "--model",
		"llm create --runner lab --model opus-4-5 --api-key-file - --api-key-env LLM_KEY": "only one",
	} {
		if r := muster(t, strings.Fields(args)...).want(t, 2); !strings.Contains(r.stderr, says) {
			t.Errorf("%s: it says %q", args, r.stderr)
		}
	}
	p.want(t)
}

func TestLLMUpdate(t *testing.T) {
	p := newModelPlane(t)
	p.integrations = []*gitpodv1.LLMIntegration{{Id: runnerID(9), RunnerId: runnerID(1)}}
	dir := t.TempDir()
	file := filepath.Join(dir, "header")
	if err := os.WriteFile(file, []byte("blue\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	literal := gitpodv1.LLMIntegrationRequestHeaderType_LLM_INTEGRATION_REQUEST_HEADER_TYPE_LITERAL
	expression := gitpodv1.LLMIntegrationRequestHeaderType_LLM_INTEGRATION_REQUEST_HEADER_TYPE_CEL_EXPRESSION
	for args, want := range map[string]*gitpodv1.UpdateLLMIntegrationRequest{
		"--endpoint=":         {Endpoint: proto.String("")},
		"--max-tokens 0":      {MaxTokens: proto.Uint64(0)},
		"--api-key-clear":     {ApiKey: proto.String("")},
		"--api-key-file -":    {ApiKey: proto.String("typed")},
		"--model openai-auto": {Models: []gitpodv1.SupportedModel{gitpodv1.SupportedModel_SUPPORTED_MODEL_OPENAI_AUTO}},
		"--header B=" + file + " --header A=" + file + " --header-expression C=a;b=c,d": {RequestHeaders: []*gitpodv1.LLMIntegrationRequestHeader{
			{Key: "A", Value: []byte("blue"), HeaderType: literal},
			{Key: "B", Value: []byte("blue"), HeaderType: literal},
			{Key: "C", Value: []byte("a;b=c,d"), HeaderType: expression},
		}},
	} {
		command{stdin: "typed\n"}.run(t, append([]string{"llm", "update", "lab"}, strings.Fields(args)...)...).want(t, 0)
		want.Id = runnerID(9)
		p.want(t, want)
	}
	muster(t, "llm", "update", "lab").want(t, 2)
	on, off := gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_AVAILABLE, gitpodv1.LLMIntegrationPhase_LLM_INTEGRATION_PHASE_DISABLED
	muster(t, "llm", "disable", runnerID(9)).want(t, 0)
	muster(t, "llm", "enable", runnerID(9)).want(t, 0)
	p.want(t, &gitpodv1.UpdateLLMIntegrationRequest{Id: runnerID(9), Phase: &off}, &gitpodv1.UpdateLLMIntegrationRequest{Id: runnerID(9), Phase: &on})
}

func TestWhichLLMIntegration(t *testing.T) {
	p := newModelPlane(t)
	if r := muster(t, "llm", "get", "lab").want(t, 1); !strings.Contains(r.stderr, "muster llm create --runner lab --model MODEL") {
		t.Errorf("without any it says %q", r.stderr)
	}
	p.integrations = []*gitpodv1.LLMIntegration{{Id: runnerID(8)}, {Id: runnerID(9)}}
	if r := muster(t, "llm", "get", "lab").want(t, 1); !strings.Contains(r.stderr, "2 LLM integrations; say which by its id:\n  "+runnerID(8)) {
		t.Errorf("with two it says %q", r.stderr)
	}
	muster(t, "llm", "get", runnerID(9)).want(t, 0)
}
