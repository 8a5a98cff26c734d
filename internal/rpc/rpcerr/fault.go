package rpcerr

import (
	"errors"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/internal/fault"
)

// Fault returns the fault that err is. The errors of connect itself, which a
// handler passes on when a message cannot be received or sent, become faults
// here; what came of a client's bytes is never an internal one.
func Fault(err error) *fault.Error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	e, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return fault.From(err)
	}
	switch e.Code() {
	case connect.CodeCanceled:
		return fault.New(fault.Canceled, fault.ReasonCanceled, "The call was canceled by its caller.").WithCause(err)
	case connect.CodeDeadlineExceeded:
		return fault.New(fault.DeadlineExceeded, fault.ReasonDeadline, "The deadline of the call passed.").WithCause(err)
	case connect.CodeUnimplemented:
		return Unimplemented("This procedure").WithCause(err)
	case connect.CodeResourceExhausted:
		return fault.New(fault.ResourceExhausted, fault.BodyTooLarge, "A message of this call is larger than the control plane takes. Send less in one message.").WithCause(err)
	case connect.CodeInvalidArgument:
		return fault.New(fault.InvalidArgument, fault.InvalidField, "The request does not follow its protocol: %s.", e.Message()).WithCause(err)
	default:
		return fault.From(err)
	}
}

// Unimplemented is the fault of calling what the contract names but this
// control plane does not have.
func Unimplemented(procedure string) *fault.Error {
	return fault.New(fault.Unimplemented, fault.ReasonUnimplemented,
		"%s is part of the API but not of this control plane. A newer version may have it; see docs/compat.md.", procedure)
}
