package contracttest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// describe lists everything in a file that a client or a server on the other
// end of the wire can notice.
func describe(file protoreflect.FileDescriptor) (entries, error) {
	into := entries{}
	for i := range file.Services().Len() {
		if err := describeService(into, file.Services().Get(i)); err != nil {
			return nil, err
		}
	}
	if err := describeMessages(into, file.Messages()); err != nil {
		return nil, err
	}
	if err := describeEnums(into, file.Enums()); err != nil {
		return nil, err
	}
	for i := range file.Extensions().Len() {
		if err := into.add("extension "+local(file.Extensions().Get(i)), ""); err != nil {
			return nil, err
		}
	}
	return into, nil
}

func describeService(into entries, service protoreflect.ServiceDescriptor) error {
	options := service.Options().(*descriptorpb.ServiceOptions)
	if err := into.add("service "+local(service), deprecated(options)...); err != nil {
		return err
	}
	for i := range service.Methods().Len() {
		method := service.Methods().Get(i)
		options := method.Options().(*descriptorpb.MethodOptions)
		facts := []string{
			stream(method.IsStreamingClient()) + local(method.Input()),
			"->",
			stream(method.IsStreamingServer()) + local(method.Output()),
		}
		facts = append(facts, deprecated(options)...)
		// A procedure without side effects may be called with GET, which is
		// another form on the wire.
		if level := options.GetIdempotencyLevel(); level != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN {
			facts = append(facts, "idempotency="+level.String())
		}
		if err := into.add("rpc "+local(method), facts...); err != nil {
			return err
		}
	}
	return nil
}

func describeMessages(into entries, messages protoreflect.MessageDescriptors) error {
	for i := range messages.Len() {
		message := messages.Get(i)
		if message.IsMapEntry() {
			continue // The type of the map field says all of it.
		}
		if err := describeMessage(into, message); err != nil {
			return err
		}
	}
	return nil
}

func describeMessage(into entries, message protoreflect.MessageDescriptor) error {
	options := message.Options().(*descriptorpb.MessageOptions)
	facts := deprecated(options)
	for i := range message.ReservedRanges().Len() {
		// The end of a range is exclusive here, in a .proto file it is not.
		r := message.ReservedRanges().Get(i)
		facts = append(facts, reserved(int32(r[0]), int32(r[1]-1)))
	}
	for i := range message.ReservedNames().Len() {
		facts = append(facts, "reserved="+string(message.ReservedNames().Get(i)))
	}
	facts = append(facts, rules("message", options, validate.E_Message)...)
	for i := range message.Oneofs().Len() {
		oneof := message.Oneofs().Get(i)
		facts = append(facts, rules("oneof."+string(oneof.Name()), oneof.Options(), validate.E_Oneof)...)
	}
	if err := into.add("message "+local(message), facts...); err != nil {
		return err
	}
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		if err := into.add("field "+local(field), fieldFacts(field)...); err != nil {
			return err
		}
	}
	for i := range message.Extensions().Len() {
		if err := into.add("extension "+local(message.Extensions().Get(i)), ""); err != nil {
			return err
		}
	}
	if err := describeMessages(into, message.Messages()); err != nil {
		return err
	}
	return describeEnums(into, message.Enums())
}

func fieldFacts(field protoreflect.FieldDescriptor) []string {
	facts := []string{strconv.Itoa(int(field.Number())), fieldType(field)}
	if oneof := field.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() {
		facts = append(facts, "oneof="+string(oneof.Name()))
	}
	// The JSON name is part of the wire as well. It follows from the name of
	// the field unless somebody overrides it.
	if field.JSONName() != jsonName(string(field.Name())) {
		facts = append(facts, "json="+field.JSONName())
	}
	options := field.Options().(*descriptorpb.FieldOptions)
	facts = append(facts, deprecated(options)...)
	return append(facts, rules("", options, validate.E_Field)...)
}

func fieldType(field protoreflect.FieldDescriptor) string {
	switch {
	case field.IsMap():
		return "map<" + fieldType(field.MapKey()) + "," + fieldType(field.MapValue()) + ">"
	case field.IsList():
		return elementType(field) + "[]"
	case field.HasOptionalKeyword():
		return elementType(field) + "?"
	default:
		return elementType(field)
	}
}

func elementType(field protoreflect.FieldDescriptor) string {
	switch {
	case field.Message() != nil:
		return local(field.Message())
	case field.Enum() != nil:
		return local(field.Enum())
	default:
		return field.Kind().String()
	}
}

