package cli_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
)

// hostPlane is a control plane with two runners, their SCM integrations and
// credentials.
type hostPlane struct {
	gitpodv1connect.UnimplementedRunnerServiceHandler
	gitpodv1connect.UnimplementedRunnerConfigurationServiceHandler
	adminv1connect.UnimplementedRunnerKeyServiceHandler
	runners      []*gitpodv1.Runner
	integrations []*gitpodv1.SCMIntegration
	tokens       []*gitpodv1.HostAuthenticationToken
	stale        []*adminv1.RunnerSecret
	pending      *adminv1.RunnerKey
	requests     []proto.Message
	filter       *gitpodv1.ListHostAuthenticationTokensRequest_Filter // of the last list
	hosts        hostAnswers
	probed       *gitpodv1.ValidateRunnerConfigurationRequest
	tried        *gitpodv1.SCMIntegrationValidationResult // nil is that it cannot be found out
}

func newHostPlane(t *testing.T) *hostPlane {
	t.Helper()
	p := &hostPlane{runners: []*gitpodv1.Runner{{RunnerId: runnerID(1), Name: "lab"}, {RunnerId: runnerID(2), Name: "cellar"}}, tried: &gitpodv1.SCMIntegrationValidationResult{Valid: true}}
	mux := http.NewServeMux()
	mux.Handle(gitpodv1connect.NewRunnerServiceHandler(p))
	mux.Handle(gitpodv1connect.NewRunnerConfigurationServiceHandler(p))
	mux.Handle(gitpodv1connect.NewIdentityServiceHandler(&identities{}))
	mux.Handle(adminv1connect.NewRunnerKeyServiceHandler(p))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	isolate(t)
	t.Setenv("MUSTER_SERVER", server.URL)
	t.Setenv("MUSTER_TOKEN", adminToken)
	return p
}

func (p *hostPlane) ListRunners(context.Context, *connect.Request[gitpodv1.ListRunnersRequest]) (*connect.Response[gitpodv1.ListRunnersResponse], error) {
	return connect.NewResponse(&gitpodv1.ListRunnersResponse{Runners: p.runners}), nil
}

func (p *hostPlane) GetRunner(_ context.Context, req *connect.Request[gitpodv1.GetRunnerRequest]) (*connect.Response[gitpodv1.GetRunnerResponse], error) {
	for _, r := range p.runners {
		if r.GetRunnerId() == req.Msg.GetRunnerId() {
			return connect.NewResponse(&gitpodv1.GetRunnerResponse{Runner: r}), nil
		}
	}
	return nil, failure(connect.CodeNotFound, "not-found", "There is no such runner.")
}

// GetRunnerKeys is for the first runner alone.
func (p *hostPlane) GetRunnerKeys(_ context.Context, req *connect.Request[adminv1.GetRunnerKeysRequest]) (*connect.Response[adminv1.GetRunnerKeysResponse], error) {
	if req.Msg.GetRunnerId() != runnerID(1) {
		return nil, failure(connect.CodePermissionDenied, "not-allowed", "The keys are not yours to see.")
	}
	return connect.NewResponse(&adminv1.GetRunnerKeysResponse{Stale: p.stale, Pending: p.pending}), nil
}

func (p *hostPlane) CreateSCMIntegration(_ context.Context, req *connect.Request[gitpodv1.CreateSCMIntegrationRequest]) (*connect.Response[gitpodv1.CreateSCMIntegrationResponse], error) {
	p.requests = append(p.requests, req.Msg)
	return connect.NewResponse(&gitpodv1.CreateSCMIntegrationResponse{Id: runnerID(9)}), nil
}

func (p *hostPlane) ListSCMIntegrations(_ context.Context, req *connect.Request[gitpodv1.ListSCMIntegrationsRequest]) (*connect.Response[gitpodv1.ListSCMIntegrationsResponse], error) {
	out := &gitpodv1.ListSCMIntegrationsResponse{}
	for _, i := range p.integrations {
		if runners := req.Msg.GetFilter().GetRunnerIds(); len(runners) == 0 || runners[0] == i.GetRunnerId() {
			out.Integrations = append(out.Integrations, i)
		}
	}
	return connect.NewResponse(out), nil
}

