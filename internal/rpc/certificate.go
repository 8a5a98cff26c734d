package rpc

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is a TLS certificate in files, which whoever renews it replaces.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	state   [2]fileState
	looked  time.Time
}

type fileState struct {
	size     int64
	modified time.Time
}

// certificatePoll is how often a handshake looks at the files.
const certificatePoll = 10 * time.Second

func newCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, looked: time.Now()}
	state, err := c.look()
	if err == nil {
		err = c.load(state)
	}
	if err != nil {
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
	if now.Sub(c.looked) < certificatePoll {
		return c.current
	}
	c.looked = now
	state, err := c.look()
	if err == nil && state != c.state {
		err = c.load(state)
	}
	if err != nil {
		c.log.Warn("the new TLS certificate cannot be used; the old one stays", "error", err)
	}
	return c.current
}

func (c *certificate) look() (state [2]fileState, err error) {
	for i, name := range [2]string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return state, err
		}
		state[i] = fileState{size: info.Size(), modified: info.ModTime()}
	}
	return state, nil
}

func (c *certificate) load(state [2]fileState) error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.current, c.state = &pair, state
	return nil
}