func describeEnums(into entries, enums protoreflect.EnumDescriptors) error {
	for i := range enums.Len() {
		enum := enums.Get(i)
		options := enum.Options().(*descriptorpb.EnumOptions)
		facts := deprecated(options)
		for i := range enum.ReservedRanges().Len() {
			// Unlike that of a message, this range includes its end.
			r := enum.ReservedRanges().Get(i)
			facts = append(facts, reserved(int32(r[0]), int32(r[1])))
		}
		if err := into.add("enum "+local(enum), facts...); err != nil {
			return err
		}
		for i := range enum.Values().Len() {
			value := enum.Values().Get(i)
			options := value.Options().(*descriptorpb.EnumValueOptions)
			facts := append([]string{strconv.Itoa(int(value.Number()))}, deprecated(options)...)
			// The full name of a value leaves out the name of its enum.
			key := "value " + local(enum) + "." + string(value.Name())
			if err := into.add(key, facts...); err != nil {
				return err
			}
		}
	}
	return nil
}

// rules lists the validation rules that an option holds, one "path=value" for
// each rule that is set, sorted. A rule that is merely true is only a path.
func rules(path string, options proto.Message, extension protoreflect.ExtensionType) []string {
	if !proto.HasExtension(options, extension) {
		return nil
	}
	rules := ruleList(path, proto.GetExtension(options, extension).(proto.Message).ProtoReflect())
	slices.Sort(rules)
	return rules
}

func ruleList(path string, message protoreflect.Message) []string {
	switch known := message.Interface().(type) {
	case *durationpb.Duration:
		return []string{path + "=" + seconds(known.GetSeconds(), known.GetNanos())}
	case *timestamppb.Timestamp:
		return []string{path + "=" + seconds(known.GetSeconds(), known.GetNanos())}
	}
	var list []string
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		name := strings.TrimPrefix(path+"."+string(field.Name()), ".")
		switch {
		case field.IsList() && field.Message() != nil:
			for i := range value.List().Len() {
				list = append(list, ruleList(fmt.Sprintf("%s[%d]", name, i), value.List().Get(i).Message())...)
			}
		case field.IsList():
			var values []string
			for i := range value.List().Len() {
				values = append(values, ruleValue(field, value.List().Get(i)))
			}
			list = append(list, name+"=["+strings.Join(values, ",")+"]")
		case field.Message() != nil:
			list = append(list, ruleList(name, value.Message())...)
		case field.Kind() == protoreflect.BoolKind && value.Bool():
			list = append(list, name)
		default:
			list = append(list, name+"="+ruleValue(field, value))
		}
		return true
	})
	// Rules that this version of the validation library does not know must
	// not go unnoticed: it ignores them.
	if unknown := message.GetUnknown(); len(unknown) > 0 {
		list = append(list, strings.TrimPrefix(fmt.Sprintf("%s.unknown=%x", path, []byte(unknown)), "."))
	}
	if len(list) == 0 {
		list = append(list, path)
	}
	return list
}

func ruleValue(field protoreflect.FieldDescriptor, value protoreflect.Value) string {
	switch field.Kind() {
	case protoreflect.EnumKind:
		if named := field.Enum().Values().ByNumber(value.Enum()); named != nil {
			return string(named.Name())
		}
		return strconv.Itoa(int(value.Enum()))
	case protoreflect.StringKind:
		return strconv.Quote(value.String())
	case protoreflect.BytesKind:
		return fmt.Sprintf("%x", value.Bytes())
	default:
		return value.String()
	}
}

func seconds(whole int64, nanos int32) string {
	if nanos == 0 {
		return fmt.Sprintf("%ds", whole)
	}
	return fmt.Sprintf("%ds%dns", whole, nanos)
}

func deprecated(options interface{ GetDeprecated() bool }) []string {
	if options.GetDeprecated() {
		return []string{"deprecated"}
	}
	return nil
}

func reserved(first, last int32) string {
	if first == last {
		return fmt.Sprintf("reserved=%d", first)
	}
	return fmt.Sprintf("reserved=%d..%d", first, last)
}

func stream(is bool) string {
	if is {
		return "stream "
	}
	return ""
}

// local is a full name as the table writes it: relative to the package, unless
// it belongs to another one.
func local(descriptor protoreflect.Descriptor) string {
	return strings.TrimPrefix(string(descriptor.FullName()), packageName+".")
}

// jsonName is the JSON name that a field has by default.
func jsonName(name string) string {
	var b strings.Builder
	upper := false
	for _, r := range name {
		switch {
		case r == '_':
			upper = true
		case upper:
			b.WriteString(strings.ToUpper(string(r)))
			upper = false
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
