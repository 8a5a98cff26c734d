package oauth

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/door"
	"github.com/musterhq/muster/internal/fault"
)

//go:embed pages.html
var source string

//go:embed style.css
var style string

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"style": func() template.HTML { return template.HTML("<style>" + style + "</style>") }, //nolint:gosec // it is this program's own
}).Parse(source))

// The pages of pages.html.
const (
	pageBegin  = "begin"
	pageDone   = "done"
	pageFailed = "failed"
)

// policy lets a page have its style, and nothing else. It must not bound where
// forms lead: browsers would apply that to the host's page as well.
var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; frame-ancestors 'none'"
}()

// head sets what every answer has.
func head(w http.ResponseWriter, referrer string) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", referrer)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

// show answers with a page.
func show(w http.ResponseWriter, status int, referrer, page string, data any) {
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, page, data); err != nil {
		panic(err) // the tests show every page
	}
	head(w, referrer)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	// Write fails when the reader is gone, who then needs no answer.
	_, _ = w.Write(body.Bytes())
}

var errOtherSite = fault.New(fault.PermissionDenied, fault.SignInFailed, "Another site sent your browser here. Open the link to sign in yourself, if you asked for one.")

// refuse shows why it goes no further.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	f, request := fault.From(err), audit.RequestID(r.Context())
	door.VisitOf(r).Fail(err)
	if f.Code == fault.Internal || f.Code == fault.Unknown {
		h.log.Error("signing in failed", "request_id", request, "error", f)
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
	show(w, statusOf(f.Code), "no-referrer", pageFailed, struct{ Message, Reason, Request string }{
		f.Message, string(f.Reason), request,
	})
}

// statusOf is the HTTP status of a failure. Nobody proves who they are to these
// pages, so 401 is none of them.
func statusOf(c fault.Code) int {
	switch c {
	case fault.InvalidArgument, fault.FailedPrecondition:
		return http.StatusBadRequest
	case fault.PermissionDenied, fault.Unauthenticated:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.AlreadyExists, fault.Aborted:
		return http.StatusConflict
	case fault.ResourceExhausted:
		return http.StatusTooManyRequests
	case fault.Unavailable, fault.Canceled:
		return http.StatusServiceUnavailable
	case fault.DeadlineExceeded:
		return http.StatusGatewayTimeout
	case fault.Unimplemented:
		return http.StatusNotImplemented
	default:
		return http.StatusInternalServerError
	}
}
