package rpc

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/musterhq/muster/internal/fault"
)

// health is grpc.health.v1. Its three small messages are described here,
// because the generated ones come with all of grpc-go.
type health struct {
	handler *Handler
	file    protoreflect.FileDescriptor
	// names are the services that can be asked for.
	names map[string]bool
}

const (
	healthName = "grpc.health.v1.Health"
	// healthPoll is how often a watcher's state is looked at.
	healthPoll = 5 * time.Second
)

// The states of a service, as the health protocol numbers them.
const (
	serving    protoreflect.EnumNumber = 1
	notServing protoreflect.EnumNumber = 2
	unknown    protoreflect.EnumNumber = 3
)

func newHealth(h *Handler) (*health, error) {
	field := func(name string, t descriptorpb.FieldDescriptorProto_Type, typeName string) []*descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{
			Name: &name, JsonName: &name, Number: proto.Int32(1), Type: &t,
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
		if typeName != "" {
			f.TypeName = &typeName
		}
		return []*descriptorpb.FieldDescriptorProto{f}
	}
	value := func(name string, number protoreflect.EnumNumber) *descriptorpb.EnumValueDescriptorProto {
		return &descriptorpb.EnumValueDescriptorProto{Name: &name, Number: proto.Int32(int32(number))}
	}
	method := func(name string, stream bool) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{
			Name: &name, InputType: proto.String(".grpc.health.v1.HealthCheckRequest"),
			OutputType: proto.String(".grpc.health.v1.HealthCheckResponse"), ServerStreaming: &stream,
		}
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("grpc/health/v1/health.proto"), Package: proto.String("grpc.health.v1"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("HealthCheckRequest"), Field: field("service", descriptorpb.FieldDescriptorProto_TYPE_STRING, "")},
			{
				Name:  proto.String("HealthCheckResponse"),
				Field: field("status", descriptorpb.FieldDescriptorProto_TYPE_ENUM, ".grpc.health.v1.HealthCheckResponse.ServingStatus"),
				EnumType: []*descriptorpb.EnumDescriptorProto{{
					Name: proto.String("ServingStatus"),
					Value: []*descriptorpb.EnumValueDescriptorProto{
						value("UNKNOWN", 0), value("SERVING", serving), value("NOT_SERVING", notServing), value("SERVICE_UNKNOWN", unknown),
					},
				}},
			},
		},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: proto.String("Health"), Method: []*descriptorpb.MethodDescriptorProto{method("Check", false), method("Watch", true)},
		}},
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("rpc: describing grpc.health.v1: %w", err)
	}
	names := map[string]bool{"": true, healthName: true}
	for _, s := range h.cfg.Services {
		names[s.Name] = true
	}
	return &health{handler: h, file: file, names: names}, nil
}

func (s *health) service() Service {
	return Service{Name: healthName, New: func(opts ...connect.HandlerOption) (string, http.Handler) {
		methods := s.file.Services().ByName("Health").Methods()
		opts = append(opts, connect.WithRequestInitializer(func(spec connect.Spec, message any) error {
			if m, ok := message.(*dynamicpb.Message); ok {
				*m = *dynamicpb.NewMessage(spec.Schema.(protoreflect.MethodDescriptor).Input())
			}
			return nil
		}))
		check := connect.NewUnaryHandler("/"+healthName+"/Check", s.check,
			connect.WithSchema(methods.ByName("Check")), connect.WithHandlerOptions(opts...))
		watch := connect.NewServerStreamHandler("/"+healthName+"/Watch", s.watch,
			connect.WithSchema(methods.ByName("Watch")), connect.WithHandlerOptions(opts...))
		return "/" + healthName + "/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/"+healthName+"/Watch" {
				watch.ServeHTTP(w, r)
				return
			}
			check.ServeHTTP(w, r)
		})
	}}
}

func (s *health) check(ctx context.Context, req *connect.Request[dynamicpb.Message]) (*connect.Response[dynamicpb.Message], error) {
	status := s.status(ctx, requested(req.Msg))
	if status == unknown {
		return nil, fault.Missing("service", requested(req.Msg))
	}
	return connect.NewResponse(s.reply(status)), nil
}

func (s *health) watch(ctx context.Context, req *connect.Request[dynamicpb.Message], stream *connect.ServerStream[dynamicpb.Message]) error {
	tick := time.NewTicker(healthPoll)
	defer tick.Stop()
	for last := protoreflect.EnumNumber(-1); ; {
		if status := s.status(ctx, requested(req.Msg)); status != last {
			if err := stream.Send(s.reply(status)); err != nil {
				return err
			}
			last = status
		}
		select {
		case <-ctx.Done():
			return fault.Wrap(ctx.Err(), "watching the health")
		case <-tick.C:
		}
	}
}

func (s *health) status(ctx context.Context, name string) protoreflect.EnumNumber {
	switch {
	case !s.names[name]:
		return unknown
	case s.handler.ready(ctx) != nil:
		return notServing
	default:
		return serving
	}
}

func requested(m *dynamicpb.Message) string {
	return m.Get(m.Descriptor().Fields().ByName("service")).String()
}

func (s *health) reply(status protoreflect.EnumNumber) *dynamicpb.Message {
	m := dynamicpb.NewMessage(s.file.Messages().ByName("HealthCheckResponse"))
	m.Set(m.Descriptor().Fields().ByName("status"), protoreflect.ValueOfEnum(status))
	return m
}
