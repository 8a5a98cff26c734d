package fakehost

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// NewNamed starts a host with TLS whose certificate is for these names, such as
// "api.github.com" and "github.com", and for 127.0.0.1. Clients find it with
// Network and believe it with Trust.
func NewNamed(t testing.TB, names ...string) *Server {
	t.Helper()
	s := &Server{mux: http.NewServeMux()}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = quiet // clients that go away are the point of some tests
	s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, names)}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// Network takes the place of the network: it leads every name in a certificate
// of the servers to its server, whatever the port, and their own addresses to
// themselves. There is nothing else on it.
func Network(servers ...*Server) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		for _, s := range servers {
			named := s.TLS != nil && net.ParseIP(host) == nil && s.Certificate().VerifyHostname(host) == nil
			if named || address == s.Address() {
				return new(net.Dialer).DialContext(ctx, network, s.Address())
			}
		}
		return nil, fmt.Errorf("fakehost: there is nothing at %s", address)
	}
}

// Trust returns the certificates of those servers that have TLS.
func Trust(servers ...*Server) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, s := range servers {
		if c := s.Certificate(); c != nil {
			pool.AddCert(c)
		}
	}
	return pool
}

// certificate makes a certificate that vouches for itself.
func certificate(t testing.TB, names []string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fakehost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
