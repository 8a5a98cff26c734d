package codec_test

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	_ "github.com/musterhq/muster/gen/muster/admin/v1"
	_ "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/rpc/codec"
)

// fill sets random fields of m.
func fill(r *rand.Rand, m protoreflect.Message, depth int) {
	switch w := m.Interface().(type) {
	case *timestamppb.Timestamp:
		w.Seconds, w.Nanos = r.Int64N(4e9), r.Int32N(1e9)
		return
	case *structpb.Struct, *structpb.Value, *structpb.ListValue:
		return
	}
	if m.Descriptor().FullName().Parent() == "google.protobuf" {
		return
	}
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		if r.IntN(3) == 0 || depth == 0 {
			continue
		}
		value := func(f protoreflect.FieldDescriptor, fresh func() protoreflect.Value) protoreflect.Value {
			if f.Kind() == protoreflect.MessageKind {
				v := fresh()
				fill(r, v.Message(), depth-1)
				return v
			}
			return scalar(r, f)
		}
		switch {
		case f.IsList():
			list := m.Mutable(f).List()
			for range r.IntN(3) {
				list.Append(value(f, list.NewElement))
			}
		case f.IsMap():
			entries := m.Mutable(f).Map()
			for range r.IntN(3) {
				entries.Set(scalar(r, f.MapKey()).MapKey(), value(f.MapValue(), entries.NewValue))
			}
		default:
			m.Set(f, value(f, func() protoreflect.Value { return m.NewField(f) }))
		}
	}
}

func scalar(r *rand.Rand, f protoreflect.FieldDescriptor) protoreflect.Value {
	texts := []string{"", "plain", "quote \" and \\", "line\nbreak\ttab\x01\x7f", "Zürich, 東京, 🙂", "<a&b>\u2028"}
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(texts[r.IntN(len(texts))])
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(texts[r.IntN(len(texts))] + "\xff"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(r.IntN(2) == 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(r.Int32N(70) - 1))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(r.Uint32())) //nolint:gosec // any number
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(r.Uint32())
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(int64(r.Uint64())) //nolint:gosec // any number
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(r.Uint64())
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(r.Float32())
	default:
		return protoreflect.ValueOfFloat64([]float64{0, 1e300, math.NaN(), math.Inf(1), math.Inf(-1), r.Float64()}[r.IntN(6)])
	}
}

// expected is protojson's form of m with the empty lists that it leaves out.
func expected(t *testing.T, m protoreflect.Message) any {
	raw, err := protojson.Marshal(m.Interface())
	if err != nil {
		t.Fatal(err)
	}
	return withLists(parse(t, raw), m)
}

func withLists(form any, m protoreflect.Message) any {
	if m.Descriptor().FullName().Parent() == "google.protobuf" {
		return form
	}
	object := form.(map[string]any)
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		switch {
		case f.IsList() && m.Get(f).List().Len() == 0:
			object[f.JSONName()] = []any{}
		case f.IsList() && f.Message() != nil:
			for j := range m.Get(f).List().Len() {
				list := object[f.JSONName()].([]any)
				list[j] = withLists(list[j], m.Get(f).List().Get(j).Message())
			}
		case f.IsMap() && f.MapValue().Message() != nil:
			for k, v := range m.Get(f).Map().Range {
				entries := object[f.JSONName()].(map[string]any)
				entries[k.String()] = withLists(entries[k.String()], v.Message())
			}
		case f.Message() != nil && !f.IsMap() && m.Has(f):
			object[f.JSONName()] = withLists(object[f.JSONName()], m.Get(f).Message())
		}
	}
	return object
}

func parse(t *testing.T, raw []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("no JSON: %v: %s", err, raw)
	}
	return v
}

// The encoder is held to protojson on random messages of every type.
func TestJSONIsProtojsonPlusLists(t *testing.T) {
	types := 0
	protoregistry.GlobalTypes.RangeMessages(func(mt protoreflect.MessageType) bool {
		name := string(mt.Descriptor().FullName())
		// buf.validate has the kinds of fields that the API has not, so far.
		if !strings.HasPrefix(name, "gitpod.v1.") && !strings.HasPrefix(name, "muster.") && !strings.HasPrefix(name, "buf.validate.") {
			return true
		}
		types++
		for seed := range uint64(40) {
			m := mt.New()
			fill(rand.New(rand.NewPCG(seed, 1)), m, 4) //nolint:gosec // repeatable on purpose
			raw, err := codec.JSON{}.Marshal(m.Interface())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got, want := parse(t, raw), expected(t, m); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s:\ngot  %s\nwant %v", name, raw, want)
			}
			if bytes.ContainsAny(raw, "\n\r") {
				t.Fatalf("%s: a line break: %q", name, raw)
			}
			back := mt.New()
			if err := (codec.JSON{}).Unmarshal(raw, back.Interface()); err != nil || codec.Failure(back.Interface()) != nil {
				t.Fatalf("%s: %s is not accepted: %v", name, raw, codec.Failure(back.Interface()))
			}
		}
		return true
	})
	if types < 200 {
		t.Errorf("only %d types were tried", types)
	}
}

