package rpc

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/musterhq/muster/internal/fault"
)

// body is the body of a request with one message. It bounds how large the body
// may be and how long it may take to arrive, and puts failures of reading into
// words: connect passes an error that is its own on to the caller as it is.
type body struct {
	io.ReadCloser

	ctx     context.Context //nolint:containedctx // of the request that this is a part of
	call    *call
	max     int64
	left    int64
	timeout time.Duration
	err     error
}

// newBody starts the clock. Nobody needs to stop it: the deadline is of no
// account once the body is read.
func newBody(timeout time.Duration, c *call, r *http.Request) *body {
	_ = http.NewResponseController(c.ResponseWriter).SetReadDeadline(time.Now().Add(timeout))
	limit := int64(c.procedure.maxBody)
	return &body{ReadCloser: r.Body, ctx: r.Context(), call: c, max: limit, left: limit, timeout: timeout}
}

// Read reads a part of the body.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	// One byte more than is left tells an exact fit from too much.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		// A client that is cut off while it sends does not see the answer.
		_, _ = io.CopyN(io.Discard, b.ReadCloser, 4*b.max)
		n, err = int(b.left), tooLarge(b.max)
	}
	b.left -= int64(n)
	if err != nil {
		if err != io.EOF { //nolint:errorlint // the contract of io.Reader
			err = b.call.fail(b.ctx, b.explain(err))
		}
		b.err = err
	}
	return n, err
}

func (b *body) explain(err error) error {
	var f *fault.Error
	switch {
	case errors.As(err, &f):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fault.New(fault.DeadlineExceeded, fault.ReasonDeadline,
			"The request body did not arrive within %s. Send it at once, or check the network.", b.timeout).WithCause(err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.New(fault.InvalidArgument, fault.InvalidField,
			"The request body is shorter than its announced length.").WithCause(err)
	default:
		return fault.New(fault.Canceled, fault.ReasonCanceled, "The request body broke off.").WithCause(err)
	}
}

func tooLarge(limit int64) error {
	return fault.New(fault.ResourceExhausted, fault.BodyTooLarge,
		"The request is larger than %d bytes, which is the most that one call may send. Send less; sending it again does not help.", limit)
}
