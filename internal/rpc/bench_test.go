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
)

// BenchmarkGetRunner compares a call through the whole transport with the same
// service behind a bare connect handler.
func BenchmarkGetRunner(b *testing.B) {
	bare := func(b *testing.B) string {
		_, h := gitpodv1connect.NewRunnerServiceHandler(&fakeRunners{}, connect.WithCompressMinBytes(4<<10))
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
