package app_test

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"golang.org/x/oauth2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
	"github.com/musterhq/muster/internal/seal"
)

// liveRunner is a connected runner that signs people in, and says what a test
// tells it to say.
type liveRunner struct {
	t      *testing.T
	stream *connect.BidiStreamForClient[linkv1.RunnerFrame, linkv1.PlaneFrame]
	public []byte
	// codes and secrets are those that it was given, and stored what it was answered.
	codes   chan string
	secrets chan *linkv1.SecretReply
	stored  chan *linkv1.TokenStored
}

// goLive connects the runner until the test ends.
func (s *spoken) goLive() *liveRunner {
	s.t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	ctx, cancel := context.WithCancel(context.Background())
	stream := linkv1connect.NewLinkServiceClient(&http.Client{Transport: transport}, s.url).Connect(ctx)
	stream.RequestHeader().Set("Authorization", "Bearer "+s.token)
	r := &liveRunner{t: s.t, stream: stream, public: s.public, codes: make(chan string, 10), secrets: make(chan *linkv1.SecretReply, 10), stored: make(chan *linkv1.TokenStored, 10)}
	r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: &linkv1.Hello{
		ProtocolVersion: 1, BootId: "01990000-0000-7000-8000-000000000002", HostName: "host", PublicKey: s.public, Report: &linkv1.Report{Version: "1"},
	}}})
	if _, err := stream.Receive(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.answer()
	}()
	s.t.Cleanup(func() {
		cancel()
		_ = stream.CloseRequest() // which ends Receive
		<-done
		transport.CloseIdleConnections()
	})
	return r
}

func (r *liveRunner) send(f *linkv1.RunnerFrame) {
	r.t.Helper()
	if err := r.stream.Send(f); err != nil {
		r.t.Fatal(err)
	}
}

// signedIn is a token that is sealed to the runner.
func (r *liveRunner) signedIn(token, plain string) *linkv1.SignedIn {
	sealed, err := seal.To(r.public, "host_authentication_token/"+token+"/token", []byte(plain))
	refresh, rerr := seal.To(r.public, "host_authentication_token/"+token+"/refresh_token", []byte(plain))
	if err != nil || rerr != nil {
		r.t.Errorf("sealing: %v, %v", err, rerr)
	}
	return &linkv1.SignedIn{SealedToken: sealed, SealedRefreshToken: refresh, Scopes: []string{"repo"}}
}

// renewed hands over what a host gave for a refresh token.
func (r *liveRunner) renewed(token string, from seal.Digest, v *linkv1.SignedIn) *linkv1.TokenStored {
	r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_TokenRefreshed{TokenRefreshed: &linkv1.TokenRefreshed{
		RequestId: 1, TokenId: token, RefreshTokenSha256: from.Bytes(), Values: v,
	}}})
	return <-r.stored
}

func (r *liveRunner) answer() {
	for {
		f, err := r.stream.Receive()
		if err != nil {
			return
		}
		if f.GetSecretReply() != nil {
			r.secrets <- f.GetSecretReply()
		}
		if f.GetTokenStored() != nil {
			r.stored <- f.GetTokenStored()
		}
		q := f.GetRequest()
		reply := &linkv1.Reply{RequestId: q.GetRequestId()}
		switch {
		case q.GetCheckAuthentication() != nil:
			reply.Reply = &linkv1.Reply_AuthenticationChecked{AuthenticationChecked: &linkv1.AuthenticationChecked{Result: &gitpodv1.CheckAuthenticationForHostResponse{
				SupportsOauth2: &gitpodv1.CheckAuthenticationForHostResponse_AuthenticationMethodOAuth2{},
			}}}
		case q.GetBeginSignIn() != nil:
			query := url.Values{
				"response_type": {"code"}, "client_id": {q.GetBeginSignIn().GetHost().GetOauthClientId()}, "redirect_uri": {q.GetBeginSignIn().GetRedirectUrl()},
				"state": {q.GetBeginSignIn().GetState()}, "scope": {"repo read:org read:user user:email"},
				"code_challenge": {oauth2.S256ChallengeFromVerifier(oauth2.GenerateVerifier())}, "code_challenge_method": {"S256"},
			}
			reply.Reply = &linkv1.Reply_SignInBegun{SignInBegun: &linkv1.SignInBegun{AuthorizeUrl: "https://github.com/login/oauth/authorize?" + query.Encode()}}
		case q.GetFinishSignIn() != nil:
			r.codes <- q.GetFinishSignIn().GetCode()
			reply.Reply = &linkv1.Reply_SignedIn{SignedIn: r.signedIn(q.GetFinishSignIn().GetTokenId(), "planted-xxx")}
		default:
			continue
		}
		if err := r.stream.Send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Reply{Reply: reply}}); err != nil {
			return
		}
	}
}

// browser keeps cookies, and follows no redirects.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (s *spoken) visit(c *http.Client, method, where string) (*http.Response, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, where, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = s.Write(page)
	return res, string(page)
}

