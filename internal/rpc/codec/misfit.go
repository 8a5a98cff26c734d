package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/musterhq/muster/internal/fault"
)

// misfit looks for the first value in a JSON body that does not fit its field,
// an unknown enum name above all. Nil means that none was found, which includes
// bodies that are no JSON at all. It reads token by token: a tree of a hostile
// body would be many times its size.
func misfit(data []byte, d protoreflect.MessageDescriptor) *fault.Error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	token, err := dec.Token()
	if err != nil {
		return nil
	}
	if token != json.Delim('{') {
		return fault.New(fault.InvalidArgument, fault.InvalidField, "The request body must be a JSON object, that is {...}.")
	}
	f, _ := errors.AsType[*fault.Error](misfitMessage(dec, d, ""))
	return f
}

// The functions below read one value each and return a fault for one that does
// not fit, or the decoder's error for what is no JSON.

// misfitMessage reads an object after its opening brace.
func misfitMessage(dec *json.Decoder, d protoreflect.MessageDescriptor, path string) error {
	taken := map[protoreflect.FullName]bool{} // fields, and groups of which one may be set
	return eachEntry(dec, func(key string) error {
		fd := d.Fields().ByJSONName(key)
		if fd == nil {
			fd = d.Fields().ByTextName(key)
		}
		if fd == nil {
			return skip(dec)
		}
		err := misfitField(dec, fd, path+fd.TextName())
		switch {
		case errors.Is(err, errNull):
			return nil
		case err != nil:
			return err
		case taken[fd.FullName()]:
			return fault.Invalid(path+fd.TextName(), "is given twice")
		}
		taken[fd.FullName()] = true
		group := fd.ContainingOneof()
		if group == nil || group.IsSynthetic() {
			return nil
		}
		if taken[group.FullName()] {
			return fault.Invalid(path+fd.TextName(), "only one of %s may be set", strings.Join(fieldNames(group.Fields()), ", "))
		}
		taken[group.FullName()] = true
		return nil
	})
}

// errNull is the outcome of a field that is null, and so not set.
var errNull = errors.New("codec: null")

func fieldNames(fields protoreflect.FieldDescriptors) []string {
	names := make([]string, fields.Len())
	for i := range names {
		names[i] = fields.Get(i).TextName()
	}
	return names
}

// eachEntry calls read for each key of an object, which reads its value, and
// reads the closing brace.
func eachEntry(dec *json.Decoder, read func(key string) error) error {
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		if err := read(key.(string)); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

func skip(dec *json.Decoder) error {
	var unknown json.RawMessage
	return dec.Decode(&unknown)
}

func misfitField(dec *json.Decoder, fd protoreflect.FieldDescriptor, path string) error {
	if isWellKnown(fd) && !fd.IsList() && !fd.IsMap() {
		return misfitWellKnown(dec, fd.Message(), path)
	}
	token, err := dec.Token()
	if err != nil {
		return err
	}
	if token == nil {
		return errNull
	}
	switch {
	case fd.IsMap():
		if token != json.Delim('{') {
			return fault.Invalid(path, "must be an object")
		}
		return eachEntry(dec, func(key string) error {
			return misfitItem(dec, fd.MapValue(), path+"["+strconv.Quote(shorten(key))+"]")
		})
	case fd.IsList():
		if token != json.Delim('[') {
			return fault.Invalid(path, "must be a list")
		}
		for i := 0; dec.More(); i++ {
			if err := misfitItem(dec, fd, path+"["+strconv.Itoa(i)+"]"); err != nil {
				return err
			}
		}
		_, err := dec.Token()
		return err
	default:
		return misfitValue(dec, token, fd, path)
	}
}

// misfitItem reads an item of a list or a map, which null does not stand for.
func misfitItem(dec *json.Decoder, fd protoreflect.FieldDescriptor, path string) error {
	if isWellKnown(fd) {
		return misfitWellKnown(dec, fd.Message(), path)
	}
	token, err := dec.Token()
	if err != nil {
		return err
	}
	return misfitValue(dec, token, fd, path)
}

// misfitValue looks at a value that begins with token.
func misfitValue(dec *json.Decoder, token json.Token, fd protoreflect.FieldDescriptor, path string) error {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if token != json.Delim('{') {
			return fault.Invalid(path, "must be an object")
		}
		return misfitMessage(dec, fd.Message(), path+".")
	case protoreflect.EnumKind:
		return misfitEnum(token, fd.Enum(), path)
	case protoreflect.BoolKind:
		if _, ok := token.(bool); !ok {
			return fault.Invalid(path, "must be true or false")
		}
	case protoreflect.StringKind:
		if _, ok := token.(string); !ok {
			return fault.Invalid(path, "must be a string")
		}
	case protoreflect.BytesKind:
		if text, ok := token.(string); !ok || !isBase64(text) {
			return fault.Invalid(path, "must be a string in base64")
		}
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return misfitInteger(token, math.MinInt32, math.MaxInt32, path)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return misfitInteger(token, 0, math.MaxUint32, path)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return misfitInteger(token, math.MinInt64, math.MaxInt64, path)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return misfitInteger(token, 0, math.MaxUint64, path)
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		if _, ok := number(token); !ok {
			return fault.Invalid(path, "must be a number")
		}
	}
	return nil
}

// isBase64 accepts what protojson does: both alphabets, padded or not.
func isBase64(s string) bool {
	encoding := base64.StdEncoding
	if strings.ContainsAny(s, "-_") {
		encoding = base64.URLEncoding
	}
	if len(s)%4 != 0 {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	_, err := encoding.DecodeString(s)
	return err == nil
}

func misfitEnum(token json.Token, d protoreflect.EnumDescriptor, path string) error {
	switch v := token.(type) {
	case json.Number:
		return misfitInteger(v, math.MinInt32, math.MaxInt32, path)
	case string:
		if d.Values().ByName(protoreflect.Name(v)) != nil {
			return nil
		}
		if !isName(v) {
			// It may be anything, a token in the wrong place for example.
			return fault.Invalid(path, "must be one of %s", strings.Join(enumNames(d), ", "))
		}
		return fault.Invalid(path, "%q is not one of %s", v, strings.Join(enumNames(d), ", "))
	default:
		return fault.Invalid(path, "must be one of %s", strings.Join(enumNames(d), ", "))
	}
}

// isName tells whether a text has the form of an enum name.
func isName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return len(s) <= 64
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
func misfitInteger(token json.Token, least, most float64, path string) error {
	f, ok := number(token)
	if !ok || f != math.Trunc(f) {
		return fault.Invalid(path, "must be a whole number")
	}
	if out := f < least || f > most; out && most > math.MaxUint32 {
		return fault.Invalid(path, "does not fit into 64 bits")
	} else if out {
		return fault.Invalid(path, "must be between %.0f and %.0f", least, most)
	}
	return nil
}

func number(token json.Token) (float64, bool) {
	var text string
	switch v := token.(type) {
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

// isWellKnown tells whether a value has a JSON form of its own, such as a
// Timestamp's.
func isWellKnown(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && fd.Message().FullName().Parent() == "google.protobuf"
}

func misfitWellKnown(dec *json.Decoder, d protoreflect.MessageDescriptor, path string) error {
	var value json.RawMessage
	if err := dec.Decode(&value); err != nil || string(value) == "null" {
		return err
	}
	if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(value, dynamicpb.NewMessage(d)) == nil {
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
