package scmhost

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// client makes the HTTP client of an integration.
func (n *network) client(i scmurl.Integration) *http.Client {
	g := &gate{site: Site{Integration: i}, next: n.transport, log: n.log}
	if base, err := url.Parse(i.Base()); err == nil && base.Host != "" {
		g.open = append(g.open, base)
	}
	if issuer, err := url.Parse(i.IssuerURL); err == nil && issuer.Host != "" && !n.issuers[addressOf(issuer)] {
		g.issuer = addressOf(issuer)
	}
	for _, host := range i.APIHosts() {
		if u := (&url.URL{Scheme: "https", Host: host}); addressOf(u) != g.issuer {
			g.open = append(g.open, u)
		}
	}
	return &http.Client{Transport: g, CheckRedirect: g.redirect, Timeout: callPatience}
}

// gate lets requests through to the hosts of one integration, inside what a
// question may cost.
type gate struct {
	site Site // without a credential
	// open are the beginnings of what may be called.
	open []*url.URL
	// issuer is the address of an issuer that the operator did not allow.
	issuer string
	next   http.RoundTripper
	log    *slog.Logger
}

// RoundTrip makes a call, and once more when that may help.
func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := g.check(r); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	resp, err := g.call(r)
	if wait, ok := retry(r, resp, err); ok && spend(r.Context()) {
		if resp != nil {
			_ = resp.Body.Close()
		}
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		resp, err = g.call(r)
	}
	if err != nil {
		return nil, err
	}
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxBody, site: g.site}
	return resp, nil
}

// check refuses what may not be called, and spends a call of the question.
func (g *gate) check(r *http.Request) error {
	switch {
	case g.site.astray():
		return g.site.refusedHost()
	case g.issuer != "" && addressOf(r.URL) == g.issuer:
		return g.refusedIssuer()
	case !g.opens(r):
		return fault.New(fault.FailedPrecondition, fault.HostNotAllowed, "The runner calls %s, and nothing outside of it, for this integration.", g.site.Host).
			WithCause(troubleOutside)
	case !spend(r.Context()):
		return fault.New(fault.FailedPrecondition, fault.LimitReached, "To find this out takes more calls to %s than one question may make.", g.site.Host)
	}
	return nil
}

func (g *gate) refusedIssuer() error {
	host := strings.TrimSuffix(g.issuer, ":443")
	return fault.New(fault.FailedPrecondition, fault.HostNotAllowed, "This runner may not sign people in at %s. %s", host,
		permission("--issuer-host "+host)).WithCause(troubleIssuer)
}

func (g *gate) opens(r *http.Request) bool {
	u := r.URL
	if u.User != nil || u.Opaque != "" || r.Host != "" && r.Host != u.Host {
		return false
	}
	for s := range strings.SplitSeq(u.Path, "/") {
		if s == "." || s == ".." {
			return false
		}
	}
	for _, o := range g.open {
		prefix := strings.TrimSuffix(o.Path, "/")
		if sameOrigin(o, u) && (u.Path == prefix || strings.HasPrefix(u.Path, prefix+"/")) {
			return true
		}
	}
	return false
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && addressOf(a) == addressOf(b) && addressOf(a) != ""
}

func (g *gate) call(r *http.Request) (*http.Response, error) {
	start := time.Now()
	resp, err := g.next.RoundTrip(r)
	status := 0
	if resp != nil {
		status = resp.StatusCode
	}
	g.log.DebugContext(r.Context(), "called a source code host", "host", r.URL.Host, "method", r.Method, "status", status, "took", time.Since(start))
	return resp, err
}

// maxRedirects is how many redirects a call may follow.
const maxRedirects = 3

// redirect lets a call go on to another page of the same host. Others would get
// the credential.
func (g *gate) redirect(r *http.Request, via []*http.Request) error {
	from := via[len(via)-1]
	switch {
	case g.site.signsIn(from.URL, r.URL):
		return g.site.refusedCredential()
	case !sameOrigin(from.URL, r.URL):
		return fault.New(fault.Unavailable, fault.HostUnavailable, "%s sends its callers on to another host.", g.site.Host).WithCause(troubleMoved)
	case via[0].Method != http.MethodGet && via[0].Method != http.MethodHead:
		return fault.New(fault.Unavailable, fault.HostUnavailable, "%s sends its callers on to another page.", g.site.Host).WithCause(troubleMoved)
	case len(via) > maxRedirects:
		return fault.New(fault.Unavailable, fault.HostUnavailable, "%s sends its callers on from page to page.", g.site.Host).WithCause(troubleMoved)
	}
	return nil
}

// bounded ends an answer that is too large; what it counts is decompressed.
type bounded struct {
	io.ReadCloser
	left int
	site Site
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left+1)])
	if n > b.left {
		b.left = -1
	}
	if b.left < 0 {
		return 0, fault.New(fault.Unavailable, fault.HostUnavailable, "%s answered with more than %d MiB.", b.site.Host, maxBody>>20)
	}
	b.left -= n
	return n, err
}
