package muster

import (
	"errors"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
)

// API is the public API as somebody's token sees it.
type API struct {
	URL  string
	HTTP *http.Client

	Runners    gitpodv1connect.RunnerServiceClient
	Identities gitpodv1connect.IdentityServiceClient
	Users      gitpodv1connect.UserServiceClient
	Events     gitpodv1connect.EventServiceClient
	Members    adminv1connect.MemberServiceClient
}

// NewAPI makes the clients of a control plane; an empty token calls without one.
func NewAPI(url, token string) *API {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy, transport.MaxIdleConnsPerHost = nil, 4096
	client := &http.Client{Transport: bearer{token, transport}}
	return &API{
		URL: url, HTTP: client,
		Runners:    gitpodv1connect.NewRunnerServiceClient(client, url),
		Identities: gitpodv1connect.NewIdentityServiceClient(client, url),
		Users:      gitpodv1connect.NewUserServiceClient(client, url),
		Events:     gitpodv1connect.NewEventServiceClient(client, url),
		Members:    adminv1connect.NewMemberServiceClient(client, url),
	}
}

// bearer sends every request with a token.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token == "" || r.Header.Get("Authorization") != "" {
		return b.next.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

// NewRunner registers a runner and returns its id and its exchange token.
func (a *API) NewRunner(t testing.TB, name string) (id, exchangeToken string) {
	t.Helper()
	made, err := a.Runners.CreateRunner(t.Context(), connect.NewRequest(&gitpodv1.CreateRunnerRequest{
		Name: name, Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST,
	}))
	if err != nil {
		t.Fatal(err)
	}
	return made.Msg.GetRunner().GetRunnerId(), made.Msg.GetExchangeToken()
}

// Runner reads a runner.
func (a *API) Runner(t testing.TB, id string) (*gitpodv1.Runner, error) {
	got, err := a.Runners.GetRunner(t.Context(), connect.NewRequest(&gitpodv1.GetRunnerRequest{RunnerId: id}))
	if err != nil {
		return nil, err
	}
	return got.Msg.GetRunner(), nil
}

// AllRunners reads all pages of the list.
func (a *API) AllRunners(t testing.TB) []*gitpodv1.Runner {
	t.Helper()
	var all []*gitpodv1.Runner
	page := &gitpodv1.PaginationRequest{PageSize: 100}
	// An end even when the tokens go round in circles.
	for range 100_000 {
		got, err := a.Runners.ListRunners(t.Context(), connect.NewRequest(&gitpodv1.ListRunnersRequest{Pagination: page}))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, got.Msg.GetRunners()...)
		page.Token = got.Msg.GetPagination().GetNextToken()
		if page.GetToken() == "" {
			return all
		}
	}
	t.Fatal("the list of runners has no end")
	return nil
}

// Redeem exchanges an exchange token.
func (a *API) Redeem(t testing.TB, exchangeToken string) (string, error) {
	got, err := a.Identities.ExchangeToken(t.Context(), connect.NewRequest(&gitpodv1.ExchangeTokenRequest{ExchangeToken: exchangeToken}))
	if err != nil {
		return "", err
	}
	return got.Msg.GetAccessToken(), nil
}

// Info is the reason that an error of the API carries; nil when it has none.
func Info(err error) *errdetails.ErrorInfo {
	var e *connect.Error
	if !errors.As(err, &e) {
		return nil
	}
	for _, d := range e.Details() {
		if v, err := d.Value(); err == nil {
			if info, ok := v.(*errdetails.ErrorInfo); ok {
				return info
			}
		}
	}
	return nil
}
