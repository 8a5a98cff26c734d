package cli_test

import (
	"context"
	"slices"
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
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
)

// accountToken is what an access token of a service account looks like here.
const accountToken = "muster_saaccess_1"

// accounts keeps service accounts for the command line.
type accounts struct {
	gitpodv1connect.UnimplementedServiceAccountServiceHandler
	*plane
	all    []*gitpodv1.ServiceAccount
	tokens []*gitpodv1.ServiceAccountToken
}

func (a *accounts) CreateServiceAccount(_ context.Context, req *connect.Request[gitpodv1.CreateServiceAccountRequest]) (*connect.Response[gitpodv1.CreateServiceAccountResponse], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked(req.Msg)
	made := &gitpodv1.ServiceAccount{
		Id: runnerID(100 + len(a.all)), Name: req.Msg.GetName(), Description: req.Msg.GetDescription(),
		ValidUntil: req.Msg.GetValidUntil(), CreatedAt: timestamppb.New(noon.Add(-time.Hour)),
	}
	a.all = append(a.all, made)
	return connect.NewResponse(&gitpodv1.CreateServiceAccountResponse{ServiceAccount: made}), nil
}

func (a *accounts) ListServiceAccounts(_ context.Context, req *connect.Request[gitpodv1.ListServiceAccountsRequest]) (*connect.Response[gitpodv1.ListServiceAccountsResponse], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	resp := &gitpodv1.ListServiceAccountsResponse{Pagination: &gitpodv1.PaginationResponse{}}
	for _, s := range a.all {
		if (!s.GetSuspended() || req.Msg.GetFilter().GetIncludeSuspended()) && strings.Contains(s.GetName(), req.Msg.GetFilter().GetSearch()) {
			resp.ServiceAccounts = append(resp.ServiceAccounts, proto.CloneOf(s))
		}
	}
	return connect.NewResponse(resp), nil
}

func (a *accounts) UpdateServiceAccount(_ context.Context, req *connect.Request[gitpodv1.UpdateServiceAccountRequest]) (*connect.Response[gitpodv1.UpdateServiceAccountResponse], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked(req.Msg)
	return connect.NewResponse(&gitpodv1.UpdateServiceAccountResponse{ServiceAccount: a.all[0]}), nil
}

func (a *accounts) DeleteServiceAccount(_ context.Context, req *connect.Request[gitpodv1.DeleteServiceAccountRequest]) (*connect.Response[gitpodv1.DeleteServiceAccountResponse], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.all {
		s.Suspended = s.GetSuspended() || s.GetId() == req.Msg.GetServiceAccountId()
	}
	return connect.NewResponse(&gitpodv1.DeleteServiceAccountResponse{}), nil
}

func (a *accounts) CreateServiceAccountAccessToken(context.Context, *connect.Request[gitpodv1.CreateServiceAccountAccessTokenRequest]) (*connect.Response[gitpodv1.CreateServiceAccountAccessTokenResponse], error) {
	return connect.NewResponse(&gitpodv1.CreateServiceAccountAccessTokenResponse{Token: accountToken}), nil
}

func (a *accounts) CreateServiceAccountToken(_ context.Context, req *connect.Request[gitpodv1.CreateServiceAccountTokenRequest]) (*connect.Response[gitpodv1.CreateServiceAccountTokenResponse], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if req.Header().Get("Authorization") != "Bearer "+accountToken {
		return nil, failure(connect.CodePermissionDenied, "not-allowed", "Only a service account can make itself such a token.")
	}
	a.asked(req.Msg)
	made := &gitpodv1.ServiceAccountToken{
		Id: runnerID(200 + len(a.tokens)), ServiceAccountId: a.all[0].GetId(), Description: req.Msg.GetDescription(),
		CreatedAt: timestamppb.New(noon.Add(-time.Minute)), ExpiresAt: timestamppb.New(noon.Add(24 * time.Hour)),
	}
	a.tokens = append(a.tokens, made)
	return connect.NewResponse(&gitpodv1.CreateServiceAccountTokenResponse{Token: "muster_sa_1", ServiceAccountToken: made}), nil
}

func (a *accounts) ListServiceAccountTokens(context.Context, *connect.Request[gitpodv1.ListServiceAccountTokensRequest]) (*connect.Response[gitpodv1.ListServiceAccountTokensResponse], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return connect.NewResponse(&gitpodv1.ListServiceAccountTokensResponse{Tokens: a.tokens, Pagination: &gitpodv1.PaginationResponse{}}), nil
}

