package app_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/seal"
)

// asked is a connected runner that answers each request with the next reply, and
// hands the requests on.
type asked struct {
	replies  chan *linkv1.Reply
	requests chan *linkv1.Request
}

// goAsked connects the runner until the test ends.
func (s *spoken) goAsked() *asked {
	s.t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	stream := linkv1connect.NewLinkServiceClient(&http.Client{Transport: transport}, s.url).Connect(context.Background())
	stream.RequestHeader().Set("Authorization", "Bearer "+s.token)
	err := stream.Send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: &linkv1.Hello{
		ProtocolVersion: 1, BootId: "01990000-0000-7000-8000-000000000003", HostName: "host", PublicKey: s.public,
		Report: &linkv1.Report{Capabilities: []gitpodv1.RunnerCapability{
			gitpodv1.RunnerCapability_RUNNER_CAPABILITY_LIST_SCM_ORGANIZATIONS, gitpodv1.RunnerCapability_RUNNER_CAPABILITY_CHECK_REPOSITORY_ACCESS,
		}},
	}}})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := stream.Receive(); err != nil {
		s.t.Fatal(err)
	}
	a := &asked{make(chan *linkv1.Reply, 1), make(chan *linkv1.Request, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			f, err := stream.Receive()
			if err != nil {
				return
			}
			if q := f.GetRequest(); q != nil {
				reply := <-a.replies
				reply.RequestId = q.GetRequestId()
				a.requests <- q
				if stream.Send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Reply{Reply: reply}}) != nil {
					return
				}
			}
		}
	}()
	s.t.Cleanup(func() {
		_ = stream.CloseRequest() // and the control plane closes its side
		<-done
		transport.CloseIdleConnections()
	})
	return a
}

// signInDetails are those of an error, with what it says of the reason.
func signInDetails(t *testing.T, err error) (*gitpodv1.ParseContextURLPreconditionFailureDetails, string) {
	t.Helper()
	e, ok := errors.AsType[*connect.Error](err)
	if !ok || e.Code() != connect.CodeFailedPrecondition {
		t.Fatalf("the error is %v", err)
	}
	var details *gitpodv1.ParseContextURLPreconditionFailureDetails
	var reason string
	for _, d := range e.Details() {
		switch v, _ := d.Value(); v := v.(type) {
		case *gitpodv1.ParseContextURLPreconditionFailureDetails:
			details = v
		case *errdetails.ErrorInfo:
			reason = v.GetReason()
		}
	}
	return details, reason
}

