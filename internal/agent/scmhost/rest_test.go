package scmhost

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// restToken is planted in every credential here.
const restToken = "ATATT3planted-7c1f"

// restHost is a host without a client of its own. Its owner has a repository
// "widgets" with a pull request 1.
type restHost struct {
	name        string
	server      *fakehost.Server
	integration scmurl.Integration
	credential  Credential
	owner       string
}

func restHosts(t *testing.T) []restHost {
	t.Helper()
	repo := fakehost.NewRepo(t)
	id := repo.Commit("main", "first")

	cloud := fakehost.NewNamed(t, "bitbucket.org", "api.bitbucket.org")
	cloudRepo := &fakehost.BitbucketRepository{Workspace: "acme", Slug: "widgets", Git: repo}
	cloudRepo.PullRequests = []fakehost.BitbucketPullRequest{{ID: 1, From: "main", To: "main", Source: cloudRepo, Commit: id}}
	(&fakehost.Bitbucket{
		User: "ada", Email: "ada@example.com", APIToken: restToken,
		Workspaces: []fakehost.BitbucketWorkspace{{Slug: "acme"}}, Repositories: []*fakehost.BitbucketRepository{cloudRepo},
	}).Serve(cloud)

	center := fakehost.NewPlain(t)
	centerRepo := &fakehost.BitbucketServerRepository{Project: "ACME", Slug: "widgets", Git: repo}
	centerRepo.PullRequests = []fakehost.BitbucketServerPullRequest{{ID: 1, From: "main", To: "main", Source: centerRepo, Commit: id}}
	(&fakehost.BitbucketServer{
		Context: "/bitbucket", User: "ada", Token: restToken,
		Projects: []fakehost.BitbucketServerProject{{Key: "ACME"}}, Repositories: []*fakehost.BitbucketServerRepository{centerRepo},
	}).Serve(center)

	azure := fakehost.AzureDevOps{
		User: "ada", PAT: restToken, Bearer: restToken,
		Organizations: []fakehost.AzureDevOpsOrganization{{Name: "acme", Projects: []string{"tools"}}},
		Repositories: []*fakehost.AzureDevOpsRepository{{
			Organization: "acme", Project: "tools", Name: "widgets", Git: repo,
			PullRequests: []fakehost.AzureDevOpsPullRequest{{ID: 1, From: "main", To: "main", Commit: id}},
		}},
		WorkItems: []fakehost.AzureDevOpsWorkItem{{Organization: "acme", Project: "tools", ID: 1}},
	}
	services := fakehost.NewNamed(t, "dev.azure.com", "app.vssps.visualstudio.com")
	azure.Serve(services)
	onPremises := azure
	onPremises.Server, onPremises.Directory = true, "/tfs"
	server := fakehost.New(t)
	onPremises.Serve(server)

	return []restHost{
		{"bitbucket", cloud, scmurl.Integration{SCMID: scmurl.Bitbucket, Host: "bitbucket.org"}, Credential{Token: "ada@example.com:" + restToken}, "acme"},
		{"data center", center, scmurl.Integration{SCMID: scmurl.BitbucketServer, Host: center.Address() + "/bitbucket", Plain: true}, Credential{Token: restToken}, "ACME"},
		{"azure services", services, scmurl.Integration{SCMID: scmurl.AzureDevOpsEntra, Host: "dev.azure.com"}, Credential{Token: restToken, OAuth: true}, "acme/tools"},
		{"azure server", server, scmurl.Integration{SCMID: scmurl.AzureDevOpsServer, Host: server.Address(), VirtualDirectory: "/tfs"}, Credential{Token: restToken}, "acme/tools"},
	}
}

func (h restHost) azure() bool { return strings.HasPrefix(h.name, "azure") }

// questions are those that the host is called for.
func (h restHost) questions() []asked {
	all := []asked{
		{name: "viewer", ask: viewer()},
		{name: "repository", ask: repository(h.owner, "widgets")},
		{name: "commit", ask: commit(h.owner, "widgets", "abcdef1")},
		{name: "change", ask: change(h.owner, "widgets", "1")},
		{name: "search", ask: searching(Query{Text: "w", Page: 1, Size: 10})},
		{name: "organizations", ask: organizations(OrganizationQuery{Size: 10})},
	}
	if h.azure() {
		all = append(all, asked{name: "issue", ask: issue(h.owner, "widgets", "1")})
	}
	return all
}

