package link_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
)

const (
	repoURL = "https://git.example.com:8443/acme/app"
	hash    = "0123456789abcdef0123456789abcdef01234567"
)

var expiry = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// access is one with a value in every field.
func hostAccess() codehost.Access {
	return codehost.Access{
		Host: codehost.Host{
			Integration: scmurl.Integration{
				ID: "i", SCMID: "gitea", Host: "git.example.com:8443", VirtualDirectory: "/tfs", IssuerURL: "https://login.example.com", OAuth: true, PAT: true,
			},
			OAuthClientID: "client",
		},
		Credential: &codehost.Credential{ID: "k", Runner: runnerA, Host: "git.example.com:8443", Integration: "i", OAuth: true, ExpiresAt: expiry, RefreshToken: seal.Digest{7}, Revision: 7},
	}
}

// questions is what a runner can be asked about hosts, with a good answer.
var questions = map[string]struct {
	ask  func(ctx context.Context, p *plane) (any, error)
	sent *linkv1.Request
	good *linkv1.Reply
	want any
}{
	"ParseContext": {
		ask: func(ctx context.Context, p *plane) (any, error) {
			return p.ParseContext(ctx, runnerA, hostAccess(), repoURL)
		},
		sent: &linkv1.Request{Request: &linkv1.Request_ParseContext{ParseContext: &linkv1.ParseContext{Access: sentAccess, Url: repoURL}}},
		good: parsed(func(*gitpodv1.ParseContextURLResponse) {}),
		want: codehost.Context{
			Git: codehost.Git{
				CloneURL: repoURL + ".git", Host: "git.example.com:8443", Owner: "acme/team", Repo: "app", Branch: "a/b", Tag: "v1", Commit: hash, UpstreamURL: repoURL,
			},
			Change: &codehost.Change{
				ID: "7", Title: "Mend  it", FromBranch: "a/b", ToBranch: "main", URL: repoURL + "/pulls/7", Author: "ann", Draft: true, State: 1, HeadCommit: hash,
				Base: codehost.Git{CloneURL: repoURL, Host: "git.example.com:8443", Owner: "acme", Repo: "app"},
			},
			Issue: &codehost.Issue{ID: "8", Title: "It is broken"},
		},
	},
	"SearchRepositories": {
		ask: func(ctx context.Context, p *plane) (any, error) {
			second := hostAccess()
			second.Credential = nil
			return p.SearchRepositories(ctx, runnerA, []codehost.Access{hostAccess(), second}, codehost.Search{Text: "app", Native: true, Page: 3, Size: 2})
		},
		sent: &linkv1.Request{Request: &linkv1.Request_SearchRepositories{SearchRepositories: &linkv1.SearchRepositories{
			Accesses: []*linkv1.HostAccess{sentAccess, {Host: sentAccess.GetHost()}}, Text: "app", Native: true, Page: 3, PageSize: 2,
		}}},
		good: found(func(*linkv1.RepositoriesFound) {}),
		want: codehost.Repositories{Rows: []codehost.Repository{{Name: "acme/app", URL: repoURL}, {Name: "acme/lib", URL: ""}}, More: true, Pages: -1, Total: 40},
	},
	"ListOrganizations": {
		ask: func(ctx context.Context, p *plane) (any, error) {
			return p.ListOrganizations(ctx, runnerA, hostAccess(), codehost.OrganizationQuery{Text: "ac", Cursor: "page 2", Size: 2})
		},
		sent: &linkv1.Request{Request: &linkv1.Request_ListOrganizations{ListOrganizations: &linkv1.ListOrganizations{
			Access: sentAccess, Query: "ac", Cursor: "page 2", PageSize: 2,
		}}},
		good: listed(func(*linkv1.OrganizationsListed) {}),
		want: codehost.Organizations{Rows: []codehost.Organization{{Name: "acme", URL: "https://git.example.com/acme", Admin: true}}, Cursor: "page 3"},
	},
	"CheckAuthentication": {
		ask: func(ctx context.Context, p *plane) (any, error) {
			return p.CheckAuthentication(ctx, runnerA, hostAccess())
		},
		sent: &linkv1.Request{Request: &linkv1.Request_CheckAuthentication{CheckAuthentication: &linkv1.CheckAuthentication{Access: sentAccess}}},
		good: authenticated(func(*gitpodv1.CheckAuthenticationForHostResponse) {}),
		want: codehost.Authentication{
			Authenticated: true, Name: "Gitea", OAuth: &codehost.OAuth{DocsURL: "https://docs.example.com/o"},
			PAT: &scmurl.PAT{CreateURL: "https://git.example.com/t", DocsURL: "https://docs.example.com/p", Example: "0123", Scopes: []string{"read:user"}},
		},
	},
	"CheckRepository": {
		ask: func(ctx context.Context, p *plane) (any, error) {
			return p.CheckRepository(ctx, runnerA, hostAccess(), repoURL)
		},
		sent: &linkv1.Request{Request: &linkv1.Request_CheckRepository{CheckRepository: &linkv1.CheckRepository{Access: sentAccess, Url: repoURL}}},
		good: &linkv1.Reply{Reply: &linkv1.Reply_RepositoryChecked{RepositoryChecked: &linkv1.RepositoryChecked{ErrorMessage: "No\nsuch \u202erepository."}}},
		want: codehost.Readable{Why: "No such  repository."},
	},
	"ProbeIntegration": {
		ask: func(ctx context.Context, p *plane) (any, error) {
			return p.ProbeIntegration(ctx, runnerA, codehost.Probe{Host: hostAccess().Host, ClientSecret: []byte("sealed"), Purpose: "a purpose"})
		},
		sent: &linkv1.Request{Request: &linkv1.Request_ProbeIntegration{ProbeIntegration: &linkv1.ProbeIntegration{
			Host: sentAccess.GetHost(), SealedClientSecret: []byte("sealed"), Purpose: "a purpose",
		}}},
		good: &linkv1.Reply{Reply: &linkv1.Reply_IntegrationProbed{IntegrationProbed: &linkv1.IntegrationProbed{HostError: "is away", OauthError: "is unknown"}}},
		want: codehost.Probed{Host: "is away", OAuth: "is unknown"},
	},
}