func (a *accounts) DeleteServiceAccountToken(_ context.Context, req *connect.Request[gitpodv1.DeleteServiceAccountTokenRequest]) (*connect.Response[gitpodv1.DeleteServiceAccountTokenResponse], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens = slices.DeleteFunc(a.tokens, func(k *gitpodv1.ServiceAccountToken) bool { return k.GetId() == req.Msg.GetServiceAccountTokenId() })
	return connect.NewResponse(&gitpodv1.DeleteServiceAccountTokenResponse{}), nil
}

func TestServiceAccounts(t *testing.T) {
	p := newPlane(t)
	if got := muster(t, "service-account", "list").want(t, 0).stdout; got != "No service accounts. Make one: muster service-account create NAME\n" {
		t.Errorf("the empty list says %q", got)
	}
	muster(t, "service-account", "create", "ci", "--description", "builds", "--valid-for", "30d").want(t, 0)
	muster(t, "service-account", "create", "other").want(t, 0)
	name := "robot"
	muster(t, "service-account", "update", "ci", "--name", name).want(t, 0)
	if r := muster(t, "service-account", "update", "ci").want(t, 2); !strings.Contains(r.stderr, "nothing to change") {
		t.Errorf("an update of nothing says %q", r.stderr)
	}
	want := []proto.Message{
		&gitpodv1.CreateServiceAccountRequest{Name: "ci", Description: "builds", ValidUntil: timestamppb.New(noon.Add(30 * 24 * time.Hour))},
		&gitpodv1.CreateServiceAccountRequest{Name: "other", ValidUntil: timestamppb.New(noon.Add(365 * 24 * time.Hour))},
		&gitpodv1.UpdateServiceAccountRequest{ServiceAccountId: runnerID(100), Name: &name},
	}
	if diff := cmp.Diff(want, p.requests, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	muster(t, "service-account", "delete", "other", "--yes").want(t, 0)
	muster(t, "service-account", "delete", "other", "--yes").want(t, 1)
	wantList := `NAME   ID                                    STATE    AGE  EXPIRES  DESCRIPTION
ci     ` + runnerID(100) + `  ACTIVE   1h   in 30d   builds
other  ` + runnerID(101) + `  DELETED  1h   in 365d  -
`
	if diff := cmp.Diff(wantList, muster(t, "service-account", "list", "--all").want(t, 0).stdout); diff != "" {
		t.Error(diff)
	}
	if got := muster(t, "service-account", "list", "--search", "nothing").want(t, 0).stdout; !strings.Contains(got, `"nothing"`) {
		t.Errorf("an empty search says %q", got)
	}
}

// One command makes the token of an account, as the account.
func TestServiceAccountTokens(t *testing.T) {
	p := newPlane(t)
	muster(t, "service-account", "create", "ci").want(t, 0)
	if got := muster(t, "service-account", "token", "list").want(t, 0).stdout; !strings.Contains(got, "muster service-account token create") {
		t.Errorf("the empty list says %q", got)
	}
	if got := muster(t, "service-account", "access-token", "ci").want(t, 0).stdout; got != accountToken+"\n" {
		t.Errorf("access-token printed %q", got)
	}
	p.requests = nil
	if got := muster(t, "service-account", "token", "create", "ci", "deploys", "--valid-for", "1d").want(t, 0).stdout; got != "muster_sa_1\n" {
		t.Errorf("create printed %q", got)
	}
	want := &gitpodv1.CreateServiceAccountTokenRequest{Description: "deploys", ValidFor: durationpb.New(24 * time.Hour)}
	if diff := cmp.Diff([]proto.Message{want}, p.requests, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	wantList := `DESCRIPTION  ID                                    SERVICE ACCOUNT  AGE  EXPIRES  LAST USED
deploys      ` + runnerID(200) + `  ci               1m   in 24h   never
`
	if diff := cmp.Diff(wantList, muster(t, "service-account", "token", "list").want(t, 0).stdout); diff != "" {
		t.Error(diff)
	}
	muster(t, "service-account", "token", "delete", "deploys", "--yes").want(t, 0)
	muster(t, "service-account", "token", "delete", "deploys", "--yes").want(t, 1)
}
