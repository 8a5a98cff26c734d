package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/door"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/pace"
)

// Handler answers every request to the control plane.
type Handler struct {
	cfg        Config
	validation *validation
	procedures map[string]*procedure // by path: "/gitpod.v1.RunnerService/GetRunner"
	unbuilt    *procedure            // stands for what the contract has and this binary has not
	extra      *http.ServeMux
	// guarded and probes are the patterns of extra whose requests do not count
	// like others without a token.
	guarded, probes map[string]bool
	errors          *connect.ErrorWriter
	// signIns, links and strangers bound how often it is logged that one was refused,
	// or that a call without a token failed.
	signIns, links, strangers *pace.Lines
	metrics                   *metrics

	// installation is what the header Muster-Installation says; nil for none.
	installation []string

	draining context.Context //nolint:containedctx // it lives as long as the handler
	drain    context.CancelCauseFunc
}

// Drain ends all streams, whose clients connect again elsewhere, and makes the
// control plane unready. Other calls are still answered.
func (h *Handler) Drain() {
	h.drain(fault.New(fault.Unavailable, fault.ShuttingDown, "This replica of the control plane is shutting down. Connect again."))
}

// SetInstallation makes every answer name the installation. It must be called
// before any request is served.
func (h *Handler) SetInstallation(id string) { h.installation = []string{id} }

// ServeHTTP answers a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{ResponseWriter: w, requestID: requestID(r.Header), start: time.Now(), visit: h.cfg.Door.Visit(r)}
	w.Header()["X-Request-Id"] = []string{c.requestID}
	if h.installation != nil {
		w.Header()["Muster-Installation"] = h.installation
	}
	defer h.finish(c, r)

	procedurePath := r.URL.Path
	if strings.HasPrefix(procedurePath, "/api/") {
		procedurePath = procedurePath[len("/api"):]
	}
	if p, ok := h.procedures[procedurePath]; ok {
		h.serveProcedure(c, r, p, procedurePath)
		return
	}
	if inContract(procedurePath) {
		h.serveProcedure(c, r, h.unbuilt, procedurePath)
		return
	}
	h.serveExtra(c, r)
}

// inContract tells whether a path has the form of a procedure of the wire
// contract, "/gitpod.v1.Service/Method".
func inContract(p string) bool {
	rest, ok := strings.CutPrefix(p, "/gitpod.v1.")
	service, method, two := strings.Cut(rest, "/")
	return ok && two && isName(service) && isName(method)
}

func isName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '.' {
			return false
		}
	}
	return s != "" && len(s) <= 100
}

// serveExtra answers what is not the API. ServeMux answers unclean paths with a
// redirect, which the SDKs would follow without their body; there is nothing at
// such a path.
func (h *Handler) serveExtra(c *call, r *http.Request) {
	clean := path.Clean(r.URL.Path)
	if clean != "/" && strings.HasSuffix(r.URL.Path, "/") {
		clean += "/"
	}
	if r.URL.Path != clean {
		if err := c.visit.Turn(); err != nil {
			h.refuse(c, r, err)
			return
		}
		http.NotFound(c, r)
		return
	}
	r = r.WithContext(door.WithVisit(audit.WithRequestID(r.Context(), c.requestID), &c.visit))
	_, c.pattern = h.extra.Handler(r)
	leave, err := h.admitExtra(c)
	if err != nil {
		h.refuse(c, r, err)
		return
	}
	defer leave()
	h.extra.ServeHTTP(c, r)
}

// admitExtra lets a request in that is no call, which leave ends.
func (h *Handler) admitExtra(c *call) (leave func(), err error) {
	switch {
	case h.guarded[c.pattern]:
		return func() {}, nil
	case h.probes[c.pattern]:
		// It holds nothing, and who asks whether this replica lives must not wait for
		// others.
		return func() {}, c.visit.Turn()
	}
	return c.visit.Request()
}

const (
	healthzPattern = "GET /healthz"
	readyzPattern  = "GET /readyz"
)

func (h *Handler) mountExtra() (err error) {
	h.extra = http.NewServeMux()
	// ServeMux panics on a bad pattern or on two that conflict.
	defer func() {
		if r := recover(); r != nil {
			err = errors.Join(err, fmt.Errorf("rpc: Config.Extra: %v", r))
		}
	}()
	h.probes = map[string]bool{healthzPattern: true, readyzPattern: true}
	h.extra.HandleFunc(healthzPattern, func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") })
	h.extra.HandleFunc(readyzPattern, func(w http.ResponseWriter, r *http.Request) {
		status, lines := h.readiness(r.Context(), r.URL.Query().Has("strict"))
		plain(w, status, strings.Join(append(lines, h.cfg.Remarks()...), "\n"))
	})
	if h.cfg.Registry != nil {
		h.extra.Handle("GET /metrics", promhttp.HandlerFor(h.cfg.Registry, promhttp.HandlerOpts{}))
	}
	for pattern, handler := range h.cfg.Extra {
		h.extra.Handle(pattern, handler)
	}
	h.guarded = map[string]bool{}
	for pattern, handler := range h.cfg.Guarded {
		h.extra.Handle(pattern, handler)
		h.guarded[pattern] = true
	}
	return nil
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}

// readiness is the answer of /readyz. Who asks strictly wants this replica to
// take changes, too.
func (h *Handler) readiness(ctx context.Context, strict bool) (status int, lines []string) {
	if err := h.ready(ctx); err != nil {
		return http.StatusServiceUnavailable, []string{fault.From(err).Message}
	}
	why := h.cfg.Degraded()
	switch {
	case why == "":
		return http.StatusOK, []string{"ok"}
	case strict:
		status = http.StatusServiceUnavailable
	default:
		status = http.StatusOK
	}
	return status, []string{"degraded: " + why}
}

// ready tells whether calls can be answered.
func (h *Handler) ready(ctx context.Context) error {
	if h.draining.Err() != nil {
		return context.Cause(h.draining)
	}
	return h.cfg.Ready(ctx)
}