var sentAccess = &linkv1.HostAccess{
	Host: &linkv1.SourceHost{
		IntegrationId: "i", ScmId: "gitea", Host: "git.example.com:8443", VirtualDirectory: "/tfs", IssuerUrl: "https://login.example.com", OauthClientId: "client", Pat: true,
	},
	Credential: &linkv1.HostCredential{TokenId: "k", Oauth: true, ExpiresAt: timestamppb.New(expiry), RefreshTokenSha256: seal.Digest{7}.Bytes(), Revision: 7},
}

func parsed(change func(*gitpodv1.ParseContextURLResponse)) *linkv1.Reply {
	c := &gitpodv1.ParseContextURLResponse{
		Git: &gitpodv1.ParseContextURLResponse_GitContext{
			CloneUrl: repoURL + ".git", Host: "git.example.com:8443", Owner: "acme/team", Repo: "app", Branch: "a/b", Tag: "v1", Commit: hash, UpstreamRemoteUrl: repoURL,
		},
		PullRequest: &gitpodv1.PullRequest{
			Id: "7", Title: "Mend \x07it", FromBranch: "a/b", ToBranch: "main", Url: repoURL + "/pulls/7", Author: "ann", Draft: true, State: 1, HeadSha: hash,
			Repository: &gitpodv1.PullRequest_Repository{CloneUrl: repoURL, Host: "git.example.com:8443", Owner: "acme", Name: "app"},
		},
		Issue: &gitpodv1.ParseContextURLResponse_Issue{Id: "8", Title: "It is broken"},
		// The control plane's to fill.
		OriginalContextUrl: "https://evil.example", ScmId: "evil", ProjectIds: []string{"evil"}, RecommendedEnvironmentClasses: []string{"evil"},
	}
	change(c)
	return &linkv1.Reply{Reply: &linkv1.Reply_ContextParsed{ContextParsed: &linkv1.ContextParsed{Context: c}}}
}

func found(change func(*linkv1.RepositoriesFound)) *linkv1.Reply {
	f := &linkv1.RepositoriesFound{
		Repositories: []*gitpodv1.SearchRepositoriesResponse_Repository{{Name: "acme/app", Url: repoURL}, {Name: "acme/lib"}}, More: true, TotalPages: -1, TotalCount: 40,
	}
	change(f)
	return &linkv1.Reply{Reply: &linkv1.Reply_RepositoriesFound{RepositoriesFound: f}}
}

