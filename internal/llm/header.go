package llm

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
)

// Limits of request headers; lengths are in bytes.
const (
	maxHeaders     = 32
	maxHeaderName  = 128
	maxHeaderValue = 4096
)

// HeaderCapability is what a runner needs to evaluate expressions.
const HeaderCapability fleet.Capability = 18

// NewHeader is a header as a caller sets it.
type NewHeader struct {
	Name string
	// Type may be 0, which means HeaderLiteral.
	Type HeaderType
	// Value is the literal or the text of the expression. A literal that is the
	// sealed value of the same header as it was returned leaves that unchanged.
	Value []byte
}

// sealHeaders checks headers and seals the literal ones to the runner. before
// are those that they replace.
func sealHeaders(r *fleet.Runner, integration string, headers []NewHeader, before []Header) ([]Header, error) {
	if len(headers) > maxHeaders {
		return nil, fault.Invalid("request_headers", "must have at most %d values, has %d", maxHeaders, len(headers))
	}
	seen := map[string]bool{}
	out := make([]Header, 0, len(headers))
	for _, h := range headers {
		if err := h.check(); err != nil {
			return nil, err
		}
		lower := strings.ToLower(h.Name)
		if seen[lower] {
			return nil, fault.Invalid("request_headers", "the header %q is there twice; upper and lower case make no difference", h.Name)
		}
		seen[lower] = true
		made, err := h.seal(r, integration, before)
		if err != nil {
			return nil, err
		}
		out = append(out, made)
	}
	return out, nil
}

func (h NewHeader) seal(r *fleet.Runner, integration string, before []Header) (Header, error) {
	if h.Type == HeaderExpression {
		if !slices.Contains(r.Report.Capabilities, HeaderCapability) {
			return Header{}, fault.New(fault.FailedPrecondition, fault.RunnerIncapable,
				"The runner %q lacks the capability RUNNER_CAPABILITY_DYNAMIC_LLM_REQUEST_HEADERS, without which it cannot compute the header %q. Set a literal value, or update the runner's software.",
				r.Name, h.Name)
		}
		return Header{Name: h.Name, Type: HeaderExpression, Expression: string(h.Value)}, nil
	}
	for _, b := range before {
		if b.Name == h.Name && len(b.Value) > 0 && bytes.Equal(b.Value, h.Value) {
			return b, nil
		}
	}
	if err := checkLiteral(h); err != nil {
		return Header{}, err
	}
	secret, err := r.Seal(headerName(integration, h.Name), string(h.Value))
	return Header{Name: h.Name, Type: HeaderLiteral, Value: secret}, err
}

func (h NewHeader) check() error {
	switch {
	case h.Name == "" || len(h.Name) > maxHeaderName || strings.ContainsFunc(h.Name, func(c rune) bool { return !isTokenChar(c) }):
		return fault.Invalid("request_headers.key", "a header has no such name: it is 1 to %d letters, digits and any of !#$%%&'*+-.^_`|~", maxHeaderName)
	case h.Type != 0 && h.Type != HeaderLiteral && h.Type != HeaderExpression:
		return fault.Invalid("request_headers.header_type", "%d is not a defined value", h.Type)
	case len(h.Value) == 0 || len(h.Value) > maxHeaderValue:
		return fault.Invalid("request_headers.value", "the value of the header %q must have 1 to %d bytes, has %d", h.Name, maxHeaderValue, len(h.Value))
	case h.Type == HeaderExpression && (!utf8.Valid(h.Value) || bytes.IndexByte(h.Value, 0) >= 0):
		return fault.Invalid("request_headers.value", "the expression of the header %q is not UTF-8 text", h.Name)
	}
	return nil
}

// checkLiteral refuses what would end the header line, or be no part of it.
func checkLiteral(h NewHeader) error {
	for _, b := range h.Value {
		if b < ' ' && b != '\t' || b == 0x7f {
			return fault.Invalid("request_headers.value", "the value of the header %q has control characters; a line end is one", h.Name)
		}
	}
	return nil
}

// isTokenChar tells what the name of a header may be made of (RFC 9110, 5.6.2).
func isTokenChar(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", c)
}
