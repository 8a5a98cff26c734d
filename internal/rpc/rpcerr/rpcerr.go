// Package rpcerr turns faults into the errors of the wire, once, at the edge.
//
// It decides what a caller is told: the code, the sentence, the reason and the
// request id as a google.rpc.ErrorInfo, and by headers whether and when to try
// again, because the clients retry on their own by HTTP status. It knows no
// request and no service.
package rpcerr

import (
	"errors"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/musterhq/muster/internal/fault"
)

// Domain is the domain of the reasons in ErrorInfo.
const Domain = "muster"

// Headers that steer retries. Clients retry 409, 429 and every status from 500
// on unless ShouldRetry says otherwise.
const (
	ShouldRetry         = "X-Should-Retry"
	RetryAfter          = "Retry-After"
	RateLimitRetryAfter = "Ratelimit-Retryafter"
)

// defaultRetryAfter is the wait that a caller is told when the fault names none.
const defaultRetryAfter = time.Second

// New returns what to tell the caller of a failed call. An error that is no
// fault becomes an internal one, whose cause stays here.
func New(err error, requestID string) *connect.Error {
	if already, ok := errors.AsType[*connect.Error](err); ok {
		if _, ok := errors.AsType[told](already.Unwrap()); ok {
			return already
		}
	}
	f := Fault(err)
	e := connect.NewError(codes[f.Code], told{f})
	addDetail(e, errorInfo(f, requestID))
	if d, ok := errors.AsType[*detailed](err); ok {
		for _, detail := range d.details {
			addDetail(e, detail)
		}
	}
	steer(e, f)
	return e
}

// told shows a fault without its cause.
type told struct{ fault *fault.Error }

func (t told) Error() string { return t.fault.Message }

func (t told) Unwrap() error { return t.fault }

type detailed struct {
	error
	details []proto.Message
}

func (d *detailed) Unwrap() error { return d.error }

// WithDetails adds error details to what the caller will be told of err.
func WithDetails(err error, details ...proto.Message) error {
	return &detailed{error: err, details: details}
}

func errorInfo(f *fault.Error, requestID string) *errdetails.ErrorInfo {
	info := &errdetails.ErrorInfo{Reason: string(f.Reason), Domain: Domain, Metadata: map[string]string{}}
	if requestID != "" {
		info.Metadata["request_id"] = requestID
	}
	if f.Field != "" {
		info.Metadata["field"] = f.Field
	}
	return info
}

func addDetail(e *connect.Error, m proto.Message) {
	// A message that cannot be encoded is left out; the sentence still stands.
	if d, err := connect.NewErrorDetail(m); err == nil {
		e.AddDetail(d)
	}
}

// steer sets the headers that tell the clients' own retry loops what to do.
func steer(e *connect.Error, f *fault.Error) {
	wait := f.RetryAfter
	switch f.Code {
	case fault.AlreadyExists, fault.Unimplemented, fault.Internal, fault.Unknown:
		// The answer would be the same; or what was made would be made twice.
		e.Meta().Set(ShouldRetry, "false")
		return
	case fault.Aborted:
		e.Meta().Set(ShouldRetry, "true")
	case fault.ResourceExhausted:
		if f.Reason == fault.BodyTooLarge {
			e.Meta().Set(ShouldRetry, "false")
			return
		}
		wait = max(wait, defaultRetryAfter)
		e.Meta().Set(RateLimitRetryAfter, seconds(wait))
		addDetail(e, &errdetails.RetryInfo{RetryDelay: durationpb.New(wait)})
	case fault.Unavailable, fault.DeadlineExceeded:
		wait = max(wait, defaultRetryAfter)
	case fault.Unauthenticated:
		e.Meta().Set("Www-Authenticate", "Bearer")
	}
	if wait > 0 {
		e.Meta().Set(RetryAfter, seconds(wait))
	}
}

// seconds rounds up: whoever comes back early is refused again.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

var codes = map[fault.Code]connect.Code{
	fault.Internal:           connect.CodeInternal,
	fault.InvalidArgument:    connect.CodeInvalidArgument,
	fault.FailedPrecondition: connect.CodeFailedPrecondition,
	fault.Unauthenticated:    connect.CodeUnauthenticated,
	fault.PermissionDenied:   connect.CodePermissionDenied,
	fault.NotFound:           connect.CodeNotFound,
	fault.AlreadyExists:      connect.CodeAlreadyExists,
	fault.Aborted:            connect.CodeAborted,
	fault.ResourceExhausted:  connect.CodeResourceExhausted,
	fault.Unavailable:        connect.CodeUnavailable,
	fault.DeadlineExceeded:   connect.CodeDeadlineExceeded,
	fault.Canceled:           connect.CodeCanceled,
	fault.Unimplemented:      connect.CodeUnimplemented,
	fault.Unknown:            connect.CodeUnknown,
}