func listed(change func(*linkv1.OrganizationsListed)) *linkv1.Reply {
	o := &linkv1.OrganizationsListed{
		Organizations: []*gitpodv1.ListSCMOrganizationsResponse_SCMOrganization{{Name: "acme", Url: "https://git.example.com/acme", IsAdmin: true}}, Cursor: "page 3",
	}
	change(o)
	return &linkv1.Reply{Reply: &linkv1.Reply_OrganizationsListed{OrganizationsListed: o}}
}

func authenticated(change func(*gitpodv1.CheckAuthenticationForHostResponse)) *linkv1.Reply {
	a := &gitpodv1.CheckAuthenticationForHostResponse{
		Authenticated: true, ScmName: "Gitea",
		SupportsOauth2: &gitpodv1.CheckAuthenticationForHostResponse_AuthenticationMethodOAuth2{DocsUrl: "https://docs.example.com/o", AuthUrl: "https://evil.example"},
		SupportsPat: &gitpodv1.CheckAuthenticationForHostResponse_AuthenticationMethodPersonalAccessToken{
			CreateUrl: "https://git.example.com/t", DocsUrl: "https://docs.example.com/p", Example: "0123", RequiredScopes: []string{"read:user"},
		},
	}
	change(a)
	return &linkv1.Reply{Reply: &linkv1.Reply_AuthenticationChecked{AuthenticationChecked: &linkv1.AuthenticationChecked{Result: a}}}
}

// answerNext answers the next request of the link.
func (r *runner) answerNext(reply *linkv1.Reply) *linkv1.Request {
	r.t.Helper()
	q := r.receive().GetRequest()
	reply = proto.CloneOf(reply)
	reply.RequestId = q.GetRequestId()
	r.reply(reply)
	return q
}

// about asks one question and answers it.
func (p *plane) about(t *testing.T, r *runner, name string, reply *linkv1.Reply) (q *linkv1.Request, answer any, err error) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		answer, err = questions[name].ask(t.Context(), p)
	}()
	q = r.answerNext(reply)
	<-done
	return q, answer, err
}

func TestQuestionsAboutHosts(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		if p.Connected(runnerA) {
			t.Error("a runner is connected that never came")
		}
		r, _ := p.join(t, runnerA, hello(bootOne))
		if !p.Connected(runnerA) || p.Connected(runnerB) {
			t.Error("the wrong runner is connected")
		}
		for name, c := range questions {
			q, answer, err := p.about(t, r, name, c.good)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if q.GetPatience().AsDuration() != 10*time.Second {
				t.Errorf("%s: with a patience of %s", name, q.GetPatience().AsDuration())
			}
			q.Patience, q.RequestId = nil, 0
			if !proto.Equal(q, c.sent) {
				t.Errorf("%s: asked %v\nwant %v", name, q, c.sent)
			}
			if diff := cmp.Diff(c.want, answer); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			// The answer to another question is none.
			other := questions["ProbeIntegration"].good
			if name == "ProbeIntegration" {
				other = questions["CheckRepository"].good
			}
			if _, answer, err := p.about(t, r, name, other); !fault.HasReason(err, fault.RunnerRefused) {
				t.Errorf("%s: another answer: %+v, %v", name, answer, err)
			}
		}
		r.kill()
		synctest.Wait()
		if p.Connected(runnerA) {
			t.Error("a runner is connected that has gone")
		}
	})
}

