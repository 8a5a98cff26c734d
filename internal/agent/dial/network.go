// Package dial reaches servers: through proxies, with the operator's
// certificates, and over HTTP/2.
//
// The link needs HTTP/2 from end to end. A proxy is therefore always asked for
// a tunnel (CONNECT), for http:// servers too, which most clients would send to
// the proxy as ordinary HTTP/1.1 requests. Which proxy follows HTTPS_PROXY,
// HTTP_PROXY and NO_PROXY with their usual meaning. The package knows nothing
// of what is sent.
package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/musterhq/muster/internal/fault"
)

const (
	dialTimeout = 15 * time.Second
	tlsTimeout  = 15 * time.Second
)

// Func opens a connection, as net.Dialer.DialContext does.
type Func func(ctx context.Context, network, address string) (net.Conn, error)

// Network is the way out of this host.
type Network struct {
	dial  Func
	proxy func(*url.URL) (*url.URL, error)
	roots *x509.CertPool // nil for the system's
}

// New reads the proxy settings from the environment and, unless caFile is
// empty, certificates that are trusted in addition to the system's. A nil dial
// uses the network of the host.
func New(caFile string, dial Func) (*Network, error) {
	n := &Network{dial: dial, proxy: httpproxy.FromEnvironment().ProxyFunc()}
	if dial == nil {
		n.dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if caFile == "" {
		return n, nil
	}
	pem, err := os.ReadFile(caFile) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fault.Invalid("--ca-file", "The file %s cannot be read. Give a file with certificates in PEM form.", caFile).WithCause(err)
	}
	if n.roots, err = x509.SystemCertPool(); err != nil {
		n.roots = x509.NewCertPool()
	}
	if !n.roots.AppendCertsFromPEM(pem) {
		return nil, fault.Invalid("--ca-file", "The file %s holds no certificate in PEM form.", caFile)
	}
	return n, nil
}

// Roots are the certificate authorities that are trusted; nil stands for the
// system's.
func (n *Network) Roots() *x509.CertPool { return n.roots }

// Client returns a client for any server, of any version of HTTP.
func (n *Network) Client() *http.Client {
	return &http.Client{
		CheckRedirect: noRedirect,
		Transport: &http.Transport{
			Proxy:               func(r *http.Request) (*url.URL, error) { return n.proxy(r.URL) },
			DialContext:         n.dial,
			TLSClientConfig:     n.tls(""),
			TLSHandshakeTimeout: tlsTimeout,
			ForceAttemptHTTP2:   true,
		},
	}
}

func (n *Network) tls(serverName string) *tls.Config {
	return &tls.Config{RootCAs: n.roots, MinVersion: tls.VersionTLS12, ServerName: serverName}
}

// noRedirect keeps bearer tokens where they were sent to.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
