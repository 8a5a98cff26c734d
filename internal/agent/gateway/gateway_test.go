package gateway_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/agent/gateway"
)

// world is a set of servers with a latency each, in memory.
type world struct {
	latency map[string]*atomic.Int64 // host name -> nanoseconds; negative refuses
	dials   atomic.Int64
}

func (w *world) set(host string, d time.Duration) {
	if w.latency[host] == nil {
		w.latency[host] = new(atomic.Int64)
	}
	w.latency[host].Store(int64(d))
}

func (w *world) client(t *testing.T) *http.Client {
	servers := make(map[string]net.Listener)
	for host, latency := range w.latency {
		l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			<-time.After(time.Duration(latency.Load()))
			rw.WriteHeader(http.StatusNotFound)
		})}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { _ = server.Close() })
		servers[host] = l
	}
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		w.dials.Add(1)
		host, _, _ := net.SplitHostPort(address)
		if w.latency[host].Load() < 0 {
			return nil, net.UnknownNetworkError("refused")
		}
		<-time.After(time.Second) // opening takes long and must not count
		client, server := net.Pipe()
		select {
		case servers[host].(*pipes).conns <- server:
			return client, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}}
}

type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func gateways(hosts ...string) []*gitpodv1.Gateway {
	var out []*gitpodv1.Gateway
	for _, h := range hosts {
		out = append(out, &gitpodv1.Gateway{Name: h, Url: "http://" + h})
	}
	return out
}

func TestNearest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{latency: make(map[string]*atomic.Int64)}
		w.set("far", 80*time.Millisecond)
		w.set("near", 20*time.Millisecond+123*time.Microsecond)
		w.set("dead", -1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p := gateway.New(w.client(t), slog.New(slog.DiscardHandler))
		go p.Run(ctx)

		expect := func(when, name string, latency time.Duration) {
			t.Helper()
			<-p.Changed()
			if got := p.Nearest(); got.GetGateway().GetName() != name || got.GetLatency().AsDuration() != latency {
				t.Fatalf("%s: got %v", when, got)
			}
		}
		quiet := func(when string) {
			t.Helper()
			select {
			case <-p.Changed():
				t.Fatalf("%s: reported %v", when, p.Nearest())
			case <-time.After(6 * time.Minute): // one more measurement
			}
		}

		p.Set(gateways("far", "near", "dead"))
		expect("first", "near", 20*time.Millisecond)
		dialed := w.dials.Load()
		p.Set(gateways("far", "near", "dead"))
		quiet("nothing changed")
		if more := w.dials.Load() - dialed; more > 2*4 { // the dead one is tried again, the others keep their connection
			t.Errorf("%d more connections were opened", more)
		}
		w.set("near", 23*time.Millisecond)
		quiet("a little slower")
		w.set("far", 20*time.Millisecond)
		quiet("the other one is a little faster")
		w.set("far", 10*time.Millisecond)
		expect("the other one is much faster", "far", 10*time.Millisecond)
		w.set("far", 15*time.Millisecond)
		expect("much slower", "far", 15*time.Millisecond)
		p.Set(gateways("near"))
		expect("other gateways", "near", 23*time.Millisecond)
		p.Set(gateways("dead"))
		<-p.Changed()
		if got := p.Nearest(); got != nil {
			t.Errorf("the dead gateway is nearest: %v", got)
		}
		p.Set(nil)
		quiet("no gateways")
	})
}

func TestOverHTTP(t *testing.T) {
	server := httptest.NewServer(http.RedirectHandler("/elsewhere", http.StatusFound))
	defer server.Close()
	var log bytes.Buffer
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	p := gateway.New(client, slog.New(slog.NewTextHandler(&log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { p.Run(ctx); close(ended) }()
	p.Set(append(gateways("user:planted@127.0.0.1:1", "planted nonsense"), &gitpodv1.Gateway{Name: "real", Url: server.URL}))
	<-p.Changed()
	if got := p.Nearest(); got.GetGateway().GetName() != "real" || got.GetLatency().AsDuration() <= 0 {
		t.Errorf("got %v", got)
	}
	cancel()
	<-ended
	for line := range strings.Lines(log.String()) {
		if _, text, _ := strings.Cut(line, "error="); strings.Contains(text, "planted") {
			t.Errorf("the log holds a URL: %s", line)
		}
	}
}
