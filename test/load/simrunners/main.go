// Command simrunners plays many runners against one control plane: it holds a
// link for each, many of them on one connection, and renews as a real runner
// does. It reads runner access tokens from standard input, one to a line, up to
// an empty line; says "ready" when all of them hold a lease; and goes on until
// its standard input ends. A link that ends is opened again, and counted.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
	"github.com/musterhq/muster/internal/id"
)

func main() {
	server := flag.String("server", "", "URL of the control plane")
	perConnection := flag.Int("links-per-connection", 100, "how many links share a connection")
	address := flag.String("address", "", "address that all runners have, as a proxy would say it")
	flag.Parse()
	if err := play(*server, *address, *perConnection); err != nil {
		fmt.Fprintln(os.Stderr, "simrunners:", err)
		os.Exit(1)
	}
}

// opening bounds how many links are being opened at once.
const opening = 64

type fleet struct {
	slots    chan struct{}
	welcomed sync.WaitGroup
	renewals atomic.Int64
	lost     atomic.Int64
}

func play(server, address string, perConnection int) error {
	in := bufio.NewReader(os.Stdin)
	f := &fleet{slots: make(chan struct{}, opening)}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var client linkv1connect.LinkServiceClient
	var running sync.WaitGroup
	for n := 0; ; n++ {
		line, err := in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("reading tokens: %w", err)
		}
		token := line[:len(line)-1]
		if token == "" {
			break
		}
		if n%perConnection == 0 {
			client = newClient(server, address)
		}
		f.welcomed.Add(1)
		one := &runner{fleet: f, client: client, token: token, boot: id.New(), number: n}
		running.Go(func() { one.run(ctx) })
	}
	f.welcomed.Wait()
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, in)
	fmt.Printf("renewals %d, links lost %d\n", f.renewals.Load(), f.lost.Load())
	cancel()
	running.Wait()
	return nil
}

// newClient makes a client with one connection of its own.
func newClient(server, address string) linkv1connect.LinkServiceClient {
	t := &http.Transport{Protocols: new(http.Protocols)}
	t.Protocols.SetUnencryptedHTTP2(true)
	return linkv1connect.NewLinkServiceClient(&http.Client{Transport: from{address, t}}, server)
}

// from says in whose name requests are made.
type from struct {
	address string
	http.RoundTripper
}

func (f from) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.address != "" {
		r = r.Clone(r.Context())
		r.Header.Set("X-Forwarded-For", f.address)
	}
	return f.RoundTripper.RoundTrip(r)
}

// runner is one simulated runner.
type runner struct {
	fleet  *fleet
	client linkv1connect.LinkServiceClient
	token  string
	boot   string
	number int
	once   sync.Once
}

func (r *runner) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.link(ctx)
		if ctx.Err() != nil {
			return
		}
		if r.fleet.lost.Add(1) <= 5 {
			fmt.Fprintf(os.Stderr, "runner %d lost its link: %v\n", r.number, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(rand.N(2 * time.Second)): //nolint:gosec // jitter is no secret
		}
	}
}

// link holds one link until it ends.
func (r *runner) link(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.fleet.slots <- struct{}{}
	release := sync.OnceFunc(func() { <-r.fleet.slots })
	defer release()
	s := r.client.Connect(ctx)
	s.RequestHeader().Set("Authorization", "Bearer "+r.token)
	hello := &linkv1.Hello{
		ProtocolVersion: 1, BootId: r.boot, HostName: fmt.Sprintf("sim-%d", r.number), PublicKey: make([]byte, 32),
		Report: &linkv1.Report{Version: "sim", Region: "nowhere", SystemDetails: "a simulated runner"},
	}
	if err := s.Send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: hello}}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	first, err := s.Receive()
	if err != nil {
		return err
	}
	w := first.GetWelcome()
	if w == nil {
		return errors.New("no Welcome came")
	}
	ack := &linkv1.ConfigurationAck{Revision: w.GetConfiguration().GetRevision()}
	if err := s.Send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_ConfigurationAck{ConfigurationAck: ack}}); err != nil {
		return err
	}
	release()
	r.once.Do(r.fleet.welcomed.Done)
	return r.renew(ctx, s, w.GetRenewEvery().AsDuration())
}

// renew renews until the link ends. Runners do not renew in step.
func (r *runner) renew(ctx context.Context, s *connect.BidiStreamForClient[linkv1.RunnerFrame, linkv1.PlaneFrame], every time.Duration) error {
	wait := time.NewTimer(rand.N(every)) //nolint:gosec // jitter is no secret
	defer wait.Stop()
	for seq := uint64(1); ; seq++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wait.C:
		}
		wait.Reset(every)
		if err := s.Send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Renewal{Renewal: &linkv1.Renewal{Sequence: seq}}}); err != nil {
			return err
		}
		f, err := s.Receive()
		if err != nil {
			return err
		}
		if f.GetRenewed().GetSequence() != seq {
			return fmt.Errorf("in place of an answer came %v", f)
		}
		r.fleet.renewals.Add(1)
	}
}