// A runner in wrong hands says nothing that reaches a caller's screen, browser or
// git as it is.
func TestHostileAnswers(t *testing.T) {
	long := strings.Repeat("x", 5000)
	type (
		context = gitpodv1.ParseContextURLResponse
		repos   = linkv1.RepositoriesFound
		orgs    = linkv1.OrganizationsListed
		auth    = gitpodv1.CheckAuthenticationForHostResponse
	)
	hostile := map[string]struct {
		question string
		reply    *linkv1.Reply
	}{}
	add := func(question string, replies ...*linkv1.Reply) {
		for n, reply := range replies {
			hostile[fmt.Sprintf("%s %d", question, n)] = struct {
				question string
				reply    *linkv1.Reply
			}{question, reply}
		}
	}
	for _, bad := range []string{
		"https://user:secret@git.example.com/a", "https://user@git.example.com/a", "javascript:alert(1)", "file:///etc/passwd", "ext::sh -c x", "//git.example.com/a",
		"https://", "git@git.example.com:a/b", "-oProxyCommand=x", "https://git.example.com/a\nb", "https://git.example.com/" + long,
	} {
		add("ParseContext of "+bad[:min(len(bad), 30)],
			parsed(func(c *context) { c.Git.CloneUrl = bad }), parsed(func(c *context) { c.Git.UpstreamRemoteUrl = bad }),
			parsed(func(c *context) { c.PullRequest.Url = bad }), parsed(func(c *context) { c.PullRequest.Repository.CloneUrl = bad }))
		add("SearchRepositories of "+bad[:min(len(bad), 30)], found(func(f *repos) { f.Repositories[1].Url = bad }))
		add("ListOrganizations of "+bad[:min(len(bad), 30)], listed(func(o *orgs) { o.Organizations[0].Url = bad }))
		add("CheckAuthentication of "+bad[:min(len(bad), 30)], authenticated(func(a *auth) { a.SupportsPat.CreateUrl = bad }),
			authenticated(func(a *auth) { a.SupportsPat.DocsUrl = bad }), authenticated(func(a *auth) { a.SupportsOauth2.DocsUrl = bad }))
	}
	for _, bad := range []string{long, "a\x00b", "a\x1b[2Jb", "a\nb"} {
		add("ParseContext with "+fmt.Sprintf("%.6q", bad),
			parsed(func(c *context) { c.Git.Owner = bad }), parsed(func(c *context) { c.Git.Repo = bad }), parsed(func(c *context) { c.Git.Branch = bad }),
			parsed(func(c *context) { c.Git.Tag = bad }), parsed(func(c *context) { c.Git.Host = bad }), parsed(func(c *context) { c.Git.Commit = bad }),
			parsed(func(c *context) { c.PullRequest.FromBranch = bad }), parsed(func(c *context) { c.PullRequest.Id = bad }), parsed(func(c *context) { c.Issue.Id = bad }))
		add("SearchRepositories with "+fmt.Sprintf("%.6q", bad), found(func(f *repos) { f.Repositories[0].Name = bad }))
		add("ListOrganizations with "+fmt.Sprintf("%.6q", bad), listed(func(o *orgs) { o.Organizations[0].Name = bad }), listed(func(o *orgs) { o.Cursor = bad }))
		add("CheckAuthentication with "+fmt.Sprintf("%.6q", bad), authenticated(func(a *auth) { a.SupportsPat.Example = bad }),
			authenticated(func(a *auth) { a.SupportsPat.RequiredScopes[0] = bad }))
	}
	for _, bad := range []string{
		"-", "--upload-pack=evil", "a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "a@{1}", "@", "/a", "a/", "a//b", ".a", "a/.b", "a.", "a.lock", "a.lock/b", "a\x7f",
	} {
		add("ParseContext with the ref "+bad, parsed(func(c *context) { c.Git.Branch = bad }), parsed(func(c *context) { c.Git.Tag = bad }),
			parsed(func(c *context) { c.PullRequest.FromBranch = bad }), parsed(func(c *context) { c.PullRequest.ToBranch = bad }))
	}
	add("ParseContext", &linkv1.Reply{}, parsed(func(c *context) { c.Git = nil }), parsed(func(c *context) { c.Git.CloneUrl = "" }), parsed(func(c *context) { c.Git.Commit = "abc" }),
		parsed(func(c *context) { c.Git.Commit = strings.ToUpper(hash) }), parsed(func(c *context) { c.PullRequest.State = 99 }))
	add("SearchRepositories", &linkv1.Reply{}, found(func(f *repos) {
		f.Repositories = append(f.Repositories, f.Repositories[0], f.Repositories[0], f.Repositories[0])
	}),
		found(func(f *repos) { f.TotalCount = -2 }), found(func(f *repos) { f.TotalPages = -7 }))
	add("ListOrganizations", &linkv1.Reply{}, listed(func(o *orgs) { o.Organizations = append(o.Organizations, o.Organizations[0], o.Organizations[0]) }),
		listed(func(o *orgs) { o.Cursor = strings.Repeat("x", 513) }))
	add("CheckAuthentication", &linkv1.Reply{}, authenticated(func(a *auth) { a.SupportsPat.RequiredScopes = make([]string, 65) }))
	add("CheckRepository", &linkv1.Reply{})
	add("ProbeIntegration", &linkv1.Reply{})
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		for name, c := range hostile {
			question, _, _ := strings.Cut(c.question, " ")
			_, answer, err := p.about(t, r, question, c.reply)
			if f := fault.From(err); err == nil || f.Reason != fault.RunnerRefused || f.Code != fault.Unavailable || strings.Contains(f.Message, "secret") {
				t.Errorf("%s: %+v, %v", name, answer, err)
			}
		}
	})
}

