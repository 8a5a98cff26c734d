// Package contracttest holds the compiled gitpod.v1 descriptors to a table of
// what clients rely on.
//
// Clients that cannot be changed speak this API. A renamed field, a moved
// number or a rule more is a break for them, even where everything here still
// compiles. The table in testdata was not written from the descriptors, since
// it would then agree with any mistake in them, and no flag of this test
// rewrites it: whoever changes the API on purpose edits the line by hand.
//
// The package knows descriptors only, nothing of the server.
package contracttest

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

const packageName = "gitpod.v1"

func TestContract(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile("testdata/contract.txt")
	if err != nil {
		t.Fatal(err)
	}
	want, err := parse(bytes.NewReader(table))
	if err != nil {
		t.Fatalf("testdata/contract.txt: %v", err)
	}

	got := entries{}
	// Every file of the package, so that a new file is held to the table too.
	protoregistry.GlobalFiles.RangeFilesByPackage(packageName, func(fd protoreflect.FileDescriptor) bool {
		described, err := describe(fd)
		if err == nil {
			err = got.addAll(described)
		}
		if err != nil {
			t.Errorf("%s: %v", fd.Path(), err)
		}
		return true
	})

	for _, difference := range compare(want, got) {
		t.Error(difference)
	}
}

// A test that cannot fail proves nothing: each case changes one thing in a
// compiled file and names a difference that must be reported.
func TestChangesAreNoticed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		in     protoreflect.FileDescriptor
		change func(*descriptorpb.FileDescriptorProto)
		want   string
	}{
		{
			name:   "field removed",
			in:     gitpodv1.File_gitpod_v1_gateway_proto,
			change: func(f *descriptorpb.FileDescriptorProto) { m := message(f, "Gateway"); m.Field = m.Field[:2] },
			want:   `field Gateway.region: missing; the table promises "3 string"`,
		},
		{
			name: "field added",
			in:   gitpodv1.File_gitpod_v1_gateway_proto,
			change: func(f *descriptorpb.FileDescriptorProto) {
				m := message(f, "Gateway")
				added := proto.CloneOf(field(f, "Gateway", "region"))
				added.Name, added.JsonName, added.Number = proto.String("zone"), proto.String("zone"), proto.Int32(4)
				m.Field = append(m.Field, added)
			},
			want: `field Gateway.zone: is "4 string"; the table does not know it`,
		},
		{
			name:   "field renumbered",
			in:     gitpodv1.File_gitpod_v1_gateway_proto,
			change: func(f *descriptorpb.FileDescriptorProto) { field(f, "Gateway", "region").Number = proto.Int32(4) },
			want:   `field Gateway.region: is "4 string"; the table promises "3 string"`,
		},
		{
			name: "field of another type",
			in:   gitpodv1.File_gitpod_v1_gateway_proto,
			change: func(f *descriptorpb.FileDescriptorProto) {
				field(f, "Gateway", "region").Type = descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum()
			},
			want: `field Gateway.region: is "3 bytes"; the table promises "3 string"`,
		},
		{
			name: "field repeated",
			in:   gitpodv1.File_gitpod_v1_gateway_proto,
			change: func(f *descriptorpb.FileDescriptorProto) {
				field(f, "Gateway", "region").Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
			},
			want: `field Gateway.region: is "3 string[]"; the table promises "3 string"`,
		},
		{
			name: "field with presence",
			in:   gitpodv1.File_gitpod_v1_gateway_proto,
			change: func(f *descriptorpb.FileDescriptorProto) {
				m := message(f, "Gateway")
				m.OneofDecl = append(m.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: proto.String("_region")})
				r := field(f, "Gateway", "region")
				r.Proto3Optional, r.OneofIndex = proto.Bool(true), proto.Int32(0)
			},
			want: `field Gateway.region: is "3 string?"; the table promises "3 string"`,
		},
		{
			name: "field in another oneof",
			in:   gitpodv1.File_gitpod_v1_actionable_error_proto,
			change: func(f *descriptorpb.FileDescriptorProto) {
				m := message(f, "ErrorAction")
				m.OneofDecl = append(m.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: proto.String("other")})
				field(f, "ErrorAction", "external_url").OneofIndex = proto.Int32(1)
			},
			want: `field ErrorAction.external_url: is "4 string oneof=other"; the table promises "4 string oneof=target"`,
		},
		{
			name: "field under another JSON name",
			in:   gitpodv1.File_gitpod_v1_gateway_proto,
			change: func(f *descriptorpb.FileDescriptorProto) {
				field(f, "Gateway", "region").JsonName = proto.String("zone")
			},
			want: `field Gateway.region: is "3 string json=zone"; the table promises "3 string"`,
		},
		{
			name: "field deprecated",
			in:   gitpodv1.File_gitpod_v1_gateway_proto,
			change: func(f *descriptorpb.FileDescriptorProto) {
				field(f, "Gateway", "region").Options = &descriptorpb.FieldOptions{Deprecated: proto.Bool(true)}
			},
			want: `field Gateway.region: is "3 string deprecated"; the table promises "3 string"`,
		},
		{
			name:   "rules dropped",
			in:     gitpodv1.File_gitpod_v1_pagination_proto,
			change: func(f *descriptorpb.FileDescriptorProto) { field(f, "PaginationRequest", "page_size").Options = nil },
			want: `field PaginationRequest.page_size: is "1 int32"; ` +
				`the table promises "1 int32 int32.gte=0 int32.lte=100"`,
		},
		{
			name: "rules widened",
			in:   gitpodv1.File_gitpod_v1_pagination_proto,
			change: func(f *descriptorpb.FileDescriptorProto) {
				field(f, "PaginationRequest", "page_size").Options = field(f, "BigPaginationRequest", "page_size").Options
			},
			want: `field PaginationRequest.page_size: is "1 int32 int32.gte=0 int32.lte=10000"; ` +
				`the table promises "1 int32 int32.gte=0 int32.lte=100"`,
		},
		{
			name:   "reserved number released",
			in:     gitpodv1.File_gitpod_v1_event_proto,
			change: func(f *descriptorpb.FileDescriptorProto) { message(f, "AuditLogEntryDetails").ReservedRange = nil },
			want:   `message AuditLogEntryDetails: is ""; the table promises "reserved=1"`,
		},
		{
			name: "nested message added",
			in:   gitpodv1.File_gitpod_v1_gateway_proto,
			change: func(f *descriptorpb.FileDescriptorProto) {
				m := message(f, "Gateway")
				m.NestedType = append(m.NestedType, &descriptorpb.DescriptorProto{Name: proto.String("Zone")})
			},
			want: `message Gateway.Zone: is ""; the table does not know it`,
		},
		{
			name:   "procedure removed",
			in:     gitpodv1.File_gitpod_v1_environment_proto,
			change: func(f *descriptorpb.FileDescriptorProto) { f.Service[0].Method = nil },
			want: `rpc EnvironmentService.ListEnvironmentClasses: missing; ` +
				`the table promises "ListEnvironmentClassesRequest -> ListEnvironmentClassesResponse"`,
		},
		{
			name: "stream made unary",
			in:   gitpodv1.File_gitpod_v1_event_proto,
			change: func(f *descriptorpb.FileDescriptorProto) {
				for _, method := range f.Service[0].Method {
					method.ServerStreaming = nil
				}
			},
			want: `rpc EventService.WatchEvents: is "WatchEventsRequest -> WatchEventsResponse"; ` +
				`the table promises "WatchEventsRequest -> stream WatchEventsResponse"`,
		},
		{
			name:   "service renamed",
			in:     gitpodv1.File_gitpod_v1_environment_proto,
			change: func(f *descriptorpb.FileDescriptorProto) { f.Service[0].Name = proto.String("ClassService") },
			want:   `service EnvironmentService: missing; the table promises ""`,
		},
		{
			name: "enum value renumbered",
			in:   gitpodv1.File_gitpod_v1_pagination_proto,
			change: func(f *descriptorpb.FileDescriptorProto) {
				f.EnumType[0].Value[2].Number = proto.Int32(3)
			},
			want: `value SortOrder.SORT_ORDER_DESC: is "3"; the table promises "2"`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want, err := describe(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			changed := proto.CloneOf(protodesc.ToFileDescriptorProto(tt.in))
			tt.change(changed)
			fd, err := protodesc.NewFile(changed, protoregistry.GlobalFiles)
			if err != nil {
				t.Fatal(err)
			}
			got, err := describe(fd)
			if err != nil {
				t.Fatal(err)
			}
			if differences := compare(want, got); !slices.Contains(differences, tt.want) {
				t.Errorf("want %s\ngot  %s", tt.want, strings.Join(differences, "\n     "))
			}
		})
	}
}

func TestParseRefusesBadTables(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]string{
		"line without a heading": "  name 1 string\n",
		"unknown heading":        "struct Runner\n",
		"heading without a name": "message\n",
		"line twice":             "message Runner\n  name 1 string\n  name 2 string\n",
		"heading twice":          "enum Kind\nenum Kind\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if table, err := parse(strings.NewReader(table)); err == nil {
				t.Errorf("accepted as %v", table)
			}
		})
	}
}

func message(file *descriptorpb.FileDescriptorProto, name string) *descriptorpb.DescriptorProto {
	i := slices.IndexFunc(file.MessageType, func(m *descriptorpb.DescriptorProto) bool { return m.GetName() == name })
	return file.MessageType[i]
}

func field(file *descriptorpb.FileDescriptorProto, of, name string) *descriptorpb.FieldDescriptorProto {
	fields := message(file, of).Field
	i := slices.IndexFunc(fields, func(f *descriptorpb.FieldDescriptorProto) bool { return f.GetName() == name })
	return fields[i]
}
