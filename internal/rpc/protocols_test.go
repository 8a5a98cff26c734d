package rpc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/rpc"
)

func TestUnaryInEveryProtocol(t *testing.T) {
	url := newWorld(t).start(t)
	for name, opts := range protocols() {
		for transport, client := range map[string]*http.Client{"HTTP/1.1": h1(t), "h2c": h2c(t)} {
			if transport == "HTTP/1.1" && (name == "grpc" || name == "grpc json") {
				continue // gRPC is HTTP/2 only
			}
			c := gitpodv1connect.NewRunnerServiceClient(client, url+"/api", opts...)
			res, err := c.GetRunner(context.Background(), bearer(&gitpodv1.GetRunnerRequest{RunnerId: runnerID}))
			if err != nil || res.Msg.GetRunner().GetName() != "Frankfurt runner" {
				t.Errorf("%s over %s: %v", name, transport, err)
				continue
			}
			if res.Header().Get("X-Request-Id") == "" || res.Header().Get("X-Should-Retry") != "" {
				t.Errorf("%s over %s: header %v", name, transport, res.Header())
			}
			_, err = c.GetRunner(context.Background(), bearer(&gitpodv1.GetRunnerRequest{RunnerId: unknownID}))
			if connect.CodeOf(err) != connect.CodeNotFound || !connect.IsWireError(err) {
				t.Errorf("%s over %s: %v", name, transport, err)
			}
			_, err = c.GetRunner(context.Background(), connect.NewRequest(&gitpodv1.GetRunnerRequest{}))
			if connect.CodeOf(err) != connect.CodeUnauthenticated || !connect.IsWireError(err) {
				t.Errorf("%s over %s without a token: %v", name, transport, err)
			}
		}
	}
}

func TestServerStreamInEveryProtocol(t *testing.T) {
	w := newWorld(t)
	w.events.watch = func(_ context.Context, _ *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
		if err := send(nil); err != nil {
			return err
		}
		if err := send(&gitpodv1.WatchEventsResponse{ResourceId: runnerID}); err != nil {
			return err
		}
		return fault.New(fault.ResourceExhausted, fault.WatcherTooSlow, "You read too slowly.")
	}
	url := w.start(t)
	for name, opts := range protocols() {
		stream, err := gitpodv1connect.NewEventServiceClient(h2c(t), url, opts...).WatchEvents(context.Background(), bearer(&gitpodv1.WatchEventsRequest{}))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !stream.Receive() || stream.Msg().GetResourceId() != runnerID {
			t.Errorf("%s: %v, %v", name, stream.Msg(), stream.Err())
		}
		if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeResourceExhausted {
			t.Errorf("%s: %v", name, stream.Err())
		}
		_ = stream.Close()
	}
}

// send(nil) sends the headers, so that a client knows that its subscription
// stands before there is an event.
func TestStreamIsAcceptedBeforeTheFirstEvent(t *testing.T) {
	url := newWorld(t).start(t)
	for name, opts := range protocols() {
		ctx, cancel := context.WithCancel(context.Background())
		stream, err := gitpodv1connect.NewEventServiceClient(h2c(t), url, opts...).WatchEvents(ctx, bearer(&gitpodv1.WatchEventsRequest{}))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		// ResponseHeader blocks until the headers come.
		if stream.ResponseHeader().Get("X-Request-Id") == "" {
			t.Errorf("%s: header %v", name, stream.ResponseHeader())
		}
		cancel()
		_ = stream.Close()
	}
}

func linkAs(t *testing.T, client *http.Client, url, token string, opts ...connect.ClientOption) *connect.BidiStreamForClient[linkv1.RunnerFrame, linkv1.PlaneFrame] {
	t.Helper()
	stream := linkv1connect.NewLinkServiceClient(client, url, opts...).Connect(context.Background())
	stream.RequestHeader().Set("Authorization", "Bearer "+token)
	// A refusal may be faster than the frame.
	if err := stream.Send(&linkv1.RunnerFrame{}); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return stream
}

