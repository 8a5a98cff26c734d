package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
	"github.com/musterhq/muster/internal/cli"
)

const (
	adminToken = "muster_pat_admin"
	logsToken  = "logs-token"
	meID       = "01980000-0000-7000-8000-000000000001"
	orgID      = "01980000-0000-7000-8000-0000000000ff"
)

// noon is the time of all tests.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// plane is a control plane in memory, as far as the command line can see.
type plane struct {
	gitpodv1connect.UnimplementedRunnerServiceHandler
	gitpodv1connect.UnimplementedUserServiceHandler
	gitpodv1connect.UnimplementedOrganizationServiceHandler

	URL string

	mu       sync.Mutex
	runners  []*gitpodv1.Runner
	requests []proto.Message // the changes that were asked for, in order
	tokens   []*gitpodv1.PersonalAccessToken
	members  []*gitpodv1.OrganizationMember
	keys     *adminv1.GetRunnerKeysResponse
	checked  *adminv1.CheckRunnerSecretsResponse
	held     []*adminv1.RunnerToken // by runners
	watchers map[chan *gitpodv1.WatchEventsResponse]struct{}
	// away is how many event streams are refused; stands has a value for each that
	// stands, if somebody waits for it.
	away   int
	stands chan struct{}
	// told is what streams that are cut are told to wait.
	told  time.Duration
	audit auditFake
	// logs answers the log URL of every runner.
	logs func(http.ResponseWriter, *http.Request)
}

// newPlane starts a plane and chooses it in the environment.
func newPlane(t *testing.T) *plane {
	t.Helper()
	p := &plane{watchers: map[chan *gitpodv1.WatchEventsResponse]struct{}{}, keys: &adminv1.GetRunnerKeysResponse{}}
	mux := http.NewServeMux()
	authorized := connect.WithInterceptors(authorize{})
	mux.Handle(gitpodv1connect.NewRunnerServiceHandler(p, authorized))
	mux.Handle(gitpodv1connect.NewUserServiceHandler(p, authorized))
	mux.Handle(gitpodv1connect.NewOrganizationServiceHandler(p, authorized))
	mux.Handle(gitpodv1connect.NewEventServiceHandler(&events{plane: p}, authorized))
	mux.Handle(gitpodv1connect.NewIdentityServiceHandler(&identities{}, authorized))
	mux.Handle(gitpodv1connect.NewServiceAccountServiceHandler(&accounts{plane: p}, authorized))
	mux.Handle(adminv1connect.NewMemberServiceHandler(&membership{plane: p}, authorized))
	mux.Handle(adminv1connect.NewAuditServiceHandler(&p.audit, authorized))
	mux.Handle(adminv1connect.NewRunnerKeyServiceHandler(&keyring{plane: p}, authorized))
	mux.Handle(adminv1connect.NewRunnerTokenServiceHandler(&tokenring{plane: p}, authorized))
	mux.HandleFunc("GET /runners/{id}/", func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer "+logsToken {
			t.Errorf("the log URL was asked with %q", got)
		}
		p.logs(w, r)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.URL = server.URL
	isolate(t)
	t.Setenv("MUSTER_SERVER", p.URL)
	t.Setenv("MUSTER_TOKEN", adminToken)
	return p
}

// isolate takes the settings of whoever runs the tests away.
func isolate(t *testing.T) {
	t.Helper()
	for _, name := range []string{"MUSTER_SERVER", "MUSTER_TOKEN", "MUSTER_CA_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
}

// authorize refuses every token but the admin's and a service account's.
type authorize struct{}

func (authorize) check(h http.Header) error {
	if got := h.Get("Authorization"); got == "Bearer "+adminToken || got == "Bearer "+accountToken {
		return nil
	}
	return failure(connect.CodeUnauthenticated, "unknown-token", "The token is not known.")
}

func (a authorize) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if err := a.check(req.Header()); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
}

func (authorize) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (a authorize) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := a.check(conn.RequestHeader()); err != nil {
			return err
		}
		return next(ctx, conn)
	}
}

func failure(code connect.Code, reason, message string) error {
	e := connect.NewError(code, errors.New(message))
	d, err := connect.NewErrorDetail(&errdetails.ErrorInfo{Reason: reason, Domain: "muster", Metadata: map[string]string{"request_id": "req-1"}})
	if err != nil {
		panic(err)
	}
	e.AddDetail(d)
	return e
}