func TestFaultsOfRESTHosts(t *testing.T) {
	for _, h := range restHosts(t) {
		p := provider(t, h.integration, h.credential, h.server)
		signIn := wantGone
		if h.azure() { // it sends browsers to sign in, and others a page
			signIn = wantSignIn
		}
		for what, want := range map[fakehost.Fault]error{
			fakehost.Unauthorized: wantSignIn, fakehost.Forbidden: wantRefused, fakehost.NotFound: wantMissing,
			fakehost.Gone: fault.New(fault.Unimplemented, fault.HostRefused, ""), fakehost.Limited: wantLimited, fakehost.Failing: wantGone, fakehost.Reset: wantGone,
			fakehost.Huge: wantGone, fakehost.Garbage: wantGone, fakehost.Loop: wantGone,
			fakehost.SignInPage: signIn, fakehost.SignInRedirect: signIn, fakehost.Elsewhere: signIn, fakehost.Slow: wantLate,
		} {
			h.server.Mend()
			h.server.Break(nil, what)
			for _, q := range h.questions() {
				name := fmt.Sprintf("%s, %s, fault %d", h.name, q.name, what)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				if what == fakehost.Slow {
					ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
				}
				_, err := q.ask(ctx, p)
				cancel()
				if !sameFault(err, want) {
					t.Errorf("%s: %v, not %v", name, err, want)
				}
				text := fmt.Sprintf("%v %+v %#v", err, err, err)
				for _, planted := range []string{restToken, basicAuth("", restToken), basicAuth("ada@example.com", restToken), "echo of"} {
					if strings.Contains(text, strings.TrimPrefix(planted, "Basic ")) {
						t.Errorf("%s: the error holds %q: %s", name, planted, text)
					}
				}
				if f := fault.From(err); what == fakehost.Limited && f.RetryAfter != 30*time.Second {
					t.Errorf("%s: to be tried again after %s, not after 30 s", name, f.RetryAfter)
				}
			}
		}
	}
}

// An answer in JSON that lacks what it must have is no repository without a name.
func TestEmptyAnswersOfRESTHosts(t *testing.T) {
	for _, h := range restHosts(t) {
		s := answerAll(t, http.StatusOK, nil, "{}", "bitbucket.org", "api.bitbucket.org", "dev.azure.com", "app.vssps.visualstudio.com")
		i := h.integration
		if h.server.TLS == nil || h.name == "azure server" {
			i.Host, i.Plain = strings.Replace(i.Host, h.server.Address(), s.Address(), 1), false
		}
		p := provider(t, i, h.credential, s)
		for _, q := range h.questions() {
			want := wantGone
			list := q.name == "search" || q.name == "organizations"
			switch {
			case q.name == "viewer" && h.name == "data center": // says who it is in a header only
				want = wantSignIn
			case list && h.name != "azure services": // which asks for the user first
				want = nil
			}
			if _, err := q.ask(t.Context(), p); !sameFault(err, want) {
				t.Errorf("%s, %s: %v, not %v", h.name, q.name, err, want)
			}
		}
	}
}

// Names lead to no other place of the API, whatever characters they have.
func TestNamesInPathsOfRESTHosts(t *testing.T) {
	for _, h := range restHosts(t) {
		p := provider(t, h.integration, h.credential, h.server)
		if _, err := p.Repository(t.Context(), h.owner, "plain"); !sameFault(err, wantMissing) {
			t.Fatal(h.name, err)
		}
		depth := strings.Count(shallowest(h.server.TakeCalls()), "/")
		for _, name := range []string{"a/b", "../b", "a?b", "a#b", "a b", "a%2Fb", `a\b`, "a;b", "ä", ".", "..", ""} {
			if _, err := p.Repository(t.Context(), h.owner, name); !sameFault(err, wantMissing) {
				t.Errorf("%s, %q: %v", h.name, name, err)
			}
			calls := h.server.TakeCalls()
			if got := shallowest(calls); len(calls) > 0 && strings.Count(got, "/") != depth {
				t.Errorf("%s, %q leads to %s", h.name, name, got)
			}
			if nothing := strings.Trim(name, ".") == "" || strings.Contains(name, "/"); nothing && len(calls) > 0 {
				t.Errorf("%s, %q: was asked for as %s", h.name, name, urls(calls))
			}
		}
	}
}

// shallowest is the shallowest path among calls.
func shallowest(calls []fakehost.Call) string {
	var found string
	for _, c := range calls {
		path, _, _ := strings.Cut(c.URL, "?")
		if found == "" || strings.Count(path, "/") < strings.Count(found, "/") {
			found = path
		}
	}
	return found
}

