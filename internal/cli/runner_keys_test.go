package cli_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
)

func (k *keyring) CheckRunnerSecrets(context.Context, *connect.Request[adminv1.CheckRunnerSecretsRequest]) (*connect.Response[adminv1.CheckRunnerSecretsResponse], error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return connect.NewResponse(proto.CloneOf(k.checked)), nil
}

type tokenring struct {
	adminv1connect.UnimplementedRunnerTokenServiceHandler
	*plane
}

func (r *tokenring) ListRunnerTokens(context.Context, *connect.Request[adminv1.ListRunnerTokensRequest]) (*connect.Response[adminv1.ListRunnerTokensResponse], error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return connect.NewResponse(&adminv1.ListRunnerTokensResponse{Tokens: r.held}), nil
}

func (r *tokenring) ExpireRunnerToken(_ context.Context, req *connect.Request[adminv1.ExpireRunnerTokenRequest]) (*connect.Response[adminv1.ExpireRunnerTokenResponse], error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, req.Msg)
	return connect.NewResponse(&adminv1.ExpireRunnerTokenResponse{}), nil
}

func (r *tokenring) RotateRunnerToken(_ context.Context, req *connect.Request[adminv1.RotateRunnerTokenRequest]) (*connect.Response[adminv1.RotateRunnerTokenResponse], error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, req.Msg)
	return connect.NewResponse(&adminv1.RotateRunnerTokenResponse{}), nil
}

func TestKeyLogAndStaleSecrets(t *testing.T) {
	p := newPlane(t)
	p.add("lab", degraded)
	runner := &gitpodv1.Subject{Id: runnerID(1), Principal: gitpodv1.Principal_PRINCIPAL_RUNNER}
	admin := &gitpodv1.Subject{Id: meID, Principal: gitpodv1.Principal_PRINCIPAL_USER}
	old, now := &adminv1.RunnerKey{PublicKey: []byte{1}, Fingerprint: "aaaa"}, &adminv1.RunnerKey{PublicKey: []byte{2}, Fingerprint: "bbbb"}
	p.keys = &adminv1.GetRunnerKeysResponse{
		Current: now,
		Log: []*adminv1.RunnerKeyEvent{
			{Operation: adminv1.RunnerKeyOperation_RUNNER_KEY_OPERATION_FIRST, Key: old, Actor: runner, CreatedAt: timestamppb.New(noon.Add(-time.Hour))},
			{Operation: adminv1.RunnerKeyOperation_RUNNER_KEY_OPERATION_APPROVED, Key: now, Actor: admin, CreatedAt: timestamppb.New(noon.Add(-time.Minute))},
		},
		Stale: []*adminv1.RunnerSecret{{Name: "scm_integration/1/client_secret", Description: "the client secret of the integration with github.com"}},
	}
	want := `STATE   FINGERPRINT  PUBLIC KEY
in use  bbbb         Ag==

AGE  WHAT      FINGERPRINT  BY
1h   FIRST     aaaa         the runner
1m   APPROVED  bbbb         user ` + meID + `

Sealed to an older key, and to be set again:
NAME                             WHAT IT IS
scm_integration/1/client_secret  the client secret of the integration with github.com
`
	if diff := cmp.Diff(want, muster(t, "runner", "keys", "lab").want(t, 0).stdout); diff != "" {
		t.Error(diff)
	}
	if got := muster(t, "runner", "keys", "lab", "-o", "json").want(t, 0).stdout; !strings.Contains(got, `"RUNNER_KEY_OPERATION_APPROVED"`) {
		t.Errorf("as JSON: %s", got)
	}
}

func TestCheckOfSecrets(t *testing.T) {
	p := newPlane(t)
	p.add("lab", degraded)
	for want, answer := range map[string]*adminv1.CheckRunnerSecretsResponse{
		"Nothing is sealed to this runner.\n":                        {},
		"The runner can open all that is sealed to it: 3 secrets.\n": {Checked: 3},
		"The runner cannot open 1 of 3 secrets sealed to it.":        {Checked: 3, Unreadable: []*adminv1.RunnerSecret{{Name: "a/1/x", Description: "the thing"}}},
	} {
		p.checked = answer
		got := muster(t, "runner", "keys", "lab", "--check").want(t, 0).stdout
		if !strings.HasPrefix(got, want) || strings.Contains(got, "the thing") != (len(answer.GetUnreadable()) > 0) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	muster(t, "runner", "keys", "lab", "--check", "--approve", "aaaa").want(t, 2)
}

func TestRunnerTokens(t *testing.T) {
	p := newPlane(t)
	p.add("lab", degraded)
	if got := muster(t, "runner", "tokens", "list", "lab").want(t, 0).stdout; !strings.Contains(got, "muster runner token "+runnerID(1)) {
		t.Errorf("without tokens it says %q", got)
	}
	admin := &gitpodv1.Subject{Id: meID, Principal: gitpodv1.Principal_PRINCIPAL_USER}
	p.held = []*adminv1.RunnerToken{
		{Id: "e", Kind: adminv1.RunnerTokenKind_RUNNER_TOKEN_KIND_EXCHANGE, Creator: admin, CreatedAt: timestamppb.New(noon.Add(-time.Hour)), ExpiresAt: timestamppb.New(noon.Add(23 * time.Hour))},
		{Id: "a", Kind: adminv1.RunnerTokenKind_RUNNER_TOKEN_KIND_ACCESS, Creator: admin, CreatedAt: timestamppb.New(noon.Add(-72 * time.Hour)), LastUsedAt: timestamppb.New(noon.Add(-time.Minute))},
	}
	want := `ID  KIND      AGE  EXPIRES  LAST USED  CREATOR
e   EXCHANGE  1h   in 23h   never      user ` + meID + `
a   ACCESS    3d   never    1m ago     user ` + meID + `
`
	if diff := cmp.Diff(want, muster(t, "runner", "tokens", "list", "lab").want(t, 0).stdout); diff != "" {
		t.Error(diff)
	}
	muster(t, "runner", "tokens", "expire", "lab", "a", "--yes").want(t, 0)
	muster(t, "runner", "tokens", "expire", "lab", "a", "--in", "7d", "-y").want(t, 0)
	muster(t, "runner", "tokens", "rotate", "lab", "--yes").want(t, 0)
	muster(t, "runner", "tokens", "rotate", "lab", "--valid-for", "90d", "-y").want(t, 0)
	day := 24 * time.Hour
	requests := []proto.Message{
		&adminv1.ExpireRunnerTokenRequest{RunnerId: runnerID(1), TokenId: "a", ValidFor: durationpb.New(0)},
		&adminv1.ExpireRunnerTokenRequest{RunnerId: runnerID(1), TokenId: "a", ValidFor: durationpb.New(7 * day)},
		&adminv1.RotateRunnerTokenRequest{RunnerId: runnerID(1), ValidFor: durationpb.New(0)},
		&adminv1.RotateRunnerTokenRequest{RunnerId: runnerID(1), ValidFor: durationpb.New(90 * day)},
	}
	if diff := cmp.Diff(requests, p.requests, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}