// Refs that git allows arrive, however odd.
func TestOddRefs(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		for _, ref := range []string{"", "main", "dependabot/npm_and_yarn/@babel/core-7.0.0", "a-", "a/-b", "a.b", "a@b", "lock", "é", "#1", "{a}", "'a'", "$(a)"} {
			_, answer, err := p.about(t, r, "ParseContext", parsed(func(c *gitpodv1.ParseContextURLResponse) { c.Git.Branch = ref }))
			if got, _ := answer.(codehost.Context); err != nil || got.Git.Branch != ref {
				t.Errorf("%q: %q, %v", ref, got.Git.Branch, err)
			}
		}
	})
}

// What a runner says went wrong is told to the caller within bounds.
func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     *linkv1.Failure
		code   fault.Code
		reason fault.Reason
		text   string
		field  string
		wait   time.Duration
	}{
		{"as it is", &linkv1.Failure{Code: 9, Reason: "sign-in-required", Message: "Sign in.", Field: "scm_host"}, fault.FailedPrecondition, fault.SignInRequired, "Sign in.", "scm_host", 0},
		{"a wait", &linkv1.Failure{Code: 8, Reason: "host-rate-limited", Message: "Slow down.", RetryAfter: durationpb.New(time.Minute)}, fault.ResourceExhausted, fault.HostLimited, "Slow down.", "", time.Minute},
		{"a long wait", &linkv1.Failure{Code: 14, Reason: "host-unavailable", Message: "Down.", RetryAfter: durationpb.New(1000 * time.Hour)}, fault.Unavailable, fault.HostUnavailable, "Down.", "", time.Hour},
		{"a wait until yesterday", &linkv1.Failure{Code: 14, Reason: "host-unavailable", Message: "Down.", RetryAfter: durationpb.New(-time.Hour)}, fault.Unavailable, fault.HostUnavailable, "Down.", "", 0},
		{"invalid_argument", &linkv1.Failure{Code: 3, Reason: "invalid-field", Message: "No."}, fault.InvalidArgument, fault.InvalidField, "No.", "", 0},
		{"deadline_exceeded", &linkv1.Failure{Code: 4, Reason: "host-unavailable", Message: "Late."}, fault.DeadlineExceeded, fault.HostUnavailable, "Late.", "", 0},
		{"not_found", &linkv1.Failure{Code: 5, Reason: "not-found", Message: "Gone."}, fault.NotFound, fault.ReasonNotFound, "Gone.", "", 0},
		{"permission_denied", &linkv1.Failure{Code: 7, Reason: "host-refused", Message: "No."}, fault.PermissionDenied, fault.HostRefused, "No.", "", 0},
		{"unimplemented", &linkv1.Failure{Code: 12, Reason: "unimplemented", Message: "No."}, fault.Unimplemented, fault.ReasonUnimplemented, "No.", "", 0},
		{"unauthenticated is not a runner's to say", &linkv1.Failure{Code: 16, Reason: "sign-in-required", Message: "Who?"}, fault.Unavailable, fault.RunnerRefused, "The runner says: Who?", "", 0},
		{"nor is internal", &linkv1.Failure{Code: 13, Reason: "not-found", Message: "Oh."}, fault.Unavailable, fault.RunnerRefused, "The runner says: Oh.", "", 0},
		{"nor a code of its own", &linkv1.Failure{Code: 99, Reason: "not-found", Message: "Oh."}, fault.Unavailable, fault.RunnerRefused, "The runner says: Oh.", "", 0},
		{"nor a reason of its own", &linkv1.Failure{Code: 9, Reason: "evil", Message: "Oh."}, fault.Unavailable, fault.RunnerRefused, "The runner says: Oh.", "", 0},
		{"nor one of the control plane", &linkv1.Failure{Code: 7, Reason: "read-only-token", Message: "Oh."}, fault.Unavailable, fault.RunnerRefused, "The runner says: Oh.", "", 0},
		{"no words", &linkv1.Failure{Code: 9, Reason: "sign-in-required"}, fault.Unavailable, fault.RunnerRefused, "The runner answered something else than it was asked. Run the same version of muster on both sides.", "", 0},
		{"words that paint the screen", &linkv1.Failure{Code: 5, Reason: "not-found", Message: "a\x1b[2J\nb\u202ec"}, fault.NotFound, fault.ReasonNotFound, "a [2J b c", "", 0},
		{"words without end", &linkv1.Failure{Code: 5, Reason: "not-found", Message: strings.Repeat("\u00e9", 1000)}, fault.NotFound, fault.ReasonNotFound, strings.Repeat("\u00e9", 512), "", 0},
		{"words that ask for format", &linkv1.Failure{Code: 5, Reason: "not-found", Message: "%s%n"}, fault.NotFound, fault.ReasonNotFound, "%s%n", "", 0},
		{"a field that is none", &linkv1.Failure{Code: 3, Reason: "invalid-field", Message: "No.", Field: "<b>"}, fault.InvalidArgument, fault.InvalidField, "No.", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			test(t, func(t *testing.T, p *plane) {
				r, _ := p.join(t, runnerA, hello(bootOne))
				_, _, err := p.about(t, r, "CheckRepository", &linkv1.Reply{Failure: c.in})
				got := fault.From(err)
				if got.Code != c.code || got.Reason != c.reason || got.Message != c.text || got.Field != c.field || got.RetryAfter != c.wait {
					t.Errorf("got %+v", got)
				}
			})
		})
	}
}