func TestJSONRefusesWhatIsNoText(t *testing.T) {
	if raw, err := (codec.JSON{}).Marshal(&gitpodv1.Runner{Name: "\xff"}); err == nil {
		t.Errorf("%q", raw)
	}
	for _, c := range []interface {
		Marshal(any) ([]byte, error)
		Unmarshal([]byte, any) error
	}{codec.JSON{}, codec.Binary{}} {
		if _, err := c.Marshal("no message"); err == nil {
			t.Errorf("%T marshals a string", c)
		}
		if err := c.Unmarshal(nil, "no message"); err == nil {
			t.Errorf("%T unmarshals into a string", c)
		}
	}
}

func TestMisfits(t *testing.T) {
	for body, want := range map[string]string{
		`{"filter":{"kinds":["RUNNER_KIND_NEARBY"]}}`: `filter.kinds[0]: "RUNNER_KIND_NEARBY" is not one of `,
		`{"filter":{"kinds":[true]}}`:                 `filter.kinds[0]: must be one of `,
		`{"filter":{"kinds":[1.5]}}`:                  `filter.kinds[0]: must be a whole number`,
		`{"filter":{"kinds":"RUNNER_KIND_LOCAL"}}`:    `filter.kinds: must be a list`,
		`{"filter":{"creatorIds":[null]}}`:            `filter.creator_ids[0]: must be a string`,
		`{"filter":7}`:                                `filter: must be an object`,
		`{"pagination":{"pageSize":"ten"}}`:           `pagination.page_size: must be a whole number`,
		`{"pagination":{"page_size":3000000000}}`:     `pagination.page_size: must be between -2147483648 and 2147483647`,
		`[]`:                        `The request body must be a JSON object, that is {...}.`,
		`{`:                         `The request body is not a gitpod.v1.ListRunnersRequest in JSON: it ends too early.`,
		`{"filter":{},"filter":{}}`: `filter: is given twice`,
		`{"filter":{"kinds":["` + strings.Repeat("é", 999) + `"]}}`:     `filter.kinds[0]: must be one of RUNNER_KIND_LOCAL`,
		`{"newer":1,"filter":{"providers":["RUNNER_PROVIDER_SKYNET"]}}`: `filter.providers[0]: "RUNNER_PROVIDER_SKYNET" is not one of `,
	} {
		m := new(gitpodv1.ListRunnersRequest)
		if err := (codec.JSON{}).Unmarshal([]byte(body), m); err != nil {
			t.Fatal(err)
		}
		f := fault.From(codec.Failure(m))
		if !strings.HasPrefix(f.Message, want) || f.Code != fault.InvalidArgument || f.Reason != fault.InvalidField {
			t.Errorf("%.80s:\ngot  %s\nwant %s", body, f.Message, want)
		}
		if field, _, ok := strings.Cut(want, ": "); ok && !strings.HasPrefix(want, "The") && f.Field != field {
			t.Errorf("%.80s: field %q, want %q", body, f.Field, field)
		}
	}
}

func TestMisfitsOfOtherTypes(t *testing.T) {
	for _, tt := range []struct {
		into proto.Message
		body string
		want string
	}{
		{new(gitpodv1.CreateServiceAccountRequest), `{"validUntil":"tomorrow"}`, `valid_until: must be a time such as "2026-01-31T12:00:00Z"`},
		{new(gitpodv1.CreatePersonalAccessTokenRequest), `{"validFor":"a week"}`, `valid_for: must be a duration in seconds such as "3600s"`},
		{new(gitpodv1.ActionableErrorDetails), `{"metadata":{"a":"b","c":1}}`, `metadata["c"]: must be a string`},
		{new(gitpodv1.ActionableErrorDetails), `{"metadata":["a"]}`, `metadata: must be an object`},
		{new(gitpodv1.ActionableErrorDetails), `{"metadata":{"a":"b"},"newer":1}`, ``},
		{new(validate.DoubleRules), `{"const":"much"}`, `const: must be a number`},
		{new(validate.UInt64Rules), `{"const":-1}`, `const: does not fit into 64 bits`},
		{new(gitpodv1.Runner), `{"createdAt":{}}`, `created_at: must be a time such as "2026-01-31T12:00:00Z"`},
		{new(gitpodv1.Runner), `{"createdAt":null,"newer":1}`, ``},
		{new(gitpodv1.Runner), `{"status":{"publicKey":1}}`, `status.public_key: must be a string in base64`},
		{new(gitpodv1.Runner), `{"spec":{"configuration":{"autoUpdate":"yes"}}}`, `spec.configuration.auto_update: must be true or false`},
		{new(gitpodv1.CreateLLMIntegrationRequest), `{"maxTokens":"many"}`, `max_tokens: must be a whole number`},
		{new(gitpodv1.CreateLLMIntegrationRequest), `{"maxTokens":"12","newer":1}`, ``},
		{new(gitpodv1.CreateServiceAccountRequest), `{"validUntil":"2026-01-31T12:00:00.5+01:00","newer":1}`, ``},
	} {
		_ = codec.JSON{}.Unmarshal([]byte(tt.body), tt.into)
		got := ""
		if err := codec.Failure(tt.into); err != nil {
			got = fault.From(err).Message
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.body, got, tt.want)
		}
	}
}

