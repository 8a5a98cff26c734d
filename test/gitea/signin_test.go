package gitea_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/test/gitea"
)

const callback = "http://127.0.0.1:1/oauth/callback"

// signer signs Bob in through a runner.
type signer struct {
	t       *testing.T
	server  *gitea.Server
	hosts   *scmhost.Hosts
	browser *gitea.Browser
	host    scmurl.Integration
	client  scmhost.Client
	states  int
}

func newSigner(t *testing.T, o gitea.Options) *signer {
	t.Helper()
	s := &signer{t: t, server: gitea.Start(t, o)}
	s.hosts, s.browser, s.host = hosts(t, s.server), s.server.Browser(t, gitea.Bob), account(s.server, "").Integration
	s.client.ID, s.client.Secret = s.server.Application(t, callback)
	return s
}

// begin goes as far as the host sends the browser back.
func (s *signer) begin() (state, code string) {
	s.t.Helper()
	s.states++
	state = "state/" + strconv.Itoa(s.states) + " +&="
	to, err := s.hosts.BeginSignIn(s.host, s.client, state, callback, time.Minute)
	if err != nil {
		s.t.Fatal(err)
	}
	back := s.browser.Allow(s.t, to)
	if got := back.Query().Get("state"); got != state || !strings.HasPrefix(back.String(), callback+"?") {
		s.t.Fatalf("the browser comes back to %s", back)
	}
	return state, back.Query().Get("code")
}

func (s *signer) finish(state, code string) (scmhost.Grant, error) {
	return s.hosts.FinishSignIn(context.Background(), s.host, s.client, state, callback, code)
}

func (s *signer) signIn() scmhost.Grant {
	s.t.Helper()
	g, err := s.finish(s.begin())
	if err != nil {
		s.t.Fatal(err)
	}
	return g
}

func (s *signer) refresh(token string) (scmhost.Grant, error) {
	return s.hosts.Refresh(context.Background(), s.host, s.client, token)
}

// works tells whether a grant opens the API and git.
func (s *signer) works(g scmhost.Grant) {
	s.t.Helper()
	p, err := scmhost.NewProvider(scmhost.Site{Integration: integration(s.server), Credential: scmhost.Credential{Token: g.Token, OAuth: true}, HTTP: &http.Client{}})
	if err != nil {
		s.t.Fatal(err)
	}
	if v, err := p.Viewer(s.t.Context()); err != nil || v.Login != gitea.Bob {
		s.t.Errorf("the token is of %q, %v; want Bob's", v.Login, err)
	}
	if refs := lsRemote(s.t, s.server.URL+"/bob/pub.git", p.GitAuth()); !strings.Contains(refs, "refs/heads/fix/typo") {
		s.t.Errorf("git does not see the branch:\n%s", refs)
	}
	if left := time.Until(g.ExpiresAt); left < 58*time.Minute || left >= time.Hour {
		s.t.Errorf("the token has %s left; an hour is what Gitea gives", left)
	}
}

// refused checks a fault, and that it tells no secret.
func (s *signer) refused(err error, reason fault.Reason, revoked bool, secrets ...string) {
	s.t.Helper()
	if !fault.HasReason(err, reason) || errors.Is(err, scmhost.ErrRevoked) != revoked {
		s.t.Errorf("the error is %v, revoked %v; want the reason %s", err, errors.Is(err, scmhost.ErrRevoked), reason)
	}
	for _, secret := range append(secrets, s.client.Secret) {
		if err != nil && secret != "" && strings.Contains(err.Error(), secret) {
			s.t.Errorf("the error tells a secret: %v", err)
		}
	}
}

