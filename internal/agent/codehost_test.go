package agent_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent"
	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
)

const (
	integrationID = "0190a000-0000-7000-8000-0000000000a1"
	tokenID       = "0190a000-0000-7000-8000-0000000000b1"
	clientSecret  = "scm_integration/" + integrationID + "/client_secret"
	hostToken     = "host_authentication_token/" + tokenID + "/token"
	refreshToken  = "host_authentication_token/" + tokenID + "/refresh_token"
)

// hosts are source code hosts that a test plays.
type hosts struct {
	// ask answers questions about a URL or a text. Its errors are those of every
	// question; nil finds what was asked for.
	ask func(ctx context.Context, a scmhost.Account, what string) error
	// good is the token that the host takes; empty for any.
	good string
	// found is what a search finds; nil for one repository.
	found   []scmhost.FoundRepository
	refresh func(ctx context.Context, refreshToken string) (scmhost.Grant, error)
	// places are for questions; nil for as many as there are.
	places *scmhost.Hosts

	mu        sync.Mutex
	used      []string // tokens, in the order in which they came
	forgotten []string
}

var refusedToken = fault.New(fault.FailedPrecondition, fault.SignInRequired, "git.example does not accept your credential any more. Sign in again.")

func (h *hosts) asked(ctx context.Context, a scmhost.Account, what string) error {
	h.mu.Lock()
	h.used = append(h.used, a.Credential.Token)
	h.mu.Unlock()
	if h.good != "" && a.Credential.Token != h.good {
		return refusedToken
	}
	if h.ask != nil {
		return h.ask(ctx, a, what)
	}
	return nil
}

// changeStates are those of changes by the end of their URL.
var changeStates = map[string]scmhost.ChangeState{"7": scmhost.ChangeOpen, "7#closed": scmhost.ChangeClosed, "7#merged": scmhost.ChangeMerged}

func (h *hosts) ParseContext(ctx context.Context, a scmhost.Account, url string) (scmhost.Context, error) {
	base := scmhost.Repository{Owner: "acme", Repo: "app", CloneURL: "https://git.example/acme/app.git", DefaultBranch: "main"}
	c := scmhost.Context{
		Host: a.Host, Branch: "b", Commit: "c0ffee",
		Repository: scmhost.Repository{Owner: "ada", Repo: "app", CloneURL: "https://git.example/ada/app.git", UpstreamURL: base.CloneURL},
		Change: &scmhost.Change{
			Number: "7", Title: "Change", URL: "https://git.example/acme/app/-/merge_requests/7", Author: "ada", State: changeStates[path.Base(url)], Draft: true,
			FromBranch: "b", ToBranch: "main", Base: base, Commit: "c0ffee",
		},
	}
	if strings.Contains(url, "issues") {
		c = scmhost.Context{Host: a.Host, Repository: base, Tag: "v1", Commit: "c0ffee", Issue: &scmhost.Issue{Number: "8", Title: "Issue"}}
	}
	return c, h.asked(ctx, a, url)
}

func (h *hosts) CheckRepository(ctx context.Context, a scmhost.Account, url string) (bool, string, error) {
	err := h.asked(ctx, a, url)
	if a.Credential.Token != "" && (fault.HasReason(err, fault.SignInRequired) || fault.Is(err, fault.NotFound)) {
		return false, fault.From(err).Message, nil
	}
	return err == nil, "", err
}

func (h *hosts) Authenticated(ctx context.Context, a scmhost.Account) (bool, error) {
	err := h.asked(ctx, a, "viewer")
	if fault.HasReason(err, fault.SignInRequired) {
		return false, nil
	}
	return err == nil, err
}

func (h *hosts) Enter(ctx context.Context, i scmurl.Integration) (context.Context, func(), error) {
	if h.places == nil {
		return ctx, func() {}, nil
	}
	return h.places.Enter(ctx, i)
}

