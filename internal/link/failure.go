package link

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
)

// Bounds of a Failure, in bytes and in time.
const (
	maxFailure   = 1024
	maxFieldName = 64
	maxWait      = time.Hour
)

// failureCodes are the codes that a runner may fail with, by their numbers in
// google.rpc.Code.
var failureCodes = map[int32]fault.Code{
	3: fault.InvalidArgument, 4: fault.DeadlineExceeded, 5: fault.NotFound, 7: fault.PermissionDenied, 8: fault.ResourceExhausted,
	9: fault.FailedPrecondition, 12: fault.Unimplemented, 14: fault.Unavailable,
}

// failureReasons are the reasons that a runner may give. The others are the
// control plane's own.
var failureReasons = []fault.Reason{
	fault.InvalidField, fault.InvalidPageToken, fault.ReasonNotFound, fault.ReasonUnimplemented, fault.ReasonDeadline, fault.LimitReached,
	fault.SignInRequired, fault.SignInFailed, fault.HostNotConfigured, fault.HostUnavailable, fault.HostRefused, fault.HostLimited, fault.HostNotAllowed,
	fault.RunnerIncapable, fault.RunnerRefused,
}

// failed is what a runner's failure is to the caller. A runner is not trusted to
// say what it likes in the name of the control plane.
func failed(f *linkv1.Failure) *fault.Error {
	message := printable(f.GetMessage(), maxFailure)
	code, ok := failureCodes[f.GetCode()]
	reason := fault.Reason(f.GetReason())
	switch {
	case message == "":
		return wrongReply()
	case !ok || !slices.Contains(failureReasons, reason):
		return fault.New(fault.Unavailable, fault.RunnerRefused, "The runner says: %s", message)
	}
	e := fault.New(code, reason, "%s", message)
	if field := f.GetField(); len(field) <= maxFieldName && !strings.ContainsFunc(field, notOfField) {
		e.Field = field
	}
	return e.WithRetryAfter(min(max(f.GetRetryAfter().AsDuration(), 0), maxWait))
}

func notOfField(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '.'
}

// printable bounds a text from a runner, in bytes, and takes out what does not
// print.
func printable(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return cut(strings.TrimSpace(text), limit)
}
