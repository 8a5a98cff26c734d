package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/door"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/pace"
	"github.com/musterhq/muster/internal/rpc/rpcerr"
)

// call is one request while it is answered. It stands in front of the
// connection to see how the answer begins.
type call struct {
	http.ResponseWriter

	requestID string
	start     time.Time
	procedure *procedure // nil outside of the API
	pattern   string     // of a request outside of the API
	caller    access.Caller
	visit     door.Visit
	page      pageQuery
	// writeTimeout bounds the writing of the answer; 0 for streams, which
	// bound each message.
	writeTimeout time.Duration

	status int
	// received: the request was decoded; what goes wrong before is answered by
	// connect itself.
	received bool
	err      error        // why it failed, for the log
	told     connect.Code // what the caller was told of that
}

// linkProcedure is that of the links of runners.
var linkProcedure = strings.TrimPrefix(linkv1connect.LinkServiceConnectProcedure, "/")

// exchangeProcedure is that by which a token becomes another one.
var exchangeProcedure = strings.TrimPrefix(gitpodv1connect.IdentityServiceExchangeTokenProcedure, "/")

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// WriteHeader begins the answer.
func (c *call) WriteHeader(status int) {
	c.begin(status)
	c.ResponseWriter.WriteHeader(status)
}

// Write writes a part of the answer.
func (c *call) Write(b []byte) (int, error) {
	c.begin(http.StatusOK)
	return c.ResponseWriter.Write(b)
}

// Flush sends what was written.
func (c *call) Flush() { _ = c.FlushError() }

// FlushError sends what was written.
func (c *call) FlushError() error {
	c.begin(http.StatusOK)
	return http.NewResponseController(c.ResponseWriter).Flush()
}

// Unwrap gives http.ResponseController access to the connection.
func (c *call) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *call) begin(status int) {
	if c.status != 0 {
		return
	}
	c.status = status
	if c.writeTimeout > 0 {
		_ = http.NewResponseController(c.ResponseWriter).SetWriteDeadline(time.Now().Add(c.writeTimeout))
	}
}

// receive marks that the request was decoded. Until then the answer tells the
// SDKs not to retry: connect refuses malformed requests with statuses that they
// would retry otherwise.
func (c *call) receive() {
	c.received = true
	delete(c.Header(), rpcerr.ShouldRetry)
}

// fail notes the outcome of a failed call and returns what to tell the caller,
// which from here on includes whether to retry.
func (c *call) fail(ctx context.Context, err error) *connect.Error {
	if ctx.Err() != nil {
		// The reason why a context ended says more than that it did.
		if f := rpcerr.Fault(err); f.Code == fault.Canceled || f.Code == fault.DeadlineExceeded {
			if cause, ok := errors.AsType[*fault.Error](context.Cause(ctx)); ok {
				err = cause
			}
		}
	}
	delete(c.Header(), rpcerr.ShouldRetry)
	e := rpcerr.New(err, c.requestID)
	c.err, c.told = err, e.Code()
	return e
}

// panicked turns a recovered panic into an error. The abort of net/http goes on.
func (c *call) panicked(r any, log *slog.Logger) error {
	if r == http.ErrAbortHandler { //nolint:errorlint // net/http compares it like this
		panic(r)
	}
	log.Error("panic", "panic", r, "request_id", c.requestID, "stack", string(debug.Stack()))
	return fault.New(fault.Internal, fault.ReasonInternal,
		"Something failed inside the control plane. Its log has the details under the request id.")
}

// finish reports the call to the log and the metrics, after the answer or a
// panic outside of the services.
func (h *Handler) finish(c *call, r *http.Request) {
	if rec := recover(); rec != nil {
		err := c.panicked(rec, h.cfg.Logger)
		if c.status != 0 {
			defer panic(http.ErrAbortHandler)
		} else {
			h.refuse(c, r, err)
		}
	}
	took := time.Since(c.start)
	if c.procedure != nil {
		c.procedure.metrics.observe(c.code(), took)
	}
	h.report(c, r, took)
}