func (h *hosts) Search(ctx context.Context, a scmhost.Account, q scmhost.Query) (scmhost.Repositories, error) {
	if err := h.asked(ctx, a, q.Text); err != nil {
		return scmhost.Repositories{}, err
	}
	found := scmhost.Repositories{More: true, Pages: 3, Total: math.MaxInt64, Rows: h.found}
	if found.Rows == nil {
		found.Rows = []scmhost.FoundRepository{{
			Name: fmt.Sprintf("%s:%s/%v/%d/%d", a.Host, a.Credential.Token, q.Native, q.Page, q.Size), URL: "https://" + a.Host + "/" + q.Text,
		}}
	}
	return found, nil
}

func (h *hosts) Organizations(ctx context.Context, a scmhost.Account, q scmhost.OrganizationQuery) (scmhost.Organizations, error) {
	return scmhost.Organizations{
		Cursor: q.Cursor + "+", Rows: []scmhost.Organization{{Name: fmt.Sprintf("%s-%d", q.Text, q.Size), URL: "https://git.example/o", Admin: true}},
	}, h.asked(ctx, a, q.Text)
}

func (h *hosts) Probe(_ context.Context, i scmurl.Integration, c scmhost.Client) (scmhost.Probed, error) {
	if c.ID == "app" && c.Secret == "planted-client-secret" {
		return scmhost.Probed{}, nil
	}
	return scmhost.Probed{Host: "is no " + i.SCMID, OAuth: fmt.Sprintf("has the client %q with %d bytes", c.ID, len(c.Secret))}, nil
}

func (h *hosts) BeginSignIn(i scmurl.Integration, c scmhost.Client, state, redirectURL string, life time.Duration) (string, error) {
	if state == "" {
		return "", fault.New(fault.FailedPrecondition, fault.HostNotConfigured, "no application")
	}
	return fmt.Sprintf("https://%s/authorize?client_id=%s&state=%s&redirect_uri=%s&life=%s", i.Host, c.ID, state, redirectURL, life), nil
}

func (h *hosts) FinishSignIn(_ context.Context, _ scmurl.Integration, c scmhost.Client, state, redirectURL, code string) (scmhost.Grant, error) {
	if c.ID != "app" || c.Secret != "planted-client-secret" || state != "s" || redirectURL != "https://muster.example/oauth/callback" || code != "code" {
		return scmhost.Grant{}, fault.New(fault.FailedPrecondition, fault.SignInFailed, "wrong")
	}
	return scmhost.Grant{Token: "planted-token", RefreshToken: "planted-refresh-token", ExpiresAt: time.Unix(2e9, 0), Scopes: []string{"repo", "user"}}, nil
}

func (h *hosts) Refresh(ctx context.Context, _ scmurl.Integration, c scmhost.Client, refreshToken string) (scmhost.Grant, error) {
	if c.Secret != "planted-client-secret" {
		return scmhost.Grant{}, errors.New("a wrong client")
	}
	return h.refresh(ctx, refreshToken)
}

func (h *hosts) SignIn(i scmurl.Integration) scmurl.SignIn {
	s := scmurl.SignIn{Name: "Example Git"}
	if i.OAuth {
		s.OAuth = &scmurl.OAuth{DocsURL: "https://docs.example/oauth"}
	}
	if i.PAT {
		s.PAT = &scmurl.PAT{CreateURL: "https://git.example/tokens", DocsURL: "https://docs.example/pat", Example: "xxxx", Scopes: []string{"repo"}}
	}
	return s
}

func (h *hosts) Forget(integration string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forgotten = append(h.forgotten, integration)
}

func (h *hosts) Close() {}

// asking is a runner with hosts, and the link to it.
func asking(t *testing.T, p *plane, h *hosts) (*process, *planeLink) {
	t.Helper()
	pr := p.join(t, func(c *agent.Config) { c.SetHosts(h) })
	return pr, p.welcomed(t)
}