// Many links share few connections; each must be answered while all are open.
func TestManyLinksOnOneConnection(t *testing.T) {
	url := newWorld(t).start(t)
	client := h2c(t)
	client.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{StrictMaxConcurrentRequests: true}
	const links = 1000
	streams := make([]*connect.BidiStreamForClient[linkv1.RunnerFrame, linkv1.PlaneFrame], links)
	var wg sync.WaitGroup
	for i := range streams {
		wg.Go(func() {
			streams[i] = linkAs(t, client, url, "token-of-a-runner")
			if _, err := streams[i].Receive(); err != nil {
				t.Errorf("link %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for _, s := range streams {
		_ = s.CloseRequest()
		_ = s.CloseResponse()
	}
}

func TestLinkNeedsARunnersToken(t *testing.T) {
	url := newWorld(t).start(t)
	for name, opts := range protocols() {
		if name == "grpc-web" || name == "grpc-web json" {
			continue // has no streams of requests
		}
		s := linkAs(t, h2c(t), url, adminToken, opts...)
		if _, err := s.Receive(); connect.CodeOf(err) != connect.CodePermissionDenied {
			t.Errorf("%s: %v", name, err)
		}
		_ = s.CloseRequest()
		_ = s.CloseResponse()
	}
}

// What ends the caller's token ends its streams, and they are told why.
func TestHoldEndsStreams(t *testing.T) {
	revoke := make(chan struct{})
	held := make(chan access.Caller, 1)
	released := make(chan struct{})
	w := newWorld(t, func(c *rpc.Config) {
		c.Hold = func(ctx context.Context, caller access.Caller) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(ctx)
			held <- caller
			go func() {
				<-revoke
				cancel(fault.New(fault.Unauthenticated, fault.UnknownToken, "The token was revoked."))
			}()
			return ctx, func() { close(released) }
		}
	})
	w.events.watch = func(ctx context.Context, _ *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
		_ = send(nil)
		<-ctx.Done()
		return ctx.Err()
	}
	stream, err := gitpodv1connect.NewEventServiceClient(h2c(t), w.start(t)).WatchEvents(context.Background(), bearer(&gitpodv1.WatchEventsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if c := <-held; c.ID != userID {
		t.Errorf("held for %+v", c)
	}
	close(revoke)
	if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeUnauthenticated {
		t.Errorf("%v", stream.Err())
	}
	<-released
}

func TestDrainEndsStreamsAndOnlyThem(t *testing.T) {
	w := newWorld(t)
	w.events.watch = func(ctx context.Context, _ *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
		_ = send(nil)
		<-ctx.Done()
		return ctx.Err()
	}
	url := w.start(t)
	stream, err := gitpodv1connect.NewEventServiceClient(h2c(t), url).WatchEvents(context.Background(), bearer(&gitpodv1.WatchEventsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	stream.ResponseHeader()
	w.Drain()
	if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeUnavailable {
		t.Errorf("%v", stream.Err())
	}
	if a := post(url+getRunner, `{"runnerId":"`+runnerID+`"}`).do(t, h1(t)); a.status != http.StatusOK {
		t.Errorf("a call while draining: status %d", a.status)
	}
	if a := post(url+watchEvents, `{}`).do(t, h1(t)); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "1" {
		t.Errorf("a new stream while draining: status %d", a.status)
	}
	if a := (request{http.MethodGet, url + "/readyz", nil, nil}).do(t, h1(t)); a.status != http.StatusServiceUnavailable {
		t.Errorf("/readyz while draining: status %d", a.status)
	}
}

// The caller's deadline reaches the service.
func TestConnectTimeout(t *testing.T) {
	w := newWorld(t)
	w.runners.get = func(ctx context.Context, _ *gitpodv1.GetRunnerRequest) (*gitpodv1.GetRunnerResponse, error) {
		<-ctx.Done()
		return nil, fault.Wrap(ctx.Err(), "waiting")
	}
	a := post(w.start(t)+getRunner, `{"runnerId":"`+runnerID+`"}`).with("Connect-Timeout-Ms", "20").do(t, h1(t))
	if e := a.failure(t); a.status != http.StatusGatewayTimeout || e.Code != "deadline_exceeded" || a.header.Get("Retry-After") != "1" {
		t.Errorf("status %d: %s", a.status, a.body)
	}
}