func (p *hostPlane) GetSCMIntegration(_ context.Context, req *connect.Request[gitpodv1.GetSCMIntegrationRequest]) (*connect.Response[gitpodv1.GetSCMIntegrationResponse], error) {
	for _, i := range p.integrations {
		if i.GetId() == req.Msg.GetId() {
			return connect.NewResponse(&gitpodv1.GetSCMIntegrationResponse{Integration: i}), nil
		}
	}
	return nil, failure(connect.CodeNotFound, "not-found", "There is no such integration.")
}

func (p *hostPlane) UpdateSCMIntegration(_ context.Context, req *connect.Request[gitpodv1.UpdateSCMIntegrationRequest]) (*connect.Response[gitpodv1.UpdateSCMIntegrationResponse], error) {
	p.requests = append(p.requests, req.Msg)
	return connect.NewResponse(&gitpodv1.UpdateSCMIntegrationResponse{}), nil
}

// ValidateRunnerConfiguration keeps what it is asked, and finds what tried says.
func (p *hostPlane) ValidateRunnerConfiguration(_ context.Context, req *connect.Request[gitpodv1.ValidateRunnerConfigurationRequest]) (*connect.Response[gitpodv1.ValidateRunnerConfigurationResponse], error) {
	p.probed = req.Msg
	if p.tried == nil {
		return nil, failure(connect.CodeUnavailable, "storage-unavailable", "Not now.")
	}
	return connect.NewResponse(&gitpodv1.ValidateRunnerConfigurationResponse{
		Result: &gitpodv1.ValidateRunnerConfigurationResponse_ScmIntegration{ScmIntegration: p.tried},
	}), nil
}

func (p *hostPlane) DeleteSCMIntegration(_ context.Context, req *connect.Request[gitpodv1.DeleteSCMIntegrationRequest]) (*connect.Response[gitpodv1.DeleteSCMIntegrationResponse], error) {
	p.requests = append(p.requests, req.Msg)
	return connect.NewResponse(&gitpodv1.DeleteSCMIntegrationResponse{}), nil
}

func (p *hostPlane) CreateHostAuthenticationToken(_ context.Context, req *connect.Request[gitpodv1.CreateHostAuthenticationTokenRequest]) (*connect.Response[gitpodv1.CreateHostAuthenticationTokenResponse], error) {
	p.requests = append(p.requests, req.Msg)
	return connect.NewResponse(&gitpodv1.CreateHostAuthenticationTokenResponse{Token: &gitpodv1.HostAuthenticationToken{Id: runnerID(9)}}), nil
}

func (p *hostPlane) ListHostAuthenticationTokens(_ context.Context, req *connect.Request[gitpodv1.ListHostAuthenticationTokensRequest]) (*connect.Response[gitpodv1.ListHostAuthenticationTokensResponse], error) {
	p.filter = req.Msg.GetFilter()
	return connect.NewResponse(&gitpodv1.ListHostAuthenticationTokensResponse{Tokens: p.tokens}), nil
}

func (p *hostPlane) GetHostAuthenticationToken(_ context.Context, req *connect.Request[gitpodv1.GetHostAuthenticationTokenRequest]) (*connect.Response[gitpodv1.GetHostAuthenticationTokenResponse], error) {
	for _, t := range p.tokens {
		if t.GetId() == req.Msg.GetId() {
			return connect.NewResponse(&gitpodv1.GetHostAuthenticationTokenResponse{Token: t}), nil
		}
	}
	return nil, failure(connect.CodeNotFound, "not-found", "There is no such credential.")
}

func (p *hostPlane) UpdateHostAuthenticationToken(_ context.Context, req *connect.Request[gitpodv1.UpdateHostAuthenticationTokenRequest]) (*connect.Response[gitpodv1.UpdateHostAuthenticationTokenResponse], error) {
	p.requests = append(p.requests, req.Msg)
	return connect.NewResponse(&gitpodv1.UpdateHostAuthenticationTokenResponse{}), nil
}

