package robust_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/test/muster"
)

// Links break at every moment, while frames are on their way to them, while
// others take the identity over, and while their runner changes or is deleted.
// Nothing of that may reach a link that is well.
func TestAStormOfLinks(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	innocent := connected(t, s, "innocent")
	admin := s.Admin()

	// The storm lasts until there were so many links, however long the machine
	// takes for them; then its runners are deleted while it goes on.
	const links = 150
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var opened atomic.Int64
	var wg, deletes sync.WaitGroup
	enough := make(chan struct{})
	for range 12 {
		runner, token := admin.NewRunner(t, "in the storm")
		token, err := admin.Redeem(t, token)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			wg.Go(func() {
				for ctx.Err() == nil {
					if openAndBreak(ctx, s.URL, token) && opened.Add(1) == links {
						close(enough)
					}
				}
			})
		}
		wg.Go(func() {
			for on := false; ctx.Err() == nil; on = !on {
				// It is the calls that matter, not what they say.
				_, _ = admin.Runners.UpdateRunner(ctx, connect.NewRequest(&gitpodv1.UpdateRunnerRequest{
					RunnerId: runner, Spec: &gitpodv1.UpdateRunnerRequest_Spec{Configuration: &gitpodv1.UpdateRunnerRequest_RunnerConfiguration{AutoUpdate: &on}},
				}))
			}
		})
		deletes.Go(func() {
			select {
			case <-enough:
				_, _ = admin.Runners.DeleteRunner(ctx, connect.NewRequest(&gitpodv1.DeleteRunnerRequest{RunnerId: runner, Force: true}))
			case <-ctx.Done():
			}
		})
	}
	muster.Until(t, muster.Patience, func() error {
		if n := opened.Load(); n < links {
			return fmt.Errorf("%d links were opened and broken: that was no storm", n)
		}
		return nil
	})
	deletes.Wait()
	cancel()
	wg.Wait()
	if err := innocent.is(active); err != nil {
		t.Error(err)
	}
	unharmed(t, s)
}

// openAndBreak opens a link as a host of its own and breaks it soon after, in
// one way or another. It tells whether the link was welcomed.
func openAndBreak(ctx context.Context, url, token string) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var conn net.Conn
	transport := &http.Transport{Protocols: new(http.Protocols), DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		var err error
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return conn, err
	}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	stream := linkv1connect.NewLinkServiceClient(&http.Client{Transport: transport}, url).Connect(ctx)
	stream.RequestHeader().Set("Authorization", "Bearer "+token)
	hello := &linkv1.Hello{ProtocolVersion: 1, BootId: id.New(), HostName: "storm", PublicKey: make([]byte, 32), Report: &linkv1.Report{}}
	if stream.Send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: hello}}) != nil {
		return false
	}
	first, err := stream.Receive()
	if err != nil || first.GetWelcome() == nil {
		return false
	}
	for range rand.IntN(3) {
		if _, err := stream.Receive(); err != nil {
			break
		}
	}
	switch rand.IntN(3) {
	case 0:
		_ = conn.Close()
	case 1:
		_ = stream.CloseRequest()
		_, _ = stream.Receive()
	default:
		cancel()
	}
	return true
}
