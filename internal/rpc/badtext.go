package rpc

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"

	"github.com/musterhq/muster/internal/fault"
)

// nameText names the field of a text that cannot be stored, which the store,
// knowing columns and not requests, cannot do. It looks only once a call has
// failed for an unnamed field, so other calls do not pay for it.
func nameText(err error, request proto.Message) error {
	if !fault.HasReason(err, fault.InvalidField) || fault.From(err).Field != "" {
		return err
	}
	named := err
	_ = protorange.Range(request.ProtoReflect(), func(p protopath.Values) error {
		text, ok := p.Index(-1).Value.Interface().(string)
		if !ok || !strings.ContainsRune(text, 0) {
			return nil
		}
		path := strings.TrimPrefix(p.Path[1:].String(), ".")
		named = fault.Invalid(path, "must not hold a NUL character")
		return protorange.Terminate
	})
	return named
}
