package scm_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/musterhq/muster/test/gitea"
)

// tap stands before a Gitea. It counts, and plants what the server gives.
type tap struct {
	lab *lab

	mu sync.Mutex
	// refreshes and refused count what was asked of the token endpoint, and tokens
	// that the API did not accept.
	refreshes, refused int
	// hold is called before a renewal is answered; nil for nothing.
	hold func()
}

// gitea starts a Gitea with a tap before it.
func (l *lab) gitea(t *testing.T, o gitea.Options) (*gitea.Server, *tap) {
	t.Helper()
	listener := &tap{lab: l}
	o.Front = listener.front
	s := gitea.Start(t, o)
	for login, token := range s.Tokens {
		l.plant("the access token of "+login, token)
	}
	l.plant("a narrow access token", s.NarrowToken)
	return s, listener
}

const tokenPath = "/login/oauth/access_token"

func (p *tap) front(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.lab.askedFor(r.URL.RequestURI())
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, tokenPath) {
			p.grant(w, r, next)
			return
		}
		counted := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(counted, r)
		if counted.status == http.StatusUnauthorized && r.Header.Get("Authorization") != "" {
			p.mu.Lock()
			p.refused++
			p.mu.Unlock()
		}
	})
}

// grant answers a request to the token endpoint.
func (p *tap) grant(w http.ResponseWriter, r *http.Request, next http.Handler) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, _ := url.ParseQuery(string(body))
	if form.Get("grant_type") == "refresh_token" {
		p.mu.Lock()
		p.refreshes++
		hold := p.hold
		p.mu.Unlock()
		if hold != nil {
			hold()
		}
	}
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, r)
	var given struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if json.Unmarshal(answer.Body.Bytes(), &given) == nil && given.Access != "" {
		p.lab.plant("an access token of OAuth", given.Access)
		p.lab.plant("a refresh token", given.Refresh)
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// counts returns how often a token was renewed, and how often one was refused.
func (p *tap) counts() (refreshes, refused int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refreshes, p.refused
}

// holding makes renewals wait.
func (p *tap) holding(hold func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold = hold
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
