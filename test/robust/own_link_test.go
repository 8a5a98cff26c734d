package robust_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/seal"
)

// ownLink is a link that the test holds in its own hands.
type ownLink struct {
	stream *connect.BidiStreamForClient[linkv1.RunnerFrame, linkv1.PlaneFrame]
	// welcome is what the link was welcomed with.
	welcome         *linkv1.Welcome
	public, private *[seal.KeySize]byte

	sending sync.Mutex
}

// openLink opens a link with the token of a runner that has no key yet, and keeps
// its lease until the test ends.
func openLink(t *testing.T, url, token string) *ownLink {
	t.Helper()
	public, private, err := seal.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(func() {
		cancel()
		transport.CloseIdleConnections()
	})
	l := &ownLink{public: public, private: private, stream: linkv1connect.NewLinkServiceClient(&http.Client{Transport: transport}, url).Connect(ctx)}
	l.stream.RequestHeader().Set("Authorization", "Bearer "+token)
	hello := &linkv1.Hello{ProtocolVersion: 1, BootId: id.New(), HostName: "own", PublicKey: public[:], Report: &linkv1.Report{}}
	if err := l.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: hello}}); err != nil {
		t.Fatal(err)
	}
	first, err := l.stream.Receive()
	if err != nil || first.GetWelcome() == nil {
		t.Fatalf("the link was not welcomed: %v, %v", first, err)
	}
	l.welcome = first.GetWelcome()
	var renewing sync.WaitGroup
	renewing.Go(func() { l.renew(ctx) })
	t.Cleanup(func() {
		cancel()
		renewing.Wait()
	})
	return l
}

// send sends a frame; it may be called by many at once.
func (l *ownLink) send(f *linkv1.RunnerFrame) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	return l.stream.Send(f)
}

// renew keeps the lease, however long the test takes for the rest.
func (l *ownLink) renew(ctx context.Context) {
	tick := time.NewTicker(l.welcome.GetRenewEvery().AsDuration())
	defer tick.Stop()
	for n := uint64(1); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if l.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Renewal{Renewal: &linkv1.Renewal{Sequence: n}}}) != nil {
			return
		}
	}
}

// open opens a secret of the runner.
func (l *ownLink) open(sealed []byte, part string) ([]byte, error) {
	return seal.Open(sealed, l.public, l.private, seal.Name("runner", l.welcome.GetRunnerId(), part))
}

// rotation waits until the runner is to take a new token, redeems the exchange
// token, says so, and returns it.
func (l *ownLink) rotation(redeem func(exchangeToken string)) string {
	for {
		frame, err := l.stream.Receive()
		if err != nil {
			return ""
		}
		asked := frame.GetRequest().GetRotateToken()
		if asked == nil {
			continue
		}
		raw, err := l.open(asked.GetSealedExchangeToken(), "rotation")
		if err != nil {
			return ""
		}
		exchange := string(raw)
		redeem(exchange)
		reply := &linkv1.Reply{RequestId: frame.GetRequest().GetRequestId(), Reply: &linkv1.Reply_TokenRotated{TokenRotated: &linkv1.TokenRotated{}}}
		if l.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Reply{Reply: reply}}) != nil {
			return ""
		}
		return exchange
	}
}
