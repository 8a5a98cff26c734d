package robust_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// nonsense is a request that somebody might send.
type nonsense struct {
	what        string
	contentType string
	body        []byte
	// unreadable is set when the body as a whole is no message, so that an error
	// has no field to name.
	unreadable bool
}

const (
	asJSON   = "application/json"
	asBinary = "application/proto"
)

// nonsenseFor makes the requests for a procedure out of a good one.
func nonsenseFor(t *testing.T, method protoreflect.MethodDescriptor, good object) []nonsense {
	t.Helper()
	if good == nil {
		good = object{}
	}
	all := bodies()
	for _, f := range fields(method.Input(), nil) {
		for _, value := range append(valuesFor(f.descriptor), elementsFor(f.descriptor, good, f.path)...) {
			text := string(encode(t, with(good, f.path, value)))
			raw := strings.NewReplacer(invalidUTF8, "a\xff\xfe", loneSurrogate, `\ud800`).Replace(text)
			what := strings.Join(f.path, ".") + " = " + text[:min(len(text), 200)]
			all = append(all, nonsense{what: what, contentType: asJSON, body: []byte(raw), unreadable: raw != text})
		}
	}
	return append(all, spoiled(t, method.Input(), good)...)
}

// bodies are for any procedure.
func bodies() []nonsense {
	deep := strings.Repeat(`{"a":`, 100_000)
	list := strings.Repeat(`[`, 100_000)
	var all []nonsense
	for _, body := range []string{
		``, ` `, `{}`, `null`, `[]`, `42`, `"x"`, `true`, `{`, `{"runnerId":`, `{"runnerId":"`, `{}{}`, `{} trailing`, `{"a":1,"a":2}`, "\x00", "\xff\xfe", "\xef\xbb\xbf{}",
		`{"unknown":{"nested":[1,2,{"x":null}]}}`, `{"__proto__":{"x":1}}`, `{'a':1}`, `{"a":NaN}`, `{"a":1e999999}`,
		deep, deep + `1` + strings.Repeat(`}`, 100_000), list, `{"x":` + list + strings.Repeat(`]`, 100_000) + `}`,
		`{"` + strings.Repeat("k", 1<<20) + `":1}`, `{"x":"` + strings.Repeat("v", 1<<20) + `"}`, strings.Repeat(" ", 1<<20) + "{}",
		`{"pagination":{"token":"AAAA"}}`, `{"pagination":{"pageSize":-1}}`, `{"pagination":{"pageSize":101}}`, `{"pagination":{"pageSize":2147483648}}`,
	} {
		// What is empty or JSON can be read, whatever it says.
		unreadable := !strings.HasPrefix(body, `{"pagination`)
		all = append(all, nonsense{what: "body " + body[:min(len(body), 60)], contentType: asJSON, body: []byte(body), unreadable: unreadable})
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 50 {
		body := make([]byte, 1+random.IntN(200))
		for j := range body {
			body[j] = byte(random.Uint32())
		}
		all = append(all,
			nonsense{what: fmt.Sprintf("noise %d", i), contentType: asBinary, body: body, unreadable: true},
			nonsense{what: fmt.Sprintf("noise %d", i), contentType: asJSON, body: body, unreadable: true},
		)
	}
	return all
}

const (
	invalidUTF8   = "INVALID-UTF-8"
	loneSurrogate = "LONE-SURROGATE"
)

// valuesFor are values that a field may not, or barely, have.
func valuesFor(f protoreflect.FieldDescriptor) []any {
	values := []any{nil, object{}, []any{}, []any{nil}, []any{[]any{}}, "", "x", true, 0, -1, 1.5, json.RawMessage("1e400"), json.RawMessage("92233720368547758080")}
	var one []any
	switch f.Kind() {
	case protoreflect.StringKind:
		one = []any{
			invalidUTF8, loneSurrogate, "a\x00b", "../../etc/passwd", "'; DROP TABLE runners; --", "%s%n{{.}}", "\u202e\ufeff", strings.Repeat("é", 200),
			strings.Repeat("x", 1<<20), "00000000-0000-0000-0000-000000000000", "01990000-0000-7000-8000-00000000000g", strings.ToUpper("01990000-0000-7000-8000-0000000000ab"),
		}
	case protoreflect.BytesKind:
		one = []any{"not base 64!", "AAAA", strings.Repeat("A", 1<<20)}
	case protoreflect.EnumKind:
		one = []any{"NO_SUCH_NAME", 9999, -2147483648, 99999999999}
	case protoreflect.MessageKind:
		one = []any{"yesterday", "-1s", "9999999999999s", "0001-01-01T00:00:00Z", "1e9s"}
	default:
		one = []any{2147483648, -2147483649, "12", " 1", "0x10", 24, 100000}
	}
	values = append(values, one...)
	if f.IsList() {
		for _, v := range one {
			values = append(values, []any{v})
		}
		values = append(values, slices.Repeat(one[:1], 30), slices.Repeat(one[:1], 10_000))
	}
	return values
}

// elementsFor are lists of one message, in which one field is nonsense; the
// others are as in the good request.
func elementsFor(f protoreflect.FieldDescriptor, good object, path []string) []any {
	if !f.IsList() || f.Message() == nil || f.Message().ParentFile().Package() == "google.protobuf" {
		return nil
	}
	var at any = good
	for _, name := range path {
		o, _ := at.(object)
		at = o[name]
	}
	element := object{}
	if list, _ := at.([]any); len(list) > 0 {
		element, _ = list[0].(object)
	}
	many := make([]any, 3000)
	for i := range many {
		one := element
		for _, inner := range fields(f.Message(), nil) {
			if inner.descriptor.Kind() == protoreflect.StringKind && !inner.descriptor.IsList() {
				one = with(one, inner.path, fmt.Sprintf("x%d", i))
			}
		}
		many[i] = one
	}
	all := []any{many, slices.Repeat([]any{element}, 3000)}
	for _, inner := range fields(f.Message(), nil) {
		for _, value := range valuesFor(inner.descriptor) {
			all = append(all, []any{with(element, inner.path, value)})
		}
	}
	return all
}

// field is a field of a request, or of a message in it.
type field struct {
	path       []string
	descriptor protoreflect.FieldDescriptor
}

// fields lists all fields of a message and of those in it.
func fields(m protoreflect.MessageDescriptor, path []string) []field {
	var all []field
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		at := append(slices.Clone(path), f.JSONName())
		all = append(all, field{at, f})
		// Times and the like are written as texts, and no request nests deeper.
		if f.Message() != nil && f.Message().ParentFile().Package() != "google.protobuf" && len(at) < 5 && !f.IsMap() && !f.IsList() {
			all = append(all, fields(f.Message(), at)...)
		}
	}
	return all
}

