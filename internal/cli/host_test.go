package cli_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli"
)

// hostAnswers is what runners say of source code hosts.
type hostAnswers struct {
	// context is the answer to ParseContextURL.
	context *gitpodv1.ParseContextURLResponse
	// search and organizations are pages.
	search        *gitpodv1.SearchRepositoriesResponse
	organizations []*gitpodv1.ListSCMOrganizationsResponse
	access        *gitpodv1.CheckRepositoryAccessResponse
	// authentication are the answers to CheckAuthenticationForHost, in turn; the
	// last one stays. nil is that nobody answers just now.
	authentication []*gitpodv1.CheckAuthenticationForHostResponse
	// checked is called for each of them.
	checked func()
	// err takes the place of all answers.
	err error
}

func (p *hostPlane) ParseContextURL(_ context.Context, req *connect.Request[gitpodv1.ParseContextURLRequest]) (*connect.Response[gitpodv1.ParseContextURLResponse], error) {
	p.requests = append(p.requests, req.Msg)
	return connect.NewResponse(p.hosts.context), p.hosts.err
}

func (p *hostPlane) SearchRepositories(_ context.Context, req *connect.Request[gitpodv1.SearchRepositoriesRequest]) (*connect.Response[gitpodv1.SearchRepositoriesResponse], error) {
	p.requests = append(p.requests, req.Msg)
	return connect.NewResponse(p.hosts.search), p.hosts.err
}

func (p *hostPlane) ListSCMOrganizations(_ context.Context, req *connect.Request[gitpodv1.ListSCMOrganizationsRequest]) (*connect.Response[gitpodv1.ListSCMOrganizationsResponse], error) {
	p.requests = append(p.requests, req.Msg)
	if p.hosts.err != nil {
		return nil, p.hosts.err
	}
	page := p.hosts.organizations[0]
	p.hosts.organizations = p.hosts.organizations[1:]
	return connect.NewResponse(page), nil
}

func (p *hostPlane) CheckRepositoryAccess(_ context.Context, req *connect.Request[gitpodv1.CheckRepositoryAccessRequest]) (*connect.Response[gitpodv1.CheckRepositoryAccessResponse], error) {
	p.requests = append(p.requests, req.Msg)
	return connect.NewResponse(p.hosts.access), p.hosts.err
}

func (p *hostPlane) CheckAuthenticationForHost(_ context.Context, req *connect.Request[gitpodv1.CheckAuthenticationForHostRequest]) (*connect.Response[gitpodv1.CheckAuthenticationForHostResponse], error) {
	if p.hosts.err != nil {
		return nil, p.hosts.err
	}
	if p.hosts.checked != nil {
		p.hosts.checked()
	}
	answer := p.hosts.authentication[0]
	if len(p.hosts.authentication) > 1 {
		p.hosts.authentication = p.hosts.authentication[1:]
	}
	switch answer {
	case nil:
		return nil, failure(connect.CodeUnavailable, "runner-offline", "The runner went offline.")
	case silent:
		return nil, failure(connect.CodeDeadlineExceeded, "host-unavailable", "github.com did not answer in time.")
	case narrow:
		return nil, failure(connect.CodePermissionDenied, "host-refused", "github.com does not allow this.")
	}
	return connect.NewResponse(answer), nil
}

func (p *hostPlane) DeleteHostAuthenticationToken(_ context.Context, req *connect.Request[gitpodv1.DeleteHostAuthenticationTokenRequest]) (*connect.Response[gitpodv1.DeleteHostAuthenticationTokenResponse], error) {
	p.requests = append(p.requests, req.Msg)
	return connect.NewResponse(&gitpodv1.DeleteHostAuthenticationTokenResponse{}), nil
}

// connected connects lab to github.com and gitlab.com, and cellar to the hosts.
func (p *hostPlane) connected(cellar ...string) {
	p.integrations = []*gitpodv1.SCMIntegration{
		{Id: runnerID(11), RunnerId: runnerID(1), ScmId: "github", Host: "GitHub.com", Pat: true},
		{Id: runnerID(12), RunnerId: runnerID(1), ScmId: "gitlab", Host: "gitlab.com", Pat: true},
	}
	for n, host := range cellar {
		p.integrations = append(p.integrations, &gitpodv1.SCMIntegration{Id: runnerID(13 + n), RunnerId: runnerID(2), ScmId: "github", Host: host, Pat: true})
	}
}

