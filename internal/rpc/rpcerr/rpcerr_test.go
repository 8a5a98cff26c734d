package rpcerr_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/rpc/rpcerr"
)

// Every code of a fault has one on the wire, of the same name.
func TestCodesHaveTheSameNames(t *testing.T) {
	for code, want := range map[fault.Code]string{
		fault.Internal: "internal", fault.InvalidArgument: "invalid_argument", fault.FailedPrecondition: "failed_precondition",
		fault.Unauthenticated: "unauthenticated", fault.PermissionDenied: "permission_denied", fault.NotFound: "not_found",
		fault.AlreadyExists: "already_exists", fault.Aborted: "aborted", fault.ResourceExhausted: "resource_exhausted",
		fault.Unavailable: "unavailable", fault.DeadlineExceeded: "deadline_exceeded", fault.Canceled: "canceled",
		fault.Unimplemented: "unimplemented", fault.Unknown: "unknown",
	} {
		if got := rpcerr.New(fault.New(code, fault.Conflict, "x"), "").Code().String(); got != want {
			t.Errorf("%d: %s, want %s", code, got, want)
		}
	}
}

func TestCauseStaysHereAndInTheChain(t *testing.T) {
	cause := errors.New("disk on fire")
	e := rpcerr.New(fault.Wrap(cause, "reading"), "request")
	if e.Message() == "" || !errors.Is(e, cause) {
		t.Errorf("%v", e)
	}
	if fault.From(e).Code != fault.Internal {
		t.Errorf("the fault is lost: %v", e)
	}
	for _, text := range []string{e.Message(), e.Error()} {
		if len(text) == 0 || strings.Contains(text, "disk") {
			t.Errorf("%q", text)
		}
	}
}

// What was turned into words once is not turned again.
func TestNewKeepsWhatItMade(t *testing.T) {
	e := rpcerr.New(rpcerr.WithDetails(fault.Invalid("x", "bad"), &errdetails.Help{}), "request")
	if again := rpcerr.New(fmt.Errorf("wrapped: %w", e), "other"); again != e {
		t.Errorf("%v became %v", e, again)
	}
	if len(e.Details()) != 2 {
		t.Errorf("details %v", e.Details())
	}
}

func TestFaultOfConnectErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code fault.Code
		why  fault.Reason
	}{
		{connect.NewError(connect.CodeCanceled, errors.New("x")), fault.Canceled, fault.ReasonCanceled},
		{connect.NewError(connect.CodeDeadlineExceeded, errors.New("x")), fault.DeadlineExceeded, fault.ReasonDeadline},
		{connect.NewError(connect.CodeResourceExhausted, errors.New("x")), fault.ResourceExhausted, fault.BodyTooLarge},
		{connect.NewError(connect.CodeInvalidArgument, errors.New("x")), fault.InvalidArgument, fault.InvalidField},
		{connect.NewError(connect.CodeUnimplemented, errors.New("x")), fault.Unimplemented, fault.ReasonUnimplemented},
		{connect.NewError(connect.CodeDataLoss, errors.New("x")), fault.Internal, fault.ReasonInternal},
		{io.ErrClosedPipe, fault.Internal, fault.ReasonInternal},
	} {
		if f := rpcerr.Fault(tt.err); f.Code != tt.code || f.Reason != tt.why {
			t.Errorf("%v: %v", tt.err, f)
		}
	}
}
