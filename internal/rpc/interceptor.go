package rpc

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/rpc/codec"
)

// interceptor stands between connect and one procedure.
type interceptor struct {
	handler   *Handler
	procedure *procedure
}

// check refuses a message that could not be decoded or breaks a rule.
func (i *interceptor) check(c *call, m proto.Message) error {
	if err := codec.Failure(m); err != nil {
		return err
	}
	if i.procedure.paging != nil {
		i.procedure.paging.apply(m, c.page)
	}
	return i.handler.validation.check(m)
}

// WrapUnary is called once for a procedure with one request and one reply.
func (i *interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (res connect.AnyResponse, err error) {
		c := callOf(ctx)
		c.receive()
		defer func() {
			if r := recover(); r != nil {
				err = c.panicked(r, i.handler.cfg.Logger)
			}
			if err != nil {
				res, err = nil, c.fail(ctx, err)
			}
		}()
		if err := i.check(c, req.Any().(proto.Message)); err != nil {
			return nil, err
		}
		if res, err = next(ctx, req); err != nil {
			return nil, nameText(err, req.Any().(proto.Message))
		}
		if i.procedure.reply != nil {
			fillPaging(res.Any().(proto.Message), i.procedure.reply)
		}
		return res, nil
	}
}

// WrapStreamingClient does nothing: this is a server.
func (i *interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler is called once for a procedure with a stream.
func (i *interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) (err error) {
		c := callOf(ctx)
		c.receive()
		ctrl := http.NewResponseController(c.ResponseWriter)
		timeout := i.handler.cfg.WriteTimeout
		s := &stream{
			StreamingHandlerConn: conn, interceptor: i, call: c,
			stall: stall{ctrl: ctrl, timeout: timeout},
		}
		defer func() {
			if r := recover(); r != nil {
				err = c.panicked(r, i.handler.cfg.Logger)
			}
			if err != nil {
				err = c.fail(ctx, err)
			}
			// The end of the stream is still to be written.
			_ = ctrl.SetWriteDeadline(time.Now().Add(timeout))
		}()
		return next(ctx, s)
	}
}

// stream checks what is received, and bounds how long a message may take to be
// sent.
type stream struct {
	connect.StreamingHandlerConn

	interceptor *interceptor
	call        *call
	stall       stall
}

// Receive receives a message.
func (s *stream) Receive(message any) error {
	if err := s.StreamingHandlerConn.Receive(message); err != nil {
		if code := connect.CodeOf(err); !errors.Is(err, io.EOF) && (code == connect.CodeInternal || code == connect.CodeUnknown) {
			return fault.New(fault.InvalidArgument, fault.InvalidField,
				"The stream broke off inside a message, or does not follow its protocol.").WithCause(err)
		}
		return err
	}
	return s.interceptor.check(s.call, message.(proto.Message))
}

// Send sends a message; nil sends the headers only.
func (s *stream) Send(message any) error {
	s.stall.begin()
	defer s.stall.end()
	return s.StreamingHandlerConn.Send(message)
}
