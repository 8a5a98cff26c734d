package app_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/app"
	"github.com/musterhq/muster/internal/seal"
)

// spoken is a control plane that is spoken to in JSON, as the SDKs do, with one
// runner that has a key. It keeps all that was answered and logged.
type spoken struct {
	configured
	dir  string
	stop func()
	// public and private are the keys of the runner.
	public  []byte
	private *[seal.KeySize]byte

	mu   sync.Mutex
	said bytes.Buffer
}

// Write implements io.Writer for the log.
func (s *spoken) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(b)
}

func speak(t *testing.T) *spoken {
	t.Helper()
	s := &spoken{dir: t.TempDir()}
	url, stop := start(t, func(c *app.Config) {
		c.DataDir, c.Logger = s.dir, slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	s.configured, s.stop = configured{t: t, url: url}, stop
	c := client(bootstrapToken)
	made, err := gitpodv1connect.NewRunnerServiceClient(c, url).CreateRunner(t.Context(), connect.NewRequest(&gitpodv1.CreateRunnerRequest{
		Name: "lab", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST,
	}))
	if err != nil {
		t.Fatal(err)
	}
	redeemed, err := gitpodv1connect.NewIdentityServiceClient(c, url).ExchangeToken(t.Context(), connect.NewRequest(&gitpodv1.ExchangeTokenRequest{ExchangeToken: made.Msg.GetExchangeToken()}))
	if err != nil {
		t.Fatal(err)
	}
	s.runner, s.token = made.Msg.GetRunner().GetRunnerId(), redeemed.Msg.GetAccessToken()
	public, private, err := seal.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	s.public, s.private = public[:], private
	s.publish(nil, s.public)
	return s
}

type object = map[string]any

// call calls a method of RunnerConfigurationService and returns its status, its
// headers and what it said.
func (s *spoken) call(method string, body object) (int, http.Header, object) {
	s.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+"/api/gitpod.v1.RunnerConfigurationService/"+method, bytes.NewReader(raw))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client(bootstrapToken).Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = s.Write(answer)
	var out object
	if err := json.Unmarshal(answer, &out); err != nil {
		s.t.Fatalf("%s: %v: %s", method, err, answer)
	}
	return res.StatusCode, res.Header, out
}

func (s *spoken) ok(method string, body object) object {
	s.t.Helper()
	status, _, out := s.call(method, body)
	if status != http.StatusOK {
		s.t.Fatalf("%s: %d: %v", method, status, out)
	}
	return out
}

func (s *spoken) refused(method, code string, body object) object {
	s.t.Helper()
	_, _, out := s.call(method, body)
	if out["code"] != code {
		s.t.Errorf("%s: %v; want %s", method, out, code)
	}
	return out
}

func TestSCMIntegrationsInJSON(t *testing.T) {
	s := speak(t)
	get := func(id any) object {
		t.Helper()
		return s.ok("GetSCMIntegration", object{"id": id})["integration"].(object)
	}
	// The example of the docs.
	made := s.ok("CreateSCMIntegration", object{
		"runnerId": strings.ToUpper(s.runner), "scmId": "github", "host": "GitHub.com", "oauthClientId": "client_id", "oauthPlaintextClientSecret": "planted-secret-1",
		"issuerUrl": "", "virtualDirectory": nil,
	})
	got := get(made["id"])
	oauth := got["oauth"].(object)
	if oauth["encryptedClientSecret"] == "" || oauth["encryptedClientSecret"] == nil {
		t.Errorf("oauth: %v", oauth)
	}
	delete(oauth, "encryptedClientSecret")
	if d := cmp.Diff(object{"id": made["id"], "runnerId": s.runner, "scmId": "github", "host": "GitHub.com", "oauth": object{"clientId": "client_id"}}, set(got)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	// What Terraform sends when it goes from OAuth to personal access tokens.
	if out := s.ok("UpdateSCMIntegration", object{"id": made["id"], "oauthClientId": "", "pat": true, "issuerUrl": "", "virtualDirectory": ""}); len(out) != 0 {
		t.Errorf("UpdateSCMIntegration said %v", out)
	}
	if d := cmp.Diff(object{"id": made["id"], "runnerId": s.runner, "scmId": "github", "host": "GitHub.com", "pat": true}, set(get(made["id"]))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	s.refused("UpdateSCMIntegration", "invalid_argument", object{"id": made["id"], "pat": false})
	server := s.ok("CreateSCMIntegration", object{"runnerId": s.runner, "scmId": "azuredevops_server", "host": "tfs.example.com", "pat": true, "virtualDirectory": "/tfs"})
	if got := get(server["id"]); got["virtualDirectory"] != "/tfs" {
		t.Errorf("%v", got)
	}
	s.refused("CreateSCMIntegration", "already_exists", object{"runnerId": s.runner, "scmId": "github", "host": "github.com", "pat": true})
	list := s.ok("ListSCMIntegrations", object{"filter": object{"runnerIds": []string{s.runner}}, "pagination": object{"pageSize": 1}})
	next := list["pagination"].(object)["nextToken"]
	if len(list["integrations"].([]any)) != 1 || next == "" {
		t.Fatalf("%v", list)
	}
	list = s.ok("ListSCMIntegrations", object{"filter": object{"runnerIds": []string{s.runner}}, "pagination": object{"pageSize": 1, "token": next}})
	if rest := list["integrations"].([]any); len(rest) != 1 || rest[0].(object)["id"] != server["id"] {
		t.Errorf("%v", list)
	}
	if out := s.ok("DeleteSCMIntegration", object{"id": made["id"]}); len(out) != 0 {
		t.Errorf("DeleteSCMIntegration said %v", out)
	}
	s.refused("DeleteSCMIntegration", "not_found", object{"id": made["id"]})
	s.refused("GetSCMIntegration", "not_found", object{"id": made["id"]})
}

// set drops what is not set, which may or may not be sent.
func set(o object) object {
	for k, v := range o {
		switch v := v.(type) {
		case object:
			set(v)
		case string:
			if v == "" {
				delete(o, k)
			}
		case bool:
			if !v {
				delete(o, k)
			}
		}
	}
	return o
}

func TestHostTokensInJSON(t *testing.T) {
	s := speak(t)
	me := s.me()
	// The example of the docs.
	create := object{
		"runnerId": s.runner, "userId": strings.ToUpper(me), "host": "github.com", "token": "planted-token-1", "refreshToken": "planted-refresh-1",
		"source": "HOST_AUTHENTICATION_TOKEN_SOURCE_OAUTH", "expiresAt": "2024-12-31T23:59:59.123456789Z", "scopes": []string{"repo"},
	}
	made := s.ok("CreateHostAuthenticationToken", create)["token"].(object)
	want := object{
		"id": made["id"], "runnerId": s.runner, "userId": me, "host": "github.com", "source": "HOST_AUTHENTICATION_TOKEN_SOURCE_OAUTH",
		"expiresAt": "2024-12-31T23:59:59.123456Z", "scopes": []any{"repo"}, "subject": object{"id": me, "principal": "PRINCIPAL_USER"},
	}
	got := s.ok("GetHostAuthenticationToken", object{"id": made["id"]})["token"].(object)
	if d := cmp.Diff(want, set(made)); d != "" {
		t.Errorf("created (-want +got):\n%s", d)
	}
	if d := cmp.Diff(want, set(got)); d != "" {
		t.Errorf("read (-want +got):\n%s", d)
	}
	status, headers, out := s.call("CreateHostAuthenticationToken", create)
	if status != http.StatusConflict || out["code"] != "already_exists" || headers.Get("X-Should-Retry") != "false" {
		t.Errorf("a duplicate: %d, %v, %v", status, out, headers)
	}
	other := "0192cccc-0000-7000-8000-000000000001"
	for _, c := range []struct {
		code   string
		change object
	}{
		{"permission_denied", object{"userId": other}},
		{"permission_denied", object{"userId": "", "subject": object{"id": other, "principal": "PRINCIPAL_USER"}}},
		{"permission_denied", object{"userId": "", "subject": object{"id": me, "principal": "PRINCIPAL_SERVICE_ACCOUNT"}}},
		{"invalid_argument", object{"subject": object{"id": other, "principal": "PRINCIPAL_USER"}}},
		{"invalid_argument", object{"token": ""}},
		{"invalid_argument", object{"host": "https://github.com"}},
		{"invalid_argument", object{"expiresAt": "tomorrow"}},
		{"invalid_argument", object{"token": strings.Repeat("x", 20_000)}},
		{"invalid_argument", object{"scopes": make([]string, 102)}},
		{"invalid_argument", object{"scopes": []string{strings.Repeat("x", 300)}}},
		{"not_found", object{"host": "gitlab.com", "integrationId": other}},
		{"not_found", object{"runnerId": other}},
	} {
		body := object{}
		for _, part := range []object{create, c.change} {
			for k, v := range part {
				body[k] = v
			}
		}
		s.refused("CreateHostAuthenticationToken", c.code, body)
	}
	if out := s.ok("UpdateHostAuthenticationToken", object{"id": made["id"], "token": "planted-token-2", "refreshToken": "planted-refresh-2", "expiresAt": "1970-01-01T00:00:00Z"}); len(out) != 0 {
		t.Errorf("UpdateHostAuthenticationToken said %v", out)
	}
	delete(want, "expiresAt")
	if d := cmp.Diff(want, set(s.ok("GetHostAuthenticationToken", object{"id": made["id"]})["token"].(object))); d != "" {
		t.Errorf("updated (-want +got):\n%s", d)
	}
	s.refused("UpdateHostAuthenticationToken", "invalid_argument", object{"id": made["id"], "scopes": make([]string, 102)})
	for _, filter := range []object{nil, {}, {"runnerId": s.runner}, {"subjectId": me}, {"userId": me, "runnerId": s.runner}, {"userId": me, "subjectId": me}} {
		if list := s.ok("ListHostAuthenticationTokens", object{"filter": filter}); len(list["tokens"].([]any)) != 1 || list["pagination"] == nil {
			t.Errorf("%v: %v", filter, list)
		}
	}
	if list := s.ok("ListHostAuthenticationTokens", object{"filter": object{"subjectId": other}}); len(list["tokens"].([]any)) != 0 {
		t.Errorf("somebody else's: %v", list)
	}
	if out := s.ok("DeleteHostAuthenticationToken", object{"id": made["id"]}); len(out) != 0 {
		t.Errorf("DeleteHostAuthenticationToken said %v", out)
	}
	s.refused("DeleteHostAuthenticationToken", "not_found", object{"id": made["id"]})
}

func (s *spoken) me() string {
	s.t.Helper()
	ids := gitpodv1connect.NewIdentityServiceClient(client(bootstrapToken), s.url)
	me, err := ids.GetAuthenticatedIdentity(s.t.Context(), connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{}))
	if err != nil {
		s.t.Fatal(err)
	}
	return me.Msg.GetSubject().GetId()
}

// No secret leaves in a reply, or stays in the log or in a file, in clear: not
// when all is well, and not when it is refused.
func TestPlantedSecretsOfSourceCodeHosts(t *testing.T) {
	s := speak(t)
	n := 0
	planted := func() string { n++; return "planted-" + strings.Repeat("x", n) + "-secret" }
	oauth := func() object {
		return object{"runnerId": s.runner, "scmId": "github", "host": "github.com", "oauthClientId": "c", "oauthPlaintextClientSecret": planted()}
	}
	integration := s.ok("CreateSCMIntegration", oauth())["id"]
	s.refused("CreateSCMIntegration", "already_exists", oauth())
	bad := oauth()
	bad["host"] = planted() + "://"
	s.refused("CreateSCMIntegration", "invalid_argument", bad)
	bad = oauth()
	bad["oauthPlaintextClientSecret"] = []string{planted()}
	s.refused("CreateSCMIntegration", "invalid_argument", bad)
	s.ok("UpdateSCMIntegration", object{"id": integration, "oauthPlaintextClientSecret": planted()})
	s.refused("UpdateSCMIntegration", "invalid_argument", object{"id": integration, "oauthClientId": "", "oauthPlaintextClientSecret": planted()})
	s.refused("UpdateSCMIntegration", "invalid_argument", object{"id": integration, "oauthPlaintextClientSecret": planted() + strings.Repeat("y", 5000)})
	s.ok("GetSCMIntegration", object{"id": integration})
	s.ok("ListSCMIntegrations", object{})

	credential := func() object {
		return object{"runnerId": s.runner, "host": "github.com", "token": planted(), "refreshToken": planted()}
	}
	token := s.ok("CreateHostAuthenticationToken", credential())["token"].(object)["id"]
	s.refused("CreateHostAuthenticationToken", "already_exists", credential())
	bad = credential()
	bad["source"] = 99
	s.refused("CreateHostAuthenticationToken", "invalid_argument", bad)
	bad = credential()
	bad["token"] = object{"value": planted()}
	s.refused("CreateHostAuthenticationToken", "invalid_argument", bad)
	s.ok("UpdateHostAuthenticationToken", object{"id": token, "token": planted(), "refreshToken": planted()})
	s.ok("GetHostAuthenticationToken", object{"id": token})
	s.ok("ListHostAuthenticationTokens", object{})
	s.ok("DeleteSCMIntegration", object{"id": integration})
	s.stop()

	look := func(where string, text []byte) {
		if bytes.Contains(text, []byte("planted-x")) {
			t.Errorf("%s holds a secret in clear", where)
		}
	}
	look("a reply or the log", s.said.Bytes())
	files, err := filepath.Glob(filepath.Join(s.dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("files: %v, %v", files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file) //nolint:gosec // the test's own directory
		if err != nil {
			t.Fatal(err)
		}
		look(file, raw)
	}
}
