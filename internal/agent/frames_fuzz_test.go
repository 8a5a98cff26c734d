package agent

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent/home"
	"github.com/musterhq/muster/internal/agent/scmhost"
)

const fuzzRunner = "0190a000-0000-7000-8000-000000000001"

// FuzzFrames feeds a link with frames, each preceded by its length. Whatever
// they are: no panic, nothing that waits for ever, no byte to anybody without a
// good token, and an identity that only a Delete removes.
func FuzzFrames(f *testing.F) {
	welcome := &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Welcome{Welcome: &linkv1.Welcome{
		Epoch: 1, Lease: durationpb.New(30 * time.Second), RenewEvery: durationpb.New(10 * time.Second), RunnerId: fuzzRunner, OrganizationId: fuzzRunner, Issuer: "i",
		VerificationKeys: &linkv1.VerificationKeys{Keys: []*linkv1.VerificationKey{{Id: "k", PublicKey: make([]byte, 32)}, nil}},
	}}}
	ask := func(q *linkv1.Request) *linkv1.PlaneFrame {
		return &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Request{Request: q}}
	}
	access := &linkv1.HostAccess{
		Host:       &linkv1.SourceHost{IntegrationId: fuzzRunner, ScmId: "gitlab", Host: "git.example", OauthClientId: "app"},
		Credential: &linkv1.HostCredential{TokenId: fuzzRunner, RefreshTokenSha256: []byte("x"), ExpiresAt: &timestamppb.Timestamp{Seconds: -1 << 60}},
	}
	for _, frames := range [][]*linkv1.PlaneFrame{
		{welcome},
		{welcome, {Frame: &linkv1.PlaneFrame_Renewed{Renewed: &linkv1.Renewed{Sequence: 1}}}},
		{welcome, {Frame: &linkv1.PlaneFrame_Configuration{Configuration: &linkv1.Configuration{Revision: 2, SealedMetricsPassword: []byte("x"), Spec: &gitpodv1.RunnerConfiguration{LogLevel: 1}}}}},
		{welcome, {Frame: &linkv1.PlaneFrame_Configuration{}}},
		{welcome, {Frame: &linkv1.PlaneFrame_StreamOpen{StreamOpen: &linkv1.StreamOpen{StreamId: 1, Token: "a.b.c", InitialCredit: 1 << 31, Source: &linkv1.StreamOpen_Logs{Logs: &linkv1.LogsSource{Follow: true}}}}}},
		{welcome, {Frame: &linkv1.PlaneFrame_StreamOpen{}}, {Frame: &linkv1.PlaneFrame_StreamOpen{}}, {Frame: &linkv1.PlaneFrame_StreamClose{}}, {Frame: &linkv1.PlaneFrame_StreamCredit{}}},
		{welcome, {Frame: &linkv1.PlaneFrame_Drain{Drain: &linkv1.Drain{Reason: "\n"}}}, {Frame: &linkv1.PlaneFrame_Delete{}}},
		{welcome, {Frame: &linkv1.PlaneFrame_Superseded{Superseded: &linkv1.Superseded{HostName: "\x1b[2J"}}}},
		{welcome, {Frame: &linkv1.PlaneFrame_VerificationKeys{}}, {}},
		{welcome, {Frame: &linkv1.PlaneFrame_SecretReply{SecretReply: &linkv1.SecretReply{RequestId: 1, Sealed: []byte("x")}}}, {Frame: &linkv1.PlaneFrame_SecretsChanged{SecretsChanged: &linkv1.SecretsChanged{Names: []string{"", "/", "a/"}}}}},
		{welcome, {Frame: &linkv1.PlaneFrame_Request{Request: &linkv1.Request{RequestId: 1, Request: &linkv1.Request_CheckSecrets{CheckSecrets: &linkv1.CheckSecrets{Names: []string{"a/1/x", ""}}}}}}, {Frame: &linkv1.PlaneFrame_SecretReply{SecretReply: &linkv1.SecretReply{RequestId: 1, Error: "e"}}}},
		{welcome, {Frame: &linkv1.PlaneFrame_Request{}}, {Frame: &linkv1.PlaneFrame_Request{Request: &linkv1.Request{Request: &linkv1.Request_CheckSecrets{}}}}},
		{welcome, {Frame: &linkv1.PlaneFrame_Request{Request: &linkv1.Request{Request: &linkv1.Request_RotateToken{}}}}, {Frame: &linkv1.PlaneFrame_Delete{}}},
		{welcome, ask(&linkv1.Request{Request: &linkv1.Request_ParseContext{}}), ask(&linkv1.Request{Request: &linkv1.Request_ParseContext{ParseContext: &linkv1.ParseContext{Access: access, Url: "u"}}})},
		{welcome, ask(&linkv1.Request{Request: &linkv1.Request_SearchRepositories{SearchRepositories: &linkv1.SearchRepositories{Accesses: []*linkv1.HostAccess{nil, access}, Page: -1, PageSize: -1}}})},
		{welcome, ask(&linkv1.Request{Request: &linkv1.Request_ListOrganizations{}}), ask(&linkv1.Request{Request: &linkv1.Request_CheckAuthentication{}}), ask(&linkv1.Request{Request: &linkv1.Request_CheckRepository{}})},
		{welcome, ask(&linkv1.Request{Request: &linkv1.Request_ProbeIntegration{ProbeIntegration: &linkv1.ProbeIntegration{SealedClientSecret: []byte("x"), Purpose: "scm_integration/" + fuzzRunner + "/client_secret"}}})},
		{welcome, ask(&linkv1.Request{Request: &linkv1.Request_BeginSignIn{}}), ask(&linkv1.Request{Request: &linkv1.Request_FinishSignIn{FinishSignIn: &linkv1.FinishSignIn{TokenId: fuzzRunner}}})},
		{welcome, {Frame: &linkv1.PlaneFrame_TokenStored{TokenStored: &linkv1.TokenStored{RequestId: 1, Superseded: true}}}, {Frame: &linkv1.PlaneFrame_TokenStored{TokenStored: &linkv1.TokenStored{Error: "\n"}}}},
		{{Frame: &linkv1.PlaneFrame_KeyChallenge{KeyChallenge: &linkv1.KeyChallenge{SealedNonce: make([]byte, 100)}}}, welcome},
		{welcome, {Frame: &linkv1.PlaneFrame_KeyChallenge{}}},
		{{Frame: &linkv1.PlaneFrame_Welcome{}}},
		{{Frame: &linkv1.PlaneFrame_Delete{Delete: &linkv1.Delete{}}}},
		{},
	} {
		var seed []byte
		for _, frame := range frames {
			raw, err := proto.Marshal(frame)
			if err != nil {
				f.Fatal(err)
			}
			seed = protowire.AppendBytes(seed, raw)
		}
		f.Add(seed)
	}
	h, err := home.Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	f.Fuzz(func(t *testing.T, in []byte) {
		synctest.Test(t, func(t *testing.T) { feed(t, h, in) })
	})
}