// secrets are what a control plane delivers to the runner.
type secrets map[string]string

func allSecrets() secrets {
	return secrets{hostToken: "planted-token", refreshToken: "planted-refresh-token", clientSecret: "planted-client-secret"}
}

// await returns the next frame that is no request for a secret; those are answered.
func (l *planeLink) await(t *testing.T, s secrets) *linkv1.RunnerFrame {
	t.Helper()
	for {
		f := l.next(t)
		q := f.GetSecretRequest()
		if q == nil {
			return f
		}
		plain, ok := s[q.GetName()]
		if !ok {
			l.secret(t, &linkv1.SecretReply{RequestId: q.GetRequestId(), Error: "nothing of that name"})
			continue
		}
		sealed, err := seal.To(l.hello.GetPublicKey(), q.GetName(), []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		l.secret(t, &linkv1.SecretReply{RequestId: q.GetRequestId(), Sealed: sealed})
	}
}

// ask sends a question and returns the reply.
func (l *planeLink) ask(t *testing.T, s secrets, q *linkv1.Request) *linkv1.Reply {
	t.Helper()
	q = proto.CloneOf(q)
	q.Patience = durationpb.New(scmhost.Patience + 2*time.Second)
	l.send(t, request(42, q))
	f := l.await(t, s)
	if f.GetReply().GetRequestId() != 42 {
		t.Fatalf("got %v, want the reply", f)
	}
	return f.GetReply()
}

func sourceHost() *linkv1.SourceHost {
	return &linkv1.SourceHost{IntegrationId: integrationID, ScmId: "gitlab", Host: "git.example", OauthClientId: "app", Pat: true}
}

// signedIn is somebody with an OAuth token that ends after some time.
func signedIn(left time.Duration) *linkv1.HostAccess {
	return &linkv1.HostAccess{Host: sourceHost(), Credential: &linkv1.HostCredential{
		TokenId: tokenID, Oauth: true, RefreshTokenSha256: seal.Digest{1}.Bytes(), Revision: 1, ExpiresAt: timestamppb.New(time.Now().Add(left)),
	}}
}

func parse(a *linkv1.HostAccess, url string) *linkv1.Request {
	return &linkv1.Request{Request: &linkv1.Request_ParseContext{ParseContext: &linkv1.ParseContext{Access: a, Url: url}}}
}

func search(text string, as ...*linkv1.HostAccess) *linkv1.Request {
	return &linkv1.Request{Request: &linkv1.Request_SearchRepositories{SearchRepositories: &linkv1.SearchRepositories{Accesses: as, Text: text, Page: 2, PageSize: 25}}}
}

func list(a *linkv1.HostAccess) *linkv1.Request {
	return &linkv1.Request{Request: &linkv1.Request_ListOrganizations{ListOrganizations: &linkv1.ListOrganizations{Access: a, Query: "ac", Cursor: "c", PageSize: 1000}}}
}

func authenticated(a *linkv1.HostAccess) *linkv1.Request {
	return &linkv1.Request{Request: &linkv1.Request_CheckAuthentication{CheckAuthentication: &linkv1.CheckAuthentication{Access: a}}}
}

func readable(a *linkv1.HostAccess) *linkv1.Request {
	return &linkv1.Request{Request: &linkv1.Request_CheckRepository{CheckRepository: &linkv1.CheckRepository{Access: a, Url: "https://git.example/acme/app"}}}
}

// withPAT completes an answer about a host that takes personal access tokens.
func withPAT(m *gitpodv1.CheckAuthenticationForHostResponse) *gitpodv1.CheckAuthenticationForHostResponse {
	m.ScmId, m.ScmName = "gitlab", "Example Git"
	m.PatSupported = true //nolint:staticcheck // old clients look at it
	m.SupportsPat = &gitpodv1.CheckAuthenticationForHostResponse_AuthenticationMethodPersonalAccessToken{
		CreateUrl: "https://git.example/tokens", DocsUrl: "https://docs.example/pat", Example: "xxxx", RequiredScopes: []string{"repo"},
	}
	return m
}

func TestQuestionsAboutSourceCodeHosts(t *testing.T) {
	anonymous := &linkv1.HostAccess{Host: sourceHost()}
	elsewhere := func(a *linkv1.HostAccess, host string) *linkv1.HostAccess { a.Host.Host = host; return a }
	git := &gitpodv1.ParseContextURLResponse_GitContext{
		CloneUrl: "https://git.example/ada/app.git", Branch: "b", Commit: "c0ffee", Host: "git.example", Owner: "ada", Repo: "app",
		UpstreamRemoteUrl: "https://git.example/acme/app.git",
	}
	const changeURL = "https://git.example/acme/app/-/merge_requests/7"
	change := func(state gitpodv1.PullRequest_State) *linkv1.Reply {
		return &linkv1.Reply{Reply: &linkv1.Reply_ContextParsed{ContextParsed: &linkv1.ContextParsed{Context: &gitpodv1.ParseContextURLResponse{
			Git: git, PullRequest: &gitpodv1.PullRequest{
				Id: "7", Title: "Change", Url: changeURL, Author: "ada", Draft: true, State: state, FromBranch: "b", ToBranch: "main", HeadSha: "c0ffee",
				Repository: &gitpodv1.PullRequest_Repository{CloneUrl: "https://git.example/acme/app.git", Host: "git.example", Owner: "acme", Name: "app"},
			},
		}}}}
	}
	oauth := &gitpodv1.CheckAuthenticationForHostResponse_AuthenticationMethodOAuth2{DocsUrl: "https://docs.example/oauth"}
	for name, c := range map[string]struct {
		hosts *hosts // nil when all is well
		ask   *linkv1.Request
		want  *linkv1.Reply
	}{
		"a change":                 {ask: parse(signedIn(time.Hour), changeURL), want: change(gitpodv1.PullRequest_STATE_OPEN)},
		"one that is closed":       {ask: parse(signedIn(time.Hour), changeURL+"#closed"), want: change(gitpodv1.PullRequest_STATE_CLOSED)},
		"one that is merged":       {ask: parse(signedIn(time.Hour), changeURL+"#merged"), want: change(gitpodv1.PullRequest_STATE_MERGED)},
		"one in a state not known": {ask: parse(signedIn(time.Hour), changeURL+"#new"), want: change(gitpodv1.PullRequest_STATE_UNSPECIFIED)},
		"an issue": {
			ask: parse(signedIn(time.Hour), "https://git.example/acme/app/-/issues/8"),
			want: &linkv1.Reply{Reply: &linkv1.Reply_ContextParsed{ContextParsed: &linkv1.ContextParsed{Context: &gitpodv1.ParseContextURLResponse{
				Git: &gitpodv1.ParseContextURLResponse_GitContext{
					CloneUrl: "https://git.example/acme/app.git", Tag: "v1", Commit: "c0ffee", Host: "git.example", Owner: "acme", Repo: "app",
				},
				Issue: &gitpodv1.ParseContextURLResponse_Issue{Id: "8", Title: "Issue"},
			}}}},
		},
		"a search on one host": {
			ask: search("x", signedIn(time.Hour)),
			want: &linkv1.Reply{Reply: &linkv1.Reply_RepositoriesFound{RepositoriesFound: &linkv1.RepositoriesFound{
				More: true, TotalPages: 3, TotalCount: math.MaxInt32,
				Repositories: []*gitpodv1.SearchRepositoriesResponse_Repository{{Name: "git.example:planted-token/false/2/25", Url: "https://git.example/x"}},
			}}},
		},
		"a search on several, of which one does not know who asks": {
			ask: search("x", elsewhere(signedIn(time.Hour), "a.example"), elsewhere(&linkv1.HostAccess{Host: sourceHost()}, "b.example")),
			want: &linkv1.Reply{Reply: &linkv1.Reply_RepositoriesFound{RepositoriesFound: &linkv1.RepositoriesFound{
				More: true, TotalPages: -1, TotalCount: -1,
				Repositories: []*gitpodv1.SearchRepositoriesResponse_Repository{{Name: "a.example:planted-token/false/2/25", Url: "https://a.example/x"}},
			}}},
		},
		"a search with more than a frame holds": {
			hosts: &hosts{found: []scmhost.FoundRepository{{Name: strings.Repeat("x", 2<<20)}}},
			ask:   search("x", signedIn(time.Hour)),
			want:  &linkv1.Reply{Failure: &linkv1.Failure{Code: 9, Reason: "limit-reached", Message: "The answer has more than 1 MiB. Ask for smaller pages, or fewer hosts."}},
		},
		"organizations": {
			ask: list(signedIn(time.Hour)),
			want: &linkv1.Reply{Reply: &linkv1.Reply_OrganizationsListed{OrganizationsListed: &linkv1.OrganizationsListed{
				Cursor: "c+", Organizations: []*gitpodv1.ListSCMOrganizationsResponse_SCMOrganization{{Name: "ac-100", Url: "https://git.example/o", IsAdmin: true}},
			}}},
		},
		"who is signed in": {
			ask: authenticated(signedIn(time.Hour)),
			want: &linkv1.Reply{Reply: &linkv1.Reply_AuthenticationChecked{AuthenticationChecked: &linkv1.AuthenticationChecked{
				Result: withPAT(&gitpodv1.CheckAuthenticationForHostResponse{Authenticated: true, SupportsOauth2: oauth}),
			}}},
		},
		"who is not": {
			ask: authenticated(&linkv1.HostAccess{Host: &linkv1.SourceHost{IntegrationId: integrationID, ScmId: "gitlab", Host: "git.example", OauthClientId: "app"}}),
			want: &linkv1.Reply{Reply: &linkv1.Reply_AuthenticationChecked{AuthenticationChecked: &linkv1.AuthenticationChecked{
				Result: &gitpodv1.CheckAuthenticationForHostResponse{ScmId: "gitlab", ScmName: "Example Git", SupportsOauth2: oauth},
			}}},
		},
		"whose token has ended": {
			ask: authenticated(&linkv1.HostAccess{Host: &linkv1.SourceHost{ScmId: "gitlab", Host: "git.example", Pat: true}, Credential: &linkv1.HostCredential{TokenId: tokenID, ExpiresAt: timestamppb.New(time.Unix(1, 0))}}),
			want: &linkv1.Reply{Reply: &linkv1.Reply_AuthenticationChecked{AuthenticationChecked: &linkv1.AuthenticationChecked{
				Result: withPAT(&gitpodv1.CheckAuthenticationForHostResponse{}),
			}}},
		},
		"whose token is refused": {
			hosts: &hosts{good: "another"},
			ask:   authenticated(&linkv1.HostAccess{Host: &linkv1.SourceHost{ScmId: "gitlab", Host: "git.example", Pat: true}, Credential: &linkv1.HostCredential{TokenId: tokenID}}),
			want: &linkv1.Reply{Reply: &linkv1.Reply_AuthenticationChecked{AuthenticationChecked: &linkv1.AuthenticationChecked{
				Result: withPAT(&gitpodv1.CheckAuthenticationForHostResponse{}),
			}}},
		},
		"a repository that can be read": {
			ask:  readable(signedIn(time.Hour)),
			want: &linkv1.Reply{Reply: &linkv1.Reply_RepositoryChecked{RepositoryChecked: &linkv1.RepositoryChecked{HasAccess: true}}},
		},
		"a repository that anybody can read": {
			ask:  readable(anonymous),
			want: &linkv1.Reply{Reply: &linkv1.Reply_RepositoryChecked{RepositoryChecked: &linkv1.RepositoryChecked{HasAccess: true}}},
		},
		"a repository that cannot": {
			hosts: &hosts{ask: func(_ context.Context, _ scmhost.Account, what string) error {
				if what == "viewer" {
					return nil
				}
				return fault.New(fault.NotFound, fault.ReasonNotFound, "There is none.")
			}},
			ask:  readable(signedIn(time.Hour)),
			want: &linkv1.Reply{Reply: &linkv1.Reply_RepositoryChecked{RepositoryChecked: &linkv1.RepositoryChecked{ErrorMessage: "There is none."}}},
		},
		"a repository that those who are not signed in cannot": {
			hosts: &hosts{good: "another"},
			ask:   readable(anonymous),
			want:  &linkv1.Reply{Failure: &linkv1.Failure{Code: 9, Reason: "sign-in-required", Message: refusedToken.Message}},
		},
		"where to sign in": {
			ask: &linkv1.Request{Request: &linkv1.Request_BeginSignIn{BeginSignIn: &linkv1.BeginSignIn{
				Host: sourceHost(), State: "s", RedirectUrl: "r", Life: durationpb.New(10 * time.Minute),
			}}},
			want: &linkv1.Reply{Reply: &linkv1.Reply_SignInBegun{SignInBegun: &linkv1.SignInBegun{
				AuthorizeUrl: "https://git.example/authorize?client_id=app&state=s&redirect_uri=r&life=10m0s",
			}}},
		},
		"where nobody can sign in": {
			ask:  &linkv1.Request{Request: &linkv1.Request_BeginSignIn{BeginSignIn: &linkv1.BeginSignIn{}}},
			want: &linkv1.Reply{Failure: &linkv1.Failure{Code: 9, Reason: "host-not-configured", Message: "no application"}},
		},
		"not signed in": {
			ask:  parse(anonymous, "u"),
			want: &linkv1.Reply{Failure: &linkv1.Failure{Code: 9, Reason: "sign-in-required", Message: "You are not signed in to git.example. Sign in, or store a personal access token for it."}},
		},
		"signed in nowhere": {
			ask:  search("x", elsewhere(&linkv1.HostAccess{Host: sourceHost()}, "a.example"), anonymous),
			want: &linkv1.Reply{Failure: &linkv1.Failure{Code: 9, Reason: "sign-in-required", Message: "You are not signed in to a.example. Sign in, or store a personal access token for it."}},
		},
		"no hosts": {
			ask:  search("x"),
			want: &linkv1.Reply{Failure: &linkv1.Failure{Code: 3, Reason: "invalid-field", Message: "A search takes from 1 to 20 hosts, this one has 0."}},
		},
		"too many hosts": {
			ask:  search("x", make([]*linkv1.HostAccess, 21)...),
			want: &linkv1.Reply{Failure: &linkv1.Failure{Code: 3, Reason: "invalid-field", Message: "A search takes from 1 to 20 hosts, this one has 21."}},
		},
		"a token that is gone": {
			ask: parse(&linkv1.HostAccess{Host: sourceHost(), Credential: &linkv1.HostCredential{TokenId: "another"}}, "u"),
			want: &linkv1.Reply{Failure: &linkv1.Failure{
				Code: 14, Reason: "runner-refused", Message: "The runner did not get the credential for git.example from the control plane. Try again.",
			}},
		},
		"a sign-in for something else than a host token": {
			ask:  &linkv1.Request{Request: &linkv1.Request_FinishSignIn{FinishSignIn: &linkv1.FinishSignIn{Host: sourceHost(), TokenId: "../x"}}},
			want: &linkv1.Reply{Failure: &linkv1.Failure{Code: 3, Reason: "invalid-field", Message: "The id of the host token that is to be signed in is no UUID."}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if c.hosts == nil {
					c.hosts = &hosts{}
				}
				_, l := asking(t, inMemory(t), c.hosts)
				got := l.ask(t, allSecrets(), c.ask)
				got.RequestId = 0
				if !proto.Equal(got, c.want) {
					t.Errorf("got  %v\nwant %v", got, c.want)
				}
			})
		})
	}
}

func TestFailuresOfSourceCodeHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hosts{}
		pr, l := asking(t, inMemory(t), h)
		odd := &linkv1.Failure{Code: 14, Reason: "runner-refused", Message: "The runner failed to answer. Its log says why."}
		for name, c := range map[string]struct {
			err  error
			want *linkv1.Failure
		}{
			"invalid":      {fault.Invalid("context_url", "No."), &linkv1.Failure{Code: 3, Reason: "invalid-field", Message: "context_url: No.", Field: "context_url"}},
			"slow":         {fault.New(fault.DeadlineExceeded, fault.HostUnavailable, "slow"), &linkv1.Failure{Code: 4, Reason: "host-unavailable", Message: "slow"}},
			"not there":    {fault.New(fault.NotFound, fault.ReasonNotFound, "none"), &linkv1.Failure{Code: 5, Reason: "not-found", Message: "none"}},
			"forbidden":    {fault.New(fault.PermissionDenied, fault.HostRefused, "no"), &linkv1.Failure{Code: 7, Reason: "host-refused", Message: "no"}},
			"too often":    {fault.New(fault.ResourceExhausted, fault.HostLimited, "stop").WithRetryAfter(30 * time.Second), &linkv1.Failure{Code: 8, Reason: "host-rate-limited", Message: "stop", RetryAfter: durationpb.New(30 * time.Second)}},
			"not allowed":  {fault.New(fault.FailedPrecondition, fault.HostNotAllowed, "guarded"), &linkv1.Failure{Code: 9, Reason: "host-address-not-allowed", Message: "guarded"}},
			"not built":    {fault.New(fault.Unimplemented, fault.ReasonUnimplemented, "not so"), &linkv1.Failure{Code: 12, Reason: "unimplemented", Message: "not so"}},
			"down":         {fault.New(fault.Unavailable, fault.HostUnavailable, "down").WithCause(errors.New("planted-cause")), &linkv1.Failure{Code: 14, Reason: "host-unavailable", Message: "down"}},
			"unprintable":  {fault.New(fault.NotFound, fault.ReasonNotFound, "a\x00\n\xff%s", strings.Repeat("b", 2000)), &linkv1.Failure{Code: 5, Reason: "not-found", Message: "a  \uFFFD" + strings.Repeat("b", 1018)}},
			"a bug":        {errors.New("planted-bug"), odd},
			"another code": {fault.New(fault.AlreadyExists, fault.AlreadyThere, "there"), odd},
			"no time":      {fmt.Errorf("%w", context.DeadlineExceeded), &linkv1.Failure{Code: 4, Reason: "deadline-exceeded", Message: "The runner did not find an answer in time."}},
		} {
			h.ask = func(context.Context, scmhost.Account, string) error { return c.err }
			for _, q := range []*linkv1.Request{parse(signedIn(time.Hour), "u"), search("x", signedIn(time.Hour)), list(signedIn(time.Hour)), authenticated(signedIn(time.Hour))} {
				if got := l.ask(t, allSecrets(), q).GetFailure(); !proto.Equal(got, c.want) {
					t.Errorf("%s: got %v, want %v", name, got, c.want)
				}
			}
		}
		pr.logs.has(t, "planted-bug")
	})
}