// report logs a line about the call. Those that anybody can cause are bounded:
// the others of their kind are on the debug level.
func (h *Handler) report(c *call, r *http.Request, took time.Duration) {
	level, message, attrs := slog.LevelDebug, "request", make([]slog.Attr, 0, 10)
	var code connect.Code
	if c.procedure != nil {
		code, message = c.code(), "call"
		level = levelOf(code, c.err)
	}
	why := c.err
	if lines, refused := h.refusalOf(c, code); lines != nil {
		message, why, level = refused.message, refused.why, slog.LevelDebug
		if may, left := lines.Take(time.Now()); may {
			level = slog.LevelInfo
			attrs = append(attrs, slog.Int("not_shown_before", left))
		} else {
			lines.Later(func(left int) {
				h.cfg.Logger.Info("more of these were not shown", "of", message, "not_shown", left)
			})
		}
		attrs = append(attrs, slog.String("address", c.visit.Address().String()))
	}
	if !h.cfg.Logger.Enabled(r.Context(), level) {
		return
	}
	if c.procedure != nil {
		attrs = append(attrs, slog.String("procedure", c.procedure.name), slog.String("code", codeName(code)))
	} else {
		attrs = append(attrs, slog.String("pattern", c.pattern), slog.Int("status", c.status))
	}
	attrs = append(attrs, slog.Duration("duration", took), slog.String("request_id", c.requestID))
	if !c.caller.Anonymous() {
		attrs = append(attrs, slog.String("caller", c.caller.Principal.String()+" "+c.caller.ID))
	}
	if why != nil {
		f := rpcerr.Fault(why)
		attrs = append(attrs, slog.String("reason", string(f.Reason)))
		if level == slog.LevelError {
			attrs = append(attrs, slog.String("error", f.Error()))
		}
	}
	h.cfg.Logger.LogAttrs(r.Context(), level, message, attrs...)
}

func levelOf(code connect.Code, err error) slog.Level {
	switch {
	case code == connect.CodeInternal || code == connect.CodeUnknown:
		return slog.LevelError
	case code == 0 || fault.HasReason(err, fault.LimitReached):
		// Whoever goes beyond a limit does so often.
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}

// refused is a sign-in or a link that was refused.
type refused struct {
	message string
	why     error
}

// refusalOf tells whether a call was the attempt of somebody who is nobody, or of
// a runner that may not link, or else one that anybody can make fail; the lines are
// those of the kind.
func (h *Handler) refusalOf(c *call, code connect.Code) (*pace.Lines, refused) {
	why := c.visit.Failed()
	if why == nil && code == connect.CodeUnauthenticated {
		why = c.err
	}
	link := c.procedure != nil && c.procedure.name == linkProcedure
	switch {
	case why != nil && !link:
		return h.signIns, refused{"a sign-in was refused", why}
	case why != nil:
		return h.links, refused{"a link was refused", why}
	case link && (code == connect.CodePermissionDenied || code == connect.CodeFailedPrecondition || code == connect.CodeInvalidArgument ||
		code == connect.CodeAborted || code == connect.CodeResourceExhausted):
		return h.links, refused{"a link was refused", c.err}
	case c.procedure == nil || !c.caller.Anonymous() || levelOf(code, c.err) != slog.LevelInfo:
		return nil, refused{}
	case c.procedure.name == exchangeProcedure:
		return h.signIns, refused{"a sign-in was refused", c.err}
	default:
		return h.strangers, refused{"a call without a token failed", c.err}
	}
}

// code is the outcome of the call; 0 for success.
func (c *call) code() connect.Code {
	switch {
	case c.err != nil:
		return c.told
	case c.received && c.status < http.StatusBadRequest:
		return 0
	}
	// connect answered by itself.
	switch c.status {
	case http.StatusTooManyRequests:
		return connect.CodeResourceExhausted
	case http.StatusGatewayTimeout:
		return connect.CodeDeadlineExceeded
	case 499:
		return connect.CodeCanceled
	case http.StatusNotImplemented:
		return connect.CodeUnimplemented
	case http.StatusInternalServerError:
		return connect.CodeInternal
	default:
		return connect.CodeInvalidArgument
	}
}

func codeName(code connect.Code) string {
	if code == 0 {
		return "ok"
	}
	return code.String()
}

// requestID returns the caller's id of the request if it is fit for a log, and
// else a new one.
func requestID(h http.Header) string {
	if v := h["X-Request-Id"]; len(v) == 1 && len(v[0]) >= 8 && len(v[0]) <= 128 {
		ok := strings.IndexFunc(v[0], func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
		}) < 0
		if ok {
			return v[0]
		}
	}
	return id.New()
}