// What a provider says of cloning is what the host wants to hear.
func TestRESTHostsAreCloned(t *testing.T) {
	for _, h := range restHosts(t) {
		p := provider(t, h.integration, h.credential, h.server)
		repo, err := p.Repository(t.Context(), h.owner, "widgets")
		if err != nil {
			t.Fatal(h.name, err)
		}
		for authorization, want := range map[string]int{p.GitAuth(): http.StatusOK, "": http.StatusUnauthorized} {
			if got := infoRefs(t, h.server, repo.CloneURL, authorization); got != want {
				t.Errorf("%s: %s answers %d, not %d", h.name, repo.CloneURL, got, want)
			}
		}
	}
}

// infoRefs asks what git asks first.
func infoRefs(t *testing.T, s *fakehost.Server, cloneURL, authorization string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, cloneURL+"/info/refs?service=git-upload-pack", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", authorization)
	transport := &http.Transport{DialContext: fakehost.Network(s), TLSClientConfig: &tls.Config{RootCAs: fakehost.Trust(s)}}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestRESTHostsWithoutACredential(t *testing.T) {
	for _, h := range restHosts(t) {
		p := provider(t, h.integration, Credential{}, h.server)
		if got := p.GitAuth(); got != "" {
			t.Errorf("%s: git is given %q", h.name, got)
		}
		h.server.TakeCalls()
		if _, err := p.Repository(t.Context(), h.owner, "widgets"); !sameFault(err, wantSignIn) {
			t.Errorf("%s: %v", h.name, err)
		}
		for _, c := range h.server.TakeCalls() {
			if c.Header["Authorization"] != nil {
				t.Errorf("%s was called with a credential", h.name)
			}
		}
	}
}

func TestCredentialsOfRESTHosts(t *testing.T) {
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, row := range []struct {
		scmID      string
		credential Credential
		rest, git  string
	}{
		{scmurl.Bitbucket, Credential{Token: "ada@example.com:ATATT3x"}, basic("ada@example.com:ATATT3x"), basic("x-bitbucket-api-token-auth:ATATT3x")},
		{scmurl.Bitbucket, Credential{Token: "a:b@example.com:ATATT3x"}, basic("a:b@example.com:ATATT3x"), basic("x-bitbucket-api-token-auth:ATATT3x")},
		{scmurl.Bitbucket, Credential{Token: "ATCTT3x"}, "Bearer ATCTT3x", basic("x-token-auth:ATCTT3x")},
		{scmurl.Bitbucket, Credential{Token: "o:auth", OAuth: true}, "Bearer o:auth", basic("x-token-auth:o:auth")},
		{scmurl.BitbucketServer, Credential{Token: "MDM0x"}, "Bearer MDM0x", "Bearer MDM0x"},
		{scmurl.BitbucketServer, Credential{Token: "x", OAuth: true}, "Bearer x", "Bearer x"},
		{scmurl.AzureDevOpsEntra, Credential{Token: "pat"}, basic(":pat"), basic(":pat")},
		{scmurl.AzureDevOpsEntra, Credential{Token: "jwt", OAuth: true}, "Bearer jwt", "Bearer jwt"},
		{scmurl.AzureDevOpsServer, Credential{Token: "pat"}, basic(":pat"), basic(":pat")},
	} {
		host := map[string]string{scmurl.Bitbucket: "bitbucket.org", scmurl.AzureDevOpsEntra: "dev.azure.com"}[row.scmID]
		s := answerAll(t, http.StatusOK, nil, "{}", "bitbucket.org", "api.bitbucket.org", "dev.azure.com")
		if host == "" {
			host = s.Address()
		}
		p := provider(t, scmurl.Integration{SCMID: row.scmID, Host: host}, row.credential, s)
		owner := "o"
		if strings.HasPrefix(row.scmID, "azure") {
			owner = "o/p"
		}
		_, _ = p.Commit(t.Context(), owner, "r", "abcd")
		calls := s.TakeCalls()
		if len(calls) != 1 || calls[0].Header.Get("Authorization") != row.rest {
			t.Errorf("%s with %q: called with %+v, not with %q", row.scmID, row.credential.Token, calls, row.rest)
		}
		if got := p.GitAuth(); got != row.git {
			t.Errorf("%s with %q: git has %q, not %q", row.scmID, row.credential.Token, got, row.git)
		}
	}
}