// runnerID is the id of the n-th runner.
func runnerID(n int) string { return fmt.Sprintf("01980000-0000-7000-8000-1%011d", n) }

// add makes a runner in a phase, without an event.
func (p *plane) add(name string, phase gitpodv1.RunnerPhase) *gitpodv1.Runner {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := runnerID(len(p.runners) + 1)
	r := &gitpodv1.Runner{
		RunnerId:  id,
		Name:      name,
		Provider:  gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST,
		Kind:      gitpodv1.RunnerKind_RUNNER_KIND_LOCAL,
		CreatedAt: timestamppb.New(noon.Add(-3 * time.Minute)),
		Spec:      &gitpodv1.RunnerSpec{Configuration: &gitpodv1.RunnerConfiguration{Region: "home"}},
		Status:    &gitpodv1.RunnerStatus{Phase: phase},
	}
	if phase != gitpodv1.RunnerPhase_RUNNER_PHASE_CREATED {
		r.Status.LogUrl = p.URL + "/runners/" + id + "/logs"
		r.Status.SupportBundleUrl = p.URL + "/runners/" + id + "/support-bundle"
	}
	p.runners = append(p.runners, r)
	return proto.CloneOf(r)
}

// set changes the phase of a runner and tells the watchers.
func (p *plane) set(id string, phase gitpodv1.RunnerPhase, message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.runners {
		if r.GetRunnerId() == id {
			r.Status.Phase, r.Status.Message = phase, message
		}
	}
	p.emit(gitpodv1.ResourceOperation_RESOURCE_OPERATION_UPDATE_STATUS, id)
}

// remove deletes a runner and tells the watchers.
func (p *plane) remove(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runners = slices.DeleteFunc(p.runners, func(r *gitpodv1.Runner) bool { return r.GetRunnerId() == id })
	p.emit(gitpodv1.ResourceOperation_RESOURCE_OPERATION_DELETE, id)
}

func (p *plane) emit(op gitpodv1.ResourceOperation, id string) {
	for w := range p.watchers {
		w <- &gitpodv1.WatchEventsResponse{Operation: op, ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, ResourceId: id}
	}
}

// cut ends all event streams, as a restart of the server does, and runs while
// while nobody watches.
func (p *plane) cut(while func()) {
	p.mu.Lock()
	for w := range p.watchers {
		close(w)
	}
	p.watchers = map[chan *gitpodv1.WatchEventsResponse]struct{}{}
	// Streams that come back wait for the lock.
	while()
	p.mu.Unlock()
}

func (p *plane) find(id string) (*gitpodv1.Runner, error) {
	for _, r := range p.runners {
		if r.GetRunnerId() == id {
			return r, nil
		}
	}
	return nil, failure(connect.CodeNotFound, "not-found", fmt.Sprintf("There is no runner %q that you can see.", id))
}

func (p *plane) asked(m proto.Message) {
	p.requests = append(p.requests, proto.Clone(m))
}

func (p *plane) ListRunners(_ context.Context, req *connect.Request[gitpodv1.ListRunnersRequest]) (*connect.Response[gitpodv1.ListRunnersResponse], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*gitpodv1.Runner
	for _, r := range p.runners {
		if f := req.Msg.GetFilter().GetProviders(); len(f) == 0 || slices.Contains(f, r.GetProvider()) {
			all = append(all, proto.CloneOf(r))
		}
	}
	from := 0
	if t := req.Msg.GetPagination().GetToken(); t != "" {
		if _, err := fmt.Sscanf(t, "page-%d", &from); err != nil {
			return nil, failure(connect.CodeInvalidArgument, "invalid-page-token", "The page token is not one.")
		}
	}
	to := min(from+int(req.Msg.GetPagination().GetPageSize()), len(all))
	resp := &gitpodv1.ListRunnersResponse{Runners: all[from:to], Pagination: &gitpodv1.PaginationResponse{}}
	if to < len(all) {
		resp.Pagination.NextToken = fmt.Sprintf("page-%d", to)
	}
	return connect.NewResponse(resp), nil
}

