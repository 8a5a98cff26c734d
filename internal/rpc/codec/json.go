package codec

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/musterhq/muster/internal/fault"
)

// JSON is protobuf's JSON mapping.
//
// Replies hold every list, [] when it is empty, since clients iterate over it
// unasked; fields with presence and messages appear only when set. Requests may
// hold fields of a newer schema, which are ignored; but an enum name that does
// not exist is an error, because a filter that is dropped would list everything.
// An empty body is the empty message.
type JSON struct {
	// Charset makes this the codec for content types that name the character set.
	Charset bool
}

// Name is the name in content types.
func (c JSON) Name() string {
	if c.Charset {
		return "json; charset=utf-8"
	}
	return "json"
}

// Marshal encodes a message.
func (c JSON) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

// MarshalAppend encodes a message at the end of dst.
func (JSON) MarshalAppend(dst []byte, message any) ([]byte, error) {
	m, err := asProto(message)
	if err != nil {
		return nil, err
	}
	return appendMessage(dst, m.ProtoReflect())
}

// Unmarshal decodes a message.
func (JSON) Unmarshal(data []byte, message any) error {
	m, err := asProto(message)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		proto.Reset(m)
		return nil
	}
	// Most bodies fit as they are, and cost one decode. protojson cannot ignore
	// unknown fields without ignoring unknown enum names, so the others are
	// looked at more closely.
	if protojson.Unmarshal(data, m) == nil {
		return nil
	}
	if f := misfit(data, m.ProtoReflect().Descriptor()); f != nil {
		fail(m, f)
		return nil
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, m); err != nil {
		fail(m, fault.New(fault.InvalidArgument, fault.InvalidField,
			"The request body is not a %s in JSON%s.", name(m), position(err)))
	}
	return nil
}

// position says where decoding failed. The rest of the library's text may
// repeat what was sent, which may be a secret.
func position(err error) string {
	if strings.HasSuffix(err.Error(), io.ErrUnexpectedEOF.Error()) {
		return ": it ends too early"
	}
	var line, column int
	_, at, _ := strings.Cut(err.Error(), "(line ")
	if n, _ := fmt.Sscanf(at, "%d:%d)", &line, &column); n != 2 {
		return ""
	}
	return fmt.Sprintf(": it is wrong at line %d, column %d", line, column)
}
