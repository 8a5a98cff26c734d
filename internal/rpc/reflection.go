package rpc

import (
	"net/http"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// newReflection returns the services that describe the others to tools such as
// grpcurl.
func newReflection(services []Service, health protoreflect.FileDescriptor) []Service {
	names := make([]string, 0, len(services)+1)
	for _, s := range services {
		names = append(names, s.Name)
	}
	names = append(names, healthName)
	reflector := grpcreflect.NewReflector(
		grpcreflect.NamerFunc(func() []string { return names }),
		grpcreflect.WithDescriptorResolver(described{health}),
	)
	return []Service{
		{Name: "grpc.reflection.v1.ServerReflection", New: func(opts ...connect.HandlerOption) (string, http.Handler) {
			return grpcreflect.NewHandlerV1(reflector, opts...)
		}},
		{Name: "grpc.reflection.v1alpha.ServerReflection", New: func(opts ...connect.HandlerOption) (string, http.Handler) {
			return grpcreflect.NewHandlerV1Alpha(reflector, opts...)
		}},
	}
}

// described finds what is compiled in, and the health service, which is not.
type described struct {
	health protoreflect.FileDescriptor
}

func (d described) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if path == d.health.Path() {
		return d.health, nil
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

func (d described) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if name == healthName {
		return d.health.Services().ByName(name.Name()), nil
	}
	if m := d.health.Messages().ByName(name.Name()); m != nil && m.FullName() == name {
		return m, nil
	}
	return protoregistry.GlobalFiles.FindDescriptorByName(name)
}