// as is a context of a call by somebody.
func as(t *testing.T, caller string) context.Context {
	t.Helper()
	return access.WithCaller(t.Context(), access.Caller{Subject: access.Subject{Principal: access.PrincipalUser, ID: caller}})
}

// A crowd of questions about slow hosts keeps nobody from the runner's own
// errands, and does not cut the link.
func TestQuestionsDoNotStarveErrands(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		var crowd sync.WaitGroup
		errs := make(chan error, 256)
		for n := range 256 {
			crowd.Go(func() {
				_, err := p.CheckRepository(as(t, fmt.Sprint(n%4)), runnerA, hostAccess(), repoURL)
				errs <- err
			})
		}
		synctest.Wait()
		if _, err := p.CheckRepository(t.Context(), runnerA, hostAccess(), repoURL); !fault.Is(err, fault.ResourceExhausted) || fault.From(err).RetryAfter == 0 {
			t.Errorf("the 257th: %v", err)
		}
		errand := p.ask(t.Context(), check("a"))
		for range 256 {
			r.answerNext(questions["CheckRepository"].good)
		}
		if q := r.answerNext(&linkv1.Reply{Reply: &linkv1.Reply_SecretsChecked{SecretsChecked: &linkv1.SecretsChecked{}}}); q.GetCheckSecrets() == nil {
			t.Errorf("the last request is %v", q)
		}
		if got := <-errand; got.err != nil {
			t.Errorf("the errand: %v", got.err)
		}
		crowd.Wait()
		for range 256 {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		// All places are free again.
		if _, _, err := p.about(t, r, "CheckRepository", questions["CheckRepository"].good); err != nil {
			t.Error(err)
		}
	})
}

// One caller does not take all of a runner's places.
func TestNobodyAsksForEverybody(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		ask := func(caller string) error {
			_, err := p.CheckRepository(as(t, caller), runnerA, hostAccess(), repoURL)
			return err
		}
		for range 2 { // the places are given back
			var crowd sync.WaitGroup
			errs := make(chan error, 300)
			for range 300 {
				crowd.Go(func() { errs <- ask("greedy") })
			}
			synctest.Wait()
			if len(errs) != 300-64 {
				t.Errorf("%d questions wait", 300-len(errs))
			}
			for range len(errs) {
				if err := <-errs; !fault.Is(err, fault.ResourceExhausted) || fault.From(err).RetryAfter == 0 {
					t.Errorf("too many: %v", err)
				}
			}
			other := make(chan error)
			go func() { other <- ask("modest") }()
			for range 65 {
				r.answerNext(questions["CheckRepository"].good)
			}
			if err := <-other; err != nil {
				t.Errorf("somebody else: %v", err)
			}
			crowd.Wait()
		}
	})
}