func feed(t *testing.T, h *home.Home, in []byte) {
	// No host can be reached.
	hosts, err := scmhost.New(scmhost.Config{Log: slog.New(slog.DiscardHandler), Dial: func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Server: "http://muster.example", DataDir: h.Dir(), Out: io.Discard, LogHandler: slog.DiscardHandler, hosts: hosts}
	a, err := cfg.parse()
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRunner(cfg, a, h)
	if err != nil {
		t.Fatal(err)
	}
	if r.identity, err = h.Load(); err != nil {
		t.Fatal(err)
	}
	if !r.identity.Made() { // at first, and after a Delete
		if r.identity, err = home.New(cfg.Server); err != nil {
			t.Fatal(err)
		}
		r.identity.RunnerID, r.identity.OrganizationID = fuzzRunner, fuzzRunner
		if err := h.Save(r.identity); err != nil {
			t.Fatal(err)
		}
	}

	alive, cancel := context.WithCancel(t.Context())
	out := newOutbox(r.hold)
	l := newLink(alive, r, out, false)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = out.run(alive, func(f *linkv1.RunnerFrame) error {
			if f.GetStreamData() != nil {
				t.Errorf("bytes were sent without a token: %v", f)
			}
			_, err := proto.Marshal(f)
			return err
		})
	}()
	deleted := false
	go func() {
		for len(in) > 0 {
			raw, n := protowire.ConsumeBytes(in)
			if n < 0 {
				break
			}
			in = in[n:]
			frame := new(linkv1.PlaneFrame)
			if proto.Unmarshal(raw, frame) != nil {
				break
			}
			_, isDelete := frame.GetFrame().(*linkv1.PlaneFrame_Delete)
			deleted = deleted || isDelete
			select {
			case l.frames <- frame:
			case <-alive.Done():
				return
			}
		}
		l.failed <- io.EOF
	}()
	e := l.run(t.Context())
	cancel()
	<-sent
	l.streams.running.Wait()
	l.requests.running.Wait()
	r.codeHosts.close()
	synctest.Wait()
	if id, err := h.Load(); (err != nil || !id.Made()) && !deleted {
		t.Errorf("the identity is gone after %+v: %v", e, err)
	}
}
