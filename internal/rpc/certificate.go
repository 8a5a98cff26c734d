package rpc

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// certificate is a TLS certificate in files, which whoever renews it replaces.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	read    time.Time
}

// certificatePoll is how often a handshake reads the files again.
const certificatePoll = 10 * time.Second

func newCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, read: time.Now()}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("rpc: TLS needs a certificate and its key: %w", err)
	}
	return c, nil
}

func (c *certificate) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.at(time.Now()), nil
		},
	}
}

// at returns the certificate for a handshake now. Files that cannot be used,
// perhaps because only one is replaced yet, leave the old certificate in place.
func (c *certificate) at(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.read) < certificatePoll {
		return c.current
	}
	c.read = now
	if err := c.load(); err != nil {
		c.log.Warn("the TLS certificate cannot be read again; the one in use stays", "error", err)
	}
	return c.current
}

func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.current = &pair
	return nil
}