// The sentence must not repeat a value: it may be a secret of a wrong type.
func TestMisfitsDoNotRepeatValues(t *testing.T) {
	for _, body := range []string{`{"plaintextValue":5550123}`, `{"token":{"s3cret":1}}`, `{"token":"s3cret","token":"s3cret"}`, `{"token":s3cret}`, `{"token":"s3cret`} {
		m := new(gitpodv1.CreateHostAuthenticationTokenRequest)
		_ = codec.JSON{}.Unmarshal([]byte(body), m)
		if err := codec.Failure(m); err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "5550123")) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// A client cannot forge a failure: unknown fields do not survive decoding.
func TestBinary(t *testing.T) {
	m := new(gitpodv1.GetRunnerRequest)
	if err := (codec.Binary{}).Unmarshal([]byte("\x0a\x01x\xfa\x7f\x03abc"), m); err != nil || codec.Failure(m) != nil || m.GetRunnerId() != "x" {
		t.Errorf("%v, %v, %v", err, codec.Failure(m), m)
	}
	if err := (codec.Binary{}).Unmarshal([]byte("\xff"), m); err != nil || !fault.Is(codec.Failure(m), fault.InvalidArgument) || m.GetRunnerId() != "" {
		t.Errorf("%v, %v, %v", err, codec.Failure(m), m)
	}
}

func FuzzJSONDecode(f *testing.F) {
	for _, seed := range []string{
		``, ` `, `{}`, `null`, `[]`, `{"name":"runner 0","provider":"RUNNER_PROVIDER_AWS_EC2"}`, `{"name":null,"spec":null}`,
		`{"provider":"X"}`, `{"provider":1e1}`, `{"spec":{"configuration":{"metrics":{"url":1}}}}`, `{"spec":{"desired_phase":2,"desiredPhase":3}}`,
		`{"a":{"b":[{"c":null}]}}`, "{\"name\":\"\xff\"}", `{"name":"\ud800"}`, `{"kind":"RUNNER_KIND_LOCAL","kind":"X"}`, `{"name":"x"}{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, strict, lenient := new(gitpodv1.CreateRunnerRequest), new(gitpodv1.CreateRunnerRequest), new(gitpodv1.CreateRunnerRequest)
		if err := (codec.JSON{}).Unmarshal(body, got); err != nil {
			t.Fatal(err)
		}
		failure := codec.Failure(got)
		if strictErr := protojson.Unmarshal(body, strict); strictErr == nil && (failure != nil || !proto.Equal(got, strict)) {
			t.Errorf("%q: %v, %v; protojson takes it as %v", body, got, failure, strict)
		}
		lenientErr := protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, lenient)
		switch {
		case failure != nil:
			if !fault.Is(failure, fault.InvalidArgument) || fault.From(failure).Message == "" {
				t.Errorf("%q: %v", body, failure)
			}
		case len(bytes.TrimSpace(body)) == 0:
			if !proto.Equal(got, new(gitpodv1.CreateRunnerRequest)) {
				t.Errorf("%q: %v", body, got)
			}
		case lenientErr != nil || !proto.Equal(got, lenient):
			t.Errorf("%q: accepted as %v; protojson: %v, %v", body, got, lenient, lenientErr)
		}
	})
}

func BenchmarkJSONMarshal(b *testing.B) {
	m := &gitpodv1.ListRunnersResponse{}
	for range 25 {
		m.Runners = append(m.Runners, &gitpodv1.Runner{
			RunnerId: "01989d2e-7c1b-7000-8000-000000000001", Name: "Frankfurt runner", CreatedAt: timestamppb.Now(),
			Spec:   &gitpodv1.RunnerSpec{Configuration: &gitpodv1.RunnerConfiguration{Region: "eu-central-1", AutoUpdate: true}},
			Status: &gitpodv1.RunnerStatus{Phase: gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE, Message: "ready"},
		})
	}
	for name, marshal := range map[string]func([]byte) ([]byte, error){
		"codec":     func(b []byte) ([]byte, error) { return codec.JSON{}.MarshalAppend(b, m) },
		"protojson": func(b []byte) ([]byte, error) { return protojson.MarshalOptions{}.MarshalAppend(b, m) },
		"protojson+EmitDefaultValues": func(b []byte) ([]byte, error) {
			return protojson.MarshalOptions{EmitDefaultValues: true}.MarshalAppend(b, m)
		},
	} {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 0, 64<<10)
			for b.Loop() {
				if _, err := marshal(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