var (
	// silent and narrow stand for a host that does not answer, and for one that
	// refuses to say whose credential it is.
	silent, narrow = &gitpodv1.CheckAuthenticationForHostResponse{}, &gitpodv1.CheckAuthenticationForHostResponse{}

	in   = &gitpodv1.CheckAuthenticationForHostResponse{Authenticated: true}
	with = &gitpodv1.CheckAuthenticationForHostResponse{
		SupportsOauth2: &gitpodv1.CheckAuthenticationForHostResponse_AuthenticationMethodOAuth2{AuthUrl: "https://muster.example/oauth/begin?link=l"},
	}
	pat = &gitpodv1.CheckAuthenticationForHostResponse{ScmName: "GitHub", SupportsPat: &gitpodv1.CheckAuthenticationForHostResponse_AuthenticationMethodPersonalAccessToken{
		CreateUrl: "https://github.com/settings/tokens/new", Example: "ghp_xxxx", RequiredScopes: []string{"repo", "read:org"},
	}}
)

func TestHostLogin(t *testing.T) {
	const already, now = "You are signed in to GitHub.com on runner \"lab\" already.\n", "You are signed in to GitHub.com on runner \"lab\".\n"
	link := with.GetSupportsOauth2().GetAuthUrl() + "\n"
	create := &gitpodv1.CreateHostAuthenticationTokenRequest{
		RunnerId: runnerID(1), Host: "GitHub.com", Token: "ghp_secret", IntegrationId: runnerID(11),
		Source: gitpodv1.HostAuthenticationTokenSource_HOST_AUTHENTICATION_TOKEN_SOURCE_PAT,
	}
	token := func(source gitpodv1.HostAuthenticationTokenSource) []*gitpodv1.HostAuthenticationToken {
		return []*gitpodv1.HostAuthenticationToken{
			{Id: runnerID(22), RunnerId: runnerID(1), Host: "gitlab.com", Source: 2},
			{Id: runnerID(21), RunnerId: runnerID(1), Host: "github.com", Source: source},
		}
	}
	both := proto.CloneOf(with)
	both.SupportsPat = pat.GetSupportsPat()
	type answers = []*gitpodv1.CheckAuthenticationForHostResponse
	for name, tt := range map[string]struct {
		args, stdin string
		answers     answers
		tokens      []*gitpodv1.HostAuthenticationToken
		code        int
		stdout      string
		stderr      string
		want        []proto.Message
	}{
		"already":                         {answers: answers{in}, stdout: already},
		"in a browser":                    {answers: answers{with, with, nil, with, in}, stdout: link + now, stderr: "Waiting until you have signed in"},
		"OAuth comes first":               {answers: answers{both, in}, stdout: link + now},
		"nobody signs in":                 {answers: answers{with}, code: 1, stdout: link, stderr: "nobody signed in within ten minutes"},
		"with a token":                    {stdin: "ghp_secret\n", answers: answers{pat, in}, stdout: now, stderr: "https://github.com/settings/tokens/new", want: []proto.Message{create}},
		"with a token, in spite of OAuth": {args: "--token-stdin", stdin: "ghp_secret\n", answers: answers{both, in}, stdout: now, stderr: "repo, read:org", want: []proto.Message{create}},
		"another token": {args: "--token-stdin", stdin: "ghp_secret\n", answers: answers{both, in}, tokens: token(2), stdout: now, want: []proto.Message{&gitpodv1.UpdateHostAuthenticationTokenRequest{
			Id: runnerID(21), Token: new("ghp_secret"), RefreshToken: new(""), ExpiresAt: &timestamppb.Timestamp{},
		}}},
		"a token for OAuth": {args: "--token-stdin", stdin: "ghp_secret\n", answers: answers{both, in}, tokens: token(1), stdout: now, want: []proto.Message{
			&gitpodv1.DeleteHostAuthenticationTokenRequest{Id: runnerID(21)}, create,
		}},
		"a token that is refused":  {stdin: "ghp_secret\n", answers: answers{pat, pat}, code: 1, stderr: "does not accept it", want: []proto.Message{create}},
		"and the runner goes":      {stdin: "ghp_secret\n", answers: answers{pat, nil}, code: 1, stderr: "The token is stored. Whether GitHub.com accepts it could not be found out", want: []proto.Message{create}},
		"and the host is silent":   {stdin: "ghp_secret\n", answers: answers{pat, silent}, code: 1, stderr: "did not answer in time.\nThe token is stored. Whether GitHub.com accepts it could not be found out", want: []proto.Message{create}},
		"and it is too narrow":     {stdin: "ghp_secret\n", answers: answers{pat, narrow}, code: 1, stderr: "does not allow this.\nThe token is stored. Whether", want: []proto.Message{create}},
		"one that cannot be tried": {answers: answers{silent}, code: 1, stderr: "Another one takes its place with --token-stdin, or after: muster host logout GitHub.com --runner lab\n"},
		"another than that": {args: "--token-stdin", stdin: "ghp_secret\n", answers: answers{narrow, in}, tokens: token(2), stdout: now, want: []proto.Message{&gitpodv1.UpdateHostAuthenticationTokenRequest{
			Id: runnerID(21), Token: new("ghp_secret"), RefreshToken: new(""), ExpiresAt: &timestamppb.Timestamp{},
		}}},
		"in a browser, and the host is silent for a while": {answers: answers{with, silent, in}, stdout: link + now},
		"in a browser, and the host stays silent":          {answers: answers{with, with, silent}, code: 1, stdout: link, stderr: "did not answer in time.\nThe credential is stored. Whether GitHub.com accepts it could not be found out"},
		"in a browser, and the host refuses":               {answers: answers{with, narrow}, code: 1, stdout: link, stderr: "does not allow this.\nThe credential is stored. Whether GitHub.com accepts it could not be found out"},
		"no token":                                         {answers: answers{pat}, code: 2, stderr: "no token on the standard input"},
		"no tokens are taken":                              {args: "--token-stdin", stdin: "x", answers: answers{with}, code: 1, stderr: "takes no personal access tokens"},
		"a read-only token":                                {answers: answers{{SupportsOauth2: &gitpodv1.CheckAuthenticationForHostResponse_AuthenticationMethodOAuth2{}}}, code: 1, stderr: "a token that may only read cannot"},
	} {
		p := newHostPlane(t)
		p.connected()
		p.hosts.authentication, p.tokens = tt.answers, tt.tokens
		got := command{stdin: tt.stdin}.run(t, append(strings.Fields("host login github.com"), strings.Fields(tt.args)...)...)
		if got.code != tt.code || got.stdout != tt.stdout || !strings.Contains(got.stderr, tt.stderr) || strings.Contains(got.stderr, "ghp_secret") {
			t.Errorf("%s: %d\nstdout: %s\nstderr: %s", name, got.code, got.stdout, got.stderr)
		}
		p.want(t, tt.want...)
	}
}