// What a connected runner says of hosts comes out of the API, old fields
// included.
func TestSourceCodeHosts(t *testing.T) {
	s := speak(t)
	runners := gitpodv1connect.NewRunnerServiceClient(client(bootstrapToken), s.url)
	const url, clean = "https://me:planted-password@git.example.com/acme/app", "https://git.example.com/acme/app"
	parse := func(runner string) (*gitpodv1.ParseContextURLResponse, error) {
		got, err := runners.ParseContextURL(t.Context(), connect.NewRequest(&gitpodv1.ParseContextURLRequest{RunnerId: runner, ContextUrl: url}))
		if err != nil {
			return nil, err
		}
		return got.Msg, nil
	}

	// Nobody has the host; then somebody has, and nobody is signed in.
	if details, reason := signInDetails(t, fails(parse(""))); reason != "host-not-configured" || details == nil || details.GetScmId() != "" || len(details.GetRunnerIds()) > 0 {
		t.Errorf("without an integration: %s, %v", reason, details)
	}
	s.ok("CreateSCMIntegration", object{
		"runnerId": s.runner, "scmId": "gitea", "host": "git.example.com", "pat": true, "oauthClientId": "client", "oauthPlaintextClientSecret": "planted-secret",
	})
	if e, ok := errors.AsType[*connect.Error](fails(parse(""))); !ok || e.Code() != connect.CodeUnavailable || e.Meta().Get("Retry-After") == "" {
		t.Errorf("while the runner is away: %v", e)
	}
	runner := s.goAsked()
	details, reason := signInDetails(t, fails(parse("")))
	if reason != "sign-in-required" || details.GetScmId() != "gitea" || !cmp.Equal(details.GetRunnerIds(), []string{s.runner}) || !strings.HasPrefix(details.GetAuthenticationRequiredUrl(), s.url) {
		t.Errorf("without a credential: %s, %v", reason, details)
	}
	if details, _ := signInDetails(t, fails(parse(s.runner))); len(details.GetRunnerIds()) > 0 || details.GetAuthenticationRequiredUrl() == "" {
		t.Errorf("without a credential, on a named runner: %v", details)
	}
	s.ok("CreateHostAuthenticationToken", object{"runnerId": s.runner, "host": "git.example.com", "token": "planted-token", "source": "HOST_AUTHENTICATION_TOKEN_SOURCE_PAT"})
	class := s.ok("CreateEnvironmentClass", object{"runnerId": s.runner, "displayName": "Small", "description": "A small one"})["id"].(string)

	change := &gitpodv1.PullRequest{Id: "7", Title: "Mend it", FromBranch: "a", ToBranch: "b", Repository: &gitpodv1.PullRequest_Repository{Owner: "acme", Name: "app"}}
	git := &gitpodv1.ParseContextURLResponse_GitContext{CloneUrl: clean + ".git", Host: "git.example.com", Owner: "acme", Repo: "app", Branch: "a"}
	runner.replies <- &linkv1.Reply{Reply: &linkv1.Reply_ContextParsed{ContextParsed: &linkv1.ContextParsed{Context: &gitpodv1.ParseContextURLResponse{
		Git: git, PullRequest: change, Issue: &gitpodv1.ParseContextURLResponse_Issue{Id: "8", Title: "Broken"},
	}}}}
	pull, err := parse("")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "ParseContextURL", pull, &gitpodv1.ParseContextURLResponse{
		OriginalContextUrl: clean, ScmId: "gitea", RecommendedEnvironmentClasses: []string{class}, Git: git, PullRequest: change,
		Issue: &gitpodv1.ParseContextURLResponse_Issue{Id: "8", Title: "Broken"},
		Pr:    &gitpodv1.ParseContextURLResponse_PullRequest{Id: "7", Title: "Mend it", FromBranch: "a", ToBranch: "b"}, //nolint:staticcheck // old clients know it
	})
	if q := (<-runner.requests).GetParseContext(); q.GetUrl() != clean || q.GetAccess().GetCredential().GetTokenId() == "" {
		t.Errorf("the runner was asked %v", q)
	}

	runner.replies <- &linkv1.Reply{Reply: &linkv1.Reply_RepositoriesFound{RepositoriesFound: &linkv1.RepositoriesFound{
		Repositories: []*gitpodv1.SearchRepositoriesResponse_Repository{{Name: "acme/app", Url: clean}}, More: true, TotalPages: 40, TotalCount: 1000,
	}}}
	found, err := runners.SearchRepositories(t.Context(), connect.NewRequest(&gitpodv1.SearchRepositoriesRequest{RunnerId: s.runner, SearchString: "app", Limit: 7})) //nolint:staticcheck // old clients know it
	if err != nil {
		t.Fatal(err)
	}
	same(t, "SearchRepositories", found.Msg, &gitpodv1.SearchRepositoriesResponse{
		Repositories: []*gitpodv1.SearchRepositoriesResponse_Repository{{Name: "acme/app", Url: clean}},
		Pagination:   &gitpodv1.PaginationResponse{NextToken: "2/40/1000"}, LastPage: 40, //nolint:staticcheck // old clients know it
	})
	if q := (<-runner.requests).GetSearchRepositories(); q.GetPageSize() != 7 || q.GetPage() != 1 || q.GetText() != "app" || q.GetNative() {
		t.Errorf("the runner was asked %v", q)
	}

	runner.replies <- &linkv1.Reply{Reply: &linkv1.Reply_OrganizationsListed{OrganizationsListed: &linkv1.OrganizationsListed{
		Organizations: []*gitpodv1.ListSCMOrganizationsResponse_SCMOrganization{{Name: "acme", Url: "https://git.example.com/acme", IsAdmin: true}},
	}}}
	organizations, err := runners.ListSCMOrganizations(t.Context(), connect.NewRequest(&gitpodv1.ListSCMOrganizationsRequest{RunnerId: s.runner, ScmHost: "git.example.com"}))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "ListSCMOrganizations", organizations.Msg, &gitpodv1.ListSCMOrganizationsResponse{
		Organizations: []*gitpodv1.ListSCMOrganizationsResponse_SCMOrganization{{Name: "acme", Url: "https://git.example.com/acme", IsAdmin: true}},
		Pagination:    &gitpodv1.PaginationResponse{},
	})
	<-runner.requests

	pat := &gitpodv1.CheckAuthenticationForHostResponse_AuthenticationMethodPersonalAccessToken{CreateUrl: "https://git.example.com/t", Example: "0123", RequiredScopes: []string{"read:user"}}
	runner.replies <- &linkv1.Reply{Reply: &linkv1.Reply_AuthenticationChecked{AuthenticationChecked: &linkv1.AuthenticationChecked{Result: &gitpodv1.CheckAuthenticationForHostResponse{
		Authenticated: true, ScmName: "Gitea", SupportsPat: pat, SupportsOauth2: &gitpodv1.CheckAuthenticationForHostResponse_AuthenticationMethodOAuth2{},
	}}}}
	check, err := runners.CheckAuthenticationForHost(t.Context(), connect.NewRequest(&gitpodv1.CheckAuthenticationForHostRequest{RunnerId: s.runner, Host: "git.example.com"}))
	if err != nil {
		t.Fatal(err)
	}
	begin := check.Msg.GetSupportsOauth2().GetAuthUrl()
	if !strings.HasPrefix(begin, s.url) {
		t.Errorf("signing in begins at %q", begin)
	}
	same(t, "CheckAuthenticationForHost", check.Msg, &gitpodv1.CheckAuthenticationForHostResponse{
		Authenticated: true, ScmId: "gitea", ScmName: "Gitea", SupportsPat: pat, PatSupported: true, AuthenticationUrl: begin, //nolint:staticcheck // old clients know it
		SupportsOauth2: &gitpodv1.CheckAuthenticationForHostResponse_AuthenticationMethodOAuth2{AuthUrl: begin},
	})
	<-runner.requests

	runner.replies <- &linkv1.Reply{Reply: &linkv1.Reply_RepositoryChecked{RepositoryChecked: &linkv1.RepositoryChecked{ErrorMessage: "You may not."}}}
	readable, err := runners.CheckRepositoryAccess(t.Context(), connect.NewRequest(&gitpodv1.CheckRepositoryAccessRequest{RunnerId: s.runner, RepositoryUrl: url}))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "CheckRepositoryAccess", readable.Msg, &gitpodv1.CheckRepositoryAccessResponse{ErrorMessage: "You may not."})
	<-runner.requests

	// The host refuses the credential: the caller learns where to sign in.
	runner.replies <- &linkv1.Reply{Failure: &linkv1.Failure{Code: 9, Reason: "sign-in-required", Message: "It is revoked."}}
	if details, reason := signInDetails(t, fails(parse(s.runner))); reason != "sign-in-required" || details.GetAuthenticationRequiredUrl() == "" {
		t.Errorf("a refused credential: %s, %v", reason, details)
	}
	<-runner.requests
	s.neverSaid("planted-")
}

