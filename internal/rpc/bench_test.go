package rpc_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
)

// BenchmarkGetRunner compares a call through the whole transport with the same
// service behind a bare connect handler.
func BenchmarkGetRunner(b *testing.B) {
	_, handler := gitpodv1connect.NewRunnerServiceHandler(&fakeRunners{}, connect.WithCompressMinBytes(4<<10))
	bare := func(b *testing.B) string { return startBare(b, handler) }
	full := func(b *testing.B) string { return newWorld(b).start(b) }

	req := &gitpodv1.GetRunnerRequest{RunnerId: runnerID}
	asJSON, _ := protojson.Marshal(req)
	asProto, _ := proto.Marshal(req)
	for _, protocol := range []struct {
		name   string
		client func(testing.TB) *http.Client
	}{{"http1", h1}, {"http2", h2c}} {
		for _, form := range []struct {
			name string
			body []byte
		}{{"json", asJSON}, {"proto", asProto}} {
			for _, server := range []struct {
				name  string
				start func(*testing.B) string
			}{{"bare", bare}, {"full", full}} {
				b.Run(protocol.name+"/"+form.name+"/"+server.name, func(b *testing.B) {
					url := server.start(b) + "/gitpod.v1.RunnerService/GetRunner"
					client := protocol.client(b)
					b.ReportAllocs()
					for b.Loop() {
						r, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(form.body))
						r.Header.Set("Content-Type", "application/"+form.name)
						r.Header.Set("Authorization", "Bearer "+adminToken)
						res, err := client.Do(r)
						if err != nil {
							b.Fatal(err)
						}
						n, _ := io.Copy(io.Discard, res.Body)
						_ = res.Body.Close()
						if res.StatusCode != http.StatusOK || n == 0 {
							b.Fatalf("status %d, %d bytes", res.StatusCode, n)
						}
					}
				})
			}
		}
	}
}

// BenchmarkLink compares frames there and back on a link.
func BenchmarkLink(b *testing.B) {
	_, bare := linkv1connect.NewLinkServiceHandler(fakeLink{}, connect.WithCompressMinBytes(4<<10))
	for _, server := range []struct {
		name  string
		start func(*testing.B) string
	}{
		{"bare", func(b *testing.B) string { return startBare(b, bare) }},
		{"full", func(b *testing.B) string { return newWorld(b).start(b) }},
	} {
		b.Run(server.name, func(b *testing.B) {
			stream := linkv1connect.NewLinkServiceClient(h2c(b), server.start(b)).Connect(context.Background())
			stream.RequestHeader().Set("Authorization", "Bearer token-of-a-runner")
			frame := &linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: &linkv1.Hello{BootId: runnerID, HostName: "host"}}}
			b.ReportAllocs()
			for b.Loop() {
				if err := stream.Send(frame); err != nil {
					b.Fatal(err)
				}
				if _, err := stream.Receive(); err != nil {
					b.Fatal(err)
				}
			}
			_ = stream.CloseRequest()
			_ = stream.CloseResponse()
		})
	}
}

// BenchmarkWatchEvents compares events on one stream.
func BenchmarkWatchEvents(b *testing.B) {
	for _, server := range []string{"bare", "full"} {
		b.Run(server, func(b *testing.B) {
			w := newWorld(b)
			w.events.watch = func(_ context.Context, _ *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
				e := &gitpodv1.WatchEventsResponse{ResourceId: runnerID, Operation: 1, ResourceType: 2}
				for {
					if err := send(e); err != nil {
						return err
					}
				}
			}
			_, bare := gitpodv1connect.NewEventServiceHandler(w.events, connect.WithCompressMinBytes(4<<10))
			url := startBare(b, bare)
			if server == "full" {
				url = w.start(b)
			}
			s, err := gitpodv1connect.NewEventServiceClient(h2c(b), url).WatchEvents(context.Background(), bearer(&gitpodv1.WatchEventsRequest{}))
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if !s.Receive() {
					b.Fatal(s.Err())
				}
			}
			_ = s.Close()
		})
	}
}

// startBare serves a handler of connect with nothing around it.
func startBare(b *testing.B, h http.Handler) string {
	b.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: h, Protocols: new(http.Protocols)} //nolint:gosec // a benchmark
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = s.Serve(l) }()
	b.Cleanup(func() { _ = s.Close() })
	return "http://" + l.Addr().String()
}
