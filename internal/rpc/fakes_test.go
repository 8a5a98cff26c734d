package rpc_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/door"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/rpc"
)

const (
	runnerID   = "01989d2e-7c1b-7000-8000-000000000001"
	unknownID  = "01989d2e-7c1b-7000-8000-00000000ffff"
	userID     = "01989d2e-7c1b-7000-8000-00000000a001"
	adminToken = "token-of-an-admin"
)

// authenticate knows a token per kind of caller.
func authenticate(_ context.Context, bearer string) (access.Caller, error) {
	c := access.Caller{Subject: access.Subject{Principal: access.PrincipalUser, ID: userID}, Organization: "org"}
	switch bearer {
	case adminToken:
		c.Standing = access.OfRole(resource.RoleOrgAdmin)
	case "token-of-a-member":
		c.Standing = access.OfRole(resource.RoleOrgMember)
	case "token-of-a-runner":
		c.Subject = access.Subject{Principal: access.PrincipalRunner, ID: runnerID}
	case "token-that-panics":
		panic("authentication is broken")
	default:
		return access.Caller{}, fault.New(fault.Unauthenticated, fault.UnknownToken, "The token is not known here.")
	}
	return c, nil
}

// fakeRunners answers with what the test sets, and else with what a runner
// looks like.
type fakeRunners struct {
	gitpodv1connect.UnimplementedRunnerServiceHandler

	get  func(context.Context, *gitpodv1.GetRunnerRequest) (*gitpodv1.GetRunnerResponse, error)
	list func(context.Context, *gitpodv1.ListRunnersRequest) (*gitpodv1.ListRunnersResponse, error)

	mu      sync.Mutex
	created []*gitpodv1.CreateRunnerRequest
	updated []*gitpodv1.UpdateRunnerRequest
}

func (f *fakeRunners) GetRunner(ctx context.Context, req *connect.Request[gitpodv1.GetRunnerRequest]) (*connect.Response[gitpodv1.GetRunnerResponse], error) {
	if f.get != nil {
		res, err := f.get(ctx, req.Msg)
		if err != nil {
			return nil, err
		}
		return connect.NewResponse(res), nil
	}
	if req.Msg.GetRunnerId() != runnerID {
		return nil, fault.Missing("runner", req.Msg.GetRunnerId())
	}
	return connect.NewResponse(&gitpodv1.GetRunnerResponse{Runner: aRunner()}), nil
}

