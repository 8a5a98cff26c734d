package agent

import (
	"context"
	"errors"
	"log/slog"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
)

// failureCodes are the codes that the control plane hands on. They have the
// numbers of google.rpc.Code.
var failureCodes = map[fault.Code]connect.Code{
	fault.InvalidArgument:    connect.CodeInvalidArgument,
	fault.DeadlineExceeded:   connect.CodeDeadlineExceeded,
	fault.NotFound:           connect.CodeNotFound,
	fault.PermissionDenied:   connect.CodePermissionDenied,
	fault.ResourceExhausted:  connect.CodeResourceExhausted,
	fault.FailedPrecondition: connect.CodeFailedPrecondition,
	fault.Unimplemented:      connect.CodeUnimplemented,
	fault.Unavailable:        connect.CodeUnavailable,
}

// failure is why a question was not answered. An error that is no fault, or that
// the control plane would not hand on, is for this runner's log.
func (c *codeHosts) failure(ctx context.Context, err error) *linkv1.Failure {
	f := new(fault.Error)
	if !errors.As(err, &f) && errors.Is(err, context.DeadlineExceeded) {
		f = fault.New(fault.DeadlineExceeded, fault.ReasonDeadline, "The runner did not find an answer in time.")
		c.complaints.Warn(ctx, "a question about source code hosts was not answered in time", "", f)
	}
	code, known := failureCodes[f.Code]
	if !known {
		level := slog.LevelError
		if errors.Is(ctx.Err(), context.Canceled) {
			level = slog.LevelDebug // the link has ended
		}
		c.log.Log(ctx, level, "a question about a source code host failed", "error", err)
		code, f = connect.CodeUnavailable, fault.New(fault.Unavailable, fault.RunnerRefused, "The runner failed to answer. Its log says why.")
	}
	m := &linkv1.Failure{
		Code: int32(code), Reason: string(f.Reason), Message: printable(f.Message, maxMessage), Field: printable(f.Field, maxReason),
	}
	if f.RetryAfter > 0 {
		m.RetryAfter = durationpb.New(f.RetryAfter)
	}
	return m
}