// An integration is tried before it is stored.
func TestValidatingAnIntegrationLive(t *testing.T) {
	s := speak(t)
	draft := func(secret object) object {
		integration := object{"scmId": "gitea", "host": "git.example.com", "oauthClientId": "client", "pat": true}
		for k, v := range secret {
			integration[k] = v
		}
		return object{"runnerId": s.runner, "scmIntegration": integration}
	}
	result := func(body object) object { return s.ok("ValidateRunnerConfiguration", body)["scmIntegration"].(object) }
	plain := draft(object{"oauthPlaintextClientSecret": "planted-secret"})
	if got := result(plain); got["valid"] != true {
		t.Errorf("while the runner is away: %v", got)
	}
	runner := s.goAsked()
	probed := func(host, oauth string) *linkv1.Reply {
		return &linkv1.Reply{Reply: &linkv1.Reply_IntegrationProbed{IntegrationProbed: &linkv1.IntegrationProbed{HostError: host, OauthError: oauth}}}
	}
	runner.replies <- probed("does not answer", "knows no such client")
	if got := result(plain); got["valid"] != nil || got["hostError"] != "does not answer" || got["oauthError"] != "knows no such client" {
		t.Errorf("a bad one: %v", got)
	}
	if q := (<-runner.requests).GetProbeIntegration(); q.GetHost().GetOauthClientId() != "client" || s.probedSecret(q) != "planted-secret" || strings.Contains(q.String(), "planted") {
		t.Errorf("the runner was asked %v", q)
	}
	runner.replies <- probed("", "")
	if got := result(plain); got["valid"] != true || got["hostError"] != nil {
		t.Errorf("a good one: %v", got)
	}
	<-runner.requests
	// What breaks a rule is not tried.
	if got := result(draft(nil)); got["valid"] != nil || got["oauthError"] == nil {
		t.Errorf("without a secret: %v", got)
	}
	// A stored secret goes to its own host alone.
	integration := s.ok("CreateSCMIntegration", object{
		"runnerId": s.runner, "scmId": "gitea", "host": "git.example.com", "oauthClientId": "client", "oauthPlaintextClientSecret": "planted-secret",
	})["id"].(string)
	stored := s.ok("GetSCMIntegration", object{"id": integration})["integration"].(object)["oauth"].(object)["encryptedClientSecret"]
	for host, sent := range map[string]string{"git.example.com": "planted-secret", "evil.example.com": ""} {
		runner.replies <- probed("", "")
		result(draft(object{"id": integration, "host": host, "oauthEncryptedClientSecret": stored}))
		if q := (<-runner.requests).GetProbeIntegration(); s.probedSecret(q) != sent || q.GetHost().GetHost() != host {
			t.Errorf("%s: the runner was asked %v", host, q)
		}
	}
	s.neverSaid("planted-")
}

// probedSecret opens the client secret of a question as the runner does, which
// opens nothing but what is sealed as one; empty when there is none.
func (s *spoken) probedSecret(q *linkv1.ProbeIntegration) string {
	s.t.Helper()
	if len(q.GetSealedClientSecret()) == 0 {
		return ""
	}
	kind, rest, _ := strings.Cut(q.GetPurpose(), "/")
	integration, part, _ := strings.Cut(rest, "/")
	if kind != "scm_integration" || !id.Valid(integration) || part != "client_secret" {
		s.t.Errorf("the purpose is %q", q.GetPurpose())
	}
	plain, err := seal.Open(q.GetSealedClientSecret(), (*[seal.KeySize]byte)(s.public), s.private, q.GetPurpose())
	if err != nil {
		s.t.Error(err)
	}
	return string(plain)
}

// fails is the error of two results.
func fails[T any](_ T, err error) error { return err }

func same(t *testing.T, name string, got, want proto.Message) {
	t.Helper()
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("%s: %s", name, diff)
	}
}

// neverSaid fails when the log or an answer has a planted text.
func (s *spoken) neverSaid(planted string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(s.said.String(), planted) {
		s.t.Error("a planted text was said")
	}
}
