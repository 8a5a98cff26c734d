// Package codec turns messages into bytes and back, in JSON and in protobuf's
// binary form, the way the clients of the API expect it.
//
// It knows messages by their descriptors only; what they mean is no business
// of this package.
//
// connect answers a failed decode before any interceptor runs, in words of its
// own. So Unmarshal does not fail: it leaves an empty message that carries the
// failure, and whoever receives the message asks Failure for it first. The two
// belong together; a handler behind these codecs must ask.
package codec

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/musterhq/muster/internal/fault"
)

// Binary is protobuf's binary form.
type Binary struct{}

// Name is the name in content types.
func (Binary) Name() string { return "proto" }

// Marshal encodes a message.
func (Binary) Marshal(message any) ([]byte, error) {
	m, err := asProto(message)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(m)
}

// MarshalAppend encodes a message at the end of dst.
func (Binary) MarshalAppend(dst []byte, message any) ([]byte, error) {
	m, err := asProto(message)
	if err != nil {
		return nil, err
	}
	return proto.MarshalOptions{}.MarshalAppend(dst, m)
}

// Unmarshal decodes a message. Unknown fields are dropped at every level.
func (Binary) Unmarshal(data []byte, message any) error {
	m, err := asProto(message)
	if err != nil {
		return err
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, m); err != nil {
		fail(m, fault.New(fault.InvalidArgument, fault.InvalidField,
			"The request body is not a %s in protobuf's binary form. Check that the content type says what the body is.", name(m)))
	}
	return nil
}

func asProto(message any) (proto.Message, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("codec: %T is not a protobuf message", message)
	}
	return m, nil
}

func name(m proto.Message) string { return string(m.ProtoReflect().Descriptor().FullName()) }

// fail empties m and writes f on it. The place is the unknown fields: decoding
// drops those that a client sends, so what stands there comes from here.
func fail(m proto.Message, f *fault.Error) {
	proto.Reset(m)
	m.ProtoReflect().SetUnknown([]byte(f.Field + "\x00" + f.Message))
}

// Failure returns what was wrong with the bytes that m was decoded from; nil
// when nothing was.
func Failure(m proto.Message) error {
	mark := m.ProtoReflect().GetUnknown()
	if len(mark) == 0 {
		return nil
	}
	field, message, _ := strings.Cut(string(mark), "\x00")
	f := fault.New(fault.InvalidArgument, fault.InvalidField, "%s", message)
	f.Field = field
	return f
}
