// Package fault is the one error type of the product.
//
// A fault says what happened, why, and what to do about it, in a sentence that
// is safe to show to whoever made the call. It has a code (what kind of
// failure, mapped once to a Connect code at the edge) and a reason (stable, for
// programs; each has a page under docs/errors). The cause is for the log only
// and never leaves the process.
package fault

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Code is the kind of a failure.
type Code uint8

// The codes have the meaning and the names of the Connect protocol's.
const (
	Internal Code = iota
	InvalidArgument
	FailedPrecondition
	Unauthenticated
	PermissionDenied
	NotFound
	AlreadyExists
	Aborted
	ResourceExhausted
	Unavailable
	DeadlineExceeded
	Canceled
	Unimplemented
	// Unknown is the code of a change of which it is not known whether it was made.
	Unknown
)

// Error is a failure. Make one with New and refine it with the With methods,
// each of which returns a copy.
type Error struct {
	Code   Code
	Reason Reason
	// Message is one or two sentences for people; it holds no secret and no
	// text of a driver.
	Message string
	// Field is the request field at fault, in its proto name ("spec.configuration.update_window");
	// empty when no single field is.
	Field string
	// RetryAfter is how long the caller should wait before it tries again; zero
	// leaves that to the edge.
	RetryAfter time.Duration

	cause error
}

// New makes a fault. The message follows the rules of fmt.Sprintf.
func New(code Code, reason Reason, format string, args ...any) *Error {
	return &Error{Code: code, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Invalid is the fault of one bad request field.
func Invalid(field, format string, args ...any) *Error {
	return &Error{Code: InvalidArgument, Reason: InvalidField, Message: field + ": " + fmt.Sprintf(format, args...), Field: field}
}

// Missing is the fault of naming something that does not exist, or that the
// caller may not see: the two are not told apart.
func Missing(what, id string) *Error {
	return New(NotFound, ReasonNotFound, "There is no %s %q that you can see. It may have been deleted.", what, id)
}

// Wrap hides an unexpected error behind an internal fault. The cause reaches
// the log, not the caller.
func Wrap(cause error, doing string) error {
	if cause == nil {
		return nil
	}
	var f *Error
	if errors.As(cause, &f) {
		return cause
	}
	switch {
	case errors.Is(cause, context.Canceled):
		return New(Canceled, ReasonCanceled, "The call was canceled while %s.", doing).WithCause(cause)
	case errors.Is(cause, context.DeadlineExceeded):
		return New(DeadlineExceeded, ReasonDeadline, "The deadline passed while %s.", doing).WithCause(cause)
	}
	return New(Internal, ReasonInternal, "Something failed inside the control plane while %s. Its log has the details under the request id.", doing).
		WithCause(fmt.Errorf("%s: %w", doing, cause))
}

// Error is the text for the log: it includes the cause.
func (e *Error) Error() string {
	if e.cause != nil {
		return string(e.Reason) + ": " + e.Message + ": " + e.cause.Error()
	}
	return string(e.Reason) + ": " + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// WithCause attaches what led to the fault, for the log.
func (e *Error) WithCause(err error) *Error {
	c := *e
	c.cause = err
	return &c
}

// WithRetryAfter says when to try again.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// From returns the fault in err's chain; an error that is none becomes an
// internal one.
func From(err error) *Error {
	var f *Error
	if errors.As(err, &f) {
		return f
	}
	errors.As(Wrap(err, "answering the call"), &f)
	return f
}

// Is tells whether err is a fault of the given code.
func Is(err error, code Code) bool {
	var f *Error
	return errors.As(err, &f) && f.Code == code
}

// HasReason tells whether err is a fault with the given reason.
func HasReason(err error, r Reason) bool {
	var f *Error
	return errors.As(err, &f) && f.Reason == r
}

// MayHaveHappened tells whether a change was made, or may have been. What others
// must do about the change is then done: they look at what there is.
func MayHaveHappened(err error) bool { return err == nil || HasReason(err, OutcomeUnknown) }

// ErrLost is what the function of a transaction returns when a compare-and-swap
// inside it was lost: the transaction rolls back and is tried again.
var ErrLost = errors.New("fault: a compare-and-swap was lost")

// Lost is the outcome of a compare-and-swap that tells whether it was won:
// ErrLost when it failed without an error.
func Lost(won bool, err error) error {
	if err == nil && !won {
		return ErrLost
	}
	return err
}
