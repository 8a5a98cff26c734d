package compat

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"
)

// request is one that a client sent, and how it was answered.
type request struct {
	path        string
	query       url.Values
	header      http.Header
	body        string
	status      int
	replyHeader http.Header
}

// traffic is an HTTP transport that keeps what goes through it.
type traffic struct {
	transport http.Transport

	mu  sync.Mutex
	all []request
}

// newTraffic makes a transport of its own, so that no test sees the connections
// of another.
func newTraffic(t *testing.T) *traffic {
	t.Helper()
	c := &traffic{}
	t.Cleanup(c.transport.CloseIdleConnections)
	return c
}

// RoundTrip sends a request.
func (c *traffic) RoundTrip(r *http.Request) (*http.Response, error) {
	x := request{path: r.URL.Path, query: r.URL.Query(), header: r.Header.Clone()}
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		_ = r.Body.Close()
		x.body = string(b)
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(b))
	}
	res, err := c.transport.RoundTrip(r)
	if err == nil {
		x.status, x.replyHeader = res.StatusCode, res.Header
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, x)
	return res, err
}

// take returns what went through since the last call of take.
func (c *traffic) take() []request {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all
	c.all = nil
	return all
}
