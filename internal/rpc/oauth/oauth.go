// Package oauth serves the pages on which people begin to sign in to source code
// hosts, and to which hosts send them back.
//
// The pages are plain HTML: no scripts, nothing from elsewhere. What they do is
// the business of package signin; this package knows HTTP, and what browsers do
// on behalf of others.
package oauth

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/musterhq/muster/internal/signin"
)

// SignIn is what this package needs of package signin.
type SignIn interface {
	Describe(ctx context.Context, link string) (signin.Invitation, error)
	Begin(ctx context.Context, link, browser string) (authorizeURL string, err error)
	Finish(ctx context.Context, back signin.Return) (signin.Invitation, error)
}

// Handler serves the pages.
type Handler struct {
	signIn SignIn
	// prefix is the path of the public URL.
	prefix string
	// secure says that browsers reach this control plane with https, though maybe
	// only as far as a proxy.
	secure bool
	// sameOrigin refuses what other sites make a browser send.
	sameOrigin *http.CrossOriginProtection
	log        *slog.Logger
}

// New makes the handler of a control plane that browsers reach at that URL.
func New(s SignIn, publicURL string, log *slog.Logger) (*Handler, error) {
	u, err := url.Parse(publicURL)
	if err != nil {
		return nil, fmt.Errorf("oauth: the public URL: %w", err)
	}
	h := &Handler{signIn: s, prefix: u.Path, secure: u.Scheme == "https", sameOrigin: http.NewCrossOriginProtection(), log: log}
	// A proxy may have put another name into Host.
	if err := h.sameOrigin.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
		return nil, fmt.Errorf("oauth: the public URL: %w", err)
	}
	return h, nil
}

// Routes are the patterns and handlers to mount: at the root, for proxies that
// take the path of the public URL away, and below that path, for those that do
// not.
func (h *Handler) Routes() map[string]http.Handler {
	routes := map[string]http.Handler{}
	for _, prefix := range []string{"", h.prefix} {
		routes["GET "+prefix+signin.BeginPath] = http.HandlerFunc(h.describe)
		routes["POST "+prefix+signin.BeginPath] = http.HandlerFunc(h.begin)
		routes["GET "+prefix+signin.CallbackPath] = http.HandlerFunc(h.finish)
	}
	return routes
}

// describe shows what a link is for.
func (h *Handler) describe(w http.ResponseWriter, r *http.Request) {
	invitation, err := h.signIn.Describe(r.Context(), linkOf(r))
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	// The form is sent to this URL. Without a referrer browsers do not say where a
	// form comes from, and without https nothing else does.
	show(w, http.StatusOK, "same-origin", pageBegin, invitation)
}

// begin sends the browser on to the host.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request) {
	// Another site that sends this form would sign the person in without having
	// shown for whom.
	if h.sameOrigin.Check(r) != nil {
		h.refuse(w, r, errOtherSite)
		return
	}
	browser := h.browserOf(r)
	if browser == "" {
		browser = rand.Text()
	}
	page, err := h.signIn.Begin(r.Context(), linkOf(r), browser)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	http.SetCookie(w, h.cookie(browser))
	head(w, "no-referrer")
	w.Header().Set("Location", page)
	w.WriteHeader(http.StatusSeeOther)
}

// finish is where the host sends the browser back to.
func (h *Handler) finish(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	invitation, err := h.signIn.Finish(r.Context(), signin.Return{
		State: q.Get("state"), Code: q.Get("code"), Error: q.Get("error"), Issuer: q.Get("iss"), Browser: h.browserOf(r),
	})
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	show(w, http.StatusOK, "no-referrer", pageDone, invitation)
}

func linkOf(r *http.Request) string { return r.URL.Query().Get(signin.LinkParameter) }

// cookieName binds a browser to what it began. Browsers let nobody but this very
// origin set a cookie with the prefix, which they take over https only.
func (h *Handler) cookieName() string {
	if h.secure {
		return "__Host-muster-sign-in"
	}
	return "muster-sign-in"
}

// cookie keeps the secret of a browser for as long as a state works. Several
// sign-ins of one browser share it.
func (h *Handler) cookie(browser string) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // it is secure wherever there is https
		Name: h.cookieName(), Value: browser, Path: "/", MaxAge: int(signin.Life.Seconds()),
		Secure: h.secure, HttpOnly: true,
		SameSite: http.SameSiteLaxMode, // it must come along when the host sends the browser back
	}
}

// browserOf is the secret of the browser; empty when it has none.
func (h *Handler) browserOf(r *http.Request) string {
	c, err := r.Cookie(h.cookieName())
	if err != nil || len(c.Value) != len(rand.Text()) {
		return ""
	}
	return c.Value
}