func TestProbeIntegration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pr, l := asking(t, inMemory(t), &hosts{})
		key := l.hello.GetPublicKey()
		other, _, err := seal.NewKeyPair()
		if err != nil {
			t.Fatal(err)
		}
		probe := func(key []byte, purpose, claimed string) *linkv1.Reply {
			t.Helper()
			q := &linkv1.ProbeIntegration{Host: sourceHost(), Purpose: claimed}
			if key != nil {
				var err error
				if q.SealedClientSecret, err = seal.To(key, purpose, []byte("planted-client-secret")); err != nil {
					t.Fatal(err)
				}
			}
			return l.ask(t, nil, &linkv1.Request{Request: &linkv1.Request_ProbeIntegration{ProbeIntegration: q}})
		}
		for name, c := range map[string]struct {
			reply       *linkv1.Reply
			host, oauth string
		}{
			"fine":                    {reply: probe(key, clientSecret, clientSecret)},
			"sealed to another key":   {reply: probe(other[:], clientSecret, clientSecret), host: "is no gitlab", oauth: "has a client secret that is sealed to another key than this runner's; set it again"},
			"sealed for another host": {reply: probe(key, strings.Replace(clientSecret, "a1", "a2", 1), clientSecret), host: "is no gitlab", oauth: "has a client secret that is sealed to another key than this runner's; set it again"},
			"without a secret":        {reply: probe(nil, "", ""), host: "is no gitlab", oauth: `has the client "app" with 0 bytes`},
		} {
			if got := c.reply.GetIntegrationProbed(); got == nil || got.GetHostError() != c.host || got.GetOauthError() != c.oauth {
				t.Errorf("%s: got %v", name, c.reply)
			}
		}
		// Nothing but a client secret is opened for this.
		for _, purpose := range []string{
			"", hostToken, refreshToken, "runner/" + runnerID + "/rotation", "scm_integration/x/client_secret", "scm_integration/" + integrationID + "/client_secret/",
			"scm_integration/" + integrationID + "/token", "llm_integration/" + integrationID + "/client_secret", "scm_integration//" + integrationID + "/client_secret",
		} {
			if got := probe(key, purpose, purpose).GetFailure(); got.GetCode() != 3 {
				t.Errorf("%q: got %v", purpose, got)
			}
		}
		if strings.Contains(pr.logs.String(), "planted") {
			t.Errorf("a secret was logged: %s", pr.logs)
		}
	})
}

