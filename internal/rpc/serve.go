package rpc

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/rpc/rpcerr"
)

// serveProcedure answers a call. Who calls, and whether they may, is settled
// before anything of the body is read.
func (h *Handler) serveProcedure(c *call, r *http.Request, p *procedure, procedurePath string) {
	c.procedure = p
	if r.Method != http.MethodPost {
		if err := c.visit.Turn(); err != nil {
			h.refuse(c, r, err)
			return
		}
		c.Header().Set("Allow", http.MethodPost)
		plain(c, http.StatusMethodNotAllowed, "405 method not allowed: procedures are called with POST")
		return
	}
	c.Header()[rpcerr.ShouldRetry] = []string{"false"} // until call.receive
	if !p.stream() {
		c.writeTimeout = h.cfg.WriteTimeout
	}
	ctx := audit.WithRequestID(r.Context(), c.requestID)
	leave, err := h.admit(ctx, c, r.Header, procedurePath)
	if err != nil {
		h.refuse(c, r, err)
		return
	}
	defer leave()
	if !isTimeout(r.Header.Get(timeoutHeader)) {
		h.refuse(c, r, fault.Invalid(timeoutHeader, "must be a whole number of milliseconds of at most 10 digits"))
		return
	}
	if p.paging != nil && r.URL.RawQuery != "" && isJSON(r.Header) {
		if c.page, err = parsePageQuery(r.URL.RawQuery); err != nil {
			h.refuse(c, r, err)
			return
		}
	}
	ctx = context.WithValue(access.WithCaller(ctx, c.caller), callKey{}, c)
	if p.stream() {
		if h.draining.Err() != nil {
			h.refuse(c, r, context.Cause(h.draining))
			return
		}
		var release func()
		ctx, release = h.hold(ctx, c)
		defer release()
	}
	r = r.WithContext(ctx)
	if r.URL.Path != procedurePath {
		// The generated handlers know their procedures without the prefix.
		r.URL = &url.URL{Path: procedurePath, RawQuery: r.URL.RawQuery}
	}
	if p.oneRequest() && r.Body != http.NoBody {
		r.Body = newBody(h.cfg.ReadTimeout, c, r)
	}
	if p.lines && isJSONLines(r.Header) {
		h.watchLines(c, r)
		return
	}
	p.handler.ServeHTTP(c, r)
}

// TokenExpires is the header of an answer that says when the token that the call
// came with ends, if it does, so that a program can say so in time.
const TokenExpires = "Muster-Token-Expires" //nolint:gosec // no credential

// TokenReadOnly is the header beside it that says that the token changes nothing,
// so that its owner needs another one to make the next.
const TokenReadOnly = "Muster-Token-Read-Only" //nolint:gosec // no credential

// admit settles who calls and whether they may, and lets the call in, which
// leave ends.
func (h *Handler) admit(ctx context.Context, c *call, header http.Header, procedurePath string) (leave func(), err error) {
	p := c.procedure
	switch {
	case p.public() && p.stream():
		return c.visit.Stream()
	case p.public():
		return c.visit.Request()
	}
	switch err := h.authenticate(ctx, c, header); {
	case fault.Is(err, fault.Unauthenticated):
		return nil, c.visit.Bad(err)
	case err != nil:
		return nil, err
	}
	if err := h.authorize(c, procedurePath); err != nil {
		return nil, err
	}
	if p.stream() {
		return c.visit.Open(c.caller.ID)
	}
	return func() {}, nil
}

// authenticate settles who calls.
func (h *Handler) authenticate(ctx context.Context, c *call, header http.Header) error {
	bearer, err := bearerOf(header)
	if err != nil {
		return err
	}
	if bearer == "" {
		return access.Authorize(c.caller, access.Rule{Permission: access.Authenticated})
	}
	done, err := c.visit.Prove()
	if err != nil {
		return err
	}
	defer done()
	if c.caller, err = h.cfg.Authenticate(ctx, bearer); err != nil {
		return err
	}
	c.visit.Proved()
	if end := c.caller.Expires; !end.IsZero() {
		c.Header().Set(TokenExpires, end.UTC().Format(time.RFC3339))
		if c.caller.ReadOnly {
			c.Header().Set(TokenReadOnly, "true")
		}
	}
	return nil
}

// authorize settles whether the caller may.
func (h *Handler) authorize(c *call, procedurePath string) error {
	p := c.procedure
	if !p.ruled {
		return fault.New(fault.Internal, fault.ReasonInternal,
			"The control plane does not know who may call %s, so nobody may. This is a defect of the control plane; please report it.", p.name)
	}
	if err := access.Authorize(c.caller, p.rule); err != nil {
		return err
	}
	if p.rule.Permission == access.Unbuilt {
		return unknownProcedure(procedurePath[1:])
	}
	return nil
}

// bearerOf returns the token that a request came with; empty for none.
func bearerOf(header http.Header) (string, error) {
	value := header.Get("Authorization")
	if value == "" {
		return "", nil
	}
	scheme, token, _ := strings.Cut(value, " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", fault.New(fault.Unauthenticated, fault.MalformedToken,
			"The Authorization header must be \"Bearer <token>\".")
	}
	return token, nil
}

// hold makes the context that a stream lives under: it ends with the caller's
// token and when the control plane drains.
func (h *Handler) hold(ctx context.Context, c *call) (context.Context, func()) {
	c.procedure.metrics.streams.Inc()
	ctx, release := h.cfg.Hold(ctx, c.caller)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(h.draining, func() { cancel(context.Cause(h.draining)) })
	return ctx, func() {
		stop()
		cancel(context.Canceled)
		release()
		c.procedure.metrics.streams.Dec()
	}
}

// refuse answers a call that does not reach its service, in the protocol that
// it came in.
func (h *Handler) refuse(c *call, r *http.Request, err error) {
	e := c.fail(r.Context(), err)
	c.writeTimeout = h.cfg.WriteTimeout
	// Write fails when the caller is gone, who then needs no answer.
	_ = h.errors.Write(c, r, e)
}

// timeoutHeader is how a Connect client tells its deadline. connect would quote
// its parser on a bad one.
const timeoutHeader = "Connect-Timeout-Ms"

func isTimeout(value string) bool {
	for _, c := range []byte(value) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(value) <= 10
}

// isJSON tells whether a unary request is in JSON.
func isJSON(header http.Header) bool {
	return mediaType(header) == "application/json"
}

// isJSONLines tells whether a call of WatchEvents comes from a client that
// reads lines of JSON: connect has neither content type for streams.
func isJSONLines(header http.Header) bool {
	t := mediaType(header)
	return t == "application/json" || t == "application/jsonl"
}

func mediaType(header http.Header) string {
	t, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// unknownProcedure tells what the contract has and this control plane has not
// from what the contract, as far as it is known here, has not either.
func unknownProcedure(procedure string) error {
	name := protoreflect.FullName(strings.ReplaceAll(procedure, "/", "."))
	if d, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err == nil {
		if _, ok := d.(protoreflect.MethodDescriptor); ok {
			return rpcerr.Unimplemented(procedure)
		}
	}
	return fault.New(fault.Unimplemented, fault.ReasonUnimplemented,
		"%s is not part of this API. Check the name: docs/compat.md lists the procedures that there are.", procedure)
}
