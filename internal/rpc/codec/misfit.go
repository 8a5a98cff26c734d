package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/musterhq/muster/internal/fault"
)

// misfit looks for the first value in a JSON body that does not fit its field,
// an unknown enum name above all. Nil means that none was found, which includes
// bodies that are no JSON at all.
func misfit(data []byte, d protoreflect.MessageDescriptor) *fault.Error {
	var body any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if dec.Decode(&body) != nil {
		return nil
	}
	object, ok := body.(map[string]any)
	if !ok {
		return fault.New(fault.InvalidArgument, fault.InvalidField, "The request body must be a JSON object, that is {...}.")
	}
	return misfitMessage(object, d, "")
}

func misfitMessage(object map[string]any, d protoreflect.MessageDescriptor, path string) *fault.Error {
	fields := d.Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		for _, key := range []string{fd.JSONName(), fd.TextName()} {
			if v, ok := object[key]; ok && v != nil {
				if f := misfitField(v, fd, path+fd.TextName()); f != nil {
					return f
				}
			}
			if fd.TextName() == fd.JSONName() {
				break
			}
		}
	}
	return nil
}

func misfitField(v any, fd protoreflect.FieldDescriptor, path string) *fault.Error {
	switch {
	case fd.IsMap():
		object, ok := v.(map[string]any)
		if !ok {
			return fault.Invalid(path, "must be an object")
		}
		for _, key := range slices.Sorted(maps.Keys(object)) {
			if f := misfitValue(object[key], fd.MapValue(), path+"["+strconv.Quote(shorten(key))+"]"); f != nil {
				return f
			}
		}
		return nil
	case fd.IsList():
		list, ok := v.([]any)
		if !ok {
			return fault.Invalid(path, "must be a list")
		}
		for i, item := range list {
			if f := misfitValue(item, fd, path+"["+strconv.Itoa(i)+"]"); f != nil {
				return f
			}
		}
		return nil
	default:
		return misfitValue(v, fd, path)
	}
}

func misfitValue(v any, fd protoreflect.FieldDescriptor, path string) *fault.Error {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if strings.HasPrefix(string(fd.Message().FullName()), "google.protobuf.") {
			return misfitWellKnown(v, fd.Message(), path)
		}
		object, ok := v.(map[string]any)
		if !ok {
			return fault.Invalid(path, "must be an object")
		}
		return misfitMessage(object, fd.Message(), path+".")
	case protoreflect.EnumKind:
		return misfitEnum(v, fd.Enum(), path)
	case protoreflect.BoolKind:
		if _, ok := v.(bool); !ok {
			return fault.Invalid(path, "must be true or false")
		}
	case protoreflect.StringKind:
		if _, ok := v.(string); !ok {
			return fault.Invalid(path, "must be a string")
		}
	case protoreflect.BytesKind:
		if _, ok := v.(string); !ok {
			return fault.Invalid(path, "must be a string in base64")
		}
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return misfitInteger(v, math.MinInt32, math.MaxInt32, path)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return misfitInteger(v, 0, math.MaxUint32, path)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return misfitInteger(v, math.MinInt64, math.MaxInt64, path)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return misfitInteger(v, 0, math.MaxUint64, path)
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		if _, ok := number(v); !ok {
			return fault.Invalid(path, "must be a number")
		}
	}
	return nil
}

func misfitEnum(v any, d protoreflect.EnumDescriptor, path string) *fault.Error {
	switch v := v.(type) {
	case json.Number:
		return misfitInteger(v, math.MinInt32, math.MaxInt32, path)
	case string:
		if d.Values().ByName(protoreflect.Name(v)) != nil {
			return nil
		}
		return fault.Invalid(path, "%q is not one of %s", shorten(v), strings.Join(enumNames(d), ", "))
	default:
		return fault.Invalid(path, "must be one of %s", strings.Join(enumNames(d), ", "))
	}
}

// shorten keeps a sentence readable whatever was sent.
func shorten(s string) string {
	if r := []rune(s); len(r) > 64 {
		return string(r[:64]) + "…"
	}
	return s
}

// enumNames lists what a caller may choose from; the zero value means "not set".
func enumNames(d protoreflect.EnumDescriptor) []string {
	const most = 16
	names := make([]string, 0, most+1)
	for i := range d.Values().Len() {
		v := d.Values().Get(i)
		if v.Number() == 0 {
			continue
		}
		if len(names) == most {
			return append(names, fmt.Sprintf("and %d more", d.Values().Len()-i))
		}
		names = append(names, string(v.Name()))
	}
	return names
}

// misfitInteger takes numbers and, as the mapping demands, numbers in quotes.
func misfitInteger(v any, least, most float64, path string) *fault.Error {
	f, ok := number(v)
	if !ok || f != math.Trunc(f) {
		return fault.Invalid(path, "must be a whole number")
	}
	if f < least || f > most {
		return fault.Invalid(path, "must be between %.0f and %.0f", least, most)
	}
	return nil
}

func number(v any) (float64, bool) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = v
	default:
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

// misfitWellKnown tries types with a JSON form of their own, such as Timestamp.
func misfitWellKnown(v any, d protoreflect.MessageDescriptor, path string) *fault.Error {
	data, err := json.Marshal(v)
	if err == nil {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, dynamicpb.NewMessage(d))
	}
	if err == nil {
		return nil
	}
	switch d.FullName() {
	case "google.protobuf.Timestamp":
		return fault.Invalid(path, "must be a time such as \"2026-01-31T12:00:00Z\"")
	case "google.protobuf.Duration":
		return fault.Invalid(path, "must be a duration in seconds such as \"3600s\"")
	default:
		return fault.Invalid(path, "is not a %s", d.FullName())
	}
}