func TestFinishSignIn(t *testing.T) {
	p, _ := overLoopback(t, false, "")
	pr, l := asking(t, p, &hosts{})
	finish := func(code string) *linkv1.Reply {
		t.Helper()
		return l.ask(t, allSecrets(), &linkv1.Request{Request: &linkv1.Request_FinishSignIn{FinishSignIn: &linkv1.FinishSignIn{
			Host: sourceHost(), State: "s", RedirectUrl: "https://muster.example/oauth/callback", Code: code, TokenId: tokenID,
		}}})
	}
	if got := finish("planted-code").GetFailure(); got.GetCode() != 9 || got.GetReason() != "sign-in-failed" {
		t.Errorf("got %v", got)
	}
	got := finish("code").GetSignedIn()
	if open(t, pr, got.GetSealedToken(), hostToken) != "planted-token" || open(t, pr, got.GetSealedRefreshToken(), refreshToken) != "planted-refresh-token" ||
		got.GetExpiresAt().GetSeconds() != 2e9 || fmt.Sprint(got.GetScopes()) != "[repo user]" {
		t.Errorf("got %v", got)
	}
	if strings.Contains(pr.logs.String(), "planted-") {
		t.Errorf("a secret was logged: %s", pr.logs)
	}
}

// open opens what was sealed to a runner.
func open(t *testing.T, pr *process, sealed seal.Secret, purpose string) string {
	t.Helper()
	id := readIdentity(t, pr.dir)
	plain, err := seal.Open(sealed, (*[32]byte)(id.PublicKey), (*[32]byte)(id.PrivateKey), purpose)
	if err != nil {
		t.Errorf("%s: %v", purpose, err)
	}
	return string(plain)
}