func TestHostLoginNeedsOneRunner(t *testing.T) {
	p := newHostPlane(t)
	p.connected("github.com", "gitea.example")
	p.hosts.authentication = []*gitpodv1.CheckAuthenticationForHostResponse{in}
	for args, tt := range map[string]struct {
		code int
		says string
	}{
		"github.com":                      {2, "2 runners are connected to github.com; say which with --runner:\n  " + runnerID(1) + "  lab\n  " + runnerID(2) + "  cellar"},
		"github.com --runner cellar":      {0, "on runner \"cellar\" already"},
		"gitea.example":                   {0, "on runner \"cellar\" already"},
		"bitbucket.org":                   {1, "no runner that you can see is connected to bitbucket.org"},
		"bitbucket.org --runner attic":    {1, "there is no runner \"attic\""},
		"gitlab.com --runner " + "cellar": {0, "signed in to gitlab.com on runner \"cellar\""}, // which the control plane says
	} {
		got := muster(t, append(strings.Fields("host login"), strings.Fields(args)...)...)
		if got.code != tt.code || !strings.Contains(got.stdout+got.stderr, tt.says) {
			t.Errorf("%s: %d\n%s%s", args, got.code, got.stdout, got.stderr)
		}
	}
}

func TestHostLoginIsInterrupted(t *testing.T) {
	p := newHostPlane(t)
	p.connected()
	p.hosts.authentication = []*gitpodv1.CheckAuthenticationForHostResponse{with}
	ctx, cancel := context.WithCancel(t.Context())
	checks := 0
	p.hosts.checked = func() {
		if checks++; checks == 3 {
			cancel()
		}
	}
	var stdout, stderr bytes.Buffer
	code := cli.Main(ctx, &struct{ cli.Commands }{}, command{}.env(t, &stdout, &stderr), []string{"host", "login", "github.com"})
	if code != 1 || !strings.HasSuffix(stderr.String(), "\nmuster: interrupted\n") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

func TestHostLogout(t *testing.T) {
	p := newHostPlane(t)
	p.tokens = []*gitpodv1.HostAuthenticationToken{{Id: runnerID(21), RunnerId: runnerID(1), Host: "GitHub.com"}}
	if got := muster(t, "host", "logout", "github.com").want(t, 0).stdout; got != "Runner \"lab\" has forgotten your credential for GitHub.com.\n" {
		t.Errorf("it says %q", got)
	}
	p.want(t, &gitpodv1.DeleteHostAuthenticationTokenRequest{Id: runnerID(21)})
	if p.filter.GetSubjectId() != meID {
		t.Errorf("whose: %v", p.filter)
	}
	muster(t, "host", "logout", "gitlab.com").want(t, 1)
	p.want(t)
}

// opened is an answer with all there can be.
var opened = &gitpodv1.ParseContextURLResponse{
	ScmId: "github", RecommendedEnvironmentClasses: []string{runnerID(31), runnerID(32)},
	Git: &gitpodv1.ParseContextURLResponse_GitContext{
		CloneUrl: "https://github.com/ada/web.git", Branch: "feature", Commit: strings.Repeat("a", 40), Host: "github.com", Owner: "ada", Repo: "web", UpstreamRemoteUrl: "https://github.com/acme/web.git",
	},
	PullRequest: &gitpodv1.PullRequest{
		Id: "7", Title: "Mend\x1b[2J it", Url: "https://github.com/acme/web/pull/7", Author: "ada\x1b[1m", FromBranch: "feature", ToBranch: "main",
		Draft: true, State: gitpodv1.PullRequest_STATE_OPEN,
	},
	Issue: &gitpodv1.ParseContextURLResponse_Issue{Id: "9", Title: "Broken"},
}

func TestSCMOpen(t *testing.T) {
	p := newHostPlane(t)
	p.connected()
	p.hosts.context = opened
	want := `Repository:    ada/web
Host:          github.com (github)
Branch:        feature
Commit:        ` + strings.Repeat("a", 40) + `
Clone URL:     https://github.com/ada/web.git
Upstream:      https://github.com/acme/web.git
Pull request:  #7 Mend` + "\uFFFD" + `[2J it (open, draft)
Author:        ada` + "\uFFFD" + `[1m
From:          feature
Into:          main
Page:          https://github.com/acme/web/pull/7
Issue:         #9 Broken
Classes:       ` + runnerID(31) + `, ` + runnerID(32) + `
Runner:        lab, because no other is connected to github.com
`
	for pasted, url := range map[string]string{
		"https://github.com/acme/web/pull/7":             "https://github.com/acme/web/pull/7",
		"x=y/https://me:secret@github.com/acme/web":      "https://github.com/acme/web",
		"git@github.com:acme/web.git":                    "ssh://github.com/acme/web.git",
		"github.com/acme/web":                            "https://github.com/acme/web",
		" https://www.github.com/acme/web#readme-secret": "https://www.github.com/acme/web",
	} {
		if diff := cmp.Diff(want, muster(t, "scm", "open", pasted).want(t, 0).stdout); diff != "" {
			t.Errorf("%s: %s", pasted, diff)
		}
		p.want(t, &gitpodv1.ParseContextURLRequest{RunnerId: runnerID(1), ContextUrl: url})
	}
	if got := muster(t, "scm", "open", "github.com/acme/web", "-o", "json").want(t, 0).stdout; !strings.Contains(got, `"cloneUrl": "https://github.com/ada/web.git"`) || !strings.Contains(got, `"state": "STATE_OPEN"`) || !strings.Contains(got, `"draft": true`) {
		t.Errorf("JSON: %s", got)
	}
	for want, change := range map[string]*gitpodv1.PullRequest{
		"#1 Done (merged)":       {Id: "1", Title: "Done", State: gitpodv1.PullRequest_STATE_MERGED},
		"#2 Never mind (closed)": {Id: "2", Title: "Never mind", State: gitpodv1.PullRequest_STATE_CLOSED},
		"#3 (draft)":             {Id: "3", Draft: true},
		"#4 Anything":            {Id: "4", Title: "Anything"},
	} {
		p.hosts.context = &gitpodv1.ParseContextURLResponse{PullRequest: change}
		if got := muster(t, "scm", "open", "github.com/acme/web").want(t, 0).stdout; !strings.Contains(got, "Pull request:  "+want+"\n") {
			t.Errorf("%s: %s", want, got)
		}
	}
	p.requests = nil
	for _, pasted := range []string{"", "https://me:secret@", "https://me:secret@github.com:x/y"} {
		if got := muster(t, "scm", "open", pasted).want(t, 2).stderr; !strings.Contains(got, "the URL ") || strings.Contains(got, "secret") {
			t.Errorf("%q: %s", pasted, got)
		}
	}
	if got := muster(t, "scm", "open", "https://git.example/a/b").want(t, 1).stderr; !strings.Contains(got, "no runner that you can see is connected to git.example") {
		t.Errorf("another host: %s", got)
	}
	p.want(t)
}

// Of several runners the one is asked that the control plane would choose, and
// the reason is told. Rows of the same names are in package codehost.
func TestWhichRunnerIsAsked(t *testing.T) {
	const oauth = gitpodv1.HostAuthenticationTokenSource_HOST_AUTHENTICATION_TOKEN_SOURCE_OAUTH
	in := func(runner int, host string) *gitpodv1.HostAuthenticationToken {
		return &gitpodv1.HostAuthenticationToken{RunnerId: runnerID(runner), Host: host}
	}
	expired := func(source gitpodv1.HostAuthenticationTokenSource) *gitpodv1.HostAuthenticationToken {
		t := in(1, "github.com")
		t.Source, t.ExpiresAt = source, timestamppb.New(noon.Add(-time.Hour))
		return t
	}
	type credentials = []*gitpodv1.HostAuthenticationToken
	const signedIn, up = "because you are signed in to github.com there", "because it is connected to github.com"
	for name, tt := range map[string]struct {
		connected []int
		signedIn  credentials
		args      string
		want      int
		why       string
	}{
		"the one with a credential, not the first":                                  {[]int{1, 2}, credentials{in(2, "github.com")}, "", 2, signedIn},
		"of several with a credential the one that is connected":                    {[]int{2}, credentials{in(1, "github.com"), in(2, "github.com")}, "", 2, signedIn},
		"of several that are connected the one with the oldest credential":          {[]int{1, 2}, credentials{in(2, "github.com"), in(1, "github.com")}, "", 2, signedIn},
		"a credential without an integration counts by its host, whatever its case": {[]int{1, 2}, credentials{in(2, "GitHub.COM")}, "", 2, signedIn},
		"an expired credential that can be renewed is one":                          {[]int{1, 2}, credentials{expired(oauth), in(2, "github.com")}, "", 1, signedIn},
		"an expired credential is none":                                             {[]int{1, 2}, credentials{expired(0), in(2, "github.com")}, "", 2, signedIn},
		"signed in, and the runner is away: signing in on another is not asked for": {[]int{2}, credentials{in(1, "github.com")}, "", 1, signedIn},
		"signed in nowhere: the first that is connected":                            {[]int{2}, nil, "", 2, up},
		"signed in to another host":                                                 {[]int{1, 2}, credentials{in(2, "gitlab.com")}, "", 1, up},
		"none of those with the host is connected":                                  {nil, nil, "", 1, up},
		"the one that is named":                                                     {[]int{1}, credentials{in(1, "github.com")}, "--runner cellar", 2, "because you named it"},
	} {
		p := newHostPlane(t)
		p.connected("github.com")
		p.integrations[0].Oauth = &gitpodv1.SCMIntegrationOAuthConfig{}
		p.hosts.context, p.tokens = opened, tt.signedIn
		for _, n := range tt.connected {
			p.runners[n-1].Status = &gitpodv1.RunnerStatus{Phase: active}
		}
		got := muster(t, append(strings.Fields("scm open https://github.com/acme/web"), strings.Fields(tt.args)...)...).want(t, 0).stdout
		if !strings.Contains(got, tt.why) {
			t.Errorf("%s: %s", name, got)
		}
		p.want(t, &gitpodv1.ParseContextURLRequest{RunnerId: runnerID(tt.want), ContextUrl: "https://github.com/acme/web"})
	}
}

// What to do about a missing sign-in is told wherever it is missed.
func TestSignInIsNeeded(t *testing.T) {
	p := newHostPlane(t)
	p.connected()
	needed := failure(connect.CodeFailedPrecondition, "sign-in-required", "You are not signed in to github.com.")
	d, err := connect.NewErrorDetail(&gitpodv1.ParseContextURLPreconditionFailureDetails{AuthenticationRequiredUrl: "https://muster.example/oauth/begin?link=l"})
	if err != nil {
		t.Fatal(err)
	}
	var wire *connect.Error
	if !errors.As(needed, &wire) {
		t.Fatal(needed)
	}
	wire.AddDetail(d)
	p.hosts.err = needed
	for args, want := range map[string]string{
		"open github.com/acme/web":     "Sign in: muster host login GitHub.com --runner lab\nOr open this link, which is for you alone, in a browser:\nhttps://muster.example/oauth/begin?link=l\n",
		"check github.com/acme/web":    "muster host login GitHub.com ",
		"orgs github.com":              "muster host login GitHub.com ",
		"search web --host gitlab.com": "muster host login gitlab.com ",
		"search web":                   "muster host login HOST ",
	} {
		got := muster(t, append([]string{"scm"}, strings.Fields(args)...)...).want(t, 1)
		if !strings.HasPrefix(got.stderr, "muster: You are not signed in to github.com.\n") || !strings.Contains(got.stderr, want) || !strings.Contains(got.stderr, "reason sign-in-required") || got.stdout != "" {
			t.Errorf("%s: %s", args, got.stderr)
		}
	}
	p.runners[1].Name = "lab" // another one of this name
	if got := muster(t, "scm", "open", "github.com/acme/web").want(t, 1).stderr; !strings.Contains(got, "--runner "+runnerID(1)+"\n") {
		t.Errorf("a name of two: %s", got)
	}
	p.hosts.err = failure(connect.CodeUnavailable, "host-unavailable", "github.com did not answer.")
	if got := muster(t, "scm", "open", "github.com/acme/web").want(t, 1).stderr; strings.Contains(got, "Sign in") {
		t.Errorf("another error: %s", got)
	}
}

func TestSCMSearch(t *testing.T) {
	p := newHostPlane(t)
	p.connected()
	p.hosts.search = &gitpodv1.SearchRepositoriesResponse{
		Repositories: []*gitpodv1.SearchRepositoriesResponse_Repository{{Name: "acme/web", Url: "https://github.com/acme/web"}},
		Pagination:   &gitpodv1.PaginationResponse{NextToken: "3/-1/-1"},
	}
	got := muster(t, strings.Fields("scm search web --page 2 --limit 5 --host github.com --native")...).want(t, 0)
	if got.stdout != "NAME      URL\nacme/web  https://github.com/acme/web\n" || got.stderr != "There is more: --page 3\n" {
		t.Errorf("it says %q, %q", got.stdout, got.stderr)
	}
	p.want(t, &gitpodv1.SearchRepositoriesRequest{
		RunnerId: runnerID(1), SearchString: "web", ScmHost: "github.com", SearchMode: gitpodv1.SearchMode_SEARCH_MODE_NATIVE,
		Pagination: &gitpodv1.PaginationRequest{PageSize: 5, Token: "2/-1/-1"},
	})
	p.hosts.search = &gitpodv1.SearchRepositoriesResponse{}
	if got := muster(t, "scm", "search", "web").want(t, 0); got.stdout != "Runner \"lab\" finds no repository like this that you can read.\n" || got.stderr != "" {
		t.Errorf("it says %q, %q", got.stdout, got.stderr)
	}
	p.want(t, &gitpodv1.SearchRepositoriesRequest{
		RunnerId: runnerID(1), SearchString: "web", SearchMode: gitpodv1.SearchMode_SEARCH_MODE_KEYWORD, Pagination: &gitpodv1.PaginationRequest{PageSize: 25},
	})
	p.integrations = nil
	if got := muster(t, "scm", "search", "web").want(t, 1).stderr; !strings.Contains(got, "no runner that you can see is connected to a source code host. ") || !strings.Contains(got, "muster scm create") {
		t.Errorf("without any host: %s", got)
	}
	for _, args := range []string{"--limit 0", "--limit 101", "--page 0"} {
		muster(t, append(strings.Fields("scm search web"), strings.Fields(args)...)...).want(t, 2)
	}
}

func TestSCMOrgs(t *testing.T) {
	p := newHostPlane(t)
	p.connected()
	page := func(name, next string) *gitpodv1.ListSCMOrganizationsResponse {
		return &gitpodv1.ListSCMOrganizationsResponse{
			Organizations: []*gitpodv1.ListSCMOrganizationsResponse_SCMOrganization{{Name: name, Url: "https://github.com/" + name}},
			Pagination:    &gitpodv1.PaginationResponse{NextToken: next},
		}
	}
	p.hosts.organizations = []*gitpodv1.ListSCMOrganizationsResponse{page("acme", "2"), page("analysts", ""), {}}
	if got := muster(t, strings.Fields("scm orgs github.com --query a")...).want(t, 0).stdout; got != "NAME      URL\nacme      https://github.com/acme\nanalysts  https://github.com/analysts\n" {
		t.Errorf("it says %q", got)
	}
	request := func(token, query string) proto.Message {
		return &gitpodv1.ListSCMOrganizationsRequest{RunnerId: runnerID(1), ScmHost: "github.com", Query: query, Pagination: &gitpodv1.PaginationRequest{PageSize: 100, Token: token}}
	}
	p.want(t, request("", "a"), request("2", "a"))
	if got := muster(t, "scm", "orgs", "github.com").want(t, 0).stdout; got != "Your account on github.com is in no organization like this.\n" {
		t.Errorf("it says %q", got)
	}
	p.want(t, request("", ""))
}

func TestSCMCheck(t *testing.T) {
	p := newHostPlane(t)
	p.connected()
	p.hosts.access = &gitpodv1.CheckRepositoryAccessResponse{HasAccess: true}
	if got := muster(t, "scm", "check", "git@github.com:acme/web.git").want(t, 0).stdout; got != "You can read it through runner \"lab\".\n" {
		t.Errorf("it says %q", got)
	}
	p.want(t, &gitpodv1.CheckRepositoryAccessRequest{RunnerId: runnerID(1), RepositoryUrl: "ssh://github.com/acme/web.git"})
	p.hosts.access = &gitpodv1.CheckRepositoryAccessResponse{ErrorMessage: "github.com shows you no such repository."}
	got := muster(t, "scm", "check", "github.com/acme/web").want(t, 1)
	if got.stdout != "" || got.stderr != "muster: you cannot read it through runner \"lab\": github.com shows you no such repository.\n" {
		t.Errorf("it says %q, %q", got.stdout, got.stderr)
	}
	if got := muster(t, "scm", "check", "github.com/acme/web", "-o", "json").want(t, 1); !strings.Contains(got.stdout, `"errorMessage"`) {
		t.Errorf("JSON: %s", got.stdout)
	}
}
