package agent_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent"
	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/fault"
)

// A runner with the settings of an operator, and a host on its own network.
func TestASourceCodeHostOnThePrivateNetwork(t *testing.T) {
	s := fakehost.New(t)
	repo := fakehost.NewRepo(t)
	commit := repo.Commit("main", "first")
	(&fakehost.GitLab{
		URL:      s.URL,
		Users:    map[string]fakehost.GitLabUser{"planted-token": {Name: "ada", Scopes: []string{"api", "read_user"}, Groups: []string{"acme"}}},
		Projects: []*fakehost.GitLabProject{{ID: 1, Path: "acme/widgets", Private: true, Git: repo}},
	}).Serve(s)
	// Renewing as GitLab does.
	s.Handle("POST /oauth/token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.FormValue("refresh_token") != "planted-refresh-token" || r.FormValue("client_secret") != "planted-client-secret" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
			return
		}
		_, _ = io.WriteString(w, `{"access_token":"planted-token","refresh_token":"planted-next","expires_in":7200,"token_type":"Bearer"}`)
	})
	at := func(left time.Duration) *linkv1.HostAccess {
		a := signedIn(left)
		a.Host.Host = s.Address()
		return a
	}
	url := s.URL + "/acme/widgets/-/tree/main"

	for name, c := range map[string]struct {
		config func(*agent.Config)
		left   time.Duration
		want   fault.Reason // empty for an answer
	}{
		"not allowed":       {config: func(c *agent.Config) { c.CAFile = certificateFile(t, s.Server) }, left: time.Hour, want: fault.HostNotAllowed},
		"not trusted":       {config: func(c *agent.Config) { c.PrivateHosts = []string{s.Address()} }, left: time.Hour, want: fault.HostUnavailable},
		"allowed":           {config: func(c *agent.Config) { c.PrivateHosts, c.CAFile = []string{s.Address()}, certificateFile(t, s.Server) }, left: time.Hour},
		"renewed, and then": {config: func(c *agent.Config) { c.PrivateHosts, c.CAFile = []string{s.Address()}, certificateFile(t, s.Server) }},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := overLoopback(t, false, "")
			pr := p.join(t, c.config)
			l := p.welcomed(t)
			delivered := allSecrets()
			if c.left == 0 {
				delivered[hostToken] = "planted-old"
			}
			l.tell(t, 1, parse(at(c.left), url))
			var reply *linkv1.Reply
			renewed := false
			for reply == nil || c.left == 0 && !renewed {
				f := l.await(t, delivered)
				if r := f.GetTokenRefreshed(); r != nil {
					renewed = true
					if open(t, pr, r.GetValues().GetSealedRefreshToken(), refreshToken) != "planted-next" {
						t.Errorf("got %v", r)
					}
					continue
				}
				if reply = f.GetReply(); reply == nil {
					t.Fatalf("got %v", f)
				}
			}
			git := reply.GetContextParsed().GetContext().GetGit()
			switch {
			case c.want != "":
				if reply.GetFailure().GetReason() != string(c.want) {
					t.Errorf("got %v, want %s", reply, c.want)
				}
			case git.GetBranch() != "main" || git.GetCommit() != commit || git.GetRepo() != "widgets" || git.GetOwner() != "acme" ||
				git.GetCloneUrl() != s.URL+"/acme/widgets.git" || git.GetHost() != s.Address():
				t.Errorf("got %v", reply)
			}
			if strings.Contains(pr.logs.String(), "planted-") {
				t.Errorf("a secret was logged: %s", pr.logs)
			}
		})
	}
}

// What the operator said of http holds for the links that people get, too.
func TestASourceCodeHostWithoutTLS(t *testing.T) {
	s := fakehost.NewPlain(t)
	p, _ := overLoopback(t, false, "")
	p.join(t, func(c *agent.Config) { c.PrivateHosts = []string{s.URL} })
	l := p.welcomed(t)
	a := &linkv1.HostAccess{Host: &linkv1.SourceHost{IntegrationId: integrationID, ScmId: "gitea", Host: s.Address(), Pat: true}}
	got := l.ask(t, nil, authenticated(a)).GetAuthenticationChecked().GetResult()
	if got.GetAuthenticated() || !strings.HasPrefix(got.GetSupportsPat().GetCreateUrl(), s.URL+"/") {
		t.Errorf("got %v", got)
	}
}

func TestSettingsOfSourceCodeHosts(t *testing.T) {
	p, _ := overLoopback(t, false, "")
	for name, change := range map[string]func(*agent.Config){
		"--private-host": func(c *agent.Config) { c.PrivateHosts = []string{"ftp://user:planted@git.corp"} },
		"--issuer-host":  func(c *agent.Config) { c.IssuerHosts = []string{"https://user:planted@login.corp/x"} },
	} {
		err := p.join(t, change).wait()
		if !fault.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