// A runner gives up before the control plane does, so that its own words arrive.
func TestTheRunnersOwnWordsAboutBeingLate(t *testing.T) {
	for name, c := range map[string]struct {
		caller, coming time.Duration
		told           time.Duration
		arrives        bool
	}{
		"a patient caller":                        {told: 10 * time.Second, arrives: true},
		"a caller with less time":                 {caller: 5 * time.Second, told: 3 * time.Second, arrives: true},
		"a caller with hardly any":                {caller: 1500 * time.Millisecond, told: time.Second, arrives: true},
		"a caller with none":                      {caller: 500 * time.Millisecond, told: time.Second},
		"a stream that comes late":                {coming: 4 * time.Second, told: 6 * time.Second, arrives: true},
		"a stream that comes late, and less time": {caller: 8 * time.Second, coming: 4 * time.Second, told: 2 * time.Second, arrives: true},
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(t *testing.T, p *plane) {
				ctx := t.Context()
				if c.caller > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.caller)
					defer cancel()
				}
				p.fleet.opened = func() { time.Sleep(c.coming) }
				r := p.dial(t, runnerA)
				r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: hello(bootOne)}})
				if c.coming > 0 {
					synctest.Wait()
				} else {
					_ = r.receive() // Welcome
				}
				start, done := time.Now(), make(chan error, 1)
				go func() {
					_, err := p.CheckRepository(ctx, runnerA, hostAccess(), repoURL)
					done <- err
				}()
				if c.coming > 0 {
					_ = r.receive() // Welcome
				}
				q := r.receive().GetRequest()
				if got := q.GetPatience().AsDuration(); got != c.told || time.Since(start) != c.coming {
					t.Errorf("after %s the runner was given %s", time.Since(start), got)
				}
				time.Sleep(q.GetPatience().AsDuration())
				r.reply(&linkv1.Reply{RequestId: q.GetRequestId(), Failure: &linkv1.Failure{Code: 4, Reason: "host-unavailable", Message: "git.example.com is slow."}})
				err := <-done
				if !fault.Is(err, fault.DeadlineExceeded) || fault.HasReason(err, fault.HostUnavailable) != c.arrives {
					t.Errorf("after %s: %v", time.Since(start), err)
				}
			})
		})
	}
}

// A thousand callers of fifty runners: one runner's host is dead, and costs its
// own callers their patience and nobody else anything. A runner that goes away
// fails its callers at once.
func TestADeadHostIsNobodyElsesWait(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		const runners, callers = 50, 20
		dead, leaving := 7, 8
		links := make([]*runner, runners)
		ids := make([]id.Runner, runners)
		for n := range runners {
			ids[n] = id.Runner(fmt.Sprintf("0192aaaa-0000-7000-8000-%012d", n))
			links[n], _ = p.join(t, string(ids[n]), hello(bootOne))
		}
		var serving sync.WaitGroup
		for n, r := range links {
			if n == dead {
				continue
			}
			serving.Go(func() {
				for c := range callers {
					if n == leaving && c == callers/2 {
						r.kill()
						return
					}
					r.answerNext(questions["ParseContext"].good)
				}
			})
		}
		type outcome struct {
			err  error
			took time.Duration
		}
		outcomes := make([][]outcome, runners)
		start := time.Now()
		var calling sync.WaitGroup
		var mu sync.Mutex
		for n := range runners {
			for range callers {
				calling.Go(func() {
					_, err := p.ParseContext(t.Context(), ids[n], hostAccess(), repoURL)
					mu.Lock()
					defer mu.Unlock()
					outcomes[n] = append(outcomes[n], outcome{err, time.Since(start)})
				})
			}
		}
		calling.Wait()
		serving.Wait()
		for n, all := range outcomes {
			answered, away := 0, 0
			for _, o := range all {
				switch {
				case n == dead:
					if !fault.Is(o.err, fault.DeadlineExceeded) || o.took != 12*time.Second {
						t.Errorf("at the dead host, after %s: %v", o.took, o.err)
					}
				case o.took != 0:
					t.Errorf("runner %d, after %s: %v", n, o.took, o.err)
				case o.err == nil:
					answered++
				case fault.HasReason(o.err, fault.RunnerOffline) && fault.Is(o.err, fault.Unavailable) && fault.From(o.err).RetryAfter > 0:
					away++
				default:
					t.Errorf("runner %d: %v", n, o.err)
				}
			}
			switch {
			case n == leaving && (answered+away != callers || away < callers/2): // its last answers may have been under way
				t.Errorf("the runner that left answered %d, and %d were told", answered, away)
			case n != leaving && n != dead && answered != callers:
				t.Errorf("runner %d answered %d", n, answered)
			}
		}
	})
}