func TestSignIn(t *testing.T) {
	s := newSigner(t, gitea.Options{Path: "/git", RotateRefreshTokens: true})
	to, err := s.hosts.BeginSignIn(s.host, s.client, "a state", callback, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if !strings.HasPrefix(to, s.server.URL+"/login/oauth/authorize?") || q.Get("state") != "a state" || q.Get("redirect_uri") != callback ||
		q.Get("response_type") != "code" || q.Get("client_id") != s.client.ID || q.Get("code_challenge_method") != "S256" ||
		len(q.Get("code_challenge")) != 43 || strings.Contains(to, s.client.Secret) {
		t.Errorf("people sign in at %s", to)
	}

	first := s.signIn()
	s.works(first)
	second, err := s.refresh(first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	s.works(second)
	if second.RefreshToken == "" || second.RefreshToken == first.RefreshToken {
		t.Error("a refresh brought no new refresh token")
	}
	_, err = s.refresh(first.RefreshToken)
	s.refused(err, fault.SignInRequired, true, first.RefreshToken)
	_, err = s.refresh("nonsense")
	s.refused(err, fault.SignInRequired, true)

	third := s.signIn() // Gitea does not ask again
	s.works(third)
	s.browser.Revoke(t)
	_, err = s.refresh(third.RefreshToken)
	s.refused(err, fault.SignInRequired, true, third.RefreshToken)
	ok, err := s.hosts.Authenticated(t.Context(), scmhost.Account{Integration: s.host, Credential: scmhost.Credential{Token: third.Token, OAuth: true}})
	if ok || err != nil {
		t.Errorf("after the grant was revoked, Bob is signed in: %v, %v", ok, err)
	}
}

// By default Gitea's refresh tokens go on working.
func TestRefreshTwice(t *testing.T) {
	s := newSigner(t, gitea.Options{})
	g := s.signIn()
	for range 2 {
		again, err := s.refresh(g.RefreshToken)
		if err != nil {
			t.Fatal(err)
		}
		s.works(again)
	}
	right := s.client
	s.client.Secret = "wrong"
	_, err := s.refresh(g.RefreshToken)
	s.refused(err, fault.SignInFailed, false, g.RefreshToken)
	s.client = scmhost.Client{ID: "00000000-0000-0000-0000-000000000000", Secret: right.Secret}
	_, err = s.refresh(g.RefreshToken)
	s.refused(err, fault.SignInFailed, false, g.RefreshToken)
	s.client = scmhost.Client{}
	_, err = s.refresh(g.RefreshToken)
	s.refused(err, fault.HostNotConfigured, false, g.RefreshToken)
	s.client = right
	if _, err = s.refresh(g.RefreshToken); err != nil {
		t.Errorf("what went wrong before has revoked the refresh token: %v", err)
	}
}

func TestSignInsThatFail(t *testing.T) {
	s := newSigner(t, gitea.Options{})
	const failed = fault.SignInFailed

	state, code := s.begin()
	_, err := s.finish("another state", code)
	s.refused(err, failed, false, code)
	if _, err = s.finish(state, code); err != nil {
		t.Fatalf("a state nobody knows has spoiled another: %v", err)
	}
	_, err = s.finish(state, code)
	s.refused(err, failed, false, code)

	again, _ := s.begin()
	_, err = s.finish(again, code) // which was exchanged before
	s.refused(err, failed, false, code)

	state, code = s.begin()
	_, err = s.finish(state, "gta_wrong")
	s.refused(err, failed, false)
	_, err = s.finish(state, code) // the wrong code has used it up
	s.refused(err, failed, false, code)

	// The code of another sign-in goes with another verifier.
	_, stolen := s.begin()
	state, _ = s.begin()
	_, err = s.finish(state, stolen)
	s.refused(err, failed, false, stolen)

	state, code = s.begin()
	_, err = s.hosts.FinishSignIn(t.Context(), s.host, s.client, state, "http://127.0.0.1:2/elsewhere", code)
	s.refused(err, failed, false, code)

	right := s.client
	for _, wrong := range []scmhost.Client{{ID: right.ID, Secret: "wrong"}, {ID: right.ID}, {ID: "nobody", Secret: right.Secret}} {
		state, code = s.begin()
		s.client = wrong
		_, err = s.finish(state, code)
		s.refused(err, failed, false, code, right.Secret)
		if !strings.Contains(err.Error(), "client") {
			t.Errorf("the error does not tell that the client is wrong: %v", err)
		}
		s.client = right
	}

	if g := s.signIn(); g.Token == "" {
		t.Error("after all of this, nobody can sign in")
	}
}

func TestProbe(t *testing.T) {
	s := newSigner(t, gitea.Options{Path: "/git"})
	other := func(scmID string) scmurl.Integration { i := s.host; i.SCMID = scmID; return i }
	nowhere, outside := s.host, s.host
	nowhere.Host, outside.Host = "127.0.0.1:1", "127.0.0.1:2"
	h, err := scmhost.New(scmhost.Config{PrivateHosts: []string{"http://" + strings.TrimSuffix(s.host.Host, "/git"), "http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	for name, tt := range map[string]struct {
		i           scmurl.Integration
		c           scmhost.Client
		host, oauth string
	}{
		"fine":           {s.host, s.client, "", ""},
		"without OAuth":  {s.host, scmhost.Client{}, "", ""},
		"wrong secret":   {s.host, scmhost.Client{ID: s.client.ID, Secret: "wrong"}, "", "is not accepted by the host"},
		"wrong id":       {s.host, scmhost.Client{ID: "nobody", Secret: s.client.Secret}, "", "is not accepted by the host"},
		"no GitLab":      {other(scmurl.GitLab), s.client, "does not answer like GitLab", ""},
		"no GitHub":      {other(scmurl.GitHub), s.client, "does not answer like GitHub", ""},
		"no Data Center": {other(scmurl.BitbucketServer), s.client, "does not answer like Bitbucket", ""},
		"nobody answers": {nowhere, s.client, "cannot be reached from the runner", ""},
		"not allowed":    {outside, s.client, "is at a private address", ""},
	} {
		got, err := h.Probe(t.Context(), tt.i, tt.c)
		if err != nil || !strings.HasPrefix(got.Host, tt.host) || (got.Host == "") != (tt.host == "") ||
			!strings.HasPrefix(got.OAuth, tt.oauth) || (got.OAuth == "") != (tt.oauth == "") {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if strings.Contains(got.Host+got.OAuth, s.client.Secret) {
			t.Errorf("%s: the secret is told: %+v", name, got)
		}
	}
}

// A personal access token that was deleted is not accepted any more.
func TestDeletedToken(t *testing.T) {
	s := gitea.Start(t, gitea.Options{})
	signedIn := func() bool {
		// Hosts remember it for a while.
		ok, err := hosts(t, s).Authenticated(t.Context(), account(s, s.Tokens[gitea.Bob]))
		if err != nil {
			t.Error(err)
		}
		return ok
	}
	if !signedIn() {
		t.Error("Bob's token is not accepted")
	}
	if _, err := s.API(t, gitea.Bob).DeleteAccessToken("muster"); err != nil {
		t.Fatal(err)
	}
	if signedIn() {
		t.Error("Bob's token is accepted after it was deleted")
	}
}
