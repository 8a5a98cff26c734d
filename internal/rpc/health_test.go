package rpc_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/musterhq/muster/internal/rpc"
)

// A health request is field 1, a string, and so is a StringValue; the status is
// an enum in field 1, which a client that knows no fields keeps as unknown.
func health(name string) *wrapperspb.StringValue { return wrapperspb.String(name) }

func status(m *emptypb.Empty) protowire.Number {
	b := m.ProtoReflect().GetUnknown()
	_, _, n := protowire.ConsumeTag(b)
	if n < 0 {
		return -1
	}
	v, _ := protowire.ConsumeVarint(b[n:])
	return protowire.Number(v) //nolint:gosec // 0 to 3
}

// readiness is a control plane's, which tests turn off and on.
type readiness struct{ down atomic.Bool }

func (r *readiness) config(c *rpc.Config) {
	c.Ready = func(context.Context) error {
		if r.down.Load() {
			return errors.New("pq: password wrong")
		}
		return nil
	}
}

func TestGRPCHealth(t *testing.T) {
	ready := new(readiness)
	w := newWorld(t, ready.config)
	url := w.start(t)
	for name, opts := range protocols() {
		if strings.HasSuffix(name, "json") {
			continue
		}
		check := connect.NewClient[wrapperspb.StringValue, emptypb.Empty](h2c(t), url+"/grpc.health.v1.Health/Check", opts...)
		for _, service := range []string{"", "gitpod.v1.RunnerService", "grpc.health.v1.Health"} {
			for down, want := range map[bool]protowire.Number{false: 1, true: 2} {
				ready.down.Store(down)
				res, err := check.CallUnary(context.Background(), connect.NewRequest(health(service)))
				if err != nil || status(res.Msg) != want {
					t.Errorf("%s: Check(%q): %v, %v; want %d", name, service, res, err, want)
				}
			}
		}
		if _, err := check.CallUnary(context.Background(), connect.NewRequest(health("no.such.Service"))); connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	ready.down.Store(true)
	if a := post(url+"/grpc.health.v1.Health/Check", `{"service":"gitpod.v1.RunnerService"}`).do(t, h1(t)); string(a.body) != `{"status":"NOT_SERVING"}` {
		t.Errorf("in JSON: %s", a.body)
	}
}

// Watch tells the state at once and then its changes.
func TestGRPCHealthWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := new(readiness)
		w := newWorld(t, ready.config)
		req := post("/grpc.health.v1.Health/Watch", "\x00\x00\x00\x00\x00").with("Content-Type", "application/connect+json").with("Authorization", "")
		var a answer
		done := make(chan struct{})
		go func() { a = recorded(w, req); close(done) }()
		synctest.Wait()
		ready.down.Store(true)
		time.Sleep(time.Minute + time.Second)
		ready.down.Store(false)
		time.Sleep(time.Minute + time.Second)
		w.Drain()
		<-done
		body := string(a.body)
		first, second := strings.Index(body, `"SERVING"`), strings.Index(body, `"NOT_SERVING"`)
		third := strings.LastIndex(body, `"SERVING"`)
		if first < 0 || second < first || third < second || strings.Count(body, "SERVING") != 3 {
			t.Errorf("states %q", body)
		}
	})
}

func TestReflection(t *testing.T) {
	w := newWorld(t)
	client := grpcreflect.NewClient(h2c(t), w.start(t), connect.WithGRPC())
	stream := client.NewStream(context.Background())
	defer stream.Close()
	services, err := stream.ListServices()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []protoreflect.FullName{"gitpod.v1.RunnerService", "muster.link.v1.LinkService", "grpc.health.v1.Health"} {
		if !slices.Contains(services, want) {
			t.Errorf("%v lacks %s", services, want)
		}
		files, err := stream.FileContainingSymbol(want)
		if err != nil || !slices.ContainsFunc(files, func(f *descriptorpb.FileDescriptorProto) bool {
			return protoreflect.FullName(f.GetPackage()) == want.Parent()
		}) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if files, err := stream.FileContainingSymbol("grpc.health.v1.HealthCheckRequest"); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
	if files, err := stream.FileByFilename("grpc/health/v1/health.proto"); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
	// Older tools ask an older version, which the client above falls back to
	// only when the newer is missing.
	for _, version := range []string{"v1", "v1alpha"} {
		if !slices.Contains(w.Procedures(), "grpc.reflection."+version+".ServerReflection/ServerReflectionInfo") {
			t.Errorf("no reflection %s", version)
		}
	}
}