func (p *hostPlane) want(t *testing.T, requests ...proto.Message) {
	t.Helper()
	if diff := cmp.Diff(requests, p.requests, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	p.requests = nil
}

// secretFile is a file with a secret, as an editor leaves it.
func secretFile(t *testing.T, secret string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSCMCreate(t *testing.T) {
	p := newHostPlane(t)
	t.Setenv("CLIENT_SECRET", "from-a-variable")
	create := func(args string) []string {
		return append(strings.Fields("scm create --runner lab --kind github --host github.com"), strings.Fields(args)...)
	}
	file := secretFile(t, "from-a-file")
	base := func(change func(*gitpodv1.CreateSCMIntegrationRequest)) *gitpodv1.CreateSCMIntegrationRequest {
		m := &gitpodv1.CreateSCMIntegrationRequest{RunnerId: runnerID(1), ScmId: "github", Host: "github.com"}
		change(m)
		return m
	}
	oauth := func(secret string) proto.Message {
		return base(func(m *gitpodv1.CreateSCMIntegrationRequest) {
			m.OauthClientId, m.OauthPlaintextClientSecret = new("c"), &secret
		})
	}
	for _, c := range []struct {
		args, stdin string
		want        proto.Message
	}{
		{"--pat", "", base(func(m *gitpodv1.CreateSCMIntegrationRequest) { m.Pat = true })},
		{"--oauth-client-id c --oauth-client-secret-file " + file, "", oauth("from-a-file")},
		{"--oauth-client-id c --oauth-client-secret-env CLIENT_SECRET", "", oauth("from-a-variable")},
		{"--oauth-client-id c --oauth-client-secret-file -", "from-the-input\n", oauth("from-the-input")},
		{"--pat --issuer-url https://i --virtual-directory /tfs", "", base(func(m *gitpodv1.CreateSCMIntegrationRequest) {
			m.Pat, m.IssuerUrl, m.VirtualDirectory = true, new("https://i"), new("/tfs")
		})},
	} {
		got := command{stdin: c.stdin}.run(t, create(c.args)...).want(t, 0)
		if want := "Runner \"lab\" is connected to github.com.\nID: " + runnerID(9) + "\n"; got.stdout != want {
			t.Errorf("%s: it says %q", c.args, got.stdout)
		}
		p.want(t, c.want)
	}
	for args, want := range map[string]string{
		"": "nobody could sign in",
		"--pat --oauth-client-secret-file " + file: "give --oauth-client-id too",
		"--oauth-client-id c":                      "say where the secret is: --oauth-client-secret-file or",
		"--oauth-client-id c --oauth-client-secret-file " + file + " --oauth-client-secret-env NOTHING": "give only one of",
	} {
		if got := muster(t, create(args)...).want(t, 2); !strings.Contains(got.stderr, want) {
			t.Errorf("%s: it says %q", args, got.stderr)
		}
	}
	p.want(t)
}

// A secret that is sealed while a key waits for approval may be lost to the
// runner, and whoever sets it hears that.
func TestAKeyThatWaits(t *testing.T) {
	p := newHostPlane(t)
	file := secretFile(t, "secret")
	args := strings.Fields("scm create --runner lab --kind github --host github.com --oauth-client-id c --oauth-client-secret-file " + file)
	if got := muster(t, args...).want(t, 0).stderr; got != "" {
		t.Errorf("without such a key it says %q", got)
	}
	p.pending = &adminv1.RunnerKey{Fingerprint: "f"}
	if got := muster(t, args...).want(t, 0).stderr; !strings.Contains(got, "Warning: the runner has come with a new key that waits for approval") {
		t.Errorf("with a secret it says %q", got)
	}
	if got := muster(t, strings.Fields("scm create --runner lab --kind github --host github.com --pat")...).want(t, 0).stderr; got != "" {
		t.Errorf("without a secret it says %q", got)
	}
}

func TestSCMListAndFind(t *testing.T) {
	p := newHostPlane(t)
	if got := muster(t, "scm", "list").want(t, 0).stdout; !strings.Contains(got, "Make one: muster scm create --runner RUNNER") {
		t.Errorf("the empty list says %q", got)
	}
	p.integrations = []*gitpodv1.SCMIntegration{
		{Id: runnerID(11), ScmId: "github", Host: "GitHub.com", RunnerId: runnerID(1), Pat: true, Oauth: &gitpodv1.SCMIntegrationOAuthConfig{ClientId: "c"}},
		{Id: runnerID(12), ScmId: "github", Host: "github.com", RunnerId: runnerID(2), Pat: true},
		{Id: runnerID(13), ScmId: "gitlab", Host: "gitlab.com", RunnerId: runnerID(2), Oauth: &gitpodv1.SCMIntegrationOAuthConfig{ClientId: "c", IssuerUrl: "https://i"}},
	}
	p.stale = []*adminv1.RunnerSecret{{ResourceId: runnerID(11), Name: "scm_integration/" + runnerID(11) + "/client_secret"}}
	want := `HOST        ID                                    KIND    RUNNER  SIGN-IN     STATE
GitHub.com  ` + runnerID(11) + `  github  lab     OAuth, PAT  NEEDS SECRET AGAIN
github.com  ` + runnerID(12) + `  github  cellar  PAT         -
gitlab.com  ` + runnerID(13) + `  gitlab  cellar  OAuth       -
`
	if diff := cmp.Diff(want, muster(t, "scm", "list").want(t, 0).stdout); diff != "" {
		t.Error(diff)
	}
	if got := muster(t, "scm", "list", "--runner", "lab", "-o", "json").want(t, 0).stdout; strings.Contains(got, "gitlab") || !strings.Contains(got, `"host": "GitHub.com"`) {
		t.Errorf("of one runner: %s", got)
	}
	want = `Host:             GitHub.com
ID:               ` + runnerID(11) + `
Kind:             github
Runner:           lab
Sign-in:          OAuth, PAT
OAuth client id:  c
OAuth secret:     NEEDS SECRET AGAIN: muster scm update ` + runnerID(11) + ` --oauth-client-secret-file FILE
`
	for _, args := range []string{"github.COM --runner lab", runnerID(11)} {
		if diff := cmp.Diff(want, muster(t, append([]string{"scm", "get"}, strings.Fields(args)...)...).want(t, 0).stdout); diff != "" {
			t.Errorf("%s: %s", args, diff)
		}
	}
	if got := muster(t, "scm", "get", "github.com").want(t, 1).stderr; !strings.Contains(got, "2 integrations are called") || !strings.Contains(got, runnerID(12)+"  on cellar") {
		t.Errorf("a host of two runners: %s", got)
	}
	muster(t, "scm", "get", "example.com").want(t, 1)
	muster(t, "scm", "delete", "gitlab.com", "--yes").want(t, 0)
	p.want(t, &gitpodv1.DeleteSCMIntegrationRequest{Id: runnerID(13)})
}

func TestSCMUpdate(t *testing.T) {
	p := newHostPlane(t)
	p.integrations = []*gitpodv1.SCMIntegration{{Id: runnerID(11), Host: "github.com", RunnerId: runnerID(1)}}
	file := secretFile(t, "s")
	for args, want := range map[string]*gitpodv1.UpdateSCMIntegrationRequest{
		"--pat":                                {Pat: new(true)},
		"--no-pat":                             {Pat: new(false)},
		"--no-oauth":                           {OauthClientId: new("")},
		"--oauth-client-id c":                  {OauthClientId: new("c")},
		"--oauth-client-secret-file " + file:   {OauthPlaintextClientSecret: new("s")},
		"--issuer-url= --virtual-directory=/x": {IssuerUrl: new(""), VirtualDirectory: new("/x")},
		"--no-oauth --pat --issuer-url=":       {OauthClientId: new(""), Pat: new(true), IssuerUrl: new("")},
	} {
		muster(t, append(strings.Fields("scm update github.com"), strings.Fields(args)...)...).want(t, 0)
		want.Id = runnerID(11)
		p.want(t, want)
	}
	for args, want := range map[string]string{
		"":                               "nothing to change",
		"--no-oauth --oauth-client-id c": "can't be used together",
		"--no-oauth --oauth-client-secret-file " + file:     "contradict",
		"--oauth-client-secret-file /nothing/is/here --pat": "reading --oauth-client-secret-file",
	} {
		got := muster(t, append(strings.Fields("scm update github.com"), strings.Fields(args)...)...)
		if got.code == 0 || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: %d, it says %q", args, got.code, got.stderr)
		}
	}
	p.want(t)
}

// The runner tries what is stored, and what it finds wrong undoes nothing.
func TestSCMProbe(t *testing.T) {
	p := newHostPlane(t)
	p.integrations = []*gitpodv1.SCMIntegration{{
		Id: runnerID(9), RunnerId: runnerID(1), ScmId: "gitlab", Host: "git.example", Pat: true,
		Oauth: &gitpodv1.SCMIntegrationOAuthConfig{ClientId: "app", EncryptedClientSecret: []byte("sealed")},
	}}
	create := "create --runner lab --kind gitlab --host git.example --pat"
	if got := muster(t, "scm", "probe", "git.example").want(t, 1).stderr; !strings.Contains(got, `runner "lab" is not connected right now`) {
		t.Errorf("while it is away: %s", got)
	}
	p.runners[0].Status = &gitpodv1.RunnerStatus{Phase: active}
	if got := muster(t, "scm", "probe", "git.example").want(t, 0); got.stdout != "Runner \"lab\" finds nothing wrong with the integration with git.example.\n" {
		t.Errorf("it says %q", got.stdout)
	}
	want := &gitpodv1.ValidateRunnerConfigurationRequest{RunnerId: runnerID(1), Config: &gitpodv1.ValidateRunnerConfigurationRequest_ScmIntegration{
		ScmIntegration: &gitpodv1.ValidateRunnerConfigurationRequest_ValidateSCMIntegration{
			Id: runnerID(9), ScmId: "gitlab", Host: "git.example", Pat: true, OauthClientId: new("app"),
			OauthClientSecret: &gitpodv1.ValidateRunnerConfigurationRequest_ValidateSCMIntegration_OauthEncryptedClientSecret{OauthEncryptedClientSecret: []byte("sealed")},
		},
	}}
	if diff := cmp.Diff(want, p.probed, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	for _, args := range []string{create, "update git.example --pat"} {
		if got := muster(t, append([]string{"scm"}, strings.Fields(args)...)...).want(t, 0).stderr; got != "" {
			t.Errorf("%s: %s", args, got)
		}
	}
	p.tried = &gitpodv1.SCMIntegrationValidationResult{HostError: new("does not answer like GitLab"), OauthError: new("is not accepted\x1b[2J")}
	for args, code := range map[string]int{"probe git.example": 1, create: 0, "update git.example --pat": 0} {
		got := muster(t, append([]string{"scm"}, strings.Fields(args)...)...).want(t, code)
		if !strings.Contains(got.stderr, "git.example: does not answer like GitLab\n") || !strings.Contains(got.stderr, "OAuth application: is not accepted\uFFFD[2J\n") ||
			strings.Contains(got.stderr, "Warning: the integration is stored") != (code == 0) {
			t.Errorf("%s: %s", args, got.stderr)
		}
	}
	p.tried = nil
	if got := muster(t, strings.Fields("scm "+create)...).want(t, 0).stderr; got != "Warning: the integration is stored, and whether it works could not be found out: Not now.\n" {
		t.Errorf("it cannot be found out: %s", got)
	}
	muster(t, "scm", "probe", "git.example").want(t, 1)
	p.probed = nil
	for _, args := range []string{create, "update git.example --pat"} {
		muster(t, strings.Fields("scm "+args+" --no-probe")...).want(t, 0)
	}
	if p.probed != nil {
		t.Error("it is tried in spite of --no-probe")
	}
}

func TestHostTokens(t *testing.T) {
	p := newHostPlane(t)
	file, refresh := secretFile(t, "ghp_secret"), secretFile(t, "ghr_secret")
	if got := muster(t, "host-token", "list").want(t, 0).stdout; !strings.Contains(got, "Store one: muster host-token create") {
		t.Errorf("the empty list says %q", got)
	}
	create := strings.Fields("host-token create --runner lab --host github.com")
	muster(t, append(create, "--secret-file", file)...).want(t, 0)
	p.want(t, &gitpodv1.CreateHostAuthenticationTokenRequest{
		RunnerId: runnerID(1), Host: "github.com", Token: "ghp_secret", Source: gitpodv1.HostAuthenticationTokenSource_HOST_AUTHENTICATION_TOKEN_SOURCE_PAT,
	})
	command{stdin: "gho_secret\n"}.run(t, append(create, "--secret-file", "-", "--source", "oauth", "--refresh-token-file", refresh,
		"--scope", "repo", "--scope", "user", "--valid-for", "90d", "--integration", runnerID(11))...).want(t, 0)
	p.want(t, &gitpodv1.CreateHostAuthenticationTokenRequest{
		RunnerId: runnerID(1), Host: "github.com", Token: "gho_secret", Source: gitpodv1.HostAuthenticationTokenSource_HOST_AUTHENTICATION_TOKEN_SOURCE_OAUTH,
		RefreshToken: "ghr_secret", Scopes: []string{"repo", "user"}, IntegrationId: runnerID(11), ExpiresAt: timestamppb.New(noon.Add(90 * 24 * time.Hour)),
	})
	for args, want := range map[string]string{
		"":                                       "say where the secret is: --secret-file or --secret-env",
		"--secret-file - --refresh-token-file -": "only one secret can come from the standard input",
	} {
		if got := muster(t, append(create, strings.Fields(args)...)...).want(t, 2); !strings.Contains(got.stderr, want) {
			t.Errorf("%s: it says %q", args, got.stderr)
		}
	}

	me := &gitpodv1.Subject{Id: meID, Principal: gitpodv1.Principal_PRINCIPAL_USER}
	p.tokens = []*gitpodv1.HostAuthenticationToken{
		{Id: runnerID(21), RunnerId: runnerID(1), Host: "GitHub.com", Subject: me, Source: 2, ExpiresAt: timestamppb.New(noon.Add(48 * time.Hour)), Scopes: []string{"repo"}},
		{Id: runnerID(22), RunnerId: runnerID(2), Host: "github.com", Subject: me, Source: 1, ExpiresAt: timestamppb.New(noon.Add(-time.Hour))},
		{Id: runnerID(23), RunnerId: runnerID(1), Host: "gitlab.com", Subject: &gitpodv1.Subject{Id: runnerID(3), Principal: gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT}},
	}
	p.stale = []*adminv1.RunnerSecret{{ResourceId: runnerID(23)}}
	want := `HOST        ID                                    RUNNER  OWNER                                                 SOURCE  EXPIRES  STATE
GitHub.com  ` + runnerID(21) + `  lab     user ` + meID + `             PAT     in 2d    -
github.com  ` + runnerID(22) + `  cellar  user ` + meID + `             OAUTH   expired  -
gitlab.com  ` + runnerID(23) + `  lab     service account ` + runnerID(3) + `  -       -        NEEDS SECRET AGAIN
`
	if diff := cmp.Diff(want, muster(t, "host-token", "list").want(t, 0).stdout); diff != "" {
		t.Error(diff)
	}
	muster(t, "host-token", "list", "--mine", "--runner", "cellar").want(t, 0)
	if diff := cmp.Diff(&gitpodv1.ListHostAuthenticationTokensRequest_Filter{SubjectId: new(meID), RunnerId: new(runnerID(2))}, p.filter, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if got := muster(t, "host-token", "get", runnerID(23)).want(t, 0).stdout; !strings.Contains(got, "NEEDS SECRET AGAIN: muster host-token update "+runnerID(23)) {
		t.Errorf("get printed\n%s", got)
	}
	if got := muster(t, "host-token", "get", "github.com").want(t, 1).stderr; !strings.Contains(got, "2 credentials are called") || !strings.Contains(got, runnerID(22)+"  on cellar") {
		t.Errorf("one host on two runners: %s", got)
	}
	for args, want := range map[string]*gitpodv1.UpdateHostAuthenticationTokenRequest{
		"--secret-file " + file:               {Token: new("ghp_secret")},
		"--refresh-token-clear --no-expiry":   {RefreshToken: new(""), ExpiresAt: &timestamppb.Timestamp{}},
		"--scope a --scope b --valid-for 24h": {Scopes: []string{"a", "b"}, ExpiresAt: timestamppb.New(noon.Add(24 * time.Hour))},
		"--refresh-token-file " + refresh:     {RefreshToken: new("ghr_secret")},
	} {
		muster(t, append(strings.Fields("host-token update gitlab.com"), strings.Fields(args)...)...).want(t, 0)
		want.Id = runnerID(23)
		p.want(t, want)
	}
	muster(t, "host-token", "update", "gitlab.com").want(t, 2)
}