// with returns a copy of an object in which the value at a path is another.
func with(o object, path []string, value any) object {
	c := object{}
	for k, v := range o {
		c[k] = v
	}
	if len(path) == 1 {
		c[path[0]] = value
		return c
	}
	inner, _ := c[path[0]].(object)
	c[path[0]] = with(inner, path[1:], value)
	return c
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// spoiled spoils the binary form of a good request.
func spoiled(t *testing.T, input protoreflect.MessageDescriptor, good object) []nonsense {
	t.Helper()
	m := dynamicpb.NewMessage(input)
	if err := protojson.Unmarshal(encode(t, good), m); err != nil {
		t.Fatalf("the good request of %s: %v", input.FullName(), err)
	}
	whole, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	all := []nonsense{{what: "a group that does not end", body: []byte{0x0b}}, {what: "a huge length", body: []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}}}
	all = append(all, nonsense{what: "many groups", body: bytes.Repeat([]byte{0x0b}, 100_000)})
	for n := range whole {
		all = append(all, nonsense{what: fmt.Sprintf("cut off after %d bytes", n), body: whole[:n]})
	}
	for i := range input.Fields().Len() {
		f := input.Fields().Get(i)
		for _, wire := range []protowire.Type{protowire.VarintType, protowire.Fixed32Type, protowire.Fixed64Type, protowire.BytesType, protowire.StartGroupType} {
			b := protowire.AppendTag(slices.Clone(whole), f.Number(), wire)
			all = append(all, nonsense{what: fmt.Sprintf("%s with wire type %d", f.Name(), wire), body: append(b, 0xff, 0xff, 0xff, 0xff, 0x01, 0, 0, 0)})
		}
		if f.Kind() == protoreflect.StringKind {
			b := protowire.AppendTag(slices.Clone(whole), f.Number(), protowire.BytesType)
			all = append(all, nonsense{what: string(f.Name()) + " is no UTF-8", body: protowire.AppendString(b, "a\xffb")})
		}
		if f.Kind() == protoreflect.EnumKind {
			b := protowire.AppendTag(slices.Clone(whole), f.Number(), protowire.VarintType)
			all = append(all, nonsense{what: string(f.Name()) + " has a number that is not defined", body: protowire.AppendVarint(b, 9999)})
		}
	}
	for i := range all {
		all[i].contentType = asBinary
		all[i].unreadable = !strings.HasSuffix(all[i].what, "not defined")
	}
	return all
}