func (p *plane) GetRunner(_ context.Context, req *connect.Request[gitpodv1.GetRunnerRequest]) (*connect.Response[gitpodv1.GetRunnerResponse], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := p.find(req.Msg.GetRunnerId())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.GetRunnerResponse{Runner: proto.CloneOf(r)}), nil
}

func (p *plane) CreateRunner(_ context.Context, req *connect.Request[gitpodv1.CreateRunnerRequest]) (*connect.Response[gitpodv1.CreateRunnerResponse], error) {
	r := p.add(req.Msg.GetName(), gitpodv1.RunnerPhase_RUNNER_PHASE_CREATED)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked(req.Msg)
	return connect.NewResponse(&gitpodv1.CreateRunnerResponse{Runner: r, ExchangeToken: "muster_exchange_1"}), nil
}

func (p *plane) UpdateRunner(_ context.Context, req *connect.Request[gitpodv1.UpdateRunnerRequest]) (*connect.Response[gitpodv1.UpdateRunnerResponse], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked(req.Msg)
	return connect.NewResponse(&gitpodv1.UpdateRunnerResponse{}), nil
}

func (p *plane) DeleteRunner(_ context.Context, req *connect.Request[gitpodv1.DeleteRunnerRequest]) (*connect.Response[gitpodv1.DeleteRunnerResponse], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked(req.Msg)
	r, err := p.find(req.Msg.GetRunnerId())
	if err != nil {
		return nil, err
	}
	if r.GetStatus().GetPhase() == gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE {
		r.Status.Phase = gitpodv1.RunnerPhase_RUNNER_PHASE_DELETING
	} else {
		p.runners = slices.DeleteFunc(p.runners, func(x *gitpodv1.Runner) bool { return x == r })
	}
	return connect.NewResponse(&gitpodv1.DeleteRunnerResponse{}), nil
}

func (p *plane) CreateRunnerToken(_ context.Context, req *connect.Request[gitpodv1.CreateRunnerTokenRequest]) (*connect.Response[gitpodv1.CreateRunnerTokenResponse], error) {
	return connect.NewResponse(&gitpodv1.CreateRunnerTokenResponse{ExchangeToken: "muster_exchange_2"}), nil
}

func (p *plane) CreateRunnerLogsToken(context.Context, *connect.Request[gitpodv1.CreateRunnerLogsTokenRequest]) (*connect.Response[gitpodv1.CreateRunnerLogsTokenResponse], error) {
	return connect.NewResponse(&gitpodv1.CreateRunnerLogsTokenResponse{AccessToken: logsToken}), nil
}

func (p *plane) GetAuthenticatedUser(context.Context, *connect.Request[gitpodv1.GetAuthenticatedUserRequest]) (*connect.Response[gitpodv1.GetAuthenticatedUserResponse], error) {
	return connect.NewResponse(&gitpodv1.GetAuthenticatedUserResponse{User: &gitpodv1.User{Id: meID, Name: "Ada", Email: "ada@example.com"}}), nil
}

func (p *plane) CreatePersonalAccessToken(_ context.Context, req *connect.Request[gitpodv1.CreatePersonalAccessTokenRequest]) (*connect.Response[gitpodv1.CreatePersonalAccessTokenResponse], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked(req.Msg)
	p.tokens = append(p.tokens, &gitpodv1.PersonalAccessToken{
		Id: runnerID(len(p.tokens)), UserId: req.Msg.GetUserId(), Description: req.Msg.GetDescription(), ReadOnly: req.Msg.GetReadOnly(),
		CreatedAt: timestamppb.New(noon), ExpiresAt: timestamppb.New(noon.Add(req.Msg.GetValidFor().AsDuration())),
	})
	return connect.NewResponse(&gitpodv1.CreatePersonalAccessTokenResponse{Token: "muster_pat_new"}), nil
}

func (p *plane) ListPersonalAccessTokens(context.Context, *connect.Request[gitpodv1.ListPersonalAccessTokensRequest]) (*connect.Response[gitpodv1.ListPersonalAccessTokensResponse], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return connect.NewResponse(&gitpodv1.ListPersonalAccessTokensResponse{PersonalAccessTokens: p.tokens}), nil
}

