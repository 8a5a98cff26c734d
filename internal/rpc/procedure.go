package rpc

import (
	"fmt"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/rpc/codec"
)

// procedure is what the transport knows of one procedure, made out once.
type procedure struct {
	name    string // "gitpod.v1.RunnerService/GetRunner"
	handler http.Handler
	rule    access.Rule
	ruled   bool // false when the access table has no row
	kind    connect.StreamType
	lines   bool // also answers in lines of JSON
	maxBody int  // how large a message may be
	paging  *paging
	// reply is the pagination field of a List reply.
	reply   protoreflect.FieldDescriptor
	metrics procedureMetrics
}

// oneRequest tells whether the client sends a single message.
func (p *procedure) oneRequest() bool { return p.kind&connect.StreamTypeClient == 0 }

func (p *procedure) stream() bool { return p.kind != connect.StreamTypeUnary }

// public tells whether nobody needs a token for it, or shows one.
func (p *procedure) public() bool { return p.ruled && p.rule.Permission == access.Public }

// mount registers the procedures of a service. Which those are, connect tells:
// it asks for the options of each handler that the service makes.
func (h *Handler) mount(s Service, public bool) error {
	var found []*procedure
	_, handler := s.New(
		connect.WithCodec(codec.JSON{}), connect.WithCodec(codec.JSON{Charset: true}), connect.WithCodec(codec.Binary{}),
		withGzip(h.cfg.MaxBody), connect.WithCompressMinBytes(compressMin),
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			rule, ruled := access.RuleOf(spec.Procedure)
			if public {
				rule, ruled = access.Rule{Permission: access.Public}, true
			}
			p := h.newProcedure(spec, rule, ruled)
			if public {
				p.maxBody = min(p.maxBody, nameMaxBody)
			}
			found = append(found, p)
			return []connect.HandlerOption{connect.WithInterceptors(&interceptor{handler: h, procedure: p}), connect.WithReadMaxBytes(p.maxBody)}
		}),
	)
	if len(found) == 0 {
		return fmt.Errorf("rpc: service %s has no procedures", s.Name)
	}
	for _, p := range found {
		if !strings.HasPrefix(p.name, s.Name+"/") {
			return fmt.Errorf("rpc: procedure %s is not of service %s", p.name, s.Name)
		}
		if h.procedures["/"+p.name] != nil {
			return fmt.Errorf("rpc: procedure %s is served twice", p.name)
		}
		p.handler = handler
		h.procedures["/"+p.name] = p
	}
	return nil
}

func (h *Handler) newProcedure(spec connect.Spec, rule access.Rule, ruled bool) *procedure {
	p := &procedure{name: strings.TrimPrefix(spec.Procedure, "/"), rule: rule, ruled: ruled, kind: spec.StreamType, maxBody: h.cfg.MaxBody}
	if method, ok := spec.Schema.(protoreflect.MethodDescriptor); ok && !p.stream() {
		p.paging = pagingOf(method.Input())
		p.reply = replyPaging(method.Output())
	}
	p.metrics = h.metrics.of(p)
	return p
}