// Somebody signs in to a host in a browser, and the runner renews what came of
// it.
func TestSigningInToAHost(t *testing.T) {
	s := speak(t)
	integration := s.ok("CreateSCMIntegration", object{
		"runnerId": s.runner, "scmId": "github", "host": "GitHub.com", "oauthClientId": "client", "oauthPlaintextClientSecret": "planted-x",
	})["id"].(string)
	runner := s.goLive()
	link := s.signInLink()
	me, mine := s.me(), browser(t)
	if res, page := s.visit(mine, "GET", link); res.StatusCode != http.StatusOK || !strings.Contains(page, "Administrator") || !strings.Contains(page, "lab") || !strings.Contains(page, "GitHub.com") {
		t.Fatalf("the first page: %d %s", res.StatusCode, page)
	}
	res, _ := s.visit(mine, "POST", link)
	hosts, err := res.Location()
	if err != nil || res.StatusCode != http.StatusSeeOther || hosts.Host != "github.com" {
		t.Fatalf("the way to the host: %d %v, %v", res.StatusCode, hosts, err)
	}
	if got := hosts.Query().Get("redirect_uri"); got != s.url+"/oauth/callback" {
		t.Errorf("the way back is %s", got)
	}
	back := s.url + "/oauth/callback?" + url.Values{"code": {"planted-xx"}, "state": hosts.Query()["state"]}.Encode()
	if res, page := s.visit(browser(t), "GET", back); res.StatusCode != http.StatusBadRequest || !strings.Contains(page, "sign-in-failed") || len(runner.codes) > 0 {
		t.Errorf("another browser: %d %s", res.StatusCode, page)
	}
	if res, page := s.visit(mine, "GET", back+"&iss=https%3A%2F%2Fgitlab.com"); res.StatusCode != http.StatusBadRequest || !strings.Contains(page, "Another host") || len(runner.codes) > 0 {
		t.Errorf("another host: %d %s", res.StatusCode, page)
	}
	if res, page := s.visit(mine, "GET", back+"&iss=https%3A%2F%2Fgithub.com%2Flogin%2Foauth"); res.StatusCode != http.StatusOK || !strings.Contains(page, "You are signed in to GitHub.com") {
		t.Fatalf("the last page: %d %s", res.StatusCode, page)
	}
	if code := <-runner.codes; code != "planted-xx" {
		t.Errorf("the runner got the code %s", code)
	}
	tokens := s.ok("ListHostAuthenticationTokens", object{})["tokens"].([]any)
	if len(tokens) != 1 {
		t.Fatalf("tokens %v", tokens)
	}
	token := tokens[0].(object)
	id := token["id"].(string)
	if token["host"] != "GitHub.com" || token["source"] != "HOST_AUTHENTICATION_TOKEN_SOURCE_OAUTH" || token["integrationId"] != integration || token["userId"] != me {
		t.Errorf("stored: %v", token)
	}
	runner.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_SecretRequest{SecretRequest: &linkv1.SecretRequest{RequestId: 1, Name: "host_authentication_token/" + id + "/refresh_token"}}})
	from := seal.Secret((<-runner.secrets).GetSealed()).Digest()
	if got := runner.renewed(id, from, runner.signedIn(id, "planted-xxxx")); got.GetRevision() != 2 || got.GetSuperseded() || got.GetError() != "" {
		t.Errorf("renewed: %v", got)
	}
	lost := runner.signedIn(id, "planted-xxxxx")
	lost.ExpiresAt = timestamppb.Now()
	if got := runner.renewed(id, from, lost); !got.GetSuperseded() {
		t.Errorf("made from an older refresh token: %v", got)
	}
	// The person signs in again: there is still one credential.
	res, _ = s.visit(mine, "POST", link)
	if hosts, err = res.Location(); err != nil {
		t.Fatal(err)
	}
	if res, page := s.visit(mine, "GET", s.url+"/oauth/callback?"+url.Values{"code": {"planted-xx"}, "state": hosts.Query()["state"]}.Encode()); res.StatusCode != http.StatusOK {
		t.Errorf("again: %d %s", res.StatusCode, page)
	}
	s.stop()
	want := []string{"host_authentication_token.create user", "secret.deliver runner", "host_authentication_token.refresh runner", "host_authentication_token.update user"}
	if got := s.entriesOf(id, map[string]string{me: "user", s.runner: "runner"}); !slices.Equal(got, want) {
		t.Errorf("audit log: %v", got)
	}
	begun, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"planted-x", hosts.Query().Get("state"), begun.Query().Get("link")} {
		if strings.Contains(s.said.String(), secret) {
			t.Errorf("a page or the log has %s", secret)
		}
	}
}

// signInLink is what the API gives the admin to sign in to GitHub.
func (s *spoken) signInLink() string {
	s.t.Helper()
	got, err := gitpodv1connect.NewRunnerServiceClient(client(bootstrapToken), s.url).CheckAuthenticationForHost(s.t.Context(),
		connect.NewRequest(&gitpodv1.CheckAuthenticationForHostRequest{RunnerId: s.runner, Host: "github.com"}))
	if err != nil || got.Msg.GetAuthenticated() {
		s.t.Fatalf("CheckAuthenticationForHost: %v, %v", got, err)
	}
	return got.Msg.GetSupportsOauth2().GetAuthUrl()
}

// entriesOf are the audit entries of something, in order, with their actors.
func (s *spoken) entriesOf(subject string, actors map[string]string) (entries []string) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, "muster.db")+"?mode=ro")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(s.t.Context(), "SELECT action, actor_id FROM audit_entries WHERE subject_id = ? AND request_id <> '' ORDER BY created_at, id", subject)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var action, actor string
		if err := rows.Scan(&action, &actor); err != nil {
			s.t.Fatal(err)
		}
		entries = append(entries, action+" "+actors[actor])
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return entries
}