func (p *plane) DeletePersonalAccessToken(_ context.Context, req *connect.Request[gitpodv1.DeletePersonalAccessTokenRequest]) (*connect.Response[gitpodv1.DeletePersonalAccessTokenResponse], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens = slices.DeleteFunc(p.tokens, func(t *gitpodv1.PersonalAccessToken) bool { return t.GetId() == req.Msg.GetPersonalAccessTokenId() })
	return connect.NewResponse(&gitpodv1.DeletePersonalAccessTokenResponse{}), nil
}

func (p *plane) ListMembers(_ context.Context, req *connect.Request[gitpodv1.ListMembersRequest]) (*connect.Response[gitpodv1.ListMembersResponse], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if req.Msg.GetOrganizationId() != orgID {
		return nil, failure(connect.CodePermissionDenied, "not-allowed", "This is not your organization.")
	}
	return connect.NewResponse(&gitpodv1.ListMembersResponse{Members: p.members}), nil
}

func (p *plane) SetRole(_ context.Context, req *connect.Request[gitpodv1.SetRoleRequest]) (*connect.Response[gitpodv1.SetRoleResponse], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		if m.GetUserId() == req.Msg.GetUserId() && req.Msg.GetOrganizationId() == orgID {
			m.Role = req.Msg.GetRole()
			return connect.NewResponse(&gitpodv1.SetRoleResponse{}), nil
		}
	}
	return nil, failure(connect.CodeNotFound, "not-found", "There is no such member.")
}

type events struct {
	gitpodv1connect.UnimplementedEventServiceHandler
	*plane
}

func (e *events) WatchEvents(ctx context.Context, _ *connect.Request[gitpodv1.WatchEventsRequest], stream *connect.ServerStream[gitpodv1.WatchEventsResponse]) error {
	ch := make(chan *gitpodv1.WatchEventsResponse, 100)
	e.mu.Lock()
	if e.away > 0 {
		e.away--
		e.mu.Unlock()
		return failure(connect.CodeUnavailable, "shutting-down", "The control plane is away.")
	}
	e.watchers[ch] = struct{}{}
	e.mu.Unlock()
	if e.stands != nil {
		e.stands <- struct{}{}
	}
	defer func() {
		e.mu.Lock()
		delete(e.watchers, ch)
		e.mu.Unlock()
	}()
	if err := stream.Send(nil); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ev, ok := <-ch:
			if !ok {
				err := failure(connect.CodeUnavailable, "shutting-down", "The control plane is shutting down.")
				var wire *connect.Error
				if e.told > 0 && errors.As(err, &wire) {
					detail, derr := connect.NewErrorDetail(&errdetails.RetryInfo{RetryDelay: durationpb.New(e.told)})
					if derr != nil {
						return derr
					}
					wire.AddDetail(detail)
				}
				return err
			}
			if err := stream.Send(ev); err != nil {
				return err
			}
		}
	}
}

type identities struct {
	gitpodv1connect.UnimplementedIdentityServiceHandler
}

func (*identities) GetAuthenticatedIdentity(context.Context, *connect.Request[gitpodv1.GetAuthenticatedIdentityRequest]) (*connect.Response[gitpodv1.GetAuthenticatedIdentityResponse], error) {
	return connect.NewResponse(&gitpodv1.GetAuthenticatedIdentityResponse{
		Subject:        &gitpodv1.Subject{Id: meID, Principal: gitpodv1.Principal_PRINCIPAL_USER},
		OrganizationId: orgID,
	}), nil
}

type membership struct {
	adminv1connect.UnimplementedMemberServiceHandler
	*plane
}

func (m *membership) AddMember(_ context.Context, req *connect.Request[adminv1.AddMemberRequest]) (*connect.Response[adminv1.AddMemberResponse], error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	member := &gitpodv1.OrganizationMember{
		UserId: runnerID(900 + len(m.members)), FullName: req.Msg.GetName(), Email: req.Msg.GetEmail(), Role: req.Msg.GetRole(),
		Status: gitpodv1.UserStatus_USER_STATUS_ACTIVE, MemberSince: timestamppb.New(noon.Add(-time.Hour)),
	}
	m.members = append(m.members, member)
	return connect.NewResponse(&adminv1.AddMemberResponse{Member: member, Token: "muster_pat_grace"}), nil
}

func (m *membership) change(id string, to gitpodv1.UserStatus) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, member := range m.members {
		if member.GetUserId() == id {
			member.Status = to
			return nil
		}
	}
	return failure(connect.CodeNotFound, "not-found", "There is no such member.")
}