func (f *fakeRunners) ListRunners(ctx context.Context, req *connect.Request[gitpodv1.ListRunnersRequest]) (*connect.Response[gitpodv1.ListRunnersResponse], error) {
	if f.list == nil {
		return connect.NewResponse(&gitpodv1.ListRunnersResponse{}), nil
	}
	res, err := f.list(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(res), nil
}

func (f *fakeRunners) CreateRunner(_ context.Context, req *connect.Request[gitpodv1.CreateRunnerRequest]) (*connect.Response[gitpodv1.CreateRunnerResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.created = append(f.created, req.Msg)
	return connect.NewResponse(&gitpodv1.CreateRunnerResponse{Runner: aRunner()}), nil
}

func (f *fakeRunners) UpdateRunner(_ context.Context, req *connect.Request[gitpodv1.UpdateRunnerRequest]) (*connect.Response[gitpodv1.UpdateRunnerResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.updated = append(f.updated, req.Msg)
	return connect.NewResponse(&gitpodv1.UpdateRunnerResponse{}), nil
}

func aRunner() *gitpodv1.Runner {
	return &gitpodv1.Runner{
		RunnerId: runnerID, Name: "Frankfurt runner", Kind: gitpodv1.RunnerKind_RUNNER_KIND_REMOTE,
		Provider:  gitpodv1.RunnerProvider_RUNNER_PROVIDER_AWS_EC2,
		CreatedAt: timestamppb.New(time.Unix(1760000000, 0)), UpdatedAt: timestamppb.New(time.Unix(1760000001, 0)),
		Creator: &gitpodv1.Subject{Id: userID, Principal: gitpodv1.Principal_PRINCIPAL_USER},
		Spec: &gitpodv1.RunnerSpec{
			DesiredPhase: gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE,
			Configuration: &gitpodv1.RunnerConfiguration{
				Region: "eu-central-1", AutoUpdate: true, ReleaseChannel: gitpodv1.RunnerReleaseChannel_RUNNER_RELEASE_CHANNEL_STABLE,
				UpdateWindow: &gitpodv1.UpdateWindow{StartHour: new(uint32(2))},
			},
		},
		Status: &gitpodv1.RunnerStatus{
			Phase: gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE, Message: "ready", Region: "eu-central-1", Version: "1.2.3",
			PublicKey: []byte(strings.Repeat("k", 32)), LogUrl: "https://muster.example/runners/" + runnerID + "/logs",
			Capabilities: []gitpodv1.RunnerCapability{1, 2, 3, 4},
		},
	}
}

// fakeEvents serves WatchEvents over Connect by the function that also serves
// it in lines of JSON.
type fakeEvents struct {
	gitpodv1connect.UnimplementedEventServiceHandler

	watch watchFunc
}

type watchFunc = func(context.Context, *gitpodv1.WatchEventsRequest, func(*gitpodv1.WatchEventsResponse) error) error

func (f *fakeEvents) WatchEvents(ctx context.Context, req *connect.Request[gitpodv1.WatchEventsRequest], stream *connect.ServerStream[gitpodv1.WatchEventsResponse]) error {
	return f.watch(ctx, req.Msg, stream.Send)
}

type fakeIdentity struct {
	gitpodv1connect.UnimplementedIdentityServiceHandler
}

func (fakeIdentity) ExchangeToken(context.Context, *connect.Request[gitpodv1.ExchangeTokenRequest]) (*connect.Response[gitpodv1.ExchangeTokenResponse], error) {
	return connect.NewResponse(&gitpodv1.ExchangeTokenResponse{AccessToken: "access"}), nil
}

func (fakeIdentity) GetAuthenticatedIdentity(ctx context.Context, _ *connect.Request[gitpodv1.GetAuthenticatedIdentityRequest]) (*connect.Response[gitpodv1.GetAuthenticatedIdentityResponse], error) {
	c := access.CallerOf(ctx)
	return connect.NewResponse(&gitpodv1.GetAuthenticatedIdentityResponse{
		OrganizationId: string(c.Organization),
		Subject:        &gitpodv1.Subject{Id: c.ID, Principal: gitpodv1.Principal(c.Principal)},
	}), nil
}

type fakeMembers struct {
	adminv1connect.UnimplementedMemberServiceHandler
}

func (fakeMembers) RemoveMember(context.Context, *connect.Request[adminv1.RemoveMemberRequest]) (*connect.Response[adminv1.RemoveMemberResponse], error) {
	return connect.NewResponse(&adminv1.RemoveMemberResponse{}), nil
}

// fakeLink sends one frame back for each that comes.
type fakeLink struct{}

func (fakeLink) Connect(_ context.Context, stream *connect.BidiStream[linkv1.RunnerFrame, linkv1.PlaneFrame]) error {
	for {
		if _, err := stream.Receive(); err != nil {
			return err
		}
		if err := stream.Send(&linkv1.PlaneFrame{}); err != nil {
			return err
		}
	}
}

// world is a control plane without a control plane behind it.
type world struct {
	*rpc.Handler

	runners *fakeRunners
	events  *fakeEvents
	cfg     rpc.Config
}

func newWorld(tb testing.TB, change ...func(*rpc.Config)) *world {
	tb.Helper()
	w := &world{runners: &fakeRunners{}, events: &fakeEvents{}}
	w.events.watch = func(ctx context.Context, _ *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
		if err := send(nil); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}
	service := func(name string, construct func(opts ...connect.HandlerOption) (string, http.Handler)) rpc.Service {
		return rpc.Service{Name: name, New: construct}
	}
	w.cfg = rpc.Config{
		Door:         door.New(door.Config{Limits: door.Limits{CallerStreams: 10_000, CallerOpens: 10_000}}),
		Authenticate: authenticate,
		Watch: func(ctx context.Context, req *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
			return w.events.watch(ctx, req, send)
		},
		Services: []rpc.Service{
			service(gitpodv1connect.RunnerServiceName, func(o ...connect.HandlerOption) (string, http.Handler) {
				return gitpodv1connect.NewRunnerServiceHandler(w.runners, o...)
			}),
			service(gitpodv1connect.EventServiceName, func(o ...connect.HandlerOption) (string, http.Handler) {
				return gitpodv1connect.NewEventServiceHandler(w.events, o...)
			}),
			service(gitpodv1connect.IdentityServiceName, func(o ...connect.HandlerOption) (string, http.Handler) {
				return gitpodv1connect.NewIdentityServiceHandler(fakeIdentity{}, o...)
			}),
			service(gitpodv1connect.RunnerConfigurationServiceName, func(o ...connect.HandlerOption) (string, http.Handler) {
				return gitpodv1connect.NewRunnerConfigurationServiceHandler(gitpodv1connect.UnimplementedRunnerConfigurationServiceHandler{}, o...)
			}),
			service(gitpodv1connect.GroupServiceName, func(o ...connect.HandlerOption) (string, http.Handler) {
				return gitpodv1connect.NewGroupServiceHandler(gitpodv1connect.UnimplementedGroupServiceHandler{}, o...)
			}),
			service(adminv1connect.MemberServiceName, func(o ...connect.HandlerOption) (string, http.Handler) {
				return adminv1connect.NewMemberServiceHandler(fakeMembers{}, o...)
			}),
			service(linkv1connect.LinkServiceName, func(o ...connect.HandlerOption) (string, http.Handler) {
				return linkv1connect.NewLinkServiceHandler(fakeLink{}, o...)
			}),
		},
	}
	for _, c := range change {
		c(&w.cfg)
	}
	h, err := rpc.New(w.cfg)
	if err != nil {
		tb.Fatalf("rpc.New: %v", err)
	}
	w.Handler = h
	return w
}

// start serves w and returns its URL.
func (w *world) start(tb testing.TB) string {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server, err := rpc.NewServer(rpc.ServerConfig{Handler: w.Handler})
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			tb.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			tb.Errorf("serve: %v", err)
		}
	})
	return "http://" + l.Addr().String()
}

// h2c is a client that speaks HTTP/2 without TLS.
func h2c(tb testing.TB) *http.Client {
	t := &http.Transport{Protocols: new(http.Protocols)}
	t.Protocols.SetUnencryptedHTTP2(true)
	tb.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t}
}

// h1 is a client that speaks HTTP/1.1.
func h1(tb testing.TB) *http.Client {
	t := &http.Transport{}
	tb.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t}
}

func bearer[T any](msg *T) *connect.Request[T] {
	req := connect.NewRequest(msg)
	req.Header().Set("Authorization", "Bearer "+adminToken)
	return req
}