func (m *membership) SuspendMember(_ context.Context, req *connect.Request[adminv1.SuspendMemberRequest]) (*connect.Response[adminv1.SuspendMemberResponse], error) {
	return connect.NewResponse(&adminv1.SuspendMemberResponse{}), m.change(req.Msg.GetUserId(), gitpodv1.UserStatus_USER_STATUS_SUSPENDED)
}

func (m *membership) ResumeMember(_ context.Context, req *connect.Request[adminv1.ResumeMemberRequest]) (*connect.Response[adminv1.ResumeMemberResponse], error) {
	return connect.NewResponse(&adminv1.ResumeMemberResponse{}), m.change(req.Msg.GetUserId(), gitpodv1.UserStatus_USER_STATUS_ACTIVE)
}

func (m *membership) RemoveMember(_ context.Context, req *connect.Request[adminv1.RemoveMemberRequest]) (*connect.Response[adminv1.RemoveMemberResponse], error) {
	return connect.NewResponse(&adminv1.RemoveMemberResponse{}), m.change(req.Msg.GetUserId(), gitpodv1.UserStatus_USER_STATUS_LEFT)
}

type keyring struct {
	adminv1connect.UnimplementedRunnerKeyServiceHandler
	*plane
}

func (k *keyring) GetRunnerKeys(context.Context, *connect.Request[adminv1.GetRunnerKeysRequest]) (*connect.Response[adminv1.GetRunnerKeysResponse], error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return connect.NewResponse(proto.CloneOf(k.keys)), nil
}

func (k *keyring) ApproveRunnerKey(_ context.Context, req *connect.Request[adminv1.ApproveRunnerKeyRequest]) (*connect.Response[adminv1.ApproveRunnerKeyResponse], error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys.GetPending().GetFingerprint() != req.Msg.GetFingerprint() {
		return nil, failure(connect.CodeFailedPrecondition, "runner-key-mismatch", "The waiting key has another fingerprint.")
	}
	k.keys.Current, k.keys.Pending = k.keys.GetPending(), nil
	return connect.NewResponse(&adminv1.ApproveRunnerKeyResponse{}), nil
}

// command is one run of the command line.
type command struct {
	stdin string
	dir   string
}

type result struct {
	code           int
	stdout, stderr string
}

// run runs muster with the arguments to its end.
func (c command) run(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := c.env(t, &stdout, &stderr)
	code := cli.Main(t.Context(), &struct{ cli.Commands }{}, env, args)
	return result{code, stdout.String(), stderr.String()}
}

func (c command) env(t *testing.T, stdout, stderr io.Writer) *cli.Env {
	t.Helper()
	dir := c.dir
	if dir == "" {
		dir = t.TempDir()
	}
	return &cli.Env{
		Stdin: strings.NewReader(c.stdin), Stdout: stdout, Stderr: stderr, Dir: dir, Version: "test",
		Now:   func() time.Time { return noon },
		Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
}

// muster runs muster with the arguments and without input.
func muster(t *testing.T, args ...string) result {
	t.Helper()
	return command{}.run(t, args...)
}

// want fails the test unless the command ended with the code.
func (r result) want(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.stdout, r.stderr)
	}
	return r
}

// background is a command that runs until it is interrupted.
type background struct {
	lines     chan string // of the standard output
	notes     chan string // of the standard error
	done      chan int
	interrupt context.CancelFunc
}

// start runs muster with the arguments in the background.
func start(t *testing.T, args ...string) *background {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	b := &background{lines: make(chan string, 1000), notes: make(chan string, 1000), done: make(chan int, 1), interrupt: cancel}
	env := command{}.env(t, lineWriter(b.lines), lineWriter(b.notes))
	go func() { b.done <- cli.Main(ctx, &struct{ cli.Commands }{}, env, args) }()
	return b
}

type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		w <- strings.TrimRight(line, "\n")
	}
	return len(b), nil
}

// next returns what comes next: a line of a stream, an exit code.
func next[T any](t *testing.T, from chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		panic("not reached")
	}
}

// end returns the exit code.
func (b *background) end(t *testing.T) int {
	t.Helper()
	return next(t, b.done)
}
